/* SPDX-License-Identifier: MIT */
#include "tests/bench/subscribers.h"

#include <stdlib.h>

#include "tests/bench/cli.h"
#include "tests/bench/options.h"

#define PER_SOURCE    1000
#define PROBER_SOURCE 0
#define CHANNEL_MAX   256
#define OPENING_MAX   1024

static struct {
    struct client *clients;
    size_t n_wanted;
    size_t n_started;
    size_t n_answered;
    size_t n_subscribed;
    size_t n_stalled;
    size_t window;
    enum subscribers_pace pace;
    struct latency latency;

    struct client prober;
    bool has_prober;
    bool prober_is_subscribed;

    subscribers_received_fn on_received;
    subscribers_received_fn on_probe_received;

    unsigned ping_round;
    size_t n_pinged;
    uint64_t n_pings;
    uint64_t n_bytes;

    struct buf channel; /* scratch */
    struct buf opening; /* scratch */
} crowd;

void subscribers_open(void)
{
    crowd.clients = calloc(OPTIONS_CLIENTS_MAX, sizeof(*crowd.clients));
    if (!crowd.clients) {
        fail_errno("clients");
    }
    buf_init(&crowd.channel, CHANNEL_MAX);
    buf_init(&crowd.opening, OPENING_MAX);
}

void subscribers_close(void)
{
    for (size_t i = 0; i < crowd.n_started; i++) {
        link_close(&crowd.clients[i].link);
    }
    link_close(&crowd.prober.link);
    free(crowd.clients);
    buf_release(&crowd.channel);
    buf_release(&crowd.opening);
}

static bool is_prober(const struct client *c)
{
    return c->index == OPTIONS_PROBER;
}

/* --- what the links tell --- */

static void on_open(struct link *l)
{
    struct client *c = (struct client *)l;
    buf_clear(&crowd.opening);
    options_channel(&crowd.channel, c->index);
    options()->protocol->append_opening(&crowd.opening, buf_str(&crowd.channel));
    if (buf_failed(&crowd.opening) || buf_failed(&crowd.channel)) {
        fail("the path or the channel's name is too long");
    }
    link_send(l, buf_str(&crowd.opening));
}

static size_t on_input(struct link *l, struct str data)
{
    struct client *c = (struct client *)l;
    const struct protocol *protocol = options()->protocol;
    struct str rest = data;
    if (!c->was_answered) {
        c->was_answered = true;
        crowd.n_answered += !is_prober(c);
    }
    while (rest.len > 0) {
        size_t n = c->n_skipped;
        if (n > 0) {
            n = n < rest.len ? n : rest.len;
            c->n_skipped -= n;
        } else {
            n = protocol->take(c, rest);
        }
        if (n == 0) {
            break;
        }
        rest = str_tail(rest, n);
    }
    crowd.n_bytes += data.len - rest.len;
    return data.len - rest.len;
}

static void on_closed(struct link *l)
{
    fail("the server dropped client %zu", ((struct client *)l)->index);
}

static const struct link_handler handler = {on_open, on_input, on_closed};

/* --- what the protocols tell --- */

void client_subscribed(struct client *c)
{
    if (is_prober(c)) {
        crowd.prober_is_subscribed = true;
    } else {
        crowd.n_subscribed++;
        latency_add(&crowd.latency, link_received_ns() - c->since_ns);
    }
}

void client_pinged(struct client *c)
{
    crowd.n_pings++;
    if (!is_prober(c) && c->ping_round != crowd.ping_round) {
        c->ping_round = crowd.ping_round;
        crowd.n_pinged++;
    }
}

void client_received(struct client *c, struct str front)
{
    struct stamp stamp = stamp_read(str_head(front, STAMP_FRONT_BYTES));
    subscribers_received_fn on_received =
        is_prober(c) ? crowd.on_probe_received : crowd.on_received;
    if (!on_received) {
        fail("a publication that is not awaited: %.*s", STR_ARG(str_head(front, 256)));
    }
    on_received(c, stamp);
}

/* --- the crowd --- */

void subscribers_grow(size_t n_clients, size_t window, enum subscribers_pace pace)
{
    crowd.n_wanted = n_clients;
    crowd.window = window;
    crowd.pace = pace;
    latency_clear(&crowd.latency);
}

void subscribers_turn(void)
{
    size_t n_done =
        crowd.pace == SUBSCRIBERS_UNTIL_ACCEPTED ? crowd.n_answered : crowd.n_subscribed;
    while (crowd.n_started < crowd.n_wanted && crowd.n_started - n_done < crowd.window) {
        size_t index = crowd.n_started++;
        struct client *c = &crowd.clients[index];
        *c = (struct client){.index = index, .since_ns = stamp_now_ns()};
        link_connect(&c->link, &handler, 1 + (unsigned)(index / PER_SOURCE));
    }
}

const struct latency *subscribers_latency(void)
{
    return &crowd.latency;
}

bool subscribers_are_complete(void)
{
    return crowd.n_subscribed == crowd.n_wanted;
}

size_t subscribers_count(void)
{
    return crowd.n_subscribed;
}

size_t subscribers_reading(void)
{
    return crowd.n_subscribed - crowd.n_stalled;
}

struct client *subscribers_at(size_t index)
{
    return &crowd.clients[index];
}

void subscribers_stall(size_t n_clients)
{
    for (; crowd.n_stalled < n_clients; crowd.n_stalled++) {
        link_ignore(&crowd.clients[crowd.n_stalled].link);
    }
}

void subscribers_expect(subscribers_received_fn on_received, size_t payload_bytes)
{
    crowd.on_received = on_received;
    for (size_t i = 0; i < crowd.n_started; i++) {
        crowd.clients[i].payload_bytes = payload_bytes;
    }
}

/* --- the prober --- */

void subscribers_add_prober(void)
{
    if (!crowd.has_prober) {
        crowd.has_prober = true;
        crowd.prober = (struct client){.index = OPTIONS_PROBER};
        link_connect(&crowd.prober.link, &handler, PROBER_SOURCE);
        link_prefer(&crowd.prober.link);
    }
}

bool subscribers_have_prober(void)
{
    return crowd.prober_is_subscribed;
}

void subscribers_expect_probe(subscribers_received_fn on_received, size_t payload_bytes)
{
    crowd.on_probe_received = on_received;
    crowd.prober.payload_bytes = payload_bytes;
}

/* --- pings --- */

void subscribers_begin_ping_round(void)
{
    crowd.ping_round++;
    crowd.n_pinged = 0;
}

size_t subscribers_pinged(void)
{
    return crowd.n_pinged;
}

uint64_t subscribers_n_pings(void)
{
    return crowd.n_pings;
}

uint64_t subscribers_n_bytes(void)
{
    return crowd.n_bytes;
}
