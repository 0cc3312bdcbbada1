/* SPDX-License-Identifier: MIT */
/* Input is read through one buffer shared by all; only a frame that came in pieces is kept. */
#include "tests/bench/websocket.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/cli.h"
#include "tests/bench/dial.h"
#include "tests/bench/wire.h"

#define FRAME_MAX_BYTES (1u << 20)
#define READ_BYTES      65536

void websocket_connect(struct websocket *ws, uint16_t port, unsigned source)
{
    ws->state = WEBSOCKET_CONNECTING;
    buf_init(&ws->partial, FRAME_MAX_BYTES + READ_BYTES);
    ws->fd = dial_start(port, source, 0);
}

void websocket_close(struct websocket *ws)
{
    close(ws->fd);
    buf_release(&ws->partial);
}

void websocket_send(struct websocket *ws, struct str frame)
{
    ssize_t n = send(ws->fd, frame.ptr, frame.len, MSG_NOSIGNAL);
    if (n < 0) {
        fail_errno("send");
    }
    if ((size_t)n < frame.len) {
        fail("the server does not read: a frame of %zu bytes did not fit", frame.len);
    }
}

void websocket_writable(struct websocket *ws, struct str handshake)
{
    assert(ws->state == WEBSOCKET_CONNECTING);
    dial_finish(ws->fd);
    websocket_send(ws, handshake);
    ws->state = WEBSOCKET_HANDSHAKING;
}

/* Bytes of the handshake's answer, 0 while it is incomplete. */
static size_t take_handshake(struct websocket *ws, struct str data,
                             const struct websocket_handler *handler)
{
    size_t n = wire_take_upgraded(data);
    if (n > 0) {
        ws->state = WEBSOCKET_OPEN;
        handler->on_open(ws);
    }
    return n;
}

static void answer_ping(struct websocket *ws, struct str payload)
{
    struct buf pong;
    buf_init(&pong, 256);
    wire_append_frame(&pong, WIRE_PONG, payload);
    websocket_send(ws, buf_str(&pong));
    buf_release(&pong);
}

/* Bytes of the first frame, 0 while it is incomplete. */
static size_t take_frame(struct websocket *ws, struct str data,
                         const struct websocket_handler *handler)
{
    struct wire_head head;
    if (!wire_read_head(data, &head)) {
        return 0;
    }
    if (head.payload_bytes > FRAME_MAX_BYTES) {
        fail("a frame above %u bytes", FRAME_MAX_BYTES);
    }
    struct str payload = str_head(str_tail(data, head.head_bytes), head.payload_bytes);
    if (payload.len < head.payload_bytes) {
        return 0;
    }
    switch (head.opcode) {
    case WIRE_TEXT: handler->on_message(ws, payload); break;
    case WIRE_PING: answer_ping(ws, payload); break;
    case WIRE_PONG: break;
    case WIRE_CLOSE: wire_fail_closed(payload);
    default: fail("a frame of kind %u", head.opcode);
    }
    return head.head_bytes + head.payload_bytes;
}

/* Returns what is left at the end: the beginning of something. */
static struct str take_all(struct websocket *ws, struct str data,
                           const struct websocket_handler *handler)
{
    size_t n;
    do {
        n = ws->state == WEBSOCKET_OPEN ? take_frame(ws, data, handler)
                                        : take_handshake(ws, data, handler);
        data = str_tail(data, n);
    } while (n > 0 && data.len > 0);
    return data;
}

static void take_input(struct websocket *ws, struct str data,
                       const struct websocket_handler *handler)
{
    if (ws->partial.len == 0) {
        buf_append(&ws->partial, take_all(ws, data, handler));
    } else {
        buf_append(&ws->partial, data);
        struct str rest = take_all(ws, buf_str(&ws->partial), handler);
        buf_consume(&ws->partial, ws->partial.len - rest.len);
    }
    if (buf_failed(&ws->partial)) {
        fail("no memory for a frame in pieces");
    }
    if (ws->partial.len == 0) {
        buf_release(&ws->partial);
    }
}

void websocket_readable(struct websocket *ws, const struct websocket_handler *handler)
{
    static char input[READ_BYTES];
    ssize_t n;
    while ((n = recv(ws->fd, input, sizeof(input), 0)) > 0) {
        take_input(ws, (struct str){input, (size_t)n}, handler);
    }
    if (n == 0) {
        fail("the server dropped a client");
    }
    if (errno != EAGAIN) {
        fail_errno("receive");
    }
}
