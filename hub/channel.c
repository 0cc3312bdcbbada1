/* SPDX-License-Identifier: MIT */
/* Unit channel keeps what is in memory of a channel. Subscribers stand in an array without gaps, so
 * that a broadcast walks memory in order; while a delivery is under way, those who leave make
 * holes, which are closed when it is done. */
#include "hub/channel.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/channel_internal.h"
#include "hub/client_internal.h"

/* --- life --- */

void channel_free(struct channel *c)
{
    if (!channel_is_idle(c)) {
        c->hub->n_channels--;
    }
    HASH_DEL(c->hub->channels, c);
    loop_undefer(c->hub->loop, &c->answer);
    position_check_remove(c);
    fan_out_queue_release(c->hub->fan_out, &c->queue);
    tail_release(&c->tail);
    channel_memory_gone(c);
    free(c->places);
    free(c);
}

/* Who comes back soon shall find the position and the tail in memory. */
static bool is_worth_keeping(const struct channel *c)
{
    return c->is_loaded && c->hub->channel_options->idle_timeout_ms > 0 && !c->hub->is_stopping;
}

static void let_go_if_unused(struct channel *c)
{
    if (c->n_refs > 0 || c->n_places > c->n_holes || !fan_out_queue_is_empty(&c->queue) ||
        channel_is_idle(c)) {
        return;
    }
    if (!is_worth_keeping(c)) {
        channel_free(c);
        return;
    }
    position_check_remove(c);
    fan_out_queue_release(c->hub->fan_out, &c->queue);
    free(c->places);
    c->places = NULL;
    c->capacity = 0;
    c->hub->n_channels--;
    channel_memory_add_idle(c);
}

struct channel *channel_find(struct hub *hub, struct str name)
{
    struct channel *c = NULL;
    HASH_FIND(hh, hub->channels, name.ptr, name.len, c);
    return c;
}

struct channel *channel_acquire(struct hub *hub, struct str name,
                                const struct namespace_options *ns)
{
    struct channel *c = channel_find(hub, name);
    if (!c) {
        c = calloc(1, sizeof(*c) + name.len + 1);
        if (!c) {
            return NULL;
        }
        c->hub = hub;
        c->ns = ns;
        c->traffic = traffic_namespace(&hub->traffic, str_of(ns->name));
        c->queue.channel = c;
        c->answer = (struct deferred){.fn = channel_answer_waiters, .arg = c};
        c->name_len = name.len;
        memcpy(c->name, name.ptr, name.len);
        HASH_ADD(hh, hub->channels, name, c->name_len, c);
        hub->n_channels++;
    } else if (channel_is_idle(c)) {
        channel_memory_remove_idle(c);
        hub->n_channels++;
    }
    c->n_refs++;
    return c;
}

void channel_release(struct channel *c)
{
    c->n_refs--;
    let_go_if_unused(c);
}

struct channel *channel_next(const struct channel *c)
{
    return c->hh.next;
}

struct str channel_name(const struct channel *c)
{
    return (struct str){c->name, c->name_len};
}

const struct namespace_options *channel_namespace(const struct channel *c)
{
    return c->ns;
}

/* --- subscribers --- */

size_t channel_n_subscribers(const struct channel *c)
{
    return c->n_places - c->n_holes;
}

size_t channel_n_places(const struct channel *c)
{
    return c->n_places;
}

struct client *channel_subscriber(const struct channel *c, size_t index)
{
    return c->places[index];
}

static bool reserve_place(struct channel *c)
{
    if (c->n_places < c->capacity) {
        return true;
    }
    uint32_t capacity = c->capacity > 0 ? c->capacity + c->capacity / 2 + 1 : 1;
    struct client **places = realloc(c->places, capacity * sizeof(struct client *));
    if (places) {
        c->places = places;
        c->capacity = capacity;
    }
    return places;
}

struct client *const *channel_places(const struct channel *c)
{
    return c->places;
}

size_t channel_n_special(const struct channel *c)
{
    return c->n_special;
}

static void tell_webhooks(struct channel *c, enum webhook_event event)
{
    if (hub_tells(c->hub, event)) {
        webhooks_channel(c->hub->webhooks, event, channel_name(c));
    }
}

/* Feeds are refreshed while somebody is in their channel. */
static void occupy(struct channel *c)
{
    tell_webhooks(c, WEBHOOK_CHANNEL_OCCUPIED);
    c->feed = feed_instance_of_channel(c->hub, channel_name(c));
    if (c->feed) {
        schedule_watched(c->feed);
    }
}

