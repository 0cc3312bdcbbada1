/* SPDX-License-Identifier: MIT */
/* Unit fan_out brings publications to subscribers. All channels that have something to deliver
 * stand in a round; each in turn delivers to a few subscribers, until all is done or this turn of
 * the loop has had its time. In front of the queues stands what conflate holds back. */
#include "hub/fan_out.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "hub/channel.h"
#include "hub/client_internal.h"
#include "hub/delivery.h"

#define ROUND_MAX_US   5000 /* of a turn of the loop, for each channel's first slice */
#define TURN_MAX_US    500  /* for more of them */
#define SLICE_PLACES   32
#define JOIN_MAX_BYTES 65536

/* Places ahead of the one that is served. */
#define PREFETCH_CLIENT     8
#define PREFETCH_CONNECTION 4

/* While the deadline is armed, a publication that comes is held until then, in place of the one
 * that was. */
struct conflation {
    struct fan_out *fan_out;
    struct fan_out_queue *queue;
    struct conflation *next, *prev; /* of those that hold one */
    struct deadline deadline;
    struct publication *held; /* or NULL */
    size_t n_places;
};

struct fan_out {
    struct loop *loop;
    struct deadlines *deadlines;
    struct deferred run;
    fan_out_delivered_fn delivered;
    struct fan_out_queue *round_first;
    struct fan_out_queue *round_last;
    struct conflation *holding;
    bool is_hurrying;
    struct delivery_writer writer;
    uint64_t n_messages;
    uint64_t n_filtered;
    uint64_t n_conflated;
    uint64_t n_events[2];
    struct histogram publication_times;
    struct histogram event_times[2];
};

/* --- queues --- */

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

static bool can_join(const struct delivery *d, const struct publication *p, size_t n_places)
{
    return d && d->cursor == 0 && d->end == n_places && !delivery_is_event(d) && !d->report &&
           d->n_publications < JOIN_MAX_PUBLICATIONS &&
           d->n_bytes + publication_size(p) <= JOIN_MAX_BYTES;
}

static void append_delivery(struct fan_out *f, struct fan_out_queue *queue, struct delivery *d)
{
    d->begun_us = clock_monotonic_us();
    if (queue->last) {
        queue->last->next = d;
    } else {
        queue->first = d;
        append_to_round(f, queue);
    }
    queue->last = d;
    loop_defer_late(f->loop, &f->run);
}

/* What is reported on goes by itself: what became of it is what became of its message. */
static struct delivery *delivery_for(struct fan_out *f, struct fan_out_queue *queue,
                                     const struct publication *p, size_t n_places,
                                     struct fan_out_report *report)
{
    if (!report && can_join(queue->last, p, n_places)) {
        return queue->last;
    }
    struct delivery *d = delivery_create(n_places, queue->base);
    if (d) {
        d->report = report;
        append_delivery(f, queue, d);
    }
    return d;
}

/* The next delta will be made from it: whoever has got all so far will have it by then. */
static void set_base(struct fan_out_queue *queue, struct publication *p)
{
    if (channel_namespace(queue->channel)->allows_delta) {
        publication_unref(queue->base);
        queue->base = publication_ref(p);
    }
}

static enum status deliver(struct fan_out *f, struct fan_out_queue *queue, struct publication *p,
                           size_t n_places, struct fan_out_report *report)
{
    struct delivery *d = delivery_for(f, queue, p, n_places, report);
    if (!d) {
        return STATUS_NO_MEMORY;
    }
    if (report) {
        report->is_under_way = true;
    }
    d->publications[d->n_publications++] = publication_ref(p);
    d->n_bytes += publication_size(p);
    set_base(queue, p);
    return STATUS_OK;
}

/* May overtake a publication that conflate holds back. */
enum status fan_out_add_event(struct fan_out *f, struct fan_out_queue *queue,
                              enum presence_event event, struct str info, size_t n_places)
{
    struct delivery *d = delivery_create_event(n_places, event, info);
    if (!d) {
        return STATUS_NO_MEMORY;
    }
    append_delivery(f, queue, d);
    return STATUS_OK;
}

bool fan_out_has_base(struct fan_out_queue *queue, struct publication *p)
{
    if (p && !queue->base) {
        set_base(queue, p); /* nobody has got anything else yet */
    }
    /* With one held back, the next may be a delta from what came before it. */
    return p && queue->base && !fan_out_queue_is_holding(queue) &&
           str_eq(queue->base->data, p->data);
}

/* --- conflate --- */

