/* SPDX-License-Identifier: MIT */
/* Unit subscribe is the way of a client into a channel: permission, position, recovery of what was
 * missed, reply. What is published meanwhile is neither lost nor sent twice, because the last step
 * - reply and place in the channel - happens in one turn, with all publications up to the channel's
 * top in the reply. */
#include <stdlib.h>

#include "base/log.h"
#include "hub/channel.h"
#include "hub/client_internal.h"
#include "hub/hub_internal.h"

enum subscribe_state {
    SUBSCRIBE_CHECKING,
    SUBSCRIBE_LOADING,    /* the channel's position */
    SUBSCRIBE_RECOVERING, /* from the tail, or by reading */
    SUBSCRIBE_READING,
    SUBSCRIBE_ANSWERING,
    SUBSCRIBE_DONE,
};

struct subscribe {
    struct client *client;
    struct hub *hub;
    struct channel *channel; /* held */
    enum subscribe_state state;
    enum status status;
    subscribe_done_fn done;
    void *arg;
    struct deferred step;

    bool recover;
    bool fail_unrecovered;
    bool is_same_epoch;
    uint64_t since;
    char epoch[STORAGE_EPOCH_SIZE];
    bool has_epoch;

    struct subscribe_result result;
    struct storage_history read;
    bool was_read;
    bool holds_tail;
    struct publication **recovered; /* own references; or NULL */
    size_t n_recovered;
};

static void subscribe_step(struct subscribe *s);

static void step_later(void *arg)
{
    subscribe_step(arg);
}

static void loaded(void *arg, enum status status)
{
    struct subscribe *s = arg;
    s->status = status;
    s->state = status == STATUS_OK ? SUBSCRIBE_RECOVERING : SUBSCRIBE_ANSWERING;
    subscribe_step(s);
}

static void read_done(struct storage_history *read)
{
    struct subscribe *s = read->arg;
    s->hub->n_operations--;
    s->status = read->status;
    s->state = read->status == STATUS_OK ? SUBSCRIBE_RECOVERING : SUBSCRIBE_ANSWERING;
    subscribe_step(s);
}

/* STATUS_OK: on to loading. */
static enum status check(struct subscribe *s)
{
    const struct client_options *options = s->hub->client_options;
    struct str name = channel_name(s->channel);
    if (client_is_subscribed(s->client, name)) {
        return STATUS_ALREADY;
    }
    if (client_n_subscriptions(s->client) >= (size_t)options->channel_limit) {
        return STATUS_LIMIT;
    }
    return client_may(s->client, name, ACCESS_SUBSCRIBE);
}

static void choose_features(struct subscribe *s, const struct subscribe_request *request)
{
    const struct namespace_options *ns = channel_namespace(s->channel);
    struct subscribe_result *r = &s->result;
    bool has_history = namespace_has_history(ns);
    r->recoverable =
        has_history && (ns->force_recovery || (request->recoverable && ns->allow_recovery));
    r->positioned = has_history && (r->recoverable || ns->force_positioning ||
                                    (request->positioned && ns->allow_positioning));
    r->was_recovering = request->recover;
    s->recover = request->recover && r->recoverable;
    s->since = request->offset;
    s->fail_unrecovered = request->fail_unrecovered;
    s->has_epoch = request->epoch.len > 0;
    if (request->epoch.len < sizeof(s->epoch)) { /* a longer one fits no stream */
        memcpy(s->epoch, request->epoch.ptr ? request->epoch.ptr : "", request->epoch.len);
    }
}

/* --- recovery --- */

static bool keep_recovered(struct subscribe *s, struct publication *const *tail, size_t n_tail)
{
    size_t n = s->read.n_items + n_tail;
    s->recovered = calloc(n > 0 ? n : 1, sizeof(struct publication *));
    if (!s->recovered) {
        return false;
    }
    for (size_t i = 0; i < s->read.n_items; i++) {
        const struct storage_item *item = &s->read.items[i];
        struct publication *p = publication_create(item->data, item->info, item->tags);
        if (!p) {
            return false;
        }
        p->offset = item->offset;
        s->recovered[s->n_recovered++] = p;
    }
    for (size_t i = 0; i < n_tail; i++) {
        s->recovered[s->n_recovered++] = publication_ref(tail[i]);
    }
    return true;
}

/* The items that were read follow the client's position without a gap. What the storage has beyond
 * the channel's top is not pushed yet: it will come as a push. */
static bool items_fit(struct subscribe *s)
{
    uint64_t top = channel_top(s->channel)->offset;
    while (s->read.n_items > 0 && s->read.items[s->read.n_items - 1].offset > top) {
        s->read.n_items--;
    }
    return s->read.n_items == 0 || s->read.items[0].offset == s->since + 1;
}

