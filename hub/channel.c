/* SPDX-License-Identifier: MIT */
/* Unit channel keeps what is in memory of a channel in use. Subscribers stand in an array without
 * gaps, so that a broadcast walks memory in order; while a delivery is under way, those who leave
 * make holes, which are closed when it is done. */
#include "hub/channel.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/client.h"
#include "hub/hub_internal.h"
#include "hub/tail.h"

#define LOAD_MAX_ITEMS 300

/* Somebody who waits for the position. */
struct load_waiter {
    struct load_waiter *next;
    channel_loaded_fn loaded;
    void *arg;
};

struct channel {
    UT_hash_handle hh;
    struct hub *hub;
    const struct namespace_options *ns;
    unsigned n_refs; /* operations that hold it */

    struct client **places;
    uint32_t n_places;
    uint32_t capacity;
    uint32_t n_holes;
    struct fan_out_queue queue;

    bool is_loaded;
    struct storage_position top;
    struct tail tail;
    unsigned n_holding_tail;
    int64_t tail_expires_ms; /* wall clock: history_ttl after the last publication */

    struct storage_history *load; /* under way */
    struct load_waiter *waiters;
    struct deferred answer; /* to the waiters */
    enum status load_status;

    size_t name_len;
    char name[];
};

static void answer_waiters(void *arg);

/* --- life --- */

static void free_if_unused(struct channel *c)
{
    if (c->n_refs > 0 || c->n_places > c->n_holes || !fan_out_queue_is_empty(&c->queue)) {
        return;
    }
    HASH_DEL(c->hub->channels, c);
    c->hub->n_channels--;
    loop_undefer(c->hub->loop, &c->answer);
    tail_release(&c->tail);
    free(c->places);
    free(c);
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
        c->queue.channel = c;
        c->answer = (struct deferred){.fn = answer_waiters, .arg = c};
        c->name_len = name.len;
        memcpy(c->name, name.ptr, name.len);
        HASH_ADD(hh, hub->channels, name, c->name_len, c);
        hub->n_channels++;
    }
    c->n_refs++;
    return c;
}

