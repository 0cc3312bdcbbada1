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
    uint64_t since;
    char epoch[STORAGE_EPOCH_SIZE];
    bool has_epoch;

    struct subscribe_result result;
    bool is_in_reach;               /* was, when that was asked first */
    bool was_read;                  /* the storage, by us or for us */
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
    bool is_forced = r->recoverable && ns->auto_cache_recover;
    r->was_recovering = request->recover || is_forced;
    s->recover = r->was_recovering && r->recoverable;
    if (!request->recover) { /* without a position; and who did not ask is not refused */
        return;
    }
    s->fail_unrecovered = request->fail_unrecovered;
    s->since = request->offset;
    s->has_epoch = request->epoch.len > 0;
    if (request->epoch.len < sizeof(s->epoch)) { /* a longer one fits no stream */
        memcpy(s->epoch, request->epoch.ptr ? request->epoch.ptr : "", request->epoch.len);
    }
}

/* --- recovery --- */

static bool keep_recovered(struct subscribe *s, struct publication *const *tail, size_t n_tail)
{
    s->recovered = calloc(n_tail > 0 ? n_tail : 1, sizeof(struct publication *));
    if (!s->recovered) {
        return false;
    }
    for (size_t i = 0; i < n_tail; i++) {
        s->recovered[s->n_recovered++] = publication_ref(tail[i]);
    }
    return true;
}

/* False: it could not be started, which fails the subscription. */
static bool start_read(struct subscribe *s, uint64_t since)
{
    s->was_read = true;
    s->state = SUBSCRIBE_READING; /* loaded() steps us */
    s->status = channel_recall(s->channel, since, loaded, s);
    return s->status == STATUS_OK;
}

static bool is_epoch_of(const char *epoch, const struct storage_position *top)
{
    return strcmp(epoch, top->epoch) == 0;
}

/* May it begin? The limit is that of the moment: what is published while we read adds to it. */
static bool is_within_reach(const struct subscribe *s, const struct storage_position *top)
{
    uint64_t max = (uint64_t)s->hub->client_options->recovery_max_publication_limit;
    return s->since <= top->offset && top->offset - s->since <= max;
}

/* True: what came after since is in memory, and taken. */
static bool take_recent(struct subscribe *s, uint64_t since)
{
    struct publication *const *tail;
    size_t n_tail;
    if (!channel_tail_since(s->channel, since, &tail, &n_tail)) {
        return false;
    }
    s->result.recovered = keep_recovered(s, tail, n_tail);
    return true;
}

/* Everything after the client's position. True: the recovery is decided (or the storage is closed).
 * False: a read was started. */
static bool recover_stream(struct subscribe *s)
{
    const struct storage_position *top = channel_top(s->channel);
    bool is_same_epoch = !s->has_epoch || is_epoch_of(s->epoch, top);
    s->is_in_reach = s->is_in_reach || is_within_reach(s, top);
    if (!is_same_epoch || !s->is_in_reach) {
        s->was_read = false; /* for nothing */
        return true;
    }
    if (take_recent(s, s->since) || s->was_read || s->hub->is_abandoned ||
        s->since + 1 < channel_first(s->channel)) {
        return true; /* or the stream no longer has them all, or they are too large for one reply */
    }
    return !start_read(s, s->since);
}

/* Only the newest publication counts, from wherever the client comes. Returns as recover_stream().
 */
static bool recover_newest(struct subscribe *s)
{
    const struct storage_position *top = channel_top(s->channel);
    bool client_has_it = s->since > 0 && s->since == top->offset && is_epoch_of(s->epoch, top);
    if (client_has_it || top->offset == 0) {
        s->result.recovered = client_has_it;
        return true;
    }
    if (take_recent(s, top->offset - 1) || s->was_read || s->hub->is_abandoned ||
        top->offset < channel_first(s->channel)) {
        return true;
    }
    return !start_read(s, top->offset - 1);
}

static bool wants_newest(const struct subscribe *s)
{
    return channel_namespace(s->channel)->recovery_mode == RECOVERY_CACHE;
}

static bool recover(struct subscribe *s)
{
    return wants_newest(s) ? recover_newest(s) : recover_stream(s);
}

/* Who comes first for what was missed reads it together with the position. */
static enum status start_loading(struct subscribe *s)
{
    if (s->recover && !wants_newest(s) && !channel_is_loaded(s->channel)) {
        s->was_read = true;
        return channel_recall(s->channel, s->since, loaded, s);
    }
    return channel_load(s->channel, loaded, s);
}

/* --- the end --- */

static void fill_result(struct subscribe *s)
{
    struct subscribe_result *r = &s->result;
    if (!r->positioned) {
        return;
    }
    r->position = *channel_top(s->channel);
    if (!r->recovered) {
        return;
    }
    r->publications = s->recovered;
    r->n_publications = s->n_recovered;
    /* The client counts on from where it was; from another epoch it may come from beyond. */
    bool is_behind = s->n_recovered == 0 || s->since < s->recovered[0]->offset;
    r->position.offset = is_behind ? s->since : s->recovered[0]->offset - 1;
}

static void count_recovery(const struct subscribe *s)
{
    if (s->result.recovered) {
        s->hub->n_recovered++;
    } else {
        s->hub->n_unrecovered++;
    }
    bool was_anything_missed = s->n_recovered > 0 || !s->result.recovered;
    s->hub->n_tail_misses += s->was_read && was_anything_missed;
    s->hub->n_tail_hits += !s->was_read && s->n_recovered > 0;
}

static void answer(struct subscribe *s)
{
    bool is_there = client_call_ends(s->client);
    if (!is_there || !client_is_connected(s->client)) {
        s->done(s->arg, STATUS_CLOSED, NULL);
        return;
    }
    if (s->status == STATUS_OK && s->recover) {
        count_recovery(s);
        bool is_refused = !s->result.recovered && s->fail_unrecovered;
        s->status = is_refused ? STATUS_UNRECOVERABLE : STATUS_OK;
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
            s->status = start_loading(s);
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
            return; /* loaded() steps us */
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