bool fan_out_queue_is_holding(const struct fan_out_queue *queue)
{
    return queue->conflation && queue->conflation->held;
}

static void hold(struct fan_out *f, struct conflation *c, struct publication *p, size_t n_places)
{
    if (c->held) {
        publication_unref(c->held);
        f->n_conflated++;
    } else {
        DL_APPEND(f->holding, c);
    }
    c->held = publication_ref(p);
    c->n_places = n_places;
}

static void drop_held(struct fan_out *f, struct conflation *c)
{
    if (c->held) {
        DL_DELETE(f->holding, c);
        publication_unref(c->held);
        c->held = NULL;
    }
}

static void on_interval_over(struct deadline *deadline);

/* What cannot be delivered now for want of memory is tried again soon. */
static void deliver_held(struct fan_out *f, struct conflation *c)
{
    int64_t interval_ms = 0;
    if (deliver(f, c->queue, c->held, c->n_places, NULL) == STATUS_OK) {
        drop_held(f, c);
        interval_ms = channel_namespace(c->queue->channel)->conflate_ms;
    }
    deadline_arm(f->deadlines, &c->deadline, interval_ms, on_interval_over);
}

static void on_interval_over(struct deadline *deadline)
{
    struct conflation *c = container_of(deadline, struct conflation, deadline);
    struct channel *channel = c->queue->channel;
    if (!c->held) {
        return;
    }
    if (channel_n_subscribers(channel) > 0) {
        deliver_held(c->fan_out, c);
        return;
    }
    drop_held(c->fan_out, c);
    if (fan_out_queue_is_empty(c->queue)) {
        c->fan_out->delivered(channel);
    }
}

static struct conflation *conflation_of(struct fan_out *f, struct fan_out_queue *queue)
{
    if (!queue->conflation) {
        queue->conflation = calloc(1, sizeof(*queue->conflation));
    }
    if (queue->conflation) {
        queue->conflation->fan_out = f;
        queue->conflation->queue = queue;
    }
    return queue->conflation;
}

static enum status conflate(struct fan_out *f, struct fan_out_queue *queue, struct publication *p,
                            size_t n_places, struct fan_out_report *report)
{
    struct conflation *c = conflation_of(f, queue);
    if (!c) {
        return STATUS_NO_MEMORY;
    }
    if (deadline_armed(&c->deadline)) {
        hold(f, c, p, n_places);
        if (report) { /* its interval may be long: nobody waits for its end */
            report->counts.n_conflated = report->counts.n_subscribers;
        }
        return STATUS_OK;
    }
    enum status status = deliver(f, queue, p, n_places, report);
    if (status == STATUS_OK) {
        deadline_arm(f->deadlines, &c->deadline, channel_namespace(queue->channel)->conflate_ms,
                     on_interval_over);
    }
    return status;
}

enum status fan_out_add(struct fan_out *f, struct fan_out_queue *queue, struct publication *p,
                        size_t n_places, struct fan_out_report *report)
{
    bool conflates = channel_namespace(queue->channel)->conflate_ms > 0 && !f->is_hurrying;
    if (report) {
        report->counts.n_subscribers = channel_n_subscribers(queue->channel);
    }
    enum status status = conflates ? conflate(f, queue, p, n_places, report)
                                   : deliver(f, queue, p, n_places, report);
    if (report && status != STATUS_OK) {
        report->counts.n_dropped = report->counts.n_subscribers;
    }
    return status;
}

void fan_out_queue_hurry(struct fan_out *f, struct fan_out_queue *queue)
{
    if (fan_out_queue_is_holding(queue)) {
        deadline_arm(f->deadlines, &queue->conflation->deadline, 0, on_interval_over);
    }
}

void fan_out_hurry(struct fan_out *f)
{
    f->is_hurrying = true;
    struct conflation *c;
    struct conflation *next;
    DL_FOREACH_SAFE (f->holding, c, next) {
        deliver_held(f, c);
    }
}

void fan_out_queue_release(struct fan_out *f, struct fan_out_queue *queue)
{
    publication_unref(queue->base);
    queue->base = NULL;
    if (queue->conflation) {
        deadline_disarm(f->deadlines, &queue->conflation->deadline);
        drop_held(f, queue->conflation);
        free(queue->conflation);
        queue->conflation = NULL;
    }
}

/* --- one subscriber: the one at the place in front of the delivery's cursor --- */

/* True: it is still there, to be sent more. */
static bool send_frame(const struct delivery *d, struct channel *channel, struct client *client,
                       struct frame *frame)
{
    if (!frame) { /* it cannot be told what it missed: it shall come again */
        client_disconnect(client, &disconnect_internal_error);
        return false;
    }
    client_send_frame(client, frame);
    return channel_subscriber(channel, d->cursor - 1) == client;
}