static void vacate(struct channel *c)
{
    tell_webhooks(c, WEBHOOK_CHANNEL_VACATED);
    if (c->feed) {
        schedule_unwatched(c->feed);
        feed_instance_release(c->feed);
        c->feed = NULL;
    }
}

enum status channel_add(struct channel *c, struct client *client, struct channel_wishes wishes,
                        uint32_t *ret_index)
{
    if (!reserve_place(c)) {
        return STATUS_NO_MEMORY;
    }
    c->places[c->n_places] = client;
    *ret_index = c->n_places++;
    c->n_special += wishes.is_special;
    c->n_with_joins += wishes.has_joins;
    c->hub->n_subscriptions++;
    if (channel_n_subscribers(c) == 1) {
        occupy(c);
    }
    if (c->is_loaded) {
        position_check_add(c);
    }
    return STATUS_OK;
}

static void move_place(struct channel *c, uint32_t from, uint32_t to)
{
    c->places[to] = c->places[from];
    client_moved_in_channel(c->places[to], c, to);
}

void channel_remove(struct channel *c, uint32_t index, struct channel_wishes wishes)
{
    c->hub->n_subscriptions--;
    c->n_special -= wishes.is_special;
    c->n_with_joins -= wishes.has_joins;
    c->places[index] = NULL;
    if (channel_n_subscribers(c) == 1) {
        vacate(c);
    }
    if (!fan_out_queue_is_empty(&c->queue)) {
        c->n_holes++;
        if (channel_n_subscribers(c) == 0) {
            fan_out_queue_hurry(c->hub->fan_out, &c->queue);
        }
        return;
    }
    uint32_t last = --c->n_places;
    if (index != last) {
        move_place(c, last, index);
    }
    let_go_if_unused(c);
}

static void close_holes(struct channel *c)
{
    if (c->n_holes == 0) {
        return;
    }
    uint32_t to = 0;
    for (uint32_t from = 0; from < c->n_places; from++) {
        if (!c->places[from]) {
            continue;
        }
        if (from != to) {
            move_place(c, from, to);
        }
        to++;
    }
    c->n_places = to;
    c->n_holes = 0;
}

void channel_delivered(struct channel *c)
{
    close_holes(c);
    let_go_if_unused(c);
}

/* --- position and tail --- */

size_t channel_tail_max_items(const struct channel *c)
{
    return (size_t)c->ns->history_size;
}

static size_t tail_max_bytes(const struct channel *c)
{
    int64_t max = c->hub->channel_options->tail_max_size;
    int64_t long_max = c->hub->client_options->history_max_size;
    bool is_long = max > 0 && long_max > max && loop_now_ms(c->hub->loop) < c->long_until_ms;
    return (size_t)(is_long ? long_max : max);
}

bool channel_is_loaded(const struct channel *c)
{
    return c->is_loaded;
}

const struct storage_position *channel_top(const struct channel *c)
{
    return &c->top;
}

uint64_t channel_first(const struct channel *c)
{
    uint64_t first = c->first;
    uint64_t size = (uint64_t)c->ns->history_size;
    if (c->forgotten.offset >= first && strcmp(c->forgotten.epoch, c->top.epoch) == 0) {
        first = c->forgotten.offset + 1;
    }
    if (c->top.offset >= size && c->top.offset - size + 1 > first) {
        first = c->top.offset - size + 1;
    }
    return first > 0 ? first : 1;
}

bool channel_tail_is_expired(const struct channel *c)
{
    return clock_wall_ms() >= c->tail_expires_ms;
}

bool channel_tail_since(struct channel *c, uint64_t since,
                        struct publication *const **ret_publications, size_t *ret_n)
{
    if (since < c->top.offset && channel_tail_is_expired(c)) {
        return false;
    }
    const struct tail *read = channel_read_tail(c);
    if (!tail_since(&c->tail, since, c->top.offset, ret_publications, ret_n) &&
        !(read && tail_since(read, since, c->top.offset, ret_publications, ret_n))) {
        return false;
    }
    channel_memory_used(c);
    return true;
}

void channel_tail_adopt(struct channel *c, const struct tail *from)
{
    for (size_t i = from->n_items; i-- > 0;) {
        struct publication *p = from->items[from->head + i];
        if (c->tail.n_items > 0 && p->offset >= tail_first_offset(&c->tail)) {
            continue;
        }
        bool is_next = c->tail.n_items > 0 || p->offset == c->top.offset;
        if (!is_next ||
            !tail_push_front(&c->tail, p, channel_tail_max_items(c), tail_max_bytes(c))) {
            break;
        }
    }
    channel_memory_used(c);
    channel_memory_changed(c);
}

