/* SPDX-License-Identifier: MIT */
/* Unit channel_load makes a channel's position known, and brings back publications that the tail no
 * longer has. A channel reads the storage once at a time: who comes meanwhile waits for the same
 * read where that goes back far enough, else for the next one, which serves all who wait by then.
 * What was read is kept, with all that is published since, until all have been answered - in
 * slices, because ten thousand may be waiting. */
#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "hub/channel_internal.h"

#define LOAD_MAX_ITEMS 300
#define TURN_MAX_US    4000

/* Of those who lost their connections together, the last ones come some seconds after the first. */
#define LONG_TAIL_MS 10000

/* Somebody who waits for the position, and perhaps for what came after an offset. */
struct load_waiter {
    struct load_waiter *prev, *next;
    channel_loaded_fn loaded;
    void *arg;
    uint64_t since;
    bool wants_items;
    bool is_covered; /* by the read: what that did not bring is not to be had */
};

struct channel_read {
    struct storage_history history;
    struct channel *channel; /* held until it is done */
    bool is_done;
    bool is_forgotten;
    bool wants_items;
    uint64_t since;   /* it goes back to there */
    size_t max_bytes; /* of publications in the tail */
    struct tail tail; /* what is in memory already; at the end with what was read in front */
};

static void start_read(struct channel *c);

/* --- the read's own tail --- */

const struct tail *channel_read_tail(const struct channel *c)
{
    return c->read && c->read->tail.n_items > 0 ? &c->read->tail : NULL;
}

void channel_read_push(struct channel *c, struct publication *p)
{
    if (c->read) {
        tail_push(&c->read->tail, p, channel_tail_max_items(c), c->read->max_bytes);
    }
}

void channel_read_forget(struct channel *c)
{
    if (c->read) {
        tail_release(&c->read->tail);
        c->read->is_forgotten = true;
    }
}

/* --- answering --- */

static bool tail_reaches(struct channel *c, uint64_t since)
{
    struct publication *const *publications;
    size_t n;
    return channel_tail_since(c, since, &publications, &n);
}

static bool has_what_it_wants(struct channel *c, const struct load_waiter *w)
{
    return c->is_loaded &&
           (!w->wants_items || w->since >= c->top.offset || tail_reaches(c, w->since));
}

/* True: it can be answered. */
static bool is_decided(struct channel *c, const struct load_waiter *w, enum status *ret_status)
{
    if (has_what_it_wants(c, w)) {
        *ret_status = STATUS_OK;
        return true;
    }
    if (w->is_covered && (c->load_status != STATUS_OK || c->is_loaded)) {
        *ret_status = c->load_status;
        return true;
    }
    *ret_status = STATUS_CLOSED;
    return c->hub->is_abandoned; /* nothing is read any more */
}

/* All have been answered but those who need another read. */
static void end_answering(struct channel *c)
{
    if (c->read && c->read->is_done) {
        tail_release(&c->read->tail);
        free(c->read);
        c->read = NULL;
    }
    if (c->waiting && !c->read) {
        start_read(c);
    }
}

void channel_answer_waiters(void *channel)
{
    struct channel *c = channel;
    int64_t start_us = clock_monotonic_us();
    c->n_refs++;
    while (c->ready && (c->hub->is_abandoned || clock_monotonic_us() - start_us <= TURN_MAX_US)) {
        struct load_waiter *w = c->ready;
        enum status status;
        DL_DELETE(c->ready, w);
        if (is_decided(c, w, &status)) {
            w->loaded(w->arg, status);
            free(w);
        } else {
            w->is_covered = false;
            DL_APPEND(c->waiting, w);
        }
    }
    if (c->ready) {
        loop_defer(c->hub->loop, &c->answer);
    } else {
        end_answering(c);
    }
    channel_release(c);
}

static void make_all_ready(struct channel *c, enum status status)
{
    c->load_status = status;
    DL_CONCAT(c->ready, c->waiting);
    c->waiting = NULL;
}

/* --- what was read --- */

/* By a removal that the storage made after it was read. */
static bool is_forgotten(const struct channel *c, const struct storage_history *history,
                         const struct storage_item *item)
{
    return item->offset <= c->forgotten.offset &&
           strcmp(c->forgotten.epoch, history->top.epoch) == 0;
}

