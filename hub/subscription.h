/* One client in one channel, as the units of hub/ share it. */
#ifndef BELFRY_HUB_SUBSCRIPTION_H
#define BELFRY_HUB_SUBSCRIPTION_H

#include "base/deadlines.h"
#include "hub/subscription_grant.h"
#include "hub/tags_filter.h"

struct channel;
struct client;
struct proxy_call;

/* What few subscriptions have. */
struct subscription_more {
    char *info;                 /* chan_info: JSON; or NULL */
    struct tags_filter *filter; /* or NULL */
    struct deadline expiry;
    int64_t expires_at; /* seconds since 1970; 0: never */
    struct client *client;
    struct channel *channel;
    struct proxy_call *call; /* the backend is being asked to prolong it; or NULL */
};

struct subscription {
    struct channel *channel;
    struct subscription_more *more; /* NULL mostly */
    uint32_t index;                 /* of the client's place in the channel */
    bool is_positioned : 1;
    bool is_server_side : 1;
    bool is_from_token : 1; /* of the connection's token: a refreshed one must ask for it, too */
    bool has_joins : 1;     /* is told who comes and goes */
    bool has_delta : 1;     /* gets data as strings, and deltas */
    bool has_base : 1;      /* the channel's last delivered publication is what it got last */
    bool is_present : 1;    /* is in the channel's presence */
    bool tells_joins : 1;   /* others are told that it comes and goes */
};

/* Not every frame that others get is good for it. */
static inline bool subscription_is_special(const struct subscription *s)
{
    return s->has_delta || (s->more && s->more->filter);
}

#endif
