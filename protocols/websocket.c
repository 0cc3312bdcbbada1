/* SPDX-License-Identifier: MIT */
/* Unit websocket is one WebSocket connection. It writes directly, on the loop, whenever
 * libwebsockets has nothing of this connection buffered: that costs one system call instead of
 * five. Closing goes through WRITEABLE, so that what was sent before the Close frame arrives before
 * it. */
#include "protocols/websocket.h"

#include <errno.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/utf8.h"
#include "hub/frame.h"
#include "protocols/centrifuge_commands.h"
#include "protocols/centrifuge_frames.h"
#include "protocols/handshake.h"
#include "protocols/headers.h"
#include "protocols/http.h"
#include "protocols/origin.h"
#include "protocols/reading.h"

_Static_assert(LWS_PRE <= FRAME_HEADROOM, "libwebsockets writes its header in front of a frame");

/* A client that pipelines more than this behind a command that takes time is not read from
 * meanwhile. */
#define WAITING_PAUSE_BYTES 65536

#define HEADERS_MAX_BYTES 8448

/* For what waits, and the Close behind it, to be sent; and for the peer's answer to the Close. */
#define CLOSE_SEND_S 5
#define CLOSE_ACK_S  5

#define REASON_MAX_BYTES 123

struct websocket {
    struct lws *wsi; /* NULL: gone, but a command is still under way */
    int fd;          /* -1: TLS, what is written goes through libwebsockets */
    bool is_closing; /* a Close frame is on its way: nothing may follow */
    const struct websocket_options *options;
    struct centrifuge_session session;
    struct buf *message;          /* the part of a message that has come; NULL mostly */
    const struct disconnect *why; /* the close that is wanted */
    struct reading_stop *stop;    /* while it is not read from; NULL mostly */
};

/* On top of the hub's client and what libwebsockets keeps. */
_Static_assert(sizeof(struct websocket) <= 80, "there are tens of thousands");

static const struct disconnect close_message_size = {1009, "message size limit"};
static const struct disconnect close_not_utf8 = {1007, "text is not UTF-8"};
static const struct disconnect close_protocol_error = {1002, "broken Close frame"};
static const struct disconnect close_by_peer = {1000, ""};
static const struct disconnect close_cut = {1006, ""};

/* --- the transport of a client --- */

static bool can_send(void *conn)
{
    const struct websocket *ws = conn;
    return !ws->is_closing && !lws_partial_buffered(ws->wsi);
}

/* Nothing can be said any more: ends the connection from outside libwebsockets' callbacks. */
static void cut(struct websocket *ws)
{
    ws->is_closing = true;
    lws_set_timeout(ws->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
    lws_cancel_service(lws_get_context(ws->wsi));
}

/* Of a text frame of the server's; in front of the payload. */
static size_t write_header(unsigned char *payload, size_t len)
{
    unsigned char *end = payload;
    if (len < 126) {
        *--end = (unsigned char)len;
    } else {
        size_t n_bytes = len <= UINT16_MAX ? 2 : 8;
        size_t rest = len;
        for (size_t i = 0; i < n_bytes; i++, rest >>= 8) {
            *--end = (unsigned char)rest;
        }
        *--end = n_bytes == 2 ? 126 : 127;
    }
    *--end = 0x81; /* final, opcode 1 */
    return (size_t)(payload - end);
}

/* To the socket itself: a finished frame needs nothing of what lws_write() does on top, and that
 * touches much of the connection's memory. What the socket does not take is left to libwebsockets,
 * which keeps it and asks for POLLOUT. */
static bool write_directly(struct websocket *ws, unsigned char *frame, size_t len)
{
    ssize_t n = send(ws->fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            return false;
        }
        n = 0;
    }
    size_t n_taken = (size_t)n;
    return n_taken == len ||
           lws_write(ws->wsi, frame + n_taken, len - n_taken, LWS_WRITE_HTTP) >= 0;
}

static bool write_text(struct websocket *ws, unsigned char *payload, size_t len)
{
    if (ws->fd < 0) {
        return lws_write(ws->wsi, payload, len, LWS_WRITE_TEXT) >= 0;
    }
    size_t n_header = write_header(payload, len);
    return write_directly(ws, payload - n_header, n_header + len);
}

static bool transport_send(void *conn, char *payload, size_t len)
{
    struct websocket *ws = conn;
    if (ws->is_closing) {
        return true; /* nobody will read it */
    }
    if (lws_partial_buffered(ws->wsi)) {
        lws_callback_on_writable(ws->wsi);
        return false;
    }
    if (!write_text(ws, (unsigned char *)payload, len)) {
        cut(ws);
    }
    return true;
}

static void transport_close(void *conn, const struct disconnect *why)
{
    struct websocket *ws = conn;
    if (!ws->is_closing && !ws->why) {
        ws->why = why;
        lws_callback_on_writable(ws->wsi);
        /* A peer that does not read never lets WRITEABLE come. */
        lws_set_timeout(ws->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_SEND_S);
        lws_cancel_service(lws_get_context(ws->wsi));
    }
}

