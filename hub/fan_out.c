/* SPDX-License-Identifier: MIT */
/* Unit fan_out brings publications to subscribers. All channels that have something to deliver
 * stand in a round; each in turn delivers to a few subscribers, until all is done or this turn of
 * the loop has had its time. */
#include "hub/fan_out.h"

#include <stdlib.h>

#include "base/clock.h"
#include "hub/channel.h"
#include "hub/client.h"

#define ROUND_MAX_US          5000 /* of a turn of the loop, for each channel's first slice */
#define TURN_MAX_US           500  /* for more of them */
#define SLICE_PLACES          32
#define JOIN_MAX_PUBLICATIONS 64
#define JOIN_MAX_BYTES        65536
#define FRAME_MAX_BYTES       ((size_t)1 << 31)

/* Places ahead of the one that is served. */
#define PREFETCH_CLIENT     8
#define PREFETCH_CONNECTION 4

/* Publications that came in one turn, for the same subscribers: one message on the wire. */
struct delivery {
    struct delivery *next;
    size_t cursor; /* the next place */
    size_t end;    /* behind the last place */
    size_t n_bytes;
    size_t n_publications;
    struct publication *publications[JOIN_MAX_PUBLICATIONS];
    struct frame *frames[WIRE_FORMATS_MAX];
};

struct fan_out {
    struct loop *loop;
    struct deferred run;
    fan_out_delivered_fn delivered;
    struct fan_out_queue *round_first;
    struct fan_out_queue *round_last;
    struct buf scratch;
    uint64_t n_messages;
};

static void append_to_round(struct fan_out *f, struct fan_out_queue *queue)
{
    queue->next = NULL;
    if (f->round_last) {
        f->round_last->next = queue;
    } else {
        f->round_first = queue;
    }
    f->round_last = queue;
}

static struct fan_out_queue *take_from_round(struct fan_out *f)
{
    struct fan_out_queue *queue = f->round_first;
    f->round_first = queue->next;
    if (!f->round_first) {
        f->round_last = NULL;
    }
    return queue;
}

static void delivery_free(struct delivery *d)
{
    for (size_t i = 0; i < d->n_publications; i++) {
        publication_unref(d->publications[i]);
    }
    for (size_t i = 0; i < WIRE_FORMATS_MAX; i++) {
        frame_unref(d->frames[i]);
    }
    free(d);
}

static bool can_join(const struct delivery *d, const struct publication *p, size_t n_places)
{
    return d && d->cursor == 0 && d->end == n_places && d->n_publications < JOIN_MAX_PUBLICATIONS &&
           d->n_bytes + publication_size(p) <= JOIN_MAX_BYTES;
}

static struct delivery *add_delivery(struct fan_out *f, struct fan_out_queue *queue,
                                     size_t n_places)
{
    struct delivery *d = calloc(1, sizeof(*d));
    if (!d) {
        return NULL;
    }
    d->end = n_places;
    if (queue->last) {
        queue->last->next = d;
    } else {
        queue->first = d;
        append_to_round(f, queue);
    }
    queue->last = d;
    return d;
}

enum status fan_out_add(struct fan_out *f, struct fan_out_queue *queue, struct publication *p,
                        size_t n_places)
{
    struct delivery *d = queue->last;
    if (!can_join(d, p, n_places)) {
        d = add_delivery(f, queue, n_places);
    }
    if (!d) {
        return STATUS_NO_MEMORY;
    }
    d->publications[d->n_publications++] = publication_ref(p);
    d->n_bytes += publication_size(p);
    loop_defer_late(f->loop, &f->run);
    return STATUS_OK;
}

static struct frame *encode(struct fan_out *f, const struct delivery *d, struct str channel,
                            const struct wire_format *format)
{
    buf_clear(&f->scratch);
    for (size_t i = 0; i < d->n_publications; i++) {
        if (i > 0) {
            buf_append_char(&f->scratch, format->separator);
        }
        format->publication(&f->scratch, channel, d->publications[i]);
    }
    return buf_failed(&f->scratch) ? NULL : frame_create(buf_str(&f->scratch));
}

static void deliver_to(struct fan_out *f, struct delivery *d, struct channel *channel,
                       struct client *client)
{
    const struct wire_format *format = client_wire_format(client);
    struct frame **frame = &d->frames[format->index];
    if (!*frame) {
        *frame = encode(f, d, channel_name(channel), format);
    }
    if (!*frame) { /* it cannot be told what it missed: it shall come again */
        client_disconnect(client, &disconnect_internal_error);
        return;
    }
    client_send_frame(client, *frame);
    f->n_messages += d->n_publications;
}

/* Thousands of clients lie scattered in memory: what sending to them will touch is fetched while
 * others are sent to, the connection when the client that points to it has come. */
static void look_ahead(const struct channel *channel, const struct delivery *d)
{
    if (d->cursor + PREFETCH_CLIENT < d->end) {
        client_prefetch(channel_subscriber(channel, d->cursor + PREFETCH_CLIENT));
    }
    if (d->cursor + PREFETCH_CONNECTION < d->end) {
        client_prefetch_connection(channel_subscriber(channel, d->cursor + PREFETCH_CONNECTION));
    }
}

/* True: the delivery is complete. */
static bool deliver_slice(struct fan_out *f, struct delivery *d, struct channel *channel)
{
    for (int i = 0; i < SLICE_PLACES && d->cursor < d->end; i++) {
        look_ahead(channel, d);
        struct client *client = channel_subscriber(channel, d->cursor++);
        if (client) {
            deliver_to(f, d, channel, client);
        }
    }
    return d->cursor == d->end;
}

static void serve_next_channel(struct fan_out *f)
{
    struct fan_out_queue *queue = take_from_round(f);
    struct delivery *d = queue->first;
    if (deliver_slice(f, d, queue->channel)) {
        queue->first = d->next;
        if (!queue->first) {
            queue->last = NULL;
        }
        delivery_free(d);
    }
    if (queue->first) {
        append_to_round(f, queue);
    } else {
        f->delivered(queue->channel);
    }
}

/* Every channel is served once, so that many small ones do not wait because there are many; more
 * than once only while the turn is young. */
static void run(void *arg)
{
    struct fan_out *f = arg;
    const struct fan_out_queue *last = f->round_last;
    int64_t max_us = ROUND_MAX_US;
    int64_t start_us = clock_monotonic_us();
    while (f->round_first) {
        if (clock_monotonic_us() - start_us > max_us) {
            loop_defer_late(f->loop, &f->run);
            return;
        }
        max_us = f->round_first == last ? TURN_MAX_US : max_us;
        serve_next_channel(f);
    }
}

enum status fan_out_create(struct loop *loop, fan_out_delivered_fn delivered,
                           struct fan_out **ret_fan_out)
{
    struct fan_out *f = calloc(1, sizeof(*f));
    if (!f) {
        return STATUS_NO_MEMORY;
    }
    f->loop = loop;
    f->delivered = delivered;
    f->run = (struct deferred){.fn = run, .arg = f};
    buf_init(&f->scratch, FRAME_MAX_BYTES);
    *ret_fan_out = f;
    return STATUS_OK;
}

void fan_out_destroy(struct fan_out *f)
{
    if (f) {
        loop_undefer(f->loop, &f->run);
        buf_release(&f->scratch);
        free(f);
    }
}

bool fan_out_is_idle(const struct fan_out *f)
{
    return !f->round_first;
}

uint64_t fan_out_n_messages(const struct fan_out *f)
{
    return f->n_messages;
}
