/* SPDX-License-Identifier: MIT */
/* Unit streams is one HTTP response as a client's transport. It writes directly, as websocket.c
 * does, and closes through WRITEABLE: what waits, the reason, the end of the response. A peer that
 * ends its own side has gone, as for nginx, although HTTP would let it read on: browsers and HTTP
 * libraries never do that, and of a dead client nothing else may be seen for a long time. */
#include "protocols/streams.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/utf8.h"
#include "hub/frame.h"
#include "protocols/centrifuge_pushes.h"
#include "protocols/centrifuge_uni.h"
#include "protocols/client_head.h"
#include "protocols/direct_write.h"
#include "protocols/slots.h"

/* For what waits, and the reason behind it, to be sent; and for the peer to close as well. */
#define CLOSE_SEND_S 5
#define CLOSE_ACK_S  5

#define HEAD_MAX_BYTES    65536
#define GOODBYE_MAX_BYTES 4096

enum stream_state {
    STREAM_OPEN,
    STREAM_LEAVING, /* what waits is still sent, then the reason */
    STREAM_ENDING,  /* the reason is on its way: nothing may follow */
    STREAM_ENDED,   /* all has been sent; the peer is waited for */
    STREAM_CUT,     /* nobody will read anything */
};

struct stream {
    struct lws *wsi; /* NULL: gone, but a command is still under way */
    int fd;          /* -1: TLS, what is written goes through libwebsockets */
    enum stream_state state;
    struct centrifuge_session session;
    struct streams *streams;
    struct emulation_entry *entry; /* NULL: unidirectional */
    const struct disconnect *why;  /* from STREAM_LEAVING on */
};

/* On top of the hub's client and what libwebsockets keeps, which is less than for a WebSocket. */
_Static_assert(sizeof(struct stream) <= 104, "there may be tens of thousands");

/* --- the transport of a client --- */

static bool can_send(void *conn)
{
    const struct stream *s = conn;
    return s->state <= STREAM_LEAVING && !lws_partial_buffered(s->wsi);
}

