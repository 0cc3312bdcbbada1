/* SPDX-License-Identifier: MIT */
/* Unit history reads back what a channel keeps, for clients and backends: from the channel's tail
 * where that has all that the storage would answer, else from the storage. */
#include <stdlib.h>

#include "hub/channel_internal.h"

struct history {
    struct hub *hub;
    struct storage_history read;
    struct deferred answer; /* of a refusal, or from the tail */
    enum status status;
    struct publication **held; /* whose texts the items are; NULL: read */
    char epoch[STORAGE_EPOCH_SIZE];
    bool has_epoch;
    history_done_fn done;
    void *arg;
    size_t channel_len;
    char channel[];
};

static void finish(struct history *h)
{
    for (size_t i = 0; h->held && i < h->read.n_items; i++) {
        publication_unref(h->held[i]);
    }
    free(h->held);
    storage_history_release(&h->read);
    h->hub->n_operations--;
    free(h);
}

static void read_done(struct storage_history *read)
{
    struct history *h = read->arg;
    enum status status = read->status;
    struct channel *channel = h->held ? NULL : channel_find(h->hub, read->channel);
    if (status == STATUS_OK && channel) {
        channel_learn(channel, read);
    }
    if (status == STATUS_OK && h->has_epoch && strcmp(h->epoch, read->top.epoch) != 0) {
        status = STATUS_UNRECOVERABLE;
    }
    h->done(h->arg, status, read);
    finish(h);
}

static void refuse(void *arg)
{
    struct history *h = arg;
    h->done(h->arg, h->status, &h->read);
    finish(h);
}

static enum status check(struct hub *hub, const struct history_request *request,
                         const struct namespace_options **ret_ns)
{
    if (hub->is_stopping) {
        return STATUS_CLOSED;
    }
    enum status status = namespace_find(hub->channel_options, request->channel, ret_ns);
    if (status != STATUS_OK) {
        return status;
    }
    if (!namespace_has_history(*ret_ns)) {
        return STATUS_NOT_AVAILABLE;
    }
    bool is_before_first = request->reverse && request->has_since && request->since == 0;
    return request->limit < -1 || is_before_first ? STATUS_INVALID : STATUS_OK;
}

static size_t read_limit(const struct history_request *request, const struct namespace_options *ns)
{
    int64_t max = ns->history_size;
    if (request->max_limit > 0 && request->max_limit < max) {
        max = request->max_limit;
    }
    return (size_t)(request->limit < 0 || request->limit > max ? max : request->limit);
}

static void prepare_read(struct history *h, const struct history_request *request,
                         const struct namespace_options *ns)
{
    h->has_epoch = request->epoch.len > 0;
    if (request->epoch.len < sizeof(h->epoch)) { /* a longer one fits no stream */
        memcpy(h->epoch, request->epoch.ptr ? request->epoch.ptr : "", request->epoch.len);
    }
    h->read = (struct storage_history){
        .channel = {h->channel, h->channel_len},
        .retention = namespace_retention(h->hub->channel_options, ns),
        .since = request->since,
        .reverse = request->reverse,
        .limit = read_limit(request, ns),
        .max_bytes = request->max_bytes,
        .done = read_done,
        .arg = h,
    };
}

/* --- from the tail --- */

struct range {
    uint64_t first, last; /* both included; first > last: nothing */
};

/* Where the storage would look for the answer. */
static struct range range_of(const struct storage_history *read, const struct channel *c)
{
    struct range range = {channel_first(c), c->top.offset};
    if (read->limit == 0 || (!read->reverse && read->since >= range.last)) {
        return (struct range){1, 0};
    }
    if (!read->reverse && read->since >= range.first) {
        range.first = read->since + 1;
    }
    if (read->reverse && read->since != 0 && read->since <= range.last) {
        range.last = read->since - 1;
    }
    return range;
}