static const struct client_transport transport = {
    .name = "websocket",
    .format = &centrifuge_format,
    .send = transport_send,
    .can_send = can_send,
    .close = transport_close,
};

/* --- handshake --- */

static int refuse(struct lws *wsi, int status, const char *text, const char *headers)
{
    struct http_reply reply = {.status = status,
                               .content_type = "text/plain; charset=utf-8",
                               .headers = headers,
                               .body = str_of(text)};
    return http_refuse_upgrade(wsi, &reply) ? 1 : -1;
}

static int check_admission(const struct websocket_options *options, struct lws *wsi,
                           struct str origin)
{
    const struct client_options *client = hub_client_options(options->hub);
    if (!origin_is_allowed(&client->allowed_origins, origin)) {
        static struct log_limit limit;
        if (log_permits(&limit)) {
            log_info("websocket", "origin_refused", log_str("origin", origin),
                     log_i("left_out", limit.n_left_out));
        }
        return refuse(wsi, 403, "this origin is not in client.allowed_origins\n", NULL);
    }
    bool is_full = client->connection_limit > 0 &&
                   hub_n_clients(options->hub) >= (size_t)client->connection_limit;
    if (hub_is_stopping(options->hub) || is_full) {
        return refuse(wsi, 503, "no more connections at the moment\n", "Retry-After: 1\r\n");
    }
    return 0;
}

int websocket_on_upgrade(const struct websocket_options *options, struct lws *wsi)
{
    /* Without this header the upgrade is a leftover of a request that libwebsockets has already
     * answered, and `in` points to freed memory: CVE-2025-11677. */
    if (lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) <= 0) {
        return -1;
    }
    char bytes[HEADERS_MAX_BYTES];
    struct headers texts = {.bytes = bytes, .size = sizeof(bytes)};
    struct handshake h = {
        .is_get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0,
        .http_version = headers_copy(&texts, wsi, WSI_TOKEN_HTTP),
        .path = headers_copy(&texts, wsi, WSI_TOKEN_GET_URI),
        .host = headers_copy(&texts, wsi, WSI_TOKEN_HOST),
        .connection = headers_copy(&texts, wsi, WSI_TOKEN_CONNECTION),
        .upgrade = headers_copy(&texts, wsi, WSI_TOKEN_UPGRADE),
        .key = headers_copy(&texts, wsi, WSI_TOKEN_KEY),
        .version = headers_copy(&texts, wsi, WSI_TOKEN_VERSION),
        .protocols = headers_copy(&texts, wsi, WSI_TOKEN_PROTOCOL),
    };
    if (!h.is_get) { /* another method's target is another token */
        h.path = str_of(options->path);
    }
    struct str origin = headers_copy(&texts, wsi, WSI_TOKEN_ORIGIN);
    if (texts.is_full) {
        return refuse(wsi, 431, "the headers are too large\n", NULL);
    }
    struct handshake_refusal refusal = handshake_check(&h, str_of(options->path));
    if (refusal.status != 0) {
        return refuse(wsi, refusal.status, refusal.text, refusal.headers);
    }
    return check_admission(options, wsi, origin);
}

/* --- life --- */

static void free_message(struct websocket *ws)
{
    if (ws->message) {
        buf_release(ws->message);
        free(ws->message);
        ws->message = NULL;
    }
}

/* All commands are done: read on, or, if the connection has gone meanwhile, that was the last of
 * it. */
static void on_session_idle(struct centrifuge_session *session)
{
    struct websocket *ws = container_of(session, struct websocket, session);
    if (session->is_closed) {
        free(ws);
    } else if (!ws->is_closing) {
        reading_resume(&ws->stop);
    }
}

int websocket_on_established(const struct websocket_options *options, struct lws *wsi,
                             struct websocket **slot)
{
    struct websocket *ws = calloc(1, sizeof(*ws));
    if (!ws) {
        return -1;
    }
    ws->wsi = wsi;
    ws->fd = lws_is_ssl(wsi) ? -1 : lws_get_socket_fd(wsi);
    ws->options = options;
    struct client *client = client_create(options->hub, &transport, ws);
    if (!client) {
        free(ws);
        return -1;
    }
    centrifuge_open(&ws->session, client, on_session_idle);
    *slot = ws;
    return 0;
}

void websocket_on_closed(struct websocket **slot)
{
    struct websocket *ws = *slot;
    *slot = NULL;
    if (!ws) {
        return; /* a handshake that failed */
    }
    ws->is_closing = true;
    ws->wsi = NULL;
    reading_forget(&ws->stop);
    free_message(ws);
    if (centrifuge_close(&ws->session)) {
        free(ws);
    }
}

void websocket_on_drop(struct websocket *ws)
{
    if (ws && !ws->is_closing) {
        ws->is_closing = true;
        client_disconnect(ws->session.client, &close_cut);
    }
}

/* --- receiving --- */

