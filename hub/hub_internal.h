/* What the units of hub/ share about the whole. Not for other floors. */
#ifndef BELFRY_HUB_HUB_INTERNAL_H
#define BELFRY_HUB_HUB_INTERNAL_H

#include "base/trim.h"
#include "hub/channel_memory.h"
#include "hub/client.h"
#include "hub/fan_out.h"
#include "hub/feed.h"
#include "hub/hub.h"
#include "hub/position_check.h"

struct channel;
struct refresh;

struct hub {
    struct loop *loop;
    struct deadlines *deadlines;
    struct storage *storage;
    struct fetch_pool *fetch_pool;
    const struct client_options *client_options;
    const struct channel_options *channel_options;
    const struct config_list *feeds_options;
    const struct upstreams_options *upstreams_options;
    const char *version;
    char node[RNG_UUID_SIZE];
    int64_t started_ms;
    bool is_stopping;
    bool is_abandoned; /* the storage takes no more operations */

    struct client *clients; /* a doubly linked list */
    size_t n_clients;       /* authenticated or not */
    struct trim trim;       /* of their memory */
    size_t n_subscriptions;
    struct channel *channels; /* a hash by name */
    size_t n_channels;        /* without the idle ones */
    struct channel_memory memory;
    struct position_check position_check;
    struct feed **feeds; /* as configured */
    size_t n_feeds;
    struct refresh *refreshes; /* under way: a hash by feed and parameters */
    size_t n_refreshes;
    size_t n_operations; /* publications and reads under way */

    struct fan_out *fan_out;
    uint64_t n_publications;
    uint64_t n_slow;
    uint64_t n_recovered; /* recoveries, successful and not */
    uint64_t n_unrecovered;
    uint64_t n_tail_hits; /* recoveries and history reads, from memory and not */
    uint64_t n_tail_misses;
    uint64_t n_insufficient_state;

    /* Only one client is corked at a time: it is the one whose command is being handled. */
    struct client *corked;
    struct buf cork;    /* begins with FRAME_HEADROOM bytes */
    struct buf scratch; /* one message on its way out, with FRAME_HEADROOM bytes in front */
};

/* Zeroed memory for an operation. A hub that cannot find a few hundred bytes to say "no" with
 * cannot go on: ends the program. Payloads and everything else that a client can make large are
 * allocated with a check instead. */
void *hub_allocate(size_t n_bytes) __attribute__((malloc, returns_nonnull));

/* The different users among some clients, counted. A zeroed set is empty. */
struct user_entry;
struct user_set {
    struct user_entry *entries;
    size_t n_users;
};
void user_set_add(struct user_set *set, const struct client *client);
void user_set_release(struct user_set *set);

/* The feeds' part of hub_create, hub_destroy. */
enum status hub_create_feeds(struct hub *hub) MUST_CHECK;
void hub_destroy_feeds(struct hub *hub);

#endif