static void start_read(struct subscribe *s)
{
    channel_hold_tail(s->channel); /* what is published while we read must still be there then */
    s->holds_tail = true;
    s->was_read = true;
    s->read = (struct storage_history){
        .channel = channel_name(s->channel),
        .retention = namespace_retention(s->hub->channel_options, channel_namespace(s->channel)),
        .since = s->since,
        .limit = (size_t)s->hub->client_options->recovery_max_publication_limit,
        .max_bytes = (size_t)s->hub->client_options->history_max_size,
        .done = read_done,
        .arg = s,
    };
    s->state = SUBSCRIBE_READING;
    s->hub->n_operations++;
    storage_history(s->hub->storage, &s->read);
}

/* True: the recovery is decided (or the storage is closed). False: a read was started. */
static bool recover(struct subscribe *s)
{
    const struct storage_position *top = channel_top(s->channel);
    size_t max = (size_t)s->hub->client_options->recovery_max_publication_limit;
    bool is_same_epoch = !s->has_epoch || strcmp(s->epoch, top->epoch) == 0;
    if (!is_same_epoch || s->since > top->offset || top->offset - s->since > max) {
        return true;
    }
    if (!items_fit(s)) {
        return true;
    }
    uint64_t reached = s->read.n_items > 0 ? s->read.items[s->read.n_items - 1].offset : s->since;
    struct publication *const *tail;
    size_t n_tail;
    if (channel_tail_since(s->channel, reached, &tail, &n_tail)) {
        s->result.recovered = keep_recovered(s, tail, n_tail);
        return true;
    }
    if (s->was_read || s->hub->is_abandoned) {
        return true; /* the stream no longer has them all, or they are too large for one reply */
    }
    start_read(s);
    return false;
}

/* --- the end --- */

static void fill_result(struct subscribe *s)
{
    struct subscribe_result *r = &s->result;
    if (!r->positioned) {
        return;
    }
    r->position = *channel_top(s->channel);
    if (r->recovered) { /* the client counts on from where it was */
        r->position.offset = s->since;
        r->publications = s->recovered;
        r->n_publications = s->n_recovered;
    }
}

static void answer(struct subscribe *s)
{
    bool is_there = client_call_ends(s->client);
    if (!is_there || !client_is_connected(s->client)) {
        s->done(s->arg, STATUS_CLOSED, NULL);
        return;
    }
    if (s->status == STATUS_OK && s->recover && !s->result.recovered && s->fail_unrecovered) {
        s->status = STATUS_UNRECOVERABLE;
    }
    if (s->status == STATUS_OK) {
        fill_result(s);
        s->status = client_add_subscription(s->client, s->channel, s->result.positioned);
    }
    s->done(s->arg, s->status, s->status == STATUS_OK ? &s->result : NULL);
}

static void finish(struct subscribe *s)
{
    for (size_t i = 0; i < s->n_recovered; i++) {
        publication_unref(s->recovered[i]);
    }
    free(s->recovered);
    storage_history_release(&s->read);
    if (s->holds_tail) {
        channel_let_tail_go(s->channel);
    }
    if (s->channel) {
        channel_release(s->channel);
    }
    s->hub->n_operations--;
    free(s);
}

/* One subscription, top to bottom. */
static void subscribe_step(struct subscribe *s)
{
    switch (s->state) {
    case SUBSCRIBE_CHECKING:
        s->status = s->status == STATUS_OK ? check(s) : s->status;
        if (s->status == STATUS_OK && s->result.positioned) {
            s->state = SUBSCRIBE_LOADING; /* loaded() steps us */
            s->status = channel_load(s->channel, loaded, s);
            if (s->status == STATUS_OK) {
                return;
            }
        }
        s->state = SUBSCRIBE_ANSWERING;
        subscribe_step(s);
        return;
    case SUBSCRIBE_LOADING:
    case SUBSCRIBE_READING: return;
    case SUBSCRIBE_RECOVERING:
        if (s->recover && !recover(s)) {
            return; /* read_done() steps us */
        }
        s->state = SUBSCRIBE_ANSWERING;
        /* fall through */
    case SUBSCRIBE_ANSWERING:
        answer(s);
        s->state = SUBSCRIBE_DONE;
        /* fall through */
    case SUBSCRIBE_DONE: finish(s); return;
    }
}

void client_subscribe(struct client *client, const struct subscribe_request *request,
                      subscribe_done_fn done, void *arg)
{
    struct hub *hub = client_hub(client);
    struct subscribe *s = hub_allocate(sizeof(*s));
    s->client = client;
    s->hub = hub;
    s->done = done;
    s->arg = arg;
    s->step = (struct deferred){.fn = step_later, .arg = s};
    client_call_begins(client);
    hub->n_operations++;
    const struct namespace_options *ns;
    s->status = namespace_find(hub->channel_options, request->channel, &ns);
    if (s->status == STATUS_OK) {
        s->channel = channel_acquire(hub, request->channel, ns);
        s->status = s->channel ? STATUS_OK : STATUS_NO_MEMORY;
    }
    if (s->status == STATUS_OK) {
        choose_features(s, request);
    }
    loop_defer(hub->loop, &s->step);
}
