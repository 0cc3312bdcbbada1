/* SPDX-License-Identifier: MIT */
/* Broadcasts that follow each other: the next is published when all clients that read have the
 * last (there may be none that reads), and it is acknowledged. Alone, a number of them; or for a
 * time, with probes beside them. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/bench/cli.h"
#include "tests/bench/command.h"
#include "tests/bench/options.h"
#include "tests/bench/probe.h"
#include "tests/bench/publisher.h"
#include "tests/bench/subscribers.h"

#define GIANT_MAX_MS 3600000

static struct {
    size_t size_bytes;
    uint64_t sequence; /* over all commands */
    size_t n_got;      /* clients that have the last one */
    bool is_acknowledged;
    uint64_t sent_ns;
    uint64_t last_ns; /* when the last client got it */
    uint64_t n_messages;
    struct latency last;
    struct latency each;

    uint64_t n_left; /* broadcast */
} broadcast;

static void on_received(struct client *c, struct stamp stamp)
{
    if (stamp.n != broadcast.sequence || c->last_n == stamp.n) {
        fail("client %zu got %" PRIu64 " behind %" PRIu64 ", while %" PRIu64 " was on its way",
             c->index, stamp.n, c->last_n, broadcast.sequence);
    }
    c->last_n = stamp.n;
    broadcast.n_got++;
    broadcast.last_ns = link_received_ns();
    latency_add(&broadcast.each, broadcast.last_ns - stamp.sent_ns);
}

static void on_acknowledged(size_t publisher)
{
    (void)publisher;
    broadcast.is_acknowledged = true;
}

static void publish(void)
{
    broadcast.n_got = 0;
    broadcast.is_acknowledged = false;
    broadcast.sent_ns = publisher_send(PUBLISHER_FIRST, 0, ++broadcast.sequence,
                                       broadcast.size_bytes, on_acknowledged);
}

/* True once for each: all have it. */
static bool has_come(void)
{
    if (!broadcast.is_acknowledged || broadcast.n_got < subscribers_reading()) {
        return false;
    }
    broadcast.n_messages += broadcast.n_got;
    if (broadcast.n_got > 0) {
        latency_add(&broadcast.last, broadcast.last_ns - broadcast.sent_ns);
    }
    return true;
}

static void prepare_any(const char *name, size_t size_bytes)
{
    if (options()->own_channels || subscribers_count() == 0) {
        fail("%s: expected clients of one channel", name);
    }
    broadcast.size_bytes = size_bytes;
    broadcast.n_messages = 0;
    latency_clear(&broadcast.last);
    latency_clear(&broadcast.each);
    publisher_prepare(PUBLISHER_FIRST);
}

static void start_any(void)
{
    subscribers_expect(on_received, broadcast.size_bytes);
    publish();
}

/* --- broadcast --- */

static void prepare_broadcast(const uint64_t *args)
{
    if (args[0] == 0) {
        fail("broadcast: expected how many, and their size");
    }
    broadcast.n_left = args[0];
    prepare_any("broadcast", command_size(args[1]));
}

static bool broadcast_is_prepared(void)
{
    return publisher_is_ready(PUBLISHER_FIRST);
}

static bool broadcast_is_done(void)
{
    if (!has_come()) {
        return false;
    }
    broadcast.n_left--;
    if (broadcast.n_left > 0) {
        publish();
    }
    return broadcast.n_left == 0;
}

static void tell_broadcast(const struct spent *spent)
{
    printf("{\"messages\":%" PRIu64 ",\"cpu_ns\":%" PRIu64 ",\"ms\":%.3f,\"last\":",
           broadcast.n_messages, spent->cpu_ns, spent->ms);
    latency_print(&broadcast.last);
    printf(",\"each\":");
    latency_print(&broadcast.each);
    puts("}");
}

const struct command command_broadcast = {.name = "broadcast",
                                          .n_args = 2,
                                          .is_bulk = true,
                                          .prepare = prepare_broadcast,
                                          .is_prepared = broadcast_is_prepared,
                                          .start = start_any,
                                          .is_done = broadcast_is_done,
                                          .tell = tell_broadcast};

/* --- giant --- */

static struct {
    uint64_t for_ns;
    uint64_t until_ns;
    bool broadcasts_ended;
    bool probes_ended;
} giant;

static void prepare_giant(const uint64_t *args)
{
    if (args[0] == 0 || args[0] > GIANT_MAX_MS) {
        fail("giant: expected 1 to %d ms, and two sizes", GIANT_MAX_MS);
    }
    giant.for_ns = args[0] * 1000000;
    prepare_any("giant", command_size(args[1]));
    probe_prepare(command_size(args[2]));
}

static bool giant_is_prepared(void)
{
    return broadcast_is_prepared() && probe_is_prepared();
}

static void start_giant(void)
{
    giant.broadcasts_ended = giant.probes_ended = false;
    giant.until_ns = stamp_now_ns() + giant.for_ns;
    start_any();
    probe_send();
}

/* Each goes on by itself until the time is over, and then both come to their end. */
static bool giant_is_done(void)
{
    bool is_over = stamp_now_ns() >= giant.until_ns;
    if (!giant.broadcasts_ended && has_come()) {
        giant.broadcasts_ended = is_over;
        if (!is_over) {
            publish();
        }
    }
    if (!giant.probes_ended && probe_has_come()) {
        giant.probes_ended = is_over;
        if (!is_over) {
            probe_send();
        }
    }
    return giant.broadcasts_ended && giant.probes_ended;
}

static void tell_giant(const struct spent *spent)
{
    (void)spent;
    printf("{\"giants\":%" PRIu64 ",\"small\":", broadcast.last.n);
    latency_print(probe_receipts());
    printf(",\"last\":");
    latency_print(&broadcast.last);
    puts("}");
}

const struct command command_giant = {.name = "giant",
                                      .n_args = 3,
                                      .prepare = prepare_giant,
                                      .is_prepared = giant_is_prepared,
                                      .start = start_giant,
                                      .is_done = giant_is_done,
                                      .tell = tell_giant};
