/* The client's side of one WebSocket on a non-blocking socket: connecting, the handshake, frames in
 * and out. It knows nothing of what the messages say, and holds no memory beyond its struct while
 * it is idle. Whatever goes wrong ends the program (see cli.h). */
#ifndef BELFRY_BENCH_WEBSOCKET_H
#define BELFRY_BENCH_WEBSOCKET_H

#include <netinet/in.h>

#include "base/buf.h"
#include "base/str.h"

struct websocket;

struct websocket_handler {
    void (*on_open)(struct websocket *ws);
    /* message: valid during the call. */
    void (*on_message)(struct websocket *ws, struct str message);
};

enum websocket_state { WEBSOCKET_CONNECTING, WEBSOCKET_HANDSHAKING, WEBSOCKET_OPEN };

struct websocket {
    int fd;
    enum websocket_state state;
    struct buf partial; /* the beginning of a frame, or of the handshake's answer */
};

void websocket_connect(struct websocket *ws, const struct sockaddr_in *source,
                       const struct sockaddr_in *server);
void websocket_close(struct websocket *ws);

/* The connection is made: sends the request of the upgrade. */
void websocket_writable(struct websocket *ws, struct str handshake);
void websocket_readable(struct websocket *ws, const struct websocket_handler *handler);

/* The request of an upgrade to path. */
void websocket_append_handshake(struct buf *out, const char *path, uint16_t port);
/* A whole masked text frame, to be sent any number of times. */
void websocket_append_text(struct buf *out, struct str message);
/* Only small frames: one that does not fit the socket's buffer at once ends the program. */
void websocket_send(struct websocket *ws, struct str frame);

#endif
