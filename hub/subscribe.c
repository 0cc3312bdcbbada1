/* SPDX-License-Identifier: MIT */
/* Unit subscribe is the way of a client into a channel: permission (token, users in the name,
 * backend, options), position, recovery of what was missed, reply. What is published meanwhile is
 * neither lost nor sent twice, because the last step - reply and place in the channel - happens in
 * one turn, with all publications up to the channel's top in the reply. */
#include "hub/subscribe.h"

#include <stdlib.h>

#include "base/log.h"
#include "hub/channel.h"
#include "hub/client_internal.h"
#include "hub/expiry.h"
#include "hub/hub_internal.h"
#include "hub/verify.h"

enum subscribe_state {
    SUBSCRIBE_CHECKING,
    SUBSCRIBE_VERIFYING, /* the token */
    SUBSCRIBE_ASKING,    /* the backend */
    SUBSCRIBE_CHOOSING,  /* what the subscription can do */
    SUBSCRIBE_RECALLING, /* the last snapshot of the channel's feed */
    SUBSCRIBE_POSITIONING,
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

    enum subscribe_origin origin;
    struct subscription_grant grant; /* of token, backend or server */
    char *token;                     /* or NULL */
    char *data;                      /* JSON for the backend; or NULL */
    char *message;                   /* of the backend's error; or NULL */
    struct client_error error;
    bool wants_positioned;
    bool wants_recoverable;
    bool wants_joins;
    bool wants_delta;
    bool is_from_token;
    bool is_present;
    bool tells_joins;
    bool has_joins;
    struct tags_filter *filter; /* or NULL */

    bool was_asked_to_recover;
    bool recover;
    bool fail_unrecovered;
    uint64_t since;
    char epoch[STORAGE_EPOCH_SIZE];
    bool has_epoch;

