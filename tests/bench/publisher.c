/* SPDX-License-Identifier: MIT */
#include "tests/bench/publisher.h"

#include <assert.h>
#include <stdlib.h>

#include "tests/bench/cli.h"
#include "tests/bench/link.h"
#include "tests/bench/options.h"

#define SOURCE 0

struct publisher {
    struct link link; /* first */
    bool is_ready;
    publisher_acknowledged_fn on_acknowledged; /* while a publication is under way */
};

static struct {
    struct publisher *all;
    struct buf channel; /* scratch, as are the others */
    struct buf payload;
    struct buf request;
} publishers;

void publishers_open(void)
{
    publishers.all = calloc(PUBLISHERS_MAX, sizeof(*publishers.all));
    if (!publishers.all) {
        fail_errno("publishers");
    }
    buf_init(&publishers.channel, 256);
    buf_init(&publishers.payload, STAMP_MAX_BYTES);
    buf_init(&publishers.request, STAMP_MAX_BYTES + 8192);
}

void publishers_close(void)
{
    for (size_t i = 0; i < PUBLISHERS_MAX; i++) {
        link_close(&publishers.all[i].link);
    }
    free(publishers.all);
    buf_release(&publishers.channel);
    buf_release(&publishers.payload);
    buf_release(&publishers.request);
}

static void on_open(struct link *l)
{
    const struct protocol *protocol = options()->protocol;
    if (protocol->append_greeting) {
        buf_clear(&publishers.request);
        protocol->append_greeting(&publishers.request);
        link_send(l, buf_str(&publishers.request));
    }
    ((struct publisher *)l)->is_ready = true;
}

static void acknowledged(struct publisher *p)
{
    publisher_acknowledged_fn on_acknowledged = p->on_acknowledged;
    if (!on_acknowledged) {
        fail("an answer to nothing");
    }
    p->on_acknowledged = NULL;
    on_acknowledged((size_t)(p - publishers.all));
}

static size_t on_input(struct link *l, struct str data)
{
    struct str rest = data;
    while (rest.len > 0) {
        bool is_acknowledged = false;
        size_t n = options()->protocol->take_answer(rest, &is_acknowledged);
        if (n == 0) {
            break;
        }
        rest = str_tail(rest, n);
        if (is_acknowledged) {
            acknowledged((struct publisher *)l);
        }
    }
    return data.len - rest.len;
}

static void on_closed(struct link *l)
{
    struct publisher *p = (struct publisher *)l;
    if (p->on_acknowledged) {
        fail("the server closed a connection on which it was to answer");
    }
    link_close(l);
    p->is_ready = false;
}

void publisher_prepare(size_t number)
{
    static const struct link_handler handler = {on_open, on_input, on_closed};
    struct publisher *p = &publishers.all[number];
    if (p->link.state == LINK_CLOSED) {
        link_connect(&p->link, &handler, SOURCE);
        if (number == PUBLISHER_OF_PROBES) {
            link_prefer(&p->link);
        }
    }
}

bool publisher_is_ready(size_t number)
{
    return publishers.all[number].is_ready;
}

uint64_t publisher_send(size_t number, size_t channel_index, uint64_t n, size_t size_bytes,
                        publisher_acknowledged_fn on_acknowledged)
{
    struct publisher *p = &publishers.all[number];
    struct stamp stamp = {.n = n, .sent_ns = stamp_now_ns()};
    assert(!p->on_acknowledged);
    if (!p->is_ready) {
        fail("the server closed a connection that publishes, in the middle of a command");
    }
    p->on_acknowledged = on_acknowledged;
    options_channel(&publishers.channel, channel_index);
    stamp_write(&publishers.payload, stamp, size_bytes);
    buf_clear(&publishers.request);
    options()->protocol->append_publish(&publishers.request, buf_str(&publishers.channel),
                                        buf_str(&publishers.payload));
    if (buf_failed(&publishers.request)) {
        fail("no room for a publication of %zu bytes", size_bytes);
    }
    link_send(&p->link, buf_str(&publishers.request));
    return stamp.sent_ns;
}