static void send_one_by_one(struct fan_out *f, struct delivery *d, struct channel *channel,
                            struct client *client, enum delivery_variant variant, uint64_t mask)
{
    const struct wire_format *format = client_wire_format(client);
    for (size_t i = 0; i < d->n_publications; i++) {
        if (!(mask >> i & 1)) {
            continue;
        }
        struct frame *frame =
            delivery_frame_of_one(&f->writer, d, channel_name(channel), format, variant, i);
        if (!send_frame(d, channel, client, frame)) {
            return;
        }
    }
}

/* mask: which of the publications, at least one; all of them but for VARIANT_JSON. */
static void send_publications(struct fan_out *f, struct delivery *d, struct channel *channel,
                              struct client *client, enum delivery_variant variant, uint64_t mask)
{
    const struct wire_format *format = client_wire_format(client);
    struct str name = channel_name(channel);
    bool is_one = (mask & (mask - 1)) == 0;
    bool is_all = mask == delivery_all(d);
    f->n_messages += (uint64_t)__builtin_popcountll(mask);
    if (is_all && (is_one || format->joins)) {
        (void)send_frame(d, channel, client, delivery_frame(&f->writer, d, name, format, variant));
    } else if (is_one || !format->joins) {
        send_one_by_one(f, d, channel, client, variant, mask);
    } else {
        (void)send_frame(d, channel, client,
                         delivery_frame_of_some(&f->writer, d, name, format, mask));
    }
}

static uint64_t filtered(const struct delivery *d, const struct tags_filter *filter)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < d->n_publications; i++) {
        mask |= (uint64_t)tags_filter_matches(filter, d->publications[i]->tags) << i;
    }
    return mask;
}

static void deliver_filtered(struct fan_out *f, struct delivery *d, struct channel *channel,
                             struct client *client, const struct tags_filter *filter)
{
    uint64_t mask = filtered(d, filter);
    f->n_filtered += (uint64_t)__builtin_popcountll(delivery_all(d) & ~mask);
    if (mask != 0) {
        send_publications(f, d, channel, client, VARIANT_JSON, mask);
    }
}

static void deliver_event(struct fan_out *f, struct delivery *d, struct channel *channel,
                          struct client *client)
{
    f->n_events[d->event]++;
    (void)send_frame(
        d, channel, client,
        delivery_event_frame(&f->writer, d, channel_name(channel), client_wire_format(client)));
}

/* As only its subscription shows, which may be gone after sending. */
static void deliver_specially(struct fan_out *f, struct delivery *d, struct channel *channel,
                              struct client *client)
{
    struct subscription *s = client_subscription(client, channel);
    assert(s);
    if (delivery_is_event(d)) {
        if (s->has_joins) {
            deliver_event(f, d, channel, client);
        }
    } else if (s->more && s->more->filter) {
        deliver_filtered(f, d, channel, client, s->more->filter);
    } else if (s->has_delta) {
        enum delivery_variant variant = s->has_base ? VARIANT_DELTA : VARIANT_TEXT;
        s->has_base = true;
        send_publications(f, d, channel, client, variant, delivery_all(d));
    } else {
        send_publications(f, d, channel, client, VARIANT_JSON, delivery_all(d));
    }
}

/* The same, and counts what became of it. */
static void deliver_reported(struct fan_out *f, struct delivery *d, struct channel *channel,
                             struct client *client)
{
    struct delivery_report *counts = &d->report->counts;
    uint64_t n_filtered = f->n_filtered;
    deliver_specially(f, d, channel, client);
    if (f->n_filtered > n_filtered) {
        counts->n_filtered++;
    } else if (channel_subscriber(channel, d->cursor - 1) != client) { /* perhaps gone already */
        counts->n_dropped++;
    } else if (client_is_behind(client)) {
        counts->n_queued++;
    } else {
        counts->n_reached++;
    }
}

static void deliver_unusually(struct fan_out *f, struct delivery *d, struct channel *channel,
                              struct client *client)
{
    if (d->report) {
        deliver_reported(f, d, channel, client);
    } else {
        deliver_specially(f, d, channel, client);
    }
}

/* The way of nearly all. */
static void deliver_to(struct fan_out *f, struct delivery *d, struct channel *channel,
                       struct client *client)
{
    struct frame *frame = d->frames[client_wire_format(client)->index];
    if (!frame) {
        send_publications(f, d, channel, client, VARIANT_JSON, delivery_all(d));
        return;
    }
    client_send_frame(client, frame);
    f->n_messages += d->n_publications;
}

