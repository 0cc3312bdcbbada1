/* Why the hub ends a connection or a subscription: codes and reasons of the Centrifugo client
 * protocol. Clients reconnect by themselves after 3000-3499, and stay away after 3500-3999. */
#ifndef BELFRY_HUB_DISCONNECT_H
#define BELFRY_HUB_DISCONNECT_H

#include <stdint.h>

struct disconnect {
    uint16_t code;
    const char *reason; /* at most 123 bytes: a WebSocket Close frame holds no more */
};

extern const struct disconnect disconnect_connection_closed;    /* 3000: by the peer */
extern const struct disconnect disconnect_shutdown;             /* 3001 */
extern const struct disconnect disconnect_max_lifetime;         /* 3001: client.max_lifetime */
extern const struct disconnect disconnect_internal_error;       /* 3004 */
extern const struct disconnect disconnect_expired;              /* 3005 */
extern const struct disconnect disconnect_subscription_expired; /* 3006 */
extern const struct disconnect disconnect_slow;                 /* 3008 */
extern const struct disconnect disconnect_insufficient_state;   /* 3010 */
extern const struct disconnect disconnect_no_pong;              /* 3012 */
extern const struct disconnect disconnect_too_many_requests;    /* 3013 */
extern const struct disconnect disconnect_invalid_token;        /* 3500 */
extern const struct disconnect disconnect_bad_request;          /* 3501 */
extern const struct disconnect disconnect_stale;                /* 3502 */
extern const struct disconnect disconnect_forced;               /* 3503 */
extern const struct disconnect disconnect_connection_limit;     /* 3504 */
extern const struct disconnect disconnect_channel_limit;        /* 3505 */
extern const struct disconnect disconnect_permission_denied;    /* 3507 */
extern const struct disconnect disconnect_not_available;        /* 3508 */

/* The end of one subscription, told to the client in a push. From 2500 on it subscribes again. The
 * first two are told to webhooks only. */
extern const struct disconnect unsubscribe_by_client;          /* 0 */
extern const struct disconnect unsubscribe_disconnected;       /* 1 */
extern const struct disconnect unsubscribe_by_server;          /* 2000 */
extern const struct disconnect unsubscribe_insufficient_state; /* 2500 */
extern const struct disconnect unsubscribe_expired;            /* 2501 */

#endif
