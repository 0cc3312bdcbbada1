/* SPDX-License-Identifier: MIT */
/* Unit hub is the whole: wiring, figures, and the order of going down. */
#include "hub/hub.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/channel.h"
#include "hub/client_internal.h"
#include "hub/hub_internal.h"

#define MESSAGE_MAX_BYTES ((size_t)64 << 20)

void *hub_allocate(size_t n_bytes)
{
    void *memory = calloc(1, n_bytes);
    if (!memory) {
        log_error("hub", "out_of_memory", log_i("bytes", (int64_t)n_bytes));
        abort();
    }
    return memory;
}

/* What is kept for those who may come back, and for checks that will not be made any more. */
static void let_memory_go(struct hub *hub)
{
    channel_memory_clear(&hub->memory);
    position_check_stop(&hub->position_check);
    trim_stop(&hub->trim);
}

static enum status create_verifiers(struct hub *hub, const struct hub_options *options)
{
    const struct client_options *client = options->client;
    struct token_verifier_setup setup = {.loop = options->loop,
                                         .fetch_pool = options->backend_pool,
                                         .options = &client->token,
                                         .skips_signature =
                                             client->insecure_skip_token_signature_verify};
    enum status status = token_verifier_create(&setup, &hub->connection_tokens);
    hub->subscription_tokens = hub->connection_tokens;
    if (status == STATUS_OK && client->subscription_token.enabled) {
        setup.options = &client->subscription_token;
        hub->subscription_tokens = NULL;
        status = token_verifier_create(&setup, &hub->subscription_tokens);
    }
    return status;
}

static enum status create_webhooks(struct hub *hub, const struct hub_options *options)
{
    return webhooks_create(&(struct webhooks_setup){.loop = options->loop,
                                                    .deadlines = options->deadlines,
                                                    .storage = options->storage,
                                                    .fetch_pool = options->backend_pool,
                                                    .options = options->webhooks},
                           &hub->webhooks);
}

static enum status create_parts(struct hub *hub, const struct hub_options *options)
{
    enum status status =
        fan_out_create(options->loop, options->deadlines, channel_delivered, &hub->fan_out);
    if (status == STATUS_OK) {
        status = create_verifiers(hub, options);
    }
    if (status == STATUS_OK) {
        status = hub_proxies_create(options, &hub->proxies);
    }
    if (status == STATUS_OK) {
        status = hub_create_feeds(hub);
    }
    return status == STATUS_OK ? create_webhooks(hub, options) : status; /* it uses the storage */
}

static void want_header(struct hub *hub, const char *name)
{
    const char **names = hub->wanted_headers.items;
    for (size_t i = 0; i < hub->wanted_headers.n_items; i++) {
        if (str_eq_nocase(str_of(names[i]), str_of(name))) {
            return;
        }
    }
    names = realloc((void *)names, (hub->wanted_headers.n_items + 1) * sizeof(*names));
    if (!names) {
        abort(); /* at the start */
    }
    names[hub->wanted_headers.n_items++] = name;
    hub->wanted_headers.items = (void *)names;
}

static void want_headers_of(struct hub *hub, const struct proxy_options *proxy, bool is_used)
{
    const struct config_list *lists[] = {&proxy->http_headers, &proxy->emulated_headers};
    for (size_t i = 0; is_used && i < 2; i++) {
        char *const *names = lists[i]->items;
        for (size_t k = 0; k < lists[i]->n_items; k++) {
            want_header(hub, names[k]);
        }
    }
}

/* Most hubs want none, and then nothing is kept of a connection's request. */
static void gather_wanted_headers(struct hub *hub, const struct hub_options *options)
{
    const struct proxy_options *defaults[] = {
        &options->client->proxy.connect,      &options->client->proxy.refresh,
        &options->channel->proxy.subscribe,   &options->channel->proxy.publish,
        &options->channel->proxy.sub_refresh, &options->rpc->proxy};
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        want_headers_of(hub, defaults[i], defaults[i]->enabled);
    }
    const struct proxy_options *named = options->proxies->items;
    for (size_t i = 0; i < options->proxies->n_items; i++) {
        want_headers_of(hub, &named[i], true);
    }
    if (*options->client->user_id_http_header) {
        want_header(hub, options->client->user_id_http_header);
    }
}

enum status hub_create(const struct hub_options *options, struct hub **ret_hub)
{
    struct hub *hub = hub_allocate(sizeof(*hub));
    hub->loop = options->loop;
    hub->deadlines = options->deadlines;
    hub->storage = options->storage;
    hub->fetch_pool = options->fetch_pool;
    hub->guarded_pool = options->guarded_pool;
    hub->guard = options->guard;
    hub->client_options = options->client;
    hub->channel_options = options->channel;
    hub->feeds_options = options->feeds;
    hub->upstreams_options = options->upstreams;
    hub->rpc_options = options->rpc;
    hub->version = options->version;
    hub->started_ms = clock_monotonic_ms();
    rng_uuid(hub->node);
    channel_memory_init(&hub->memory, hub);
    position_check_init(&hub->position_check, hub);
    trim_init(&hub->trim, hub->deadlines);
    buf_init(&hub->cork, MESSAGE_MAX_BYTES);
    buf_init(&hub->scratch, MESSAGE_MAX_BYTES);
    gather_wanted_headers(hub, options);
    enum status status = create_parts(hub, options);
    if (status != STATUS_OK) {
        hub_destroy(hub);
        return status;
    }
    *ret_hub = hub;
    return STATUS_OK;
}