void channel_tail_trim(struct channel *c)
{
    if (channel_tail_is_expired(c)) {
        tail_release(&c->tail);
    }
    tail_trim(&c->tail, channel_tail_max_items(c), tail_max_bytes(c));
    channel_memory_changed(c);
}

static void drop_tail(struct channel *c)
{
    tail_release(&c->tail);
    channel_read_forget(c);
    channel_memory_changed(c);
}

void channel_forget_items(struct channel *c, const struct storage_position *top)
{
    drop_tail(c);
    c->forgotten = *top;
}

/* The stream is not the one that subscribers knew: they shall subscribe again. */
static void send_subscribers_back(struct channel *c)
{
    bool was_anybody = false;
    for (uint32_t i = c->n_places; i-- > 0;) {
        if (c->places[i] && client_is_positioned(c->places[i], c)) {
            client_end_subscription(c->places[i], c, &unsubscribe_insufficient_state);
            was_anybody = true;
        }
    }
    c->hub->n_insufficient_state += was_anybody;
}

void channel_begin_anew(struct channel *c)
{
    drop_tail(c);
    c->first = 0;
    send_subscribers_back(c);
}

void channel_compare(struct channel *c, const struct storage_position *was,
                     const struct storage_position *stored)
{
    if (!c->is_loaded || strcmp(c->top.epoch, was->epoch) != 0) {
        return; /* it is another stream meanwhile, and everybody knows */
    }
    /* A read's answer comes after all publications that it has seen. */
    if (strcmp(stored->epoch, was->epoch) == 0 && stored->offset >= was->offset &&
        stored->offset <= c->top.offset) {
        return;
    }
    log_warn("channel", "position_differs", log_str("channel", channel_name(c)),
             log_s("epoch", c->top.epoch), log_i("offset", (int64_t)c->top.offset),
             log_s("stored_epoch", stored->epoch), log_i("stored_offset", (int64_t)stored->offset));
    channel_begin_anew(c);
    c->is_loaded = false;
}

/* A commit must be the next one, or the storage has lost or won something without our knowing. */
static void make_ready_for(struct channel *c, const struct publication *p,
                           const struct storage_position *position)
{
    if (!c->is_loaded) {
        c->first = 0;
    } else if (strcmp(c->top.epoch, position->epoch) != 0 ||
               position->offset != c->top.offset + 1) {
        channel_begin_anew(c);
    } else if (c->tail_expires_ms > 0 && p->time_ms >= c->tail_expires_ms) {
        /* What is over does not come back. 0: only the position was read, nothing is known. */
        drop_tail(c);
        c->first = position->offset;
    }
}

static void advance(struct channel *c, struct publication *p,
                    const struct storage_position *position)
{
    make_ready_for(c, p, position);
    c->top = *position;
    c->is_loaded = true;
    c->had_commit = true;
    c->tail_expires_ms = p->time_ms + c->ns->history_ttl_ms;
    tail_push(&c->tail, p, channel_tail_max_items(c), tail_max_bytes(c));
    channel_read_push(c, p);
    channel_memory_used(c);
    channel_memory_changed(c);
}

void channel_publish(struct channel *c, struct publication *p,
                     const struct storage_position *position, struct fan_out_report *report)
{
    c->n_refs++;
    if (position) {
        advance(c, p, position);
    }
    if (channel_n_subscribers(c) > 0 &&
        fan_out_add(c->hub->fan_out, &c->queue, p, c->n_places, report) != STATUS_OK) {
        log_error("channel", "delivery_lost", log_str("channel", channel_name(c)),
                  log_s("why", status_name(STATUS_NO_MEMORY)));
        send_subscribers_back(c); /* who counts positions comes again and recovers */
    }
    channel_release(c);
}

void channel_tell_presence(struct channel *c, enum presence_event event, struct str info)
{
    if (c->n_with_joins > 0 && /* when all leave together, nobody is to be told of the last ones */
        fan_out_add_event(c->hub->fan_out, &c->queue, event, info, c->n_places) != STATUS_OK) {
        log_error("channel", "presence_event_lost", log_str("channel", channel_name(c)),
                  log_s("why", status_name(STATUS_NO_MEMORY)));
    }
}

bool channel_has_base(struct channel *c, struct publication *p)
{
    return fan_out_has_base(&c->queue, p);
}
