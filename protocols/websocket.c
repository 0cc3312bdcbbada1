/* SPDX-License-Identifier: MIT */
/* Unit websocket is one WebSocket connection. It writes directly, on the loop, whenever
 * libwebsockets has nothing of this connection buffered: that costs one system call instead of
 * five. Closing goes through WRITEABLE, so that what was sent before the Close frame arrives before
 * it. */
#include "protocols/websocket.h"

#include <libwebsockets.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/utf8.h"
#include "hub/frame.h"
#include "protocols/access_log.h"
#include "protocols/centrifuge_commands.h"
#include "protocols/centrifuge_pushes.h"
#include "protocols/centrifuge_uni.h"
#include "protocols/client_head.h"
#include "protocols/direct_write.h"
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
/* Of a Close frame, and a message in front of it. */
#define GOODBYE_MAX_BYTES 4096

#define FIRST_BYTE_TEXT  0x81 /* final, opcode 1 */
#define FIRST_BYTE_PING  0x89 /* final, opcode 9 */
#define FIRST_BYTE_CLOSE 0x88 /* final, opcode 8 */

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
_Static_assert(sizeof(struct websocket) <= 88, "there are tens of thousands");

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

/* Of a frame of the server's; in front of the payload. */
static size_t write_header(unsigned char first_byte, unsigned char *payload, size_t len)
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
    *--end = first_byte;
    return (size_t)(payload - end);
}

static bool write_text(struct websocket *ws, unsigned char *payload, size_t len)
{
    if (ws->fd < 0) {
        return lws_write(ws->wsi, payload, len, LWS_WRITE_TEXT) >= 0;
    }
    size_t n_header = write_header(FIRST_BYTE_TEXT, payload, len);
    return direct_write(ws->wsi, ws->fd, payload - n_header, n_header + len);
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

/* WebSocket's own, for clients who asked for them; behind what is buffered, if something is. Not
 * empty: libwebsockets 4.1 does not tell of a pong that is. */
static void transport_ping(void *conn)
{
    static const unsigned char ping[] = {FIRST_BYTE_PING, 2, '{', '}'};
    struct websocket *ws = conn;
    unsigned char bytes[LWS_PRE + sizeof(ping)] = {0};
    memcpy(bytes + LWS_PRE, ping, sizeof(ping));
    if (!ws->is_closing && lws_write(ws->wsi, bytes + LWS_PRE, sizeof(ping), LWS_WRITE_HTTP) < 0) {
        cut(ws);
    }
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

#define TRANSPORT(kind_, name_, format_, pongs_, ping_)                                            \
    {                                                                                              \
        .kind = kind_, .name = name_, .format = &(format_), .pongs = pongs_,                       \
        .send = transport_send, .can_send = can_send, .ping = ping_, .close = transport_close      \
    }

static const struct client_transport both_ways =
    TRANSPORT(TRANSPORT_WEBSOCKET, "websocket", centrifuge_websocket_format, true, NULL);
static const struct client_transport both_ways_natively =
    TRANSPORT(TRANSPORT_WEBSOCKET, "websocket", centrifuge_websocket_format, true, transport_ping);
static const struct client_transport uni = TRANSPORT(TRANSPORT_UNI_WEBSOCKET, "uni_websocket",
                                                     centrifuge_uni_websocket_format, false, NULL);
static const struct client_transport uni_joined = TRANSPORT(
    TRANSPORT_UNI_WEBSOCKET, "uni_websocket", centrifuge_uni_websocket_joined_format, false, NULL);

static const struct client_transport *choose_transport(const struct websocket_options *options,
                                                       const struct client_head *head)
{
    if (options->is_unidirectional) {
        return options->joins ? &uni_joined : &uni;
    }
    bool is_native = str_eq(client_head_argument(head, STR("cf_ws_frame_ping_pong")), STR("true"));
    return is_native ? &both_ways_natively : &both_ways;
}

/* --- handshake --- */

/* The status, or -1: the connection is dead. */
static int refuse(struct lws *wsi, int status, const char *text, const char *headers)
{
    struct http_reply reply = {.status = status,
                               .content_type = "text/plain; charset=utf-8",
                               .headers = headers,
                               .body = str_of(text)};
    return http_refuse_upgrade(wsi, &reply) ? status : -1;
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
    if (client_admit(options->hub) != STATUS_OK) {
        return refuse(wsi, 503, "no more connections at the moment\n", "Retry-After: 1\r\n");
    }
    return 0;
}

/* NULL: there is none. */
static const struct websocket_options *find_endpoint(const struct websocket_options *endpoints,
                                                     struct str path)
{
    for (size_t i = 0; i < N_WEBSOCKET_KINDS; i++) {
        if (endpoints[i].is_open && str_eq(path, str_of(endpoints[i].path))) {
            return &endpoints[i];
        }
    }
    return NULL;
}

/* 0: the arguments do not ask for protobuf; subprotocols are the handshake's business. */
static int check_framing(struct lws *wsi)
{
    static const struct config_list no_headers = {.items = NULL, .n_items = 0};
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS) <= 0) {
        return 0; /* most have none */
    }
    struct client_head *head = client_head_read(wsi, &no_headers);
    if (!head) {
        return -1;
    }
    bool is_good = !client_head_wants_protobuf(head);
    client_head_destroy(head);
    return is_good ? 0 : refuse(wsi, 400, "only JSON is spoken here, not protobuf\n", NULL);
}

