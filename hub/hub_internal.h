/* What the units of hub/ share about the whole. Not for other floors. */
#ifndef BELFRY_HUB_HUB_INTERNAL_H
#define BELFRY_HUB_HUB_INTERNAL_H

#include "base/lifetime.h"
#include "base/trim.h"
#include "hub/channel_memory.h"
#include "hub/client.h"
#include "hub/drain.h"
#include "hub/fan_out.h"
#include "hub/feed_instance.h"
#include "hub/hub.h"
#include "hub/hub_proxies.h"
#include "hub/position_check.h"
#include "hub/token.h"
#include "hub/traffic.h"
#include "hub/webhooks.h"

struct channel;
struct refresh;

struct hub {
    struct loop *loop;
    struct deadlines *deadlines;
    struct storage *storage;
    struct fetch_pool *fetch_pool;
    struct fetch_pool *guarded_pool;
    const struct address_guard *guard;
    const struct client_options *client_options;
    const struct channel_options *channel_options;
    const struct upstreams_options *upstreams_options;
    const struct rpc_options *rpc_options;
    const char *version;
    char node[RNG_UUID_SIZE];
    int64_t started_ms;
    const struct trace *trace; /* of the caller who is calling; NULL: none */
    bool is_stopping;
    bool is_abandoned; /* the storage takes no more operations */

    struct token_verifier *connection_tokens;
    struct token_verifier *subscription_tokens; /* the same one, unless it has keys of its own */
    struct hub_proxies *proxies;
    struct webhooks *webhooks;
    struct config_list wanted_headers; /* of char * of the options; the array is ours */

    struct client *clients; /* a doubly linked list */
    struct user *users;     /* a hash by name; without the anonymous one */
    size_t n_anonymous;     /* connected clients without a user */
    int64_t admitted_s;     /* connection_rate_limit counts in seconds of the monotonic clock */
    int64_t n_admitted;     /* in that one */
    size_t n_clients;       /* authenticated or not */
    struct trim trim;       /* of their memory */
    struct drain drain;
    size_t n_subscriptions;
    struct channel *channels; /* a hash by name */
    size_t n_channels;        /* without the idle ones */
    struct channel_memory memory;
    struct position_check position_check;
    struct feed **feeds;                  /* as configured */
    struct deadlines *upstream_deadlines; /* with a finer tick: for second copies and retries */
    size_t n_feeds;
    struct feed_table feed_table;
    struct refresh *refreshes; /* under way: a list */
    size_t n_refreshes;
    size_t n_operations; /* publications and reads under way */

    struct fan_out *fan_out;
    uint64_t n_publications;
    uint64_t n_slow;
    uint64_t n_refused_limit; /* connections: connection_limit */
    uint64_t n_refused_rate;
    uint64_t n_refused_user_limit;
    uint64_t n_rotated;        /* max_lifetime */
    uint64_t n_recovered;      /* recoveries, successful and not */
    uint64_t n_recovered_some; /* successful ones that brought publications */
    uint64_t n_unrecovered;
    uint64_t n_tail_hits; /* recoveries and history reads, from memory and not */
    uint64_t n_tail_misses;
    uint64_t n_insufficient_state;
    struct traffic traffic;

    /* Only one client is corked at a time: it is the one whose command is being handled. */
    struct client *corked;
    struct buf cork;    /* begins with FRAME_HEADROOM bytes */
    struct buf scratch; /* one message on its way out, with FRAME_HEADROOM bytes in front */
};

/* Zeroed memory for an operation. A hub that cannot find a few hundred bytes to say "no" with
 * cannot go on: ends the program. Payloads and everything else that a client can make large are
 * allocated with a check instead. */
void *hub_allocate(size_t n_bytes) __attribute__((malloc, returns_nonnull));

/* Is anybody told of such events? Not any more when the storage closes. */
static inline bool hub_tells(const struct hub *hub, enum webhook_event event)
{
    return !hub->is_abandoned && webhooks_want(hub->webhooks, event);
}

/* Feeds that are made, and not yet the hub's. */
struct feed_set {
    struct feed **feeds;
    size_t n_feeds;
};
/* Accepts an empty one. */
void feed_set_release(struct feed_set *set);

/* The feeds' part of hub_create, hub_prepare, hub_commit, hub_destroy. */
enum status hub_create_feeds(struct hub *hub) MUST_CHECK;
/* The set is to be released also in failure. */
enum status hub_prepare_feeds(struct hub *hub, const struct config_list *feeds,
                              struct lifetime *lifetime, struct feed_set *ret_set) MUST_CHECK;
void hub_commit_feeds(struct hub *hub, struct feed_set *set);
/* The channels' part of hub_commit. */
void hub_commit_channels(struct hub *hub);
/* Nothing is refreshed by itself any more. */
void hub_stop_feeds(struct hub *hub);
void hub_destroy_feeds(struct hub *hub);

#endif
