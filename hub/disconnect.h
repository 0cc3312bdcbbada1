/* Why the hub ends a connection or a subscription: codes and reasons of the Centrifugo client
 * protocol. Clients reconnect by themselves after 3000-3499, and stay away after 3500-3999. */
#ifndef BELFRY_HUB_DISCONNECT_H
#define BELFRY_HUB_DISCONNECT_H

#include <stdint.h>

struct disconnect {
    uint16_t code;
    const char *reason; /* at most 123 bytes: a WebSocket Close frame holds no more */
};

extern const struct disconnect disconnect_shutdown;       /* 3001 */
extern const struct disconnect disconnect_internal_error; /* 3004 */
extern const struct disconnect disconnect_expired;        /* 3005 */
extern const struct disconnect disconnect_slow;           /* 3008 */
extern const struct disconnect disconnect_no_pong;        /* 3012 */
extern const struct disconnect disconnect_invalid_token;  /* 3500 */
extern const struct disconnect disconnect_bad_request;    /* 3501 */
extern const struct disconnect disconnect_stale;          /* 3502 */
extern const struct disconnect disconnect_not_available;  /* 3508 */

/* The end of one subscription, told to the client in a push. From 2500 on it subscribes again. */
extern const struct disconnect unsubscribe_insufficient_state; /* 2500 */

#endif