void channel_release(struct channel *c)
{
    c->n_refs--;
    free_if_unused(c);
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

enum status channel_add(struct channel *c, struct client *client, uint32_t *ret_index)
{
    if (!reserve_place(c)) {
        return STATUS_NO_MEMORY;
    }
    c->places[c->n_places] = client;
    *ret_index = c->n_places++;
    c->hub->n_subscriptions++;
    return STATUS_OK;
}

static void move_place(struct channel *c, uint32_t from, uint32_t to)
{
    c->places[to] = c->places[from];
    client_moved_in_channel(c->places[to], c, to);
}

void channel_remove(struct channel *c, uint32_t index)
{
    c->hub->n_subscriptions--;
    c->places[index] = NULL;
    if (!fan_out_queue_is_empty(&c->queue)) {
        c->n_holes++;
        return;
    }
    uint32_t last = --c->n_places;
    if (index != last) {
        move_place(c, last, index);
    }
    free_if_unused(c);
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
    free_if_unused(c);
}

/* --- position and tail --- */

static size_t tail_max_items(const struct channel *c)
{
    return (size_t)c->ns->history_size;
}

static size_t tail_max_bytes(const struct channel *c)
{
    return (size_t)(c->n_holding_tail > 0 ? c->hub->client_options->history_max_size
                                          : c->hub->channel_options->tail_max_size);
}

void channel_hold_tail(struct channel *c)
{
    c->n_holding_tail++;
}

void channel_let_tail_go(struct channel *c)
{
    c->n_holding_tail--;
    tail_trim(&c->tail, tail_max_items(c), tail_max_bytes(c));
}

static void set_top(struct channel *c, const struct storage_position *top)
{
    c->top = *top;
    c->is_loaded = true;
}

bool channel_is_loaded(const struct channel *c)
{
    return c->is_loaded;
}

const struct storage_position *channel_top(const struct channel *c)
{
    return &c->top;
}

bool channel_tail_since(const struct channel *c, uint64_t since,
                        struct publication *const **ret_publications, size_t *ret_n)
{
    bool is_expired = c->tail.n_items > 0 && clock_wall_ms() >= c->tail_expires_ms;
    if (is_expired && since < c->top.offset) {
        return false;
    }
    return tail_since(&c->tail, since, c->top.offset, ret_publications, ret_n);
}

/* The stream is not the one that subscribers knew: they shall subscribe again. */
static void begin_new_epoch(struct channel *c)
{
    tail_release(&c->tail);
    c->n_refs++; /* it must outlive the last subscriber here */
    for (uint32_t i = c->n_places; i-- > 0;) {
        if (c->places[i] && client_is_positioned(c->places[i], c)) {
            client_unsubscribed(c->places[i], c, &unsubscribe_insufficient_state);
        }
    }
    c->n_refs--;
}

/* False: it is not newer than the top, and no subscriber misses it. The storage answers a read
 * after the appends that the read has seen, so a position never runs ahead of what was published
 * here. */
static bool advance(struct channel *c, struct publication *p,
                    const struct storage_position *position)
{
    bool is_same_epoch = strcmp(c->top.epoch, position->epoch) == 0;
    if (c->is_loaded && is_same_epoch && position->offset <= c->top.offset) {
        return false;
    }
    if (c->is_loaded && !is_same_epoch) {
        begin_new_epoch(c);
    }
    set_top(c, position);
    if (clock_wall_ms() >= c->tail_expires_ms) { /* what is over does not come back */
        tail_release(&c->tail);
    }
    tail_push(&c->tail, p, tail_max_items(c), tail_max_bytes(c));
    c->tail_expires_ms = clock_wall_ms() + c->ns->history_ttl_ms;
    return true;
}

void channel_publish(struct channel *c, struct publication *p,
                     const struct storage_position *position)
{
    c->n_refs++;
    bool is_new = !position || advance(c, p, position);
    if (is_new && channel_n_subscribers(c) > 0 &&
        fan_out_add(c->hub->fan_out, &c->queue, p, c->n_places) != STATUS_OK) {
        log_error("channel", "delivery_lost", log_str("channel", channel_name(c)),
                  log_s("why", status_name(STATUS_NO_MEMORY)));
        begin_new_epoch(c); /* who counts positions comes again and recovers */
    }
    channel_release(c);
}

/* --- loading --- */

static void answer_waiters(void *arg)
{
    struct channel *c = arg;
    enum status status = c->is_loaded ? STATUS_OK : c->load_status;
    struct load_waiter *waiters = c->waiters;
    c->waiters = NULL;
    c->n_refs++;
    while (waiters) {
        struct load_waiter *w = waiters;
        waiters = w->next;
        w->loaded(w->arg, status);
        free(w);
    }
    channel_release(c);
}

/* Newest first, as they were read. Publications that came while the storage was read are newer
 * still. */
static void fill_tail(struct channel *c, const struct storage_history *load)
{
    for (size_t i = 0; i < load->n_items; i++) {
        const struct storage_item *item = &load->items[i];
        struct publication *p = publication_create(item->data, item->info, item->tags);
        if (!p) {
            return;
        }
        p->offset = item->offset;
        bool has_room = c->tail.n_items > 0 && item->offset >= c->tail.items[c->tail.head]->offset;
        has_room = has_room || tail_push_front(&c->tail, p, tail_max_items(c), tail_max_bytes(c));
        publication_unref(p);
        if (!has_room) {
            return;
        }
    }
}

static void load_done(struct storage_history *load)
{
    struct channel *c = load->arg;
    c->load = NULL;
    c->hub->n_operations--;
    c->load_status = load->status;
    if (load->status == STATUS_OK) {
        bool is_current = !c->is_loaded || strcmp(c->top.epoch, load->top.epoch) == 0;
        if (!c->is_loaded) {
            set_top(c, &load->top);
            c->tail_expires_ms =
                load->n_items > 0 ? load->items[0].time_ms + c->ns->history_ttl_ms : 0;
        }
        if (is_current) {
            fill_tail(c, load);
        }
    }
    storage_history_release(load);
    free(load);
    answer_waiters(c);
    channel_release(c);
}

static void start_load(struct channel *c)
{
    struct storage_history *load = c->hub->is_abandoned ? NULL : calloc(1, sizeof(*load));
    if (!load) {
        c->load_status = c->hub->is_abandoned ? STATUS_CLOSED : STATUS_NO_MEMORY;
        loop_defer(c->hub->loop, &c->answer);
        return;
    }
    load->channel = channel_name(c);
    load->retention = namespace_retention(c->hub->channel_options, c->ns);
    load->reverse = true;
    load->limit = tail_max_items(c) < LOAD_MAX_ITEMS ? tail_max_items(c) : LOAD_MAX_ITEMS;
    load->max_bytes = tail_max_bytes(c);
    load->done = load_done;
    load->arg = c;
    c->load = load;
    c->n_refs++;
    c->hub->n_operations++;
    storage_history(c->hub->storage, load);
}

enum status channel_load(struct channel *c, channel_loaded_fn loaded, void *arg)
{
    struct load_waiter *w = calloc(1, sizeof(*w));
    if (!w) {
        return STATUS_NO_MEMORY;
    }
    *w = (struct load_waiter){.next = c->waiters, .loaded = loaded, .arg = arg};
    c->waiters = w;
    if (c->is_loaded) {
        loop_defer(c->hub->loop, &c->answer);
    } else if (!c->load) {
        start_load(c);
    }
    return STATUS_OK;
}
