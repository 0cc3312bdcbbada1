/* SPDX-License-Identifier: MIT */
/* RFC 6455 as a client needs it towards a server that it trusts: the handshake's key and the mask
 * are constants, so that requests and frames are built once and sent by all clients. Input is read
 * through one buffer shared by all; only a frame that came in pieces is kept. */
#include "tests/bench/websocket.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/cli.h"

#define FRAME_MAX_BYTES (1u << 20)
#define READ_BYTES      65536

/* The key of RFC 6455, section 1.3, and the answer that belongs to it. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

enum { OPCODE_TEXT = 1, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

struct frame {
    unsigned opcode;
    struct str payload;
    size_t size_bytes;
};

void websocket_connect(struct websocket *ws, const struct sockaddr_in *source,
                       const struct sockaddr_in *server)
{
    int on = 1;
    ws->state = WEBSOCKET_CONNECTING;
    buf_init(&ws->partial, FRAME_MAX_BYTES + READ_BYTES);
    ws->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (ws->fd < 0) {
        fail_errno("socket");
    }
    /* Without this option bind() takes a port that no other connection has, whatever its peer. */
    if (setsockopt(ws->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
        setsockopt(ws->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        bind(ws->fd, (const struct sockaddr *)source, sizeof(*source)) < 0) {
        fail_errno("source address");
    }
    if (connect(ws->fd, (const struct sockaddr *)server, sizeof(*server)) < 0 &&
        errno != EINPROGRESS) {
        fail_errno("connect");
    }
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
    int error = 0;
    socklen_t size = sizeof(error);
    assert(ws->state == WEBSOCKET_CONNECTING);
    if (getsockopt(ws->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
        errno = error ? error : errno;
        fail_errno("connect");
    }
    websocket_send(ws, handshake);
    ws->state = WEBSOCKET_HANDSHAKING;
}

/* Bytes of the handshake's answer, 0 while it is incomplete. */
static size_t take_handshake(struct websocket *ws, struct str data,
                             const struct websocket_handler *handler)
{
    const char *end = memmem(data.ptr, data.len, "\r\n\r\n", 4);
    if (!end) {
        return 0;
    }
    struct str head = str_head(data, (size_t)(end - data.ptr) + 4);
    if (!str_starts_with(head, STR("HTTP/1.1 101 ")) ||
        !memmem(head.ptr, head.len, ACCEPT, sizeof(ACCEPT) - 1)) {
        fail("handshake refused: %.*s", STR_ARG(data));
    }
    ws->state = WEBSOCKET_OPEN;
    handler->on_open(ws);
    return head.len;
}

static uint64_t read_big_endian(const unsigned char *bytes, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/* False while the frame is incomplete. */
static bool frame_read(struct str data, struct frame *ret_frame)
{
    const unsigned char *bytes = (const unsigned char *)data.ptr;
    if (data.len < 2) {
        return false;
    }
    uint64_t length = bytes[1] & 0x7f;
    size_t n_extra = length == 127 ? 8 : length == 126 ? 2 : 0;
    if (data.len < 2 + n_extra) {
        return false;
    }
    if (n_extra > 0) {
        length = read_big_endian(bytes + 2, n_extra);
    }
    if ((bytes[0] & 0xf0) != 0x80 || (bytes[1] & 0x80) || length > FRAME_MAX_BYTES) {
        fail("a frame that is masked, fragmented, compressed or above %u bytes", FRAME_MAX_BYTES);
    }
    struct str payload = str_head(str_tail(data, 2 + n_extra), length);
    *ret_frame = (struct frame){bytes[0] & 0x0f, payload, 2 + n_extra + length};
    return payload.len == length;
}

static void append_frame(struct buf *out, unsigned opcode, struct str payload)
{
    static const char mask[4] = {0x37, 0x21, 0x5a, 0x3d};
    assert(payload.len < 65536);
    buf_append_char(out, (char)(0x80 | opcode));
    if (payload.len < 126) {
        buf_append_char(out, (char)(0x80 | payload.len));
    } else {
        buf_append_char(out, (char)(0x80 | 126));
        buf_append_char(out, (char)(payload.len >> 8));
        buf_append_char(out, (char)payload.len);
    }
    buf_append(out, (struct str){mask, sizeof(mask)});
    for (size_t i = 0; i < payload.len; i++) {
        buf_append_char(out, (char)(payload.ptr[i] ^ mask[i % sizeof(mask)]));
    }
    if (buf_failed(out)) {
        fail("no room for a frame of %zu bytes", payload.len);
    }
}

static _Noreturn void fail_closed(struct str payload)
{
    const unsigned char *code = (const unsigned char *)payload.ptr;
    if (payload.len < 2) {
        fail("the server closed a client without a code");
    }
    fail("the server closed a client: %u %.*s", (unsigned)read_big_endian(code, 2),
         STR_ARG(str_tail(payload, 2)));
}

static void answer_ping(struct websocket *ws, struct str payload)
{
    struct buf pong;
    buf_init(&pong, 256);
    append_frame(&pong, OPCODE_PONG, payload);
    websocket_send(ws, buf_str(&pong));
    buf_release(&pong);
}

/* Bytes of the first frame, 0 while it is incomplete. */
static size_t take_frame(struct websocket *ws, struct str data,
                         const struct websocket_handler *handler)
{
    struct frame frame;
    if (!frame_read(data, &frame)) {
        return 0;
    }
    switch (frame.opcode) {
    case OPCODE_TEXT: handler->on_message(ws, frame.payload); break;
    case OPCODE_PING: answer_ping(ws, frame.payload); break;
    case OPCODE_PONG: break;
    case OPCODE_CLOSE: fail_closed(frame.payload);
    default: fail("a frame of kind %u", frame.opcode);
    }
    return frame.size_bytes;
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

void websocket_readable(struct websocket *ws, const struct websocket_handler *handler)
{
    static char input[READ_BYTES];
    ssize_t n = recv(ws->fd, input, sizeof(input), 0);
    if (n < 0) {
        fail_errno("receive");
    }
    if (n == 0) {
        fail("the server dropped a client");
    }
    struct str data = {input, (size_t)n};
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

void websocket_append_handshake(struct buf *out, const char *path, uint16_t port)
{
    buf_printf(out,
               "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
               "Sec-WebSocket-Version: 13\r\n\r\n",
               path, port);
}

void websocket_append_text(struct buf *out, struct str message)
{
    append_frame(out, OPCODE_TEXT, message);
}