    struct subscribe_result result;
    bool is_in_reach;           /* was, when that was asked first */
    bool was_read;              /* the storage, by us or for us */
    struct feed_instance *feed; /* whose channel it is, held; or NULL */
    struct feed_load load;
    struct publication *shown;      /* its snapshot, where nothing is recovered; own reference */
    struct publication **recovered; /* own references; or NULL */
    size_t n_recovered;
    uint64_t first_recovered; /* offset of the first one, before the filter; 0: none */
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

/* --- may it? --- */

static const struct namespace_options *namespace_of(const struct subscribe *s)
{
    return channel_namespace(s->channel);
}

/* STATUS_OK: the next question is who says yes. */
static enum status check(const struct subscribe *s)
{
    const struct client_options *options = s->hub->client_options;
    if (s->origin == SUBSCRIBE_BY_CLIENT && !client_is_connected(s->client)) {
        return STATUS_CLOSED;
    }
    if (client_subscription(s->client, s->channel)) {
        return STATUS_ALREADY;
    }
    return s->client->n_subscriptions < (size_t)options->channel_limit ? STATUS_OK : STATUS_LIMIT;
}

/* The end of waiting for somebody's answer. False: the client has gone meanwhile, and the operation
 * ends. */
static bool goes_on(struct subscribe *s)
{
    if (client_is_there(s->client)) {
        return true;
    }
    s->status = STATUS_CLOSED;
    s->state = SUBSCRIBE_ANSWERING;
    return false;
}

static enum status send_away(struct subscribe *s, const struct disconnect *why)
{
    client_disconnect(s->client, why);
    return STATUS_CLOSED;
}

static enum status accept_claims(struct subscribe *s, enum status status,
                                 struct token_claims *claims)
{
    switch (status) {
    case STATUS_OK: break;
    case STATUS_EXPIRED: return STATUS_EXPIRED;
    case STATUS_CONNECT: return STATUS_INTERNAL; /* temporary: the client tries again */
    default: return STATUS_DENIED;
    }
    if (!verify_is_meant(claims, s->client, channel_name(s->channel))) {
        return send_away(s, &disconnect_invalid_token);
    }
    s->grant = claims->grant;
    claims->grant = (struct subscription_grant){0};
    return STATUS_OK;
}

static void verified(void *arg, enum status status, struct token_claims *claims)
{
    struct subscribe *s = arg;
    if (goes_on(s)) {
        s->status = accept_claims(s, status, claims);
        s->state = s->status == STATUS_OK ? SUBSCRIBE_CHOOSING : SUBSCRIBE_ANSWERING;
    }
    subscribe_step(s);
}

static enum status accept_answer(struct subscribe *s, const struct proxy_answer *answer)
{
    switch (answer->verdict) {
    case PROXY_RESULT: return subscription_grant_read(answer->result, &s->grant, NULL);
    case PROXY_DISCONNECT:
        client_disconnect_with(s->client, answer->code, str_of(answer->message));
        return STATUS_CLOSED;
    case PROXY_ERROR: break;
    }
    s->message = str_dup(str_of(answer->message));
    s->error = (struct client_error){.code = answer->code,
                                     .message = s->message ? s->message : "",
                                     .is_temporary = answer->is_temporary};
    return STATUS_REFUSED;
}

static void asked(void *arg, const struct proxy_answer *answer)
{
    struct subscribe *s = arg;
    if (goes_on(s)) {
        s->status = accept_answer(s, answer);
        s->state = s->status == STATUS_OK ? SUBSCRIBE_CHOOSING : SUBSCRIBE_ANSWERING;
    }
    subscribe_step(s);
}

static enum status ask(struct subscribe *s, struct proxy *proxy)
{
    char uuid[RNG_UUID_SIZE];
    struct proxy_request request = {.event = PROXY_SUBSCRIBE,
                                    .channel = channel_name(s->channel),
                                    .token = str_of(s->token),
                                    .data = str_of(s->data)};
    hub_proxies_introduce(&request, s->client, uuid);
    struct proxy_call *call; /* an answer is waited for also when the client goes */
    return proxy_ask(proxy, &request, asked, s, &call) == STATUS_OK ? STATUS_OK : STATUS_INTERNAL;
}

/* Who says yes: a token, the channel's name, the backend or the namespace's options. Leaves the
 * state at who has been asked. STATUS_OK, and the state is SUBSCRIBE_CHOOSING: yes. */
static enum status find_permission(struct subscribe *s)
{
    struct str name = channel_name(s->channel);
    const struct channel_options *options = s->hub->channel_options;
    struct proxy *proxy = hub_proxies_of_channel(s->hub->proxies, PROXY_SUBSCRIBE, namespace_of(s));
    s->state = SUBSCRIBE_CHOOSING;
    if (s->origin == SUBSCRIBE_BY_SERVER) {
        return STATUS_OK;
    }
    if (s->token) {
        const struct verify_request request = {.kind = TOKEN_SUBSCRIPTION,
                                               .token = str_of(s->token),
                                               .client = s->client,
                                               .channel = name};
        s->state = SUBSCRIBE_VERIFYING; /* verified() steps us */
        verify_start(s->hub, &request, verified, s);
        return STATUS_OK;
    }
    switch (channel_user_limit(options, namespace_of(s), name, client_user(s->client))) {
    case USER_IS_LISTED:
        if (!channel_is_private(options, name)) {
            return STATUS_OK;
        }
        break;
    case USER_IS_NOT_LISTED:
        if (!s->hub->client_options->insecure) {
            return STATUS_DENIED;
        }
        break;
    case USER_NOT_LIMITED: break;
    }
    if (proxy) {
        s->state = SUBSCRIBE_ASKING; /* asked() steps us */
        return ask(s, proxy);
    }
    return client_may(s->client, name, ACCESS_SUBSCRIBE);
}

/* --- what it can do --- */

static bool choose(unsigned char choice, bool otherwise)
{
    return choice == OVERRIDE_NONE ? otherwise : choice == OVERRIDE_TRUE;
}

/* Whether presence is on does not matter here; and who subscribes will be a subscriber. */
static bool may_hear_joins(const struct subscribe *s)
{
    bool is_anonymous = client_user(s->client).len == 0;
    return s->hub->client_options->insecure ||
           namespace_allows(namespace_of(s), ACCESS_PRESENCE, is_anonymous, true);
}

static void choose_presence(struct subscribe *s)
{
    const struct namespace_options *ns = namespace_of(s);
    const struct subscription_override *o = &s->grant.override;
    s->is_present = choose(o->presence, ns->presence);
    s->tells_joins = choose(o->join_leave, ns->join_leave);
    s->has_joins = choose(o->force_push_join_leave, ns->force_push_join_leave) ||
                   (s->wants_joins && may_hear_joins(s));
}

static void choose_features(struct subscribe *s)
{
    const struct namespace_options *ns = namespace_of(s);
    const struct subscription_override *o = &s->grant.override;
    struct subscribe_result *r = &s->result;
    bool has_history = namespace_has_history(ns);
    r->recoverable = has_history && (choose(o->force_recovery, ns->force_recovery) ||
                                     (s->wants_recoverable && ns->allow_recovery));
    r->positioned =
        has_history && (r->recoverable || choose(o->force_positioning, ns->force_positioning) ||
                        (s->wants_positioned && ns->allow_positioning));
    r->delta = s->wants_delta && ns->allows_delta && !s->filter;
    r->data = str_of(s->grant.data);
    bool is_forced = r->recoverable && ns->auto_cache_recover;
    r->was_recovering = s->was_asked_to_recover || is_forced;
    s->recover = r->was_recovering && r->recoverable;
    choose_presence(s);
}

/* --- recovery --- */

static bool keep_recovered(struct subscribe *s, struct publication *const *tail, size_t n_tail)
{
    s->recovered = calloc(n_tail > 0 ? n_tail : 1, sizeof(struct publication *));
    if (!s->recovered) {
        return false;
    }
    s->first_recovered = n_tail > 0 ? tail[0]->offset : 0;
    for (size_t i = 0; i < n_tail; i++) {
        if (!s->filter || tags_filter_matches(s->filter, tail[i]->tags)) {
            s->recovered[s->n_recovered++] = publication_ref(tail[i]);
        }
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

/* --- the last snapshot, where a feed publishes here --- */

static void recalled(void *arg)
{
    struct subscribe *s = arg;
    s->state = SUBSCRIBE_POSITIONING;
    subscribe_step(s);
}

/* True: it is being read; recalled() steps us. */
static bool start_recalling(struct subscribe *s)
{
    s->feed = feed_instance_of_channel(s->hub, channel_name(s->channel));
    if (!s->feed || s->feed->is_known) {
        return false;
    }
    s->state = SUBSCRIBE_RECALLING;
    s->load = (struct feed_load){.done = recalled, .arg = s};
    feed_instance_load(s->feed, &s->load);
    return true;
}

/* Who recovers has what he had before, and what came since. */
static void show_snapshot(struct subscribe *s)
{
    struct subscribe_result *r = &s->result;
    struct publication *newest = s->feed ? feed_instance_show(s->feed) : NULL;
    bool is_wanted =
        newest && !r->recovered && (!s->filter || tags_filter_matches(s->filter, STR_EMPTY));
    if (is_wanted) {
        s->shown = publication_ref(newest);
        r->publications = &s->shown;
        r->n_publications = 1;
    }
}

/* --- the end --- */

static void fill_result(struct subscribe *s)
{
    struct subscribe_result *r = &s->result;
    show_snapshot(s);
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
    bool is_behind = s->first_recovered == 0 || s->since < s->first_recovered;
    r->position.offset = is_behind ? s->since : s->first_recovered - 1;
}

static void count_recovery(const struct subscribe *s)
{
    if (s->result.recovered) {
        s->hub->n_recovered++;
        s->hub->n_recovered_some += s->n_recovered > 0;
    } else {
        s->hub->n_unrecovered++;
    }
    bool was_anything_missed = s->n_recovered > 0 || !s->result.recovered;
    s->hub->n_tail_misses += s->was_read && was_anything_missed;
    s->hub->n_tail_hits += !s->was_read && s->n_recovered > 0;
}

/* The place in the channel, for good. */
static enum status take_place(struct subscribe *s)
{
    struct subscription subscription = {
        .channel = s->channel,
        .is_positioned = s->result.positioned,
        .is_server_side = s->origin == SUBSCRIBE_BY_SERVER,
        .is_from_token = s->is_from_token,
        .has_joins = s->has_joins,
        .has_delta = s->result.delta,
        .is_present = s->is_present,
        .tells_joins = s->tells_joins,
    };
    struct publication *last = s->n_recovered > 0 ? s->recovered[s->n_recovered - 1] : s->shown;
    subscription.has_base = s->result.delta && channel_has_base(s->channel, last);
    enum status status = STATUS_OK;
    if (s->filter || s->grant.info) {
        status = subscription_more_of(s->client, &subscription, &subscription.more);
    }
    if (status == STATUS_OK && subscription.more) {
        subscription.more->filter = s->filter;
        subscription.more->info = s->grant.info;
        s->filter = NULL;
        s->grant.info = NULL;
    }
    if (status == STATUS_OK) {
        status = subscription_set_expiry(s->client, &subscription, s->grant.expires_at, &s->result);
    }
    if (status == STATUS_OK) {
        status = client_add_subscription(s->client, &subscription);
    }
    if (status != STATUS_OK) {
        subscription_more_free(s->hub, subscription.more);
    }
    return status;
}

/* While the token was verified or the backend asked, another of the client's commands cannot have
 * come between, but the server may have subscribed it. */
static enum status check_again(const struct subscribe *s)
{
    bool is_gone = namespace_of(s) == &namespace_gone; /* since */
    enum status status = is_gone ? STATUS_UNKNOWN_CHANNEL : check(s);
    bool is_over = expiry_is_over(s->grant.expires_at);
    return status == STATUS_OK && is_over ? STATUS_OVER : status;
}

static void answer(struct subscribe *s)
{
    bool is_there = client_call_ends(s->client) && client_is_there(s->client);
    if (!is_there) {
        s->done(s->arg, STATUS_CLOSED, NULL, NULL);
        return;
    }
    if (s->status == STATUS_OK && s->recover) {
        count_recovery(s);
        bool is_refused = !s->result.recovered && s->fail_unrecovered;
        s->status = is_refused ? STATUS_UNRECOVERABLE : STATUS_OK;
    }
    if (s->status == STATUS_OK) {
        s->status = check_again(s);
    }
    if (s->status == STATUS_OK) {
        fill_result(s);
        s->status = take_place(s);
    }
    if (s->status == STATUS_OK && s->feed && s->feed->load_status == STATUS_OK) {
        schedule_touch(s->feed, true);
    }
    s->done(s->arg, s->status, s->status == STATUS_REFUSED ? &s->error : NULL,
            s->status == STATUS_OK ? &s->result : NULL);
}

static void finish(struct subscribe *s)
{
    for (size_t i = 0; i < s->n_recovered; i++) {
        publication_unref(s->recovered[i]);
    }
    free(s->recovered);
    publication_unref(s->shown);
    if (s->feed) {
        feed_instance_release(s->feed);
    }
    tags_filter_destroy(s->filter);
    subscription_grant_release(&s->grant);
    free(s->token);
    free(s->data);
    free(s->message);
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
        s->status = s->status == STATUS_OK && goes_on(s) ? check(s) : s->status;
        s->status = s->status == STATUS_OK ? find_permission(s) : s->status;
        if (s->status == STATUS_OK && s->state != SUBSCRIBE_CHOOSING) {
            return; /* verified() or asked() steps us */
        }
        /* fall through */
    case SUBSCRIBE_CHOOSING:
        if (s->status == STATUS_OK) {
            choose_features(s);
        }
        if (s->status == STATUS_OK && start_recalling(s)) {
            return; /* recalled() steps us */
        }
        /* fall through */
    case SUBSCRIBE_POSITIONING:
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
    case SUBSCRIBE_VERIFYING:
    case SUBSCRIBE_ASKING:
    case SUBSCRIBE_RECALLING:
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

/* --- the start --- */

static struct subscribe *create(struct client *client, struct str channel, subscribe_done_fn done,
                                void *arg)
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
    s->status =
        hub->is_abandoned ? STATUS_CLOSED : namespace_find(hub->channel_options, channel, &ns);
    if (s->status == STATUS_OK) {
        s->channel = channel_acquire(hub, channel, ns);
        s->status = s->channel ? STATUS_OK : STATUS_NO_MEMORY;
    }
    loop_defer(hub->loop, &s->step);
    return s;
}

static void recover_from(struct subscribe *s, uint64_t offset, struct str epoch)
{
    s->was_asked_to_recover = true;
    s->since = offset;
    s->has_epoch = epoch.len > 0;
    if (epoch.len < sizeof(s->epoch)) { /* a longer one fits no stream */
        memcpy(s->epoch, epoch.ptr ? epoch.ptr : "", epoch.len);
    }
}

static char *keep(struct subscribe *s, struct str text)
{
    char *copy = text.len > 0 ? str_dup(text) : NULL;
    if (text.len > 0 && !copy) {
        s->status = STATUS_NO_MEMORY;
    }
    return copy;
}

/* The reply has only a code. */
static void log_why_refused(const struct client *client, struct str channel, const char *why)
{
    if (log_enabled(LOG_DEBUG)) {
        char uuid[RNG_UUID_SIZE];
        client_id(client, uuid);
        log_debug("client", "subscribe_refused", log_s("why", why), log_str("channel", channel),
                  log_str("user", client_user(client)), log_s("client", uuid));
    }
}

static void log_no_namespace(const struct subscribe *s, struct str channel)
{
    if (s->status == STATUS_UNKNOWN_CHANNEL) {
        log_why_refused(s->client, channel, "its namespace is not configured");
    } else if (s->status == STATUS_INVALID) {
        log_why_refused(s->client, channel, "its name is not allowed");
    }
}

static void read_filter(struct subscribe *s, struct str tags_filter)
{
    if (tags_filter.len == 0 || s->status != STATUS_OK) {
        return;
    }
    bool is_allowed = namespace_of(s)->allow_tags_filter;
    s->status = is_allowed ? tags_filter_create(tags_filter, &s->filter) : STATUS_INVALID;
    if (s->status == STATUS_INVALID) {
        log_why_refused(s->client, channel_name(s->channel),
                        is_allowed ? "no such filter" : "allow_tags_filter is off");
    }
}

void client_subscribe(struct client *client, const struct subscribe_request *request,
                      subscribe_done_fn done, void *arg)
{
    struct subscribe *s = create(client, request->channel, done, arg);
    log_no_namespace(s, request->channel);
    s->token = keep(s, request->token);
    s->data = keep(s, request->data);
    s->wants_positioned = request->positioned;
    s->wants_recoverable = request->recoverable;
    s->wants_joins = request->join_leave;
    s->wants_delta = str_eq(request->delta, STR("fossil"));
    if (request->recover) { /* who did not ask has no position, and is not refused */
        s->fail_unrecovered = request->fail_unrecovered;
        recover_from(s, request->offset, request->epoch);
    }
    read_filter(s, request->tags_filter);
}

void client_subscribe_by_server(struct client *client, const struct server_subscribe *request,
                                subscribe_done_fn done, void *arg)
{
    const struct subscription_grant *grant = request->grant;
    struct subscribe *s = create(client, request->channel, done, arg);
    s->origin = SUBSCRIBE_BY_SERVER;
    s->is_from_token = request->is_from_token;
    s->grant.info = keep(s, str_of(grant->info));
    s->grant.data = keep(s, str_of(grant->data));
    s->grant.expires_at = grant->expires_at;
    s->grant.override = grant->override;
    if (request->recover) {
        recover_from(s, request->since.offset, str_of(request->since.epoch));
    }
}