static int end_with(struct websocket *ws, const struct disconnect *why)
{
    free_message(ws);
    client_disconnect(ws->session.client, why);
    return 0;
}

static void receive_message(struct websocket *ws, struct str message)
{
    if (!utf8_valid(message)) {
        end_with(ws, &close_not_utf8);
        return;
    }
    centrifuge_receive(&ws->session, message);
    bool is_far_ahead = centrifuge_waiting_bytes(&ws->session) > WAITING_PAUSE_BYTES;
    if (is_far_ahead && !ws->stop) {
        ws->stop = reading_stop(ws->options->loop, ws->wsi);
    }
}

static bool append_to_message(struct websocket *ws, struct str piece)
{
    if (!ws->message) {
        ws->message = calloc(1, sizeof(*ws->message));
        if (!ws->message) {
            return false;
        }
        buf_init(ws->message, ws->options->message_size_limit);
    }
    buf_append(ws->message, piece);
    return !buf_failed(ws->message);
}

int websocket_on_receive(struct websocket *ws, struct str piece)
{
    if (!ws || ws->is_closing || ws->why) {
        return 0; /* on its way out: what still comes is not heard */
    }
    size_t so_far = ws->message ? ws->message->len : 0;
    size_t announced = lws_remaining_packet_payload(ws->wsi);
    size_t limit = ws->options->message_size_limit;
    if (piece.len > limit || announced > limit || so_far + piece.len + announced > limit) {
        return end_with(ws, &close_message_size);
    }
    bool is_last = announced == 0 && lws_is_final_fragment(ws->wsi);
    if (is_last && !ws->message) {
        receive_message(ws, piece);
        return 0;
    }
    if (!append_to_message(ws, piece)) {
        return end_with(ws, &disconnect_internal_error);
    }
    if (is_last) {
        struct buf *message = ws->message;
        ws->message = NULL;
        receive_message(ws, buf_str(message));
        buf_release(message);
        free(message);
    }
    return 0;
}

/* --- writing and closing --- */

/* By hand: Debian's libwebsockets closes twice when WRITEABLE returns -1 on libuv (a test of its
 * own that _DEBUG leaves in lws_service_fd_tsi()), and the second time cuts the connection before
 * its Close frame is sent. Written as raw bytes, because it refuses frames once the peer has sent
 * its Close. */
static bool send_close(struct websocket *ws, const struct disconnect *why)
{
    unsigned char text[LWS_PRE + 4 + REASON_MAX_BYTES];
    unsigned char *frame = text + LWS_PRE;
    size_t len = strlen(why->reason);
    len = len > REASON_MAX_BYTES ? REASON_MAX_BYTES : len;
    frame[0] = 0x88; /* final, opcode 8 */
    frame[1] = (unsigned char)(2 + len);
    frame[2] = (unsigned char)(why->code >> 8);
    frame[3] = (unsigned char)(why->code & 0xff);
    memcpy(frame + 4, why->reason, len);
    if (lws_write(ws->wsi, frame, 4 + len, LWS_WRITE_HTTP) < 0) {
        return false;
    }
    lws_set_timeout(ws->wsi, PENDING_TIMEOUT_CLOSE_ACK, CLOSE_ACK_S);
    return true;
}

/* What RFC 6455 section 7.4 lets a peer say. */
static bool close_code_is_valid(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

/* The Close that answers a broken one; NULL: it is well-formed. */
static const struct disconnect *close_is_broken(struct str body)
{
    if (body.len == 0) {
        return NULL;
    }
    unsigned code =
        body.len < 2 ? 0 : (unsigned)(unsigned char)body.ptr[0] << 8 | (unsigned char)body.ptr[1];
    if (!close_code_is_valid(code)) {
        return &close_protocol_error;
    }
    return utf8_valid(str_tail(body, 2)) ? NULL : &close_not_utf8;
}

int websocket_on_writeable(struct websocket *ws)
{
    if (!ws || ws->is_closing) {
        return 0;
    }
    bool is_flushed = client_flush(ws->session.client);
    if (ws->is_closing) { /* the write failed */
        return -1;
    }
    /* A Close right behind a message that is only partly sent would be lost. */
    if (!is_flushed || (ws->why && !can_send(ws))) {
        lws_callback_on_writable(ws->wsi);
        return 0;
    }
    if (!ws->why) {
        return 0;
    }
    ws->is_closing = true;
    return send_close(ws, ws->why) ? 0 : -1;
}

int websocket_on_peer_close(struct websocket *ws, struct str body)
{
    if (!ws) {
        return 0;
    }
    if (ws->is_closing) {
        return -1; /* the answer to our own Close: that is all */
    }
    client_flush(ws->session.client); /* as far as it goes */
    ws->is_closing = true;
    const struct disconnect *broken = close_is_broken(body);
    if (broken && !lws_partial_buffered(ws->wsi)) {
        send_close(ws, broken);
    }
    client_disconnect(ws->session.client, &close_by_peer);
    return broken ? -1 : 0; /* a good Close is answered by libwebsockets */
}