/* --- rounds --- */

/* Thousands of clients lie scattered in memory: what sending to them will touch is fetched while
 * others are sent to, the connection when the client that points to it has come. */
static void look_ahead(struct client *const *places, const struct delivery *d)
{
    if (d->cursor + PREFETCH_CLIENT < d->end) {
        client_prefetch(places[d->cursor + PREFETCH_CLIENT]);
    }
    if (d->cursor + PREFETCH_CONNECTION < d->end) {
        client_prefetch_connection(places[d->cursor + PREFETCH_CONNECTION]);
    }
}

/* True: the delivery is complete. */
static bool deliver_slice(struct fan_out *f, struct delivery *d, struct channel *channel)
{
    bool is_usual = !delivery_is_event(d) && !d->report && channel_n_special(channel) == 0;
    struct client *const *places = channel_places(channel); /* nobody is added meanwhile */
    for (int i = 0; i < SLICE_PLACES && d->cursor < d->end; i++) {
        look_ahead(places, d);
        struct client *client = places[d->cursor++];
        if (client && is_usual) {
            deliver_to(f, d, channel, client);
        } else if (client) {
            deliver_unusually(f, d, channel, client);
        }
    }
    return d->cursor == d->end;
}

/* The channel is going to close the places that were left. Those for whom one is held back are
 * still the first then, but fewer. */
static void count_places_of_held(struct fan_out_queue *queue)
{
    if (!fan_out_queue_is_holding(queue)) {
        return;
    }
    struct conflation *c = queue->conflation;
    size_t n_places = 0;
    for (size_t i = 0; i < c->n_places; i++) {
        n_places += channel_subscriber(queue->channel, i) != NULL;
    }
    c->n_places = n_places;
}

/* Whoever has not been counted had gone. */
static void complete(struct fan_out_report *report)
{
    struct delivery_report *counts = &report->counts;
    counts->n_left = counts->n_subscribers - counts->n_reached - counts->n_queued -
                     counts->n_dropped - counts->n_filtered;
    report->is_under_way = false;
    report->done(report->arg);
}

static void count_time(struct fan_out *f, const struct delivery *d)
{
    struct histogram *times =
        delivery_is_event(d) ? &f->event_times[d->event] : &f->publication_times;
    histogram_add(times, (uint64_t)(clock_monotonic_us() - d->begun_us));
}

static void serve_next_channel(struct fan_out *f)
{
    struct fan_out_report *report = NULL;
    struct fan_out_queue *queue = take_from_round(f);
    struct delivery *d = queue->first;
    if (deliver_slice(f, d, queue->channel)) {
        queue->first = d->next;
        if (!queue->first) {
            queue->last = NULL;
        }
        report = d->report;
        count_time(f, d);
        delivery_free(d);
    }
    if (queue->first) {
        append_to_round(f, queue);
    } else {
        count_places_of_held(queue);
        f->delivered(queue->channel);
    }
    if (report) {
        complete(report);
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

/* --- the whole --- */

enum status fan_out_create(struct loop *loop, struct deadlines *deadlines,
                           fan_out_delivered_fn delivered, struct fan_out **ret_fan_out)
{
    struct fan_out *f = calloc(1, sizeof(*f));
    if (!f) {
        return STATUS_NO_MEMORY;
    }
    f->loop = loop;
    f->deadlines = deadlines;
    f->delivered = delivered;
    f->run = (struct deferred){.fn = run, .arg = f};
    delivery_writer_init(&f->writer);
    *ret_fan_out = f;
    return STATUS_OK;
}

void fan_out_destroy(struct fan_out *f)
{
    if (f) {
        loop_undefer(f->loop, &f->run);
        delivery_writer_release(&f->writer);
        free(f);
    }
}

bool fan_out_is_idle(const struct fan_out *f)
{
    return !f->round_first && !f->holding;
}

void fan_out_stats(const struct fan_out *f, struct fan_out_stats *ret_stats)
{
    *ret_stats = (struct fan_out_stats){.n_messages = f->n_messages,
                                        .n_filtered = f->n_filtered,
                                        .n_conflated = f->n_conflated,
                                        .n_events = {f->n_events[0], f->n_events[1]},
                                        .n_deltas = f->writer.n_deltas,
                                        .n_full = f->writer.n_full,
                                        .publication_times = &f->publication_times,
                                        .event_times = f->event_times};
}