static void add_item(struct history *h, struct publication *p)
{
    h->held[h->read.n_items] = publication_ref(p);
    h->read.items[h->read.n_items++] = (struct storage_item){.offset = p->offset,
                                                             .time_ms = p->time_ms,
                                                             .data = p->data,
                                                             .info = p->info,
                                                             .tags = p->tags,
                                                             .delta = p->delta};
}

/* False: an offset of the range that the answer needs is not in the tail. */
static bool add_items(struct history *h, const struct tail *tail, struct range range)
{
    size_t n_bytes = 0;
    uint64_t n = range.last - range.first + 1;
    uint64_t tail_first = tail_first_offset(tail);
    for (uint64_t i = 0; i < n && h->read.n_items < h->read.limit; i++) {
        uint64_t offset = h->read.reverse ? range.last - i : range.first + i;
        if (offset < tail_first) {
            return false;
        }
        struct publication *p = tail->items[tail->head + (size_t)(offset - tail_first)];
        add_item(h, p);
        n_bytes += p->data.len + p->info.len + p->tags.len;
        if (h->read.max_bytes > 0 && n_bytes >= h->read.max_bytes) {
            break;
        }
    }
    return true;
}

static void drop_items(struct history *h)
{
    while (h->read.n_items > 0) {
        publication_unref(h->held[--h->read.n_items]);
    }
    free(h->held);
    h->held = NULL;
    storage_history_release(&h->read);
}

static bool take_from_tail(struct history *h, struct channel *c, struct range range)
{
    uint64_t n = range.last - range.first + 1;
    size_t n_max = n < h->read.limit ? (size_t)n : h->read.limit;
    bool reaches_top =
        c->tail.n_items > 0 && tail_first_offset(&c->tail) + c->tail.n_items == c->top.offset + 1;
    if (!reaches_top || channel_tail_is_expired(c)) {
        return false;
    }
    n_max = n_max < c->tail.n_items ? n_max : c->tail.n_items;
    h->held = calloc(n_max, sizeof(h->held[0]));
    h->read.items = calloc(n_max, sizeof(h->read.items[0]));
    if (!h->held || !h->read.items || !add_items(h, &c->tail, range)) {
        drop_items(h);
        return false;
    }
    channel_memory_used(c);
    return true;
}

/* True: the answer is there, the very same that the storage would give. */
static bool is_in_memory(struct history *h)
{
    struct channel *c = channel_find(h->hub, h->read.channel);
    if (!c || !c->is_loaded) {
        return false;
    }
    struct range range = range_of(&h->read, c);
    if (range.first <= range.last && !take_from_tail(h, c, range)) {
        return false;
    }
    h->read.top = c->top;
    return true;
}

static void answer_from_memory(void *arg)
{
    struct history *h = arg;
    read_done(&h->read);
}

static void begin(struct history *h)
{
    bool is_hit = is_in_memory(h);
    if (h->read.limit > 0) {
        h->hub->n_tail_hits += is_hit;
        h->hub->n_tail_misses += !is_hit;
    }
    if (is_hit) {
        h->answer.fn = answer_from_memory;
        loop_defer(h->hub->loop, &h->answer);
    } else {
        storage_history(h->hub->storage, &h->read);
    }
}

void hub_history(struct hub *hub, const struct history_request *request, history_done_fn done,
                 void *arg)
{
    const struct namespace_options *ns = NULL;
    enum status status = check(hub, request, &ns);
    struct str name = status == STATUS_OK ? request->channel : STR_EMPTY;
    struct history *h = hub_allocate(sizeof(*h) + name.len + 1);
    h->hub = hub;
    h->status = status;
    h->done = done;
    h->arg = arg;
    h->answer = (struct deferred){.fn = refuse, .arg = h};
    h->channel_len = name.len;
    memcpy(h->channel, name.ptr ? name.ptr : "", name.len);
    hub->n_operations++;
    if (status == STATUS_OK) {
        prepare_read(h, request, ns);
        begin(h);
    } else {
        loop_defer(hub->loop, &h->answer);
    }
}