void hub_destroy(struct hub *hub)
{
    if (!hub) {
        return;
    }
    hub_destroy_feeds(hub);
    let_memory_go(hub);
    webhooks_destroy(hub->webhooks);
    hub_proxies_destroy(hub->proxies);
    if (hub->subscription_tokens != hub->connection_tokens) {
        token_verifier_destroy(hub->subscription_tokens);
    }
    token_verifier_destroy(hub->connection_tokens);
    fan_out_destroy(hub->fan_out);
    free(hub->wanted_headers.items);
    buf_release(&hub->cork);
    buf_release(&hub->scratch);
    free(hub);
}

void hub_stop(struct hub *hub)
{
    hub->is_stopping = true;
    hub_stop_feeds(hub);
    trim_stop(&hub->trim);
    webhooks_stop(hub->webhooks);
    hub_proxies_stop(hub->proxies);
    token_verifier_stop(hub->connection_tokens);
    token_verifier_stop(hub->subscription_tokens);
    fan_out_hurry(hub->fan_out);
}

void hub_abandon(struct hub *hub)
{
    hub->is_stopping = true;
    hub->is_abandoned = true;
    webhooks_abandon(hub->webhooks);
    let_memory_go(hub);
}

bool hub_is_stopping(const struct hub *hub)
{
    return hub->is_stopping;
}

size_t hub_send_clients_away(struct hub *hub, size_t n_max)
{
    size_t n_left = 0;
    for (struct client *client = hub->clients; client; client = client_next(client)) {
        if (client_is_leaving(client)) {
            continue;
        }
        if (n_max > 0) {
            n_max--;
            client_disconnect(client, &disconnect_shutdown);
        } else {
            n_left++;
        }
    }
    return n_left;
}

bool hub_is_idle(const struct hub *hub)
{
    return hub->n_clients == 0 && hub->n_operations == 0 && hub->n_refreshes == 0 &&
           fan_out_is_idle(hub->fan_out) && webhooks_is_idle(hub->webhooks);
}

void hub_channels(struct hub *hub, struct str pattern, channels_fn each, void *arg)
{
    for (struct channel *c = hub->channels; c; c = channel_next(c)) {
        size_t n_clients = channel_n_subscribers(c);
        if (n_clients > 0 && (pattern.len == 0 || str_glob(pattern, channel_name(c)))) {
            each(arg, channel_name(c), n_clients);
        }
    }
}

static void add_proxy(void *arg, struct proxy *proxy)
{
    struct hub_stats *all = arg;
    struct proxy_stats stats;
    proxy_stats(proxy, &stats);
    all->n_proxy_calls += stats.n_under_way;
    all->n_proxy_overloaded += stats.n_overloaded;
}

void hub_stats(struct hub *hub, struct hub_stats *ret_stats)
{
    *ret_stats = (struct hub_stats){
        .n_clients = hub->n_clients,
        .n_subscriptions = hub->n_subscriptions,
        .n_channels = hub->n_channels,
        .n_refreshes = hub->n_refreshes,
        .n_feed_instances = HASH_COUNT(hub->feed_table.instances),
        .feed_memory_bytes = hub->feed_table.n_bytes,
        .n_feed_evicted = hub->feed_table.n_evicted,
        .n_watched = hub->feed_table.n_watched,
        .n_watch_refused = hub->feed_table.n_watch_refused,
        .n_publications = hub->n_publications,
        .n_slow = hub->n_slow,
        .n_users = HASH_COUNT(hub->users) + (hub->n_anonymous > 0),
        .n_refused_limit = hub->n_refused_limit,
        .n_refused_rate = hub->n_refused_rate,
        .n_refused_user_limit = hub->n_refused_user_limit,
        .n_idle_channels = hub->memory.n_idle,
        .tail_bytes = hub->memory.n_bytes,
        .tail_max_bytes = (size_t)hub->channel_options->tail_total_max_size,
        .n_tail_hits = hub->n_tail_hits,
        .n_tail_misses = hub->n_tail_misses,
        .n_tail_evicted = hub->memory.n_evicted,
        .n_position_checks = hub->position_check.n_checks,
        .n_insufficient_state = hub->n_insufficient_state,
        .n_recovered = hub->n_recovered,
        .n_unrecovered = hub->n_unrecovered,
        .uptime_s = (clock_monotonic_ms() - hub->started_ms) / 1000,
    };
    fan_out_stats(hub->fan_out, &ret_stats->fan_out);
    webhooks_stats(hub->webhooks, &ret_stats->webhooks);
    hub_proxies_each(hub->proxies, add_proxy, ret_stats);
    memcpy(ret_stats->node, hub->node, sizeof(hub->node));
}

size_t hub_n_clients(const struct hub *hub)
{
    return hub->n_clients;
}

const char *hub_version(const struct hub *hub)
{
    return hub->version;
}

struct fetch_pool *hub_guarded_pool(const struct hub *hub)
{
    return hub->guarded_pool;
}

const struct client_options *hub_client_options(const struct hub *hub)
{
    return hub->client_options;
}

const char *hub_node(const struct hub *hub)
{
    return hub->node;
}

struct proxy_walk {
    hub_proxy_fn each;
    void *arg;
};

static void tell_proxy(void *arg, struct proxy *proxy)
{
    const struct proxy_walk *walk = arg;
    struct proxy_stats stats;
    proxy_stats(proxy, &stats);
    walk->each(walk->arg, proxy_name(proxy), &stats);
}

void hub_proxies(struct hub *hub, hub_proxy_fn each, void *arg)
{
    struct proxy_walk walk = {.each = each, .arg = arg};
    hub_proxies_each(hub->proxies, tell_proxy, &walk);
}

const struct channel_options *hub_channel_options(const struct hub *hub)
{
    return hub->channel_options;
}
