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

enum status hub_create(const struct hub_options *options, struct hub **ret_hub)
{
    struct hub *hub = hub_allocate(sizeof(*hub));
    hub->loop = options->loop;
    hub->deadlines = options->deadlines;
    hub->storage = options->storage;
    hub->fetch_pool = options->fetch_pool;
    hub->client_options = options->client;
    hub->channel_options = options->channel;
    hub->feeds_options = options->feeds;
    hub->upstreams_options = options->upstreams;
    hub->version = options->version;
    hub->started_ms = clock_monotonic_ms();
    rng_uuid(hub->node);
    channel_memory_init(&hub->memory, hub);
    position_check_init(&hub->position_check, hub);
    trim_init(&hub->trim, hub->deadlines);
    buf_init(&hub->cork, MESSAGE_MAX_BYTES);
    buf_init(&hub->scratch, MESSAGE_MAX_BYTES);
    enum status status = fan_out_create(options->loop, channel_delivered, &hub->fan_out);
    if (status == STATUS_OK) {
        status = hub_create_feeds(hub);
    }
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
    fan_out_destroy(hub->fan_out);
    buf_release(&hub->cork);
    buf_release(&hub->scratch);
    free(hub);
}

void hub_stop(struct hub *hub)
{
    hub->is_stopping = true;
    trim_stop(&hub->trim);
}

void hub_abandon(struct hub *hub)
{
    hub->is_stopping = true;
    hub->is_abandoned = true;
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
           fan_out_is_idle(hub->fan_out);
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

static size_t count_users(struct hub *hub)
{
    struct user_set users = {0};
    for (struct client *client = hub->clients; client; client = client_next(client)) {
        if (client_is_connected(client)) {
            user_set_add(&users, client);
        }
    }
    size_t n_users = users.n_users;
    user_set_release(&users);
    return n_users;
}

void hub_stats_without_users(struct hub *hub, struct hub_stats *ret_stats)
{
    *ret_stats = (struct hub_stats){
        .n_clients = hub->n_clients,
        .n_subscriptions = hub->n_subscriptions,
        .n_channels = hub->n_channels,
        .n_refreshes = hub->n_refreshes,
        .n_publications = hub->n_publications,
        .n_messages_sent = fan_out_n_messages(hub->fan_out),
        .n_slow = hub->n_slow,
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
    memcpy(ret_stats->node, hub->node, sizeof(hub->node));
}

void hub_stats(struct hub *hub, struct hub_stats *ret_stats)
{
    hub_stats_without_users(hub, ret_stats);
    ret_stats->n_users = count_users(hub);
}

size_t hub_n_clients(const struct hub *hub)
{
    return hub->n_clients;
}

const char *hub_version(const struct hub *hub)
{
    return hub->version;
}

const struct client_options *hub_client_options(const struct hub *hub)
{
    return hub->client_options;
}
