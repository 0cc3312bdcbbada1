/* SPDX-License-Identifier: MIT */
/* Many publications at once, over many connections: to one channel (burst), or to each client's own
 * in turn (scatter). Between connections their order is free, so what came is checked by number and
 * by the sum of a hash of each: equal sums mean that each came exactly once. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/bench/cli.h"
#include "tests/bench/command.h"
#include "tests/bench/options.h"
#include "tests/bench/publisher.h"
#include "tests/bench/subscribers.h"

static struct {
    size_t n_publications;
    size_t size_bytes;
    size_t n_connections;
    size_t n_sent;
    size_t n_acknowledged;
    uint64_t expected_checksum;
    size_t n_done;     /* burst: clients that have all */
    uint64_t n_got;    /* scatter: by all clients */
    uint64_t checksum; /* scatter */
    struct latency each;
} burst;

/* The finalizer of MurmurHash3: each bit of n changes about half of the result's. */
static uint64_t hash(uint64_t n)
{
    n = (n ^ n >> 33) * 0xff51afd7ed558ccd;
    n = (n ^ n >> 33) * 0xc4ceb9fe1a85ec53;
    return n ^ n >> 33;
}

static void on_acknowledged(size_t publisher);

/* Those of a burst are numbered from 1; the channel only matters where each client has its own. */
static void publish(size_t publisher)
{
    if (burst.n_sent < burst.n_publications) {
        size_t channel_index = burst.n_sent % subscribers_count();
        publisher_send(publisher, channel_index, ++burst.n_sent, burst.size_bytes, on_acknowledged);
    }
}

static void on_acknowledged(size_t publisher)
{
    burst.n_acknowledged++;
    publish(publisher);
}

static void prepare(const char *name, const uint64_t *args)
{
    burst.n_publications = args[0];
    burst.size_bytes = command_size(args[1]);
    burst.n_connections = args[2];
    if (args[0] == 0 || args[2] == 0 || args[2] > PUBLISHERS_MAX - PUBLISHER_FIRST ||
        subscribers_reading() == 0) {
        fail("%s: expected how many, their size, and up to %d connections; and clients that read",
             name, PUBLISHERS_MAX - PUBLISHER_FIRST);
    }
    burst.expected_checksum = 0;
    for (uint64_t n = 1; n <= burst.n_publications; n++) {
        burst.expected_checksum += hash(n);
    }
    for (size_t i = 0; i < burst.n_connections; i++) {
        publisher_prepare(PUBLISHER_FIRST + i);
    }
}

static bool is_prepared(void)
{
    for (size_t i = 0; i < burst.n_connections; i++) {
        if (!publisher_is_ready(PUBLISHER_FIRST + i)) {
            return false;
        }
    }
    return true;
}

static void start(subscribers_received_fn on_received)
{
    burst.n_sent = burst.n_acknowledged = burst.n_done = 0;
    burst.n_got = burst.checksum = 0;
    latency_clear(&burst.each);
    subscribers_expect(on_received, burst.size_bytes);
    for (size_t i = 0; i < burst.n_connections; i++) {
        publish(PUBLISHER_FIRST + i);
    }
}

static void check(const char *who, uint64_t checksum)
{
    if (checksum != burst.expected_checksum) {
        fail("%s got %zu publications, but not each of them once", who, burst.n_publications);
    }
}

/* --- burst --- */

static void prepare_burst(const uint64_t *args)
{
    if (options()->own_channels) {
        fail("burst: expected clients of one channel");
    }
    prepare("burst", args);
}

static void on_burst_received(struct client *c, struct stamp stamp)
{
    c->n_got++;
    c->checksum += hash(stamp.n);
    if (c->n_got == burst.n_publications) {
        check("a client", c->checksum);
        burst.n_done++;
    } else if (c->n_got > burst.n_publications) {
        fail("client %zu got more than was published", c->index);
    }
}

static void start_burst(void)
{
    for (size_t i = 0; i < subscribers_count(); i++) {
        subscribers_at(i)->n_got = subscribers_at(i)->checksum = 0;
    }
    start(on_burst_received);
}

static bool burst_is_done(void)
{
    return burst.n_acknowledged == burst.n_publications && burst.n_done == subscribers_reading();
}

static void tell_burst(const struct spent *spent)
{
    printf("{\"messages\":%zu,\"cpu_ns\":%" PRIu64 ",\"ms\":%.3f}\n",
           burst.n_publications * subscribers_reading(), spent->cpu_ns, spent->ms);
}

const struct command command_burst = {.name = "burst",
                                      .n_args = 3,
                                      .is_bulk = true,
                                      .prepare = prepare_burst,
                                      .is_prepared = is_prepared,
                                      .start = start_burst,
                                      .is_done = burst_is_done,
                                      .tell = tell_burst};

/* --- scatter --- */

static void prepare_scatter(const uint64_t *args)
{
    if (!options()->own_channels || subscribers_reading() < subscribers_count()) {
        fail("scatter: expected clients with channels of their own, all of which read");
    }
    prepare("scatter", args);
}

static void on_scatter_received(struct client *c, struct stamp stamp)
{
    if ((stamp.n - 1) % subscribers_count() != c->index) {
        fail("client %zu got publication %" PRIu64 ", which is another's", c->index, stamp.n);
    }
    if (burst.n_got == burst.n_publications) {
        fail("client %zu got more than was published", c->index);
    }
    burst.n_got++;
    burst.checksum += hash(stamp.n);
    latency_add(&burst.each, link_received_ns() - stamp.sent_ns);
}

static void start_scatter(void)
{
    start(on_scatter_received);
}

static bool scatter_is_done(void)
{
    if (burst.n_acknowledged < burst.n_publications || burst.n_got < burst.n_publications) {
        return false;
    }
    check("the clients together", burst.checksum);
    return true;
}

static void tell_scatter(const struct spent *spent)
{
    printf("{\"publications\":%zu,\"cpu_ns\":%" PRIu64 ",\"ms\":%.3f,\"each\":",
           burst.n_publications, spent->cpu_ns, spent->ms);
    latency_print(&burst.each);
    puts("}");
}

const struct command command_scatter = {.name = "scatter",
                                        .n_args = 3,
                                        .is_bulk = true,
                                        .prepare = prepare_scatter,
                                        .is_prepared = is_prepared,
                                        .start = start_scatter,
                                        .is_done = scatter_is_done,
                                        .tell = tell_scatter};