/* From the newest on. Publications that came while the storage was read are newer still. */
static void fill_in_front(const struct channel *c, struct tail *tail,
                          const struct storage_history *h, size_t max_bytes)
{
    for (size_t i = 0; i < h->n_items; i++) {
        const struct storage_item *item = &h->items[h->reverse ? i : h->n_items - 1 - i];
        if (tail->n_items > 0 && item->offset >= tail_first_offset(tail)) {
            continue;
        }
        struct publication *p = is_forgotten(c, h, item) ? NULL : publication_of_item(item);
        bool has_room = p && tail_push_front(tail, p, channel_tail_max_items(c), max_bytes);
        publication_unref(p);
        if (!has_room) {
            return;
        }
    }
}

/* Newest first: an answer that neither limit has cut short ends where the stream begins. */
static uint64_t first_of_reverse(const struct storage_history *h)
{
    size_t n_bytes = 0;
    for (size_t i = 0; i < h->n_items; i++) {
        n_bytes += h->items[i].data.len + h->items[i].info.len + h->items[i].tags.len;
    }
    if (h->n_items >= h->limit || (h->max_bytes > 0 && n_bytes >= h->max_bytes)) {
        return 0;
    }
    if (h->n_items > 0) {
        return h->items[h->n_items - 1].offset;
    }
    return h->since > 0 && h->since <= h->top.offset ? h->since : h->top.offset + 1;
}

/* Oldest first: an answer that does not begin right after since begins where the stream does. */
static uint64_t first_of_forward(const struct storage_history *h)
{
    if (h->limit == 0 || h->since >= h->top.offset) {
        return 0;
    }
    uint64_t first = h->n_items > 0 ? h->items[0].offset : h->top.offset + 1;
    return first > h->since + 1 ? first : 0;
}

static void learn_first(struct channel *c, const struct storage_history *h)
{
    uint64_t first = h->reverse ? first_of_reverse(h) : first_of_forward(h);
    c->first = first > c->first ? first : c->first;
}

/* Known from the newest publication, which the read of a position alone does not bring. */
static void learn_expiry(struct channel *c, const struct storage_history *h)
{
    const struct storage_item *newest =
        h->n_items > 0 ? &h->items[h->reverse ? 0 : h->n_items - 1] : NULL;
    if (newest && newest->offset == c->top.offset) {
        c->tail_expires_ms = newest->time_ms + c->ns->history_ttl_ms;
    }
}

static void take_position(struct channel *c, const struct storage_history *h)
{
    c->top = h->top;
    c->is_loaded = true;
    c->first = 0;
    c->tail_expires_ms = 0;
}

static void take(struct channel *c, struct channel_read *r)
{
    const struct storage_history *h = &r->history;
    if (!c->is_loaded) {
        take_position(c, h);
    }
    if (r->is_forgotten || strcmp(c->top.epoch, h->top.epoch) != 0) {
        return; /* of a stream that has ended meanwhile */
    }
    learn_first(c, h);
    learn_expiry(c, h);
    fill_in_front(c, &r->tail, h, r->max_bytes);
    if (r->wants_items) {
        c->long_until_ms = loop_now_ms(c->hub->loop) + LONG_TAIL_MS;
    }
    channel_tail_adopt(c, &r->tail);
}

void channel_learn(struct channel *c, const struct storage_history *h)
{
    struct tail tail = {0};
    if (!c->is_loaded || strcmp(c->top.epoch, h->top.epoch) != 0) {
        return;
    }
    learn_first(c, h);
    learn_expiry(c, h);
    fill_in_front(c, &tail, h, (size_t)c->hub->channel_options->tail_max_size);
    if (tail.n_items > 0) {
        channel_tail_adopt(c, &tail);
    }
    tail_release(&tail);
}

static void read_done(struct storage_history *history)
{
    struct channel_read *r = history->arg;
    struct channel *c = r->channel;
    r->is_done = true;
    c->hub->n_operations--;
    if (history->status == STATUS_OK) {
        take(c, r);
    }
    enum status status = history->status;
    storage_history_release(history);
    make_all_ready(c, status);
    channel_answer_waiters(c);
    channel_release(c);
}

/* --- what is to be read --- */

