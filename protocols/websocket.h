/* WebSocket connections over libwebsockets: handshake checks, messages from frames, writing,
 * closing. What the messages mean is the session's business (centrifuge_commands.h). */
#ifndef BELFRY_PROTOCOLS_WEBSOCKET_H
#define BELFRY_PROTOCOLS_WEBSOCKET_H

#include "hub/hub.h"

struct lws;
struct websocket;

enum websocket_kind {
    WEBSOCKET_BOTH_WAYS,
    WEBSOCKET_UNI,
    N_WEBSOCKET_KINDS,
};

/* One endpoint. */
struct access_log_options;

struct websocket_options {
    struct loop *loop;
    struct hub *hub;
    const struct access_log_options *access_log;
    bool is_open;
    const char *path; /* "/connection/websocket" */
    size_t message_size_limit;
    bool is_unidirectional;
    bool joins;             /* several messages in one frame; the bidirectional ones always do */
    bool pushes_disconnect; /* in a message too, in front of the Close frame */
    bool closes_at_once;    /* without a Close frame */
};

/* --- for server.c: libwebsockets' callbacks; each returns what the callback returns --- */

/* Checks the handshake (RFC 6455 section 4.2.1) and who comes; a refusal has been written when 1 is
 * returned. endpoints: N_WEBSOCKET_KINDS of them. */
int websocket_on_upgrade(const struct websocket_options *endpoints, struct lws *wsi);
int websocket_on_established(const struct websocket_options *endpoints, struct lws *wsi,
                             struct websocket **slot);
int websocket_on_receive(struct websocket *ws, struct str piece);
/* The peer answers a ping of WebSocket's own. */
void websocket_on_pong(struct websocket *ws);
int websocket_on_writeable(struct websocket *ws);
/* The peer sends a Close frame; body: code and reason. */
int websocket_on_peer_close(struct websocket *ws, struct str body);
/* libwebsockets has begun to close for a broken frame: nothing may be written after its Close
 * frame. */
void websocket_on_drop(struct websocket *ws);
void websocket_on_closed(struct websocket **slot);

#endif
