/* What happened to clients and channels, told to the backend afterwards: kept in the storage until
 * the backend has answered 2xx, so that neither a kill nor a backend that is away loses an event.
 * At least once, in order per endpoint; in batches, signed. Loop's thread only. */
#ifndef BELFRY_HUB_WEBHOOKS_H
#define BELFRY_HUB_WEBHOOKS_H

#include "base/deadlines.h"
#include "base/loop.h"
#include "base/str.h"
#include "hub/webhook_options.h"
#include "storage/storage.h"
#include "upstreams/fetch.h"

struct webhooks;

struct webhooks_setup {
    struct loop *loop;
    struct deadlines *deadlines;
    struct storage *storage;
    struct fetch_pool *fetch_pool;
    const struct config_list *options; /* of struct webhook_options; outlive the webhooks */
};
/* Goes on with what an earlier run of the program has left in the storage. */
enum status webhooks_create(const struct webhooks_setup *setup,
                            struct webhooks **ret_webhooks) MUST_CHECK;
/* Idle (webhooks_is_idle()). Accepts NULL. */
void webhooks_destroy(struct webhooks *webhooks);

/* Does any endpoint want it? Cheap: asked before an event is put together. */
bool webhooks_want(const struct webhooks *webhooks, enum webhook_event event);

struct webhook_client {
    struct str client; /* its id */
    struct str user;
    struct str transport;
};
void webhooks_disconnected(struct webhooks *webhooks, const struct webhook_client *who,
                           unsigned code, struct str reason);
void webhooks_unsubscribed(struct webhooks *webhooks, const struct webhook_client *who,
                           struct str channel, unsigned code, struct str reason);
/* Its first subscriber has come, its last one has gone. */
void webhooks_channel(struct webhooks *webhooks, enum webhook_event event, struct str channel);

/* No more requests are started, and those under way are given up: what they were about is still in
 * the storage. Events are still taken until the storage closes. */
void webhooks_stop(struct webhooks *webhooks);
/* After webhooks_stop(): the storage takes no more operations, events are dropped from here on. */
void webhooks_abandon(struct webhooks *webhooks);
/* No operation of the storage is under way. */
bool webhooks_is_idle(const struct webhooks *webhooks);

struct webhooks_stats {
    uint64_t n_events;    /* stored; each counts once per endpoint that wants it */
    uint64_t n_delivered; /* answered 2xx */
    uint64_t n_requests;
    uint64_t n_failed_requests;
    uint64_t n_dropped; /* beyond queue_limit, or not stored */
    size_t n_waiting;   /* in the storage, all endpoints */
};
void webhooks_stats(const struct webhooks *webhooks, struct webhooks_stats *ret_stats);

#endif