static struct handshake read_handshake(struct lws *wsi, struct headers *texts)
{
    return (struct handshake){
        .is_get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0,
        .http_version = headers_copy(texts, wsi, WSI_TOKEN_HTTP),
        .path = headers_copy(texts, wsi, WSI_TOKEN_GET_URI),
        .host = headers_copy(texts, wsi, WSI_TOKEN_HOST),
        .connection = headers_copy(texts, wsi, WSI_TOKEN_CONNECTION),
        .upgrade = headers_copy(texts, wsi, WSI_TOKEN_UPGRADE),
        .key = headers_copy(texts, wsi, WSI_TOKEN_KEY),
        .version = headers_copy(texts, wsi, WSI_TOKEN_VERSION),
        .protocols = headers_copy(texts, wsi, WSI_TOKEN_PROTOCOL),
    };
}

static void log_upgrade(const struct websocket_options *options, struct lws *wsi, int status)
{
    char bytes[HEADERS_MAX_BYTES];
    struct headers texts = {.bytes = bytes, .size = sizeof(bytes)};
    if (!options->access_log->enabled) {
        return;
    }
    access_log_write(options->access_log,
                     &(struct access_log_entry){
                         .method = "GET",
                         .path = headers_copy(&texts, wsi, WSI_TOKEN_GET_URI),
                         .status = status,
                         .n_bytes = -1,
                         .wsi = wsi,
                         .forwarded_for = headers_copy(&texts, wsi, WSI_TOKEN_X_FORWARDED_FOR),
                     });
}

/* 0: it may become a WebSocket; else as refuse(). */
static int check_upgrade(const struct websocket_options *endpoints, struct lws *wsi)
{
    /* Without this header the upgrade is a leftover of a request that libwebsockets has already
     * answered, and `in` points to freed memory: CVE-2025-11677. */
    if (lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) <= 0) {
        return -1;
    }
    char bytes[HEADERS_MAX_BYTES];
    struct headers texts = {.bytes = bytes, .size = sizeof(bytes)};
    struct handshake h = read_handshake(wsi, &texts);
    struct str origin = headers_copy(&texts, wsi, WSI_TOKEN_ORIGIN);
    if (texts.is_full) {
        return refuse(wsi, 431, "the headers are too large\n", NULL);
    }
    const struct websocket_options *endpoint = find_endpoint(endpoints, h.path);
    if (!endpoint) {
        endpoint = &endpoints[WEBSOCKET_BOTH_WAYS];
    }
    struct str path = endpoint->is_open ? str_of(endpoint->path) : STR_EMPTY;
    if (!h.is_get) { /* another method's target is another token */
        h.path = path;
    }
    struct handshake_refusal refusal = handshake_check(&h, path);
    if (refusal.status != 0) {
        return refuse(wsi, refusal.status, refusal.text, refusal.headers);
    }
    int result = check_framing(wsi);
    return result != 0 ? result : check_admission(endpoint, wsi, origin);
}

