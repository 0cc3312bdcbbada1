/* The client's side of one WebSocket on a non-blocking socket: connecting, the handshake, frames in
 * and out. It knows nothing of what the messages say, and holds no memory beyond its struct while
 * it is idle. Whatever goes wrong ends the program (see cli.h). */
#ifndef BELFRY_BENCH_WEBSOCKET_H
#define BELFRY_BENCH_WEBSOCKET_H

#include "base/buf.h"
#include "base/str.h"
#include "tests/bench/poller.h"

struct websocket;

struct websocket_handler {
    void (*on_open)(struct websocket *ws);
    /* message: valid during the call. */
    void (*on_message)(struct websocket *ws, struct str message);
};

enum websocket_state { WEBSOCKET_CONNECTING, WEBSOCKET_HANDSHAKING, WEBSOCKET_OPEN };

struct websocket {
    struct watched watched; /* first; set by who polls it */
    int fd;
    enum websocket_state state;
    struct buf partial; /* the beginning of a frame, or of the handshake's answer */
};

/* source: as dial_start()'s. */
void websocket_connect(struct websocket *ws, uint16_t port, unsigned source);
void websocket_close(struct websocket *ws);

/* The connection is made: sends the request of the upgrade. */
void websocket_writable(struct websocket *ws, struct str handshake);
/* Reads until there is nothing left. */
void websocket_readable(struct websocket *ws, const struct websocket_handler *handler);

/* Only small frames: one that does not fit the socket's buffer at once ends the program. */
void websocket_send(struct websocket *ws, struct str frame);

#endif