/* The next read covers all who wait for one. */
static void cover_waiters(struct channel *c, struct channel_read *r)
{
    struct load_waiter *w;
    r->since = UINT64_MAX;
    DL_FOREACH (c->waiting, w) {
        w->is_covered = true;
        r->wants_items = r->wants_items || w->wants_items;
        if (w->wants_items && w->since < r->since) {
            r->since = w->since;
        }
    }
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The position, and recent publications for the tail; many, if somebody wants to recover: how far
 * back is known only when the position is. */
static void plan_first_read(const struct channel *c, struct channel_read *r)
{
    const struct client_options *options = c->hub->client_options;
    r->since = r->wants_items ? 0 : UINT64_MAX;
    r->max_bytes = (size_t)(r->wants_items ? options->history_max_size
                                           : c->hub->channel_options->tail_max_size);
    size_t n_max =
        r->wants_items ? (size_t)options->recovery_max_publication_limit : LOAD_MAX_ITEMS;
    r->history.limit = r->max_bytes > 0 ? least_of(n_max, channel_tail_max_items(c)) : 0;
    r->history.max_bytes = r->max_bytes;
}

/* What lies before the tail, which stays in memory with the read: as much as anybody may recover,
 * for the next ones to come may have missed more than the first. */
static void plan_read_back(const struct channel *c, struct channel_read *r)
{
    r->max_bytes = (size_t)c->hub->client_options->history_max_size;
    for (size_t i = 0; i < c->tail.n_items; i++) {
        tail_push(&r->tail, c->tail.items[c->tail.head + i], channel_tail_max_items(c),
                  r->max_bytes);
    }
    uint64_t end = r->tail.n_items > 0 ? tail_first_offset(&r->tail) : c->top.offset + 1;
    r->history.since = end; /* what is newer comes by itself */
    size_t n_max = least_of((size_t)c->hub->client_options->recovery_max_publication_limit,
                            channel_tail_max_items(c));
    r->since = end - 1 > n_max ? end - 1 - n_max : 0;
    r->history.limit = r->wants_items ? (size_t)(end - 1 - r->since) : 0;
    r->history.max_bytes = r->max_bytes > r->tail.n_bytes ? r->max_bytes - r->tail.n_bytes : 1;
}

static void start_read(struct channel *c)
{
    struct channel_read *r = c->hub->is_abandoned ? NULL : calloc(1, sizeof(*r));
    struct channel_read none = {.is_done = true};
    cover_waiters(c, r ? r : &none);
    if (!r) {
        make_all_ready(c, c->hub->is_abandoned ? STATUS_CLOSED : STATUS_NO_MEMORY);
        loop_defer(c->hub->loop, &c->answer);
        return;
    }
    r->channel = c;
    if (c->is_loaded) {
        plan_read_back(c, r);
    } else {
        plan_first_read(c, r);
    }
    r->history.channel = channel_name(c);
    r->history.retention = namespace_retention(c->hub->channel_options, c->ns);
    r->history.reverse = true;
    r->history.done = read_done;
    r->history.arg = r;
    c->read = r;
    c->n_refs++;
    c->hub->n_operations++;
    storage_history(c->hub->storage, &r->history);
}

static void join_read(struct load_waiter *w, const struct channel_read *r)
{
    w->is_covered = !w->wants_items || (r->wants_items && w->since >= r->since);
}

static enum status add_waiter(struct channel *c, const struct load_waiter *waiter)
{
    struct load_waiter *w = malloc(sizeof(*w));
    if (!w) {
        return STATUS_NO_MEMORY;
    }
    *w = *waiter;
    if (has_what_it_wants(c, w)) {
        DL_APPEND(c->ready, w);
        loop_defer(c->hub->loop, &c->answer);
        return STATUS_OK;
    }
    DL_APPEND(c->waiting, w);
    if (!c->read) {
        start_read(c);
    } else if (!c->read->is_done) {
        join_read(w, c->read);
    }
    return STATUS_OK;
}

enum status channel_load(struct channel *c, channel_loaded_fn loaded, void *arg)
{
    return add_waiter(c, &(struct load_waiter){.loaded = loaded, .arg = arg});
}

enum status channel_recall(struct channel *c, uint64_t since, channel_loaded_fn loaded, void *arg)
{
    return add_waiter(c, &(struct load_waiter){
                             .loaded = loaded, .arg = arg, .since = since, .wants_items = true});
}