int websocket_on_upgrade(const struct websocket_options *endpoints, struct lws *wsi)
{
    int result = check_upgrade(endpoints, wsi);
    if (result >= 0) {
        log_upgrade(&endpoints[WEBSOCKET_BOTH_WAYS], wsi, result > 0 ? result : 101);
    }
    return result > 0 ? 1 : result;
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

/* The request's path has been checked: one of the endpoints has it. */
static const struct websocket_options *endpoint_of(const struct websocket_options *endpoints,
                                                   struct lws *wsi)
{
    char bytes[HEADERS_MAX_BYTES];
    struct headers texts = {.bytes = bytes, .size = sizeof(bytes)};
    return find_endpoint(endpoints, headers_copy(&texts, wsi, WSI_TOKEN_GET_URI));
}

static struct websocket *create(const struct websocket_options *options, struct lws *wsi,
                                const struct client_head *head)
{
    struct websocket *ws = calloc(1, sizeof(*ws));
    if (!ws) {
        return NULL;
    }
    ws->wsi = wsi;
    ws->fd = lws_is_ssl(wsi) ? -1 : lws_get_socket_fd(wsi);
    ws->options = options;
    struct client *client = client_create(options->hub, choose_transport(options, head), ws);
    if (!client) {
        free(ws);
        return NULL;
    }
    if (options->is_unidirectional) {
        centrifuge_uni_open(&ws->session, client, on_session_idle);
    } else {
        centrifuge_open(&ws->session, client, on_session_idle);
    }
    return ws;
}

static void connect_at_once(struct websocket *ws, struct str request)
{
    if (utf8_valid(request)) {
        centrifuge_uni_connect(&ws->session, request);
    } else {
        client_disconnect(ws->session.client, &disconnect_bad_request);
    }
}

int websocket_on_established(const struct websocket_options *endpoints, struct lws *wsi,
                             struct websocket **slot)
{
    const struct websocket_options *options = endpoint_of(endpoints, wsi);
    struct client_head *head =
        options ? client_head_read(wsi, client_wanted_headers(options->hub)) : NULL;
    struct websocket *ws = head ? create(options, wsi, head) : NULL;
    *slot = ws;
    if (ws && head->forwarded.len > 0) {
        client_set_headers(ws->session.client, buf_str(&head->forwarded));
    }
    if (ws && options->is_unidirectional) {
        struct str request = client_head_argument(head, STR("cf_connect"));
        if (request.len > 0) {
            connect_at_once(ws, request);
        }
    }
    client_head_destroy(head);
    return ws ? 0 : -1;
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
    bool is_over = ws->options->is_unidirectional ? centrifuge_uni_close(&ws->session)
                                                  : centrifuge_close(&ws->session);
    if (is_over) {
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
    if (ws->options->is_unidirectional) {
        centrifuge_uni_connect(&ws->session, message);
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
    if (ws->options->is_unidirectional && (ws->session.is_busy || ws->session.is_authenticated)) {
        return 0; /* only its first message is asked for */
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

static void append_close(struct buf *out, const struct disconnect *why)
{
    struct str reason = str_head(str_of(why->reason), REASON_MAX_BYTES);
    buf_append_char(out, (char)FIRST_BYTE_CLOSE);
    buf_append_char(out, (char)(2 + reason.len));
    buf_append_char(out, (char)(why->code >> 8));
    buf_append_char(out, (char)(why->code & 0xff));
    buf_append(out, reason);
}

/* out has room for the frame's header in front: how many bytes of it are used. */
static size_t append_disconnect(const struct websocket *ws, const struct disconnect *why,
                                struct buf *out)
{
    const struct wire_format *format = client_wire_format(ws->session.client);
    size_t start = out->len;
    buf_append(out, format->before);
    format->disconnect(format, out, why);
    buf_append(out, format->after);
    return buf_failed(out)
               ? 0
               : write_header(FIRST_BYTE_TEXT, (unsigned char *)out->ptr + start, out->len - start);
}

/* By hand: Debian's libwebsockets closes twice when WRITEABLE returns -1 on libuv (a test of its
 * own that _DEBUG leaves in lws_service_fd_tsi()), and the second time cuts the connection before
 * its Close frame is sent. Written as raw bytes, because it refuses frames once the peer has sent
 * its Close. */
static bool send_close(struct websocket *ws, const struct disconnect *why)
{
    static const char headroom[LWS_PRE + FRAME_HEADROOM];
    struct buf text;
    buf_init(&text, GOODBYE_MAX_BYTES);
    buf_append(&text, (struct str){headroom, sizeof(headroom)});
    size_t n_header = 0;
    if (ws->options->pushes_disconnect &&
        why->code >= 3000) { /* the hub's words, not WebSocket's */
        n_header = append_disconnect(ws, why, &text);
    }
    if (!ws->options->closes_at_once) {
        append_close(&text, why);
    }
    size_t start = sizeof(headroom) - n_header;
    bool is_empty = text.len == sizeof(headroom);
    bool is_sent =
        !buf_failed(&text) && (is_empty || lws_write(ws->wsi, (unsigned char *)text.ptr + start,
                                                     text.len - start, LWS_WRITE_HTTP) >= 0);
    buf_release(&text);
    if (is_sent && ws->options->closes_at_once) {
        cut(ws);
    } else if (is_sent) {
        lws_set_timeout(ws->wsi, PENDING_TIMEOUT_CLOSE_ACK, CLOSE_ACK_S);
    }
    return is_sent;
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

void websocket_on_pong(struct websocket *ws)
{
    if (ws && !ws->is_closing && client_transport(ws->session.client)->ping) {
        /* One that answers no ping is allowed (RFC 6455 section 5.5.3). */
        (void)!client_pong(ws->session.client);
    }
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