/* Ends the connection from outside libwebsockets' callbacks. */
static void cut(struct stream *s)
{
    s->state = STREAM_CUT;
    lws_set_timeout(s->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
    lws_cancel_service(lws_get_context(s->wsi));
}

/* Nothing may be buffered. */
static bool write_bytes(struct stream *s, char *bytes, size_t len)
{
    if (s->fd < 0) {
        return lws_write(s->wsi, (unsigned char *)bytes, len, LWS_WRITE_HTTP) >= 0;
    }
    return direct_write(s->wsi, s->fd, bytes, len);
}

static bool transport_send(void *conn, char *payload, size_t len)
{
    struct stream *s = conn;
    if (s->state > STREAM_LEAVING) {
        return true; /* nobody will read it */
    }
    if (lws_partial_buffered(s->wsi)) {
        lws_callback_on_writable(s->wsi);
        return false;
    }
    if (!write_bytes(s, payload, len)) {
        cut(s);
    }
    return true;
}

static void transport_close(void *conn, const struct disconnect *why)
{
    struct stream *s = conn;
    if (s->state == STREAM_OPEN) {
        s->state = STREAM_LEAVING;
        s->why = why;
        lws_callback_on_writable(s->wsi);
        /* A peer that does not read never lets WRITEABLE come. */
        lws_set_timeout(s->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_SEND_S);
        lws_cancel_service(lws_get_context(s->wsi));
    }
}

#define TRANSPORT(kind_, name_, format_, pongs_)                                                   \
    {                                                                                              \
        .kind = kind_, .name = name_, .format = format_, .pongs = pongs_, .send = transport_send,  \
        .can_send = can_send, .close = transport_close                                             \
    }

/* --- endpoints --- */

#define METHODS(methods)                                                                           \
    .allow = "Allow: " methods "\r\n",                                                             \
    .preflight = "Access-Control-Allow-Methods: " methods "\r\nAccess-Control-Max-Age: 300\r\n"

#define LINES                                                                                      \
    .content_type = "application/x-ndjson", .beginning = "", .takes_get = false,                   \
    METHODS("POST, OPTIONS")

/* The empty line at the beginning lets old proxies see a body. */
#define EVENTS                                                                                     \
    .content_type = "text/event-stream", .beginning = "\r\n", .takes_get = true,                   \
    METHODS("GET, POST, OPTIONS")

struct endpoint {
    struct client_transport transport; /* of those with a kind */
    const char *content_type;
    const char *allow;     /* of a refused method */
    const char *preflight; /* of OPTIONS */
    const char *beginning; /* of the body */
    bool takes_get;        /* with the request in cf_connect */
    bool is_unidirectional;
};

static const struct endpoint endpoints[N_STREAM_KINDS] = {
    [STREAM_HTTP] = {TRANSPORT(TRANSPORT_HTTP_STREAM, "http_stream", &centrifuge_http_stream_format,
                               true),
                     LINES, .is_unidirectional = false},
    [STREAM_SSE] = {TRANSPORT(TRANSPORT_SSE, "sse", &centrifuge_sse_format, true), EVENTS,
                    .is_unidirectional = false},
    [STREAM_UNI_HTTP] = {TRANSPORT(TRANSPORT_UNI_HTTP_STREAM, "uni_http_stream",
                                   &centrifuge_uni_http_stream_format, false),
                         LINES, .is_unidirectional = true},
    [STREAM_UNI_SSE] = {TRANSPORT(TRANSPORT_UNI_SSE, "uni_sse", &centrifuge_uni_sse_format, false),
                        EVENTS, .is_unidirectional = true},
};

/* Its transport is made for each hub: the format looks into it. */
static const struct endpoint feed_endpoint = {EVENTS, .is_unidirectional = true};

/* --- life --- */

static void on_session_idle(struct centrifuge_session *session)
{
    if (session->is_closed) {
        free(container_of(session, struct stream, session));
    }
}

/* False: memory is short, and the client is gone again. */
static bool open_emulated(struct stream *s, struct client *client)
{
    centrifuge_open(&s->session, client, on_session_idle);
    s->entry = emulation_enter(&s->streams->emulation, &s->session);
    if (!s->entry) {
        (void)centrifuge_close(&s->session);
        return false;
    }
    s->session.emulation_session = emulation_session_id(s->entry);
    client_set_session(client, s->session.emulation_session);
    return true;
}

static struct stream *create(struct streams *streams, const struct endpoint *endpoint,
                             const struct client_transport *transport, struct lws *wsi)
{
    struct stream *s = calloc(1, sizeof(*s));
    if (!s) {
        return NULL;
    }
    s->wsi = wsi;
    s->fd = lws_is_ssl(wsi) ? -1 : lws_get_socket_fd(wsi);
    s->streams = streams;
    struct client *client = client_create(streams->hub, transport, s);
    if (!client) {
        free(s);
        return NULL;
    }
    if (endpoint->is_unidirectional) {
        centrifuge_uni_open(&s->session, client, on_session_idle);
    } else if (!open_emulated(s, client)) {
        free(s);
        return NULL;
    }
    return s;
}

void stream_on_closed(struct stream **slot)
{
    struct stream *s = *slot;
    *slot = NULL;
    if (!s) {
        return;
    }
    s->state = STREAM_CUT;
    s->wsi = NULL;
    struct emulation_entry *entry = s->entry;
    struct emulation *emulation = &s->streams->emulation;
    bool is_over = entry ? centrifuge_close(&s->session) : centrifuge_uni_close(&s->session);
    s->session.emulation_session = NULL;
    s->entry = NULL;
    if (entry) { /* the client knew its id */
        emulation_leave(emulation, entry);
    }
    if (is_over) {
        free(s);
    }
}

/* --- beginning --- */

static void refuse(struct http_request *request, int status, const char *text, const char *headers)
{
    http_reply(request, &(struct http_reply){.status = status,
                                             .content_type = "text/plain; charset=utf-8",
                                             .headers = headers,
                                             .body = str_of(text)});
}

/* The commands, or the connect request; STR_EMPTY: none came. */
static struct str first_message(const struct http_request *request)
{
    return http_request_method(request) == HTTP_POST
               ? http_request_body(request)
               : client_head_argument(http_request_client_head(request), STR("cf_connect"));
}

static const char stream_headers[] =
    "X-Accel-Buffering: no\r\n"
    "Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\n"
    "Pragma: no-cache\r\n"
    "Expire: 0\r\n"
    "X-Content-Type-Options: nosniff\r\n";

/* At once: proxies and browsers tell their side that the stream is open when they have it. */
static void write_head(struct stream *s, const struct endpoint *endpoint,
                       struct http_request *request)
{
    struct http_reply reply = {
        .status = 200, .content_type = endpoint->content_type, .headers = stream_headers};
    struct buf head;
    buf_init(&head, HEAD_MAX_BYTES);
    http_write_stream_head(request, &reply, &head);
    buf_append(&head, str_of(endpoint->beginning));
    if (buf_failed(&head) || !write_bytes(s, head.ptr, head.len)) {
        cut(s);
    }
    buf_release(&head);
}

/* NULL: no more connections at the moment. */
static struct stream *open_stream(struct streams *streams, const struct endpoint *endpoint,
                                  const struct client_transport *transport,
                                  struct http_request *request)
{
    struct lws *wsi = http_request_connection(request);
    struct stream *s = NULL;
    if (client_admit(streams->hub) == STATUS_OK) {
        s = create(streams, endpoint, transport, wsi);
    }
    if (s) {
        struct slots *slots = lws_wsi_user(wsi);
        slots->stream = s;
        write_head(s, endpoint, request);
    }
    return s;
}

/* An http_handler_fn, at the tail of the loop. */
static void begin(void *arg, struct http_request *request)
{
    const struct stream_door *door = arg;
    const struct endpoint *endpoint = &endpoints[door->kind];
    struct stream *s = open_stream(door->streams, endpoint, &endpoint->transport, request);
    if (!s) {
        refuse(request, 503, "no more connections at the moment\n", "Retry-After: 1\r\n");
        return;
    }
    struct str forwarded = buf_str(&http_request_client_head(request)->forwarded);
    if (forwarded.len > 0) {
        client_set_headers(s->session.client, forwarded);
    }
    if (endpoint->is_unidirectional) {
        centrifuge_uni_connect(&s->session, first_message(request));
    } else {
        centrifuge_receive(&s->session, first_message(request));
    }
    http_take_connection(request);
}

enum status streams_open_feed(struct streams *streams, struct http_request *request,
                              struct str channel, int64_t expires_at)
{
    if (!http_request_connection(request) || hub_is_stopping(streams->hub)) {
        return STATUS_CLOSED;
    }
    struct stream *s = open_stream(streams, &feed_endpoint, &streams->feed_transport, request);
    if (!s) {
        return STATUS_OVERLOADED;
    }
    feed_events_connect(&s->session, channel, expires_at);
    http_take_connection(request);
    return STATUS_OK;
}

void streams_init(struct streams *streams, struct hub *hub, size_t waiting_max_bytes)
{
    struct hub_stats stats;
    hub_stats(hub, &stats);
    *streams = (struct streams){.hub = hub};
    streams->emulation.waiting_max_bytes = waiting_max_bytes;
    memcpy(streams->emulation.node, stats.node, sizeof(stats.node));
    for (int kind = 0; kind < N_STREAM_KINDS; kind++) {
        streams->doors[kind] = (struct stream_door){streams, (enum stream_kind)kind};
    }
    feed_events_init(&streams->feed_events, hub);
    streams->feed_transport = (struct client_transport)TRANSPORT(
        TRANSPORT_FEED_EVENTS, "feed_events", &streams->feed_events.format, false);
}

static bool takes(const struct endpoint *endpoint, enum http_method method)
{
    return method == HTTP_POST || (method == HTTP_GET && endpoint->takes_get);
}

void streams_handle(struct streams *streams, enum stream_kind kind, struct http_request *request)
{
    const struct endpoint *endpoint = &endpoints[kind];
    const struct client_head *head = http_request_client_head(request);
    enum http_method method = http_request_method(request);
    struct str message = first_message(request);
    if (method == HTTP_OPTIONS) {
        http_reply(request, &(struct http_reply){.status = 204, .headers = endpoint->preflight});
    } else if (!takes(endpoint, method)) {
        http_reply(request, &(struct http_reply){.status = 405, .headers = endpoint->allow});
    } else if (head->is_binary) {
        refuse(request, 415, "only JSON is spoken here, not protobuf\n", NULL);
    } else if (client_head_wants_protobuf(head)) {
        refuse(request, 400, "only JSON is spoken here, not protobuf\n", NULL);
    } else if (message.len == 0 && !endpoint->is_unidirectional) {
        refuse(request, 400,
               method == HTTP_POST ? "the body is empty: expected commands\n"
                                   : "expected commands in the argument cf_connect\n",
               NULL);
    } else if (!utf8_valid(message)) {
        refuse(request, 400, "the commands are not UTF-8\n", NULL);
    } else {
        http_handle_at_tail(request, begin, &streams->doors[kind]);
    }
}

/* --- ending --- */

static void write_goodbye(struct stream *s)
{
    const struct wire_format *format = client_wire_format(s->session.client);
    struct buf text;
    buf_init(&text, GOODBYE_MAX_BYTES);
    buf_append(&text, format->before);
    format->disconnect(format, &text, s->why);
    buf_append(&text, format->after);
    s->state = STREAM_ENDING;
    if (buf_failed(&text) || !write_bytes(s, text.ptr, text.len)) {
        s->state = STREAM_CUT;
    }
    buf_release(&text);
}

/* The end of the response, when all of it has been sent. Closing at once could reset what the peer
 * has not read yet; TLS says its own goodbye, and libwebsockets closes behind it. */
static int end_response(struct stream *s)
{
    s->state = STREAM_ENDED;
    if (s->fd < 0 || shutdown(s->fd, SHUT_WR) != 0) {
        return -1;
    }
    lws_set_timeout(s->wsi, PENDING_TIMEOUT_CLOSE_ACK, CLOSE_ACK_S);
    return 0;
}

int stream_on_writeable(struct stream *s)
{
    if (!s || s->state == STREAM_ENDED) {
        return 0;
    }
    if (s->state < STREAM_ENDING) {
        bool is_flushed = client_flush(s->session.client);
        if (s->state == STREAM_OPEN && is_flushed) {
            return 0;
        }
        if (is_flushed && s->state == STREAM_LEAVING && !lws_partial_buffered(s->wsi)) {
            write_goodbye(s);
        }
    }
    if (s->state == STREAM_CUT) {
        return -1;
    }
    if (s->state == STREAM_ENDING && !lws_partial_buffered(s->wsi)) {
        return end_response(s);
    }
    lws_callback_on_writable(s->wsi);
    return 0;
}
