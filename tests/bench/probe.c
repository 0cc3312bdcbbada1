/* SPDX-License-Identifier: MIT */
#include "tests/bench/probe.h"

#include <inttypes.h>
#include <stdio.h>

#include "tests/bench/cli.h"
#include "tests/bench/command.h"
#include "tests/bench/options.h"
#include "tests/bench/publisher.h"
#include "tests/bench/subscribers.h"

static struct {
    size_t size_bytes;
    uint64_t sequence;
    uint64_t sent_ns;
    bool is_received;
    bool is_acknowledged;
    uint64_t n_left;
    struct latency receipts;
    struct latency answers;
} probe;

static void on_received(struct client *c, struct stamp stamp)
{
    (void)c;
    if (stamp.n != probe.sequence || probe.is_received) {
        fail("the prober got %" PRIu64 " while %" PRIu64 " was on its way", stamp.n,
             probe.sequence);
    }
    probe.is_received = true;
    latency_add(&probe.receipts, link_received_ns() - stamp.sent_ns);
}

static void on_acknowledged(size_t publisher)
{
    (void)publisher;
    probe.is_acknowledged = true;
    latency_add(&probe.answers, link_received_ns() - probe.sent_ns);
}

void probe_prepare(size_t size_bytes)
{
    probe.size_bytes = size_bytes;
    latency_clear(&probe.receipts);
    latency_clear(&probe.answers);
    subscribers_add_prober();
    publisher_prepare(PUBLISHER_OF_PROBES);
}

bool probe_is_prepared(void)
{
    return subscribers_have_prober() && publisher_is_ready(PUBLISHER_OF_PROBES);
}

void probe_send(void)
{
    subscribers_expect_probe(on_received, probe.size_bytes);
    probe.is_received = probe.is_acknowledged = false;
    probe.sent_ns = publisher_send(PUBLISHER_OF_PROBES, OPTIONS_PROBER, ++probe.sequence,
                                   probe.size_bytes, on_acknowledged);
}

bool probe_has_come(void)
{
    return probe.is_received && probe.is_acknowledged;
}

const struct latency *probe_receipts(void)
{
    return &probe.receipts;
}

/* --- the command --- */

static void prepare(const uint64_t *args)
{
    probe.n_left = args[0];
    if (args[0] == 0) {
        fail("probe: expected how many, and their size");
    }
    probe_prepare(command_size(args[1]));
}

static bool is_done(void)
{
    if (!probe_has_come()) {
        return false;
    }
    probe.n_left--;
    if (probe.n_left > 0) {
        probe_send();
    }
    return probe.n_left == 0;
}

static void tell(const struct spent *spent)
{
    printf("{\"cpu_ns\":%" PRIu64 ",\"ms\":%.3f,\"receipt\":", spent->cpu_ns, spent->ms);
    latency_print(&probe.receipts);
    printf(",\"answer\":");
    latency_print(&probe.answers);
    puts("}");
}

const struct command command_probe = {.name = "probe",
                                      .n_args = 2,
                                      .prepare = prepare,
                                      .is_prepared = probe_is_prepared,
                                      .start = probe_send,
                                      .is_done = is_done,
                                      .tell = tell};
