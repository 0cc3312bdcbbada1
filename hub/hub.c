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
    drain_stop(&hub->drain);
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
    struct hub_change *change = NULL;
    enum status status =
        fan_out_create(options->loop, options->deadlines, channel_delivered, &hub->fan_out);
    if (status == STATUS_OK) {
        status = hub_create_feeds(hub);
    }
    if (status == STATUS_OK) {
        status = hub_prepare(hub, options, &change);
    }
    if (status == STATUS_OK) {
        hub_commit(hub, change);
        status = create_webhooks(hub, options); /* it uses the storage */
    }
    return status;
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
    hub->version = options->version;
    hub->started_ms = clock_monotonic_ms();
    rng_uuid(hub->node);
    channel_memory_init(&hub->memory, hub);
    drain_init(&hub->drain, hub, options->drain_ms);
    position_check_init(&hub->position_check, hub);
    trim_init(&hub->trim, hub->deadlines);
    buf_init(&hub->cork, MESSAGE_MAX_BYTES);
    buf_init(&hub->scratch, MESSAGE_MAX_BYTES);
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
    traffic_release(&hub->traffic);
    free(hub->wanted_headers.items);
    buf_release(&hub->cork);
    buf_release(&hub->scratch);
    free(hub);
}

void hub_stop(struct hub *hub)
{
    hub->is_stopping = true;
    drain_stop(&hub->drain);
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

void hub_set_trace(struct hub *hub, const struct trace *trace)
{
    hub->trace = trace;
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
        .n_to_drain = hub->drain.n_left,
        .n_rotated = hub->n_rotated,
        .n_idle_channels = hub->memory.n_idle,
        .tail_bytes = hub->memory.n_bytes,
        .tail_max_bytes = (size_t)hub->channel_options->tail_total_max_size,
        .n_tail_hits = hub->n_tail_hits,
        .n_tail_misses = hub->n_tail_misses,
        .n_tail_evicted = hub->memory.n_evicted,
        .n_position_checks = hub->position_check.n_checks,
        .n_insufficient_state = hub->n_insufficient_state,
        .n_recovered = hub->n_recovered,
        .n_recovered_some = hub->n_recovered_some,
        .n_unrecovered = hub->n_unrecovered,
        .uptime_s = (clock_monotonic_ms() - hub->started_ms) / 1000,
    };
    fan_out_stats(hub->fan_out, &ret_stats->fan_out);
    webhooks_stats(hub->webhooks, &ret_stats->webhooks);
    hub_proxies_each(hub->proxies, add_proxy, ret_stats);
    memcpy(ret_stats->node, hub->node, sizeof(hub->node));
}

struct traffic *hub_traffic(struct hub *hub)
{
    return &hub->traffic;
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
