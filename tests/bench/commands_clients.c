/* SPDX-License-Identifier: MIT */
/* The commands that publish nothing: clients come, are pinged, are idle, stop to read. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/bench/cli.h"
#include "tests/bench/command.h"
#include "tests/bench/options.h"
#include "tests/bench/poller.h"
#include "tests/bench/process_figures.h"
#include "tests/bench/subscribers.h"

/* Handshakes that are not done: the kernel keeps 4,096 that wait to be accepted, and makes others
 * try again after a second. */
#define RUSH_WINDOW 4000

#define IDLE_MAX_SECONDS 3600

static struct {
    uint64_t n_wanted;
    uint64_t idle_ns;
    uint64_t until_ns;
    uint64_t n_pings;
    uint64_t n_bytes;
} state;

/* --- clients, rush --- */

static void prepare_clients(const uint64_t *args)
{
    state.n_wanted = args[0];
    if (state.n_wanted < subscribers_count() || state.n_wanted > OPTIONS_CLIENTS_MAX) {
        fail("%" PRIu64 " clients: expected %zu to %d", args[0], subscribers_count(),
             OPTIONS_CLIENTS_MAX);
    }
}

static void start_clients(void)
{
    subscribers_grow(state.n_wanted, options()->window, SUBSCRIBERS_UNTIL_SUBSCRIBED);
    subscribers_turn();
}

static void start_rush(void)
{
    subscribers_grow(state.n_wanted, RUSH_WINDOW, SUBSCRIBERS_UNTIL_ACCEPTED);
    subscribers_turn();
}

static void tell_clients(const struct spent *spent)
{
    printf("{\"clients\":%zu,\"ms\":%.3f,\"cpu_ns\":%" PRIu64 ",\"client\":", subscribers_count(),
           spent->ms, spent->cpu_ns);
    latency_print(subscribers_latency());
    puts("}");
}

const struct command command_clients = {.name = "clients",
                                        .n_args = 1,
                                        .prepare = prepare_clients,
                                        .start = start_clients,
                                        .is_done = subscribers_are_complete,
                                        .tell = tell_clients};
const struct command command_rush = {.name = "rush",
                                     .n_args = 1,
                                     .prepare = prepare_clients,
                                     .start = start_rush,
                                     .is_done = subscribers_are_complete,
                                     .tell = tell_clients};

/* --- pings --- */

static void prepare_pings(const uint64_t *args)
{
    (void)args;
    if (!options()->protocol->has_pings) {
        fail("pings: there are none in the protocol %s", options()->protocol->name);
    }
}

static bool all_are_pinged(void)
{
    return subscribers_pinged() == subscribers_reading();
}

static void tell_pings(const struct spent *spent)
{
    printf("{\"pinged\":%zu,\"ms\":%.3f}\n", subscribers_pinged(), spent->ms);
}

const struct command command_pings = {.name = "pings",
                                      .prepare = prepare_pings,
                                      .start = subscribers_begin_ping_round,
                                      .is_done = all_are_pinged,
                                      .tell = tell_pings};

/* --- idle --- */

static void prepare_idle(const uint64_t *args)
{
    if (args[0] == 0 || args[0] > IDLE_MAX_SECONDS) {
        fail("idle: expected 1 to %d seconds", IDLE_MAX_SECONDS);
    }
    state.idle_ns = args[0] * 1000000000;
}

static void start_idle(void)
{
    state.n_pings = subscribers_n_pings();
    state.n_bytes = subscribers_n_bytes();
    state.until_ns = stamp_now_ns() + state.idle_ns;
    poller_set_deadline_ns(state.until_ns);
}

static bool idle_is_over(void)
{
    return stamp_now_ns() >= state.until_ns;
}

static void tell_idle(const struct spent *spent)
{
    poller_set_deadline_ns(0);
    printf("{\"cpu_ns\":%" PRIu64 ",\"ms\":%.3f,\"pings\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
           spent->cpu_ns, spent->ms, subscribers_n_pings() - state.n_pings,
           subscribers_n_bytes() - state.n_bytes);
}

const struct command command_idle = {.name = "idle",
                                     .n_args = 1,
                                     .prepare = prepare_idle,
                                     .start = start_idle,
                                     .is_done = idle_is_over,
                                     .tell = tell_idle};

/* --- stall, memory --- */

static bool at_once(void)
{
    return true;
}

static void prepare_stall(const uint64_t *args)
{
    if (args[0] > subscribers_count()) {
        fail("stall: expected up to %zu clients", subscribers_count());
    }
    subscribers_stall(args[0]);
}

static void tell_stall(const struct spent *spent)
{
    (void)spent;
    printf("{\"stalled\":%zu}\n", subscribers_count() - subscribers_reading());
}

static void prepare_memory(const uint64_t *args)
{
    (void)args;
}

static void tell_memory(const struct spent *spent)
{
    struct process_memory memory = process_figures_memory();
    (void)spent;
    printf("{\"resident\":%" PRIu64 ",\"anonymous\":%" PRIu64 "}\n", memory.resident_bytes,
           memory.anonymous_bytes);
}

const struct command command_stall = {
    .name = "stall", .n_args = 1, .prepare = prepare_stall, .is_done = at_once, .tell = tell_stall};
const struct command command_memory = {
    .name = "memory", .prepare = prepare_memory, .is_done = at_once, .tell = tell_memory};
