/* SPDX-License-Identifier: MIT */
/* Unit http is the life of one request: head, body, handler, reply. libwebsockets 4.1 hands over
 * what it does not check itself (Content-Length, Transfer-Encoding, body size and time), so all of
 * that is checked here before a handler runs. A request outlives its connection when its handler
 * still works on the answer. */
#include "protocols/http.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "protocols/client_head.h"
#include "protocols/direct_write.h"
#include "protocols/headers.h"
#include "protocols/http_head.h"
#include "protocols/poll_mask.h"

#define REPLY_MAX_BYTES ((size_t)256 << 20)
#define REPLY_READ_S    60

/* Of most replies. */
#define REPLY_HEAD_BYTES 192

/* Of what is added to all replies to clients: mostly names that they sent themselves. */
#define CLIENT_HEADERS_MAX_BYTES 32768

/* A refused request's connection is closed when its body has been read, or after this long: closing
 * over unread bytes would reset the connection, and the client would not see why. */
#define LINGER_MS 5000

#define WAKE_UP_MS 1000

enum http_state {
    HTTP_READING, /* the body */
    HTTP_HANDLING,
    HTTP_PUT_OFF,  /* the tail of the loop goes on with it */
    HTTP_ANSWERED, /* the reply waits for the tail of the loop */
    HTTP_FLOWING,  /* the reply comes piece by piece */
    HTTP_ENDING,   /* all pieces are written; the tail of the loop ends the request */
    HTTP_BREAKING, /* there will be no more of them; the tail of the loop cuts the connection */
    HTTP_REFUSED,  /* the reply is written; what still comes of the request is thrown away */
};

struct http_request {
    struct lws *wsi;            /* NULL: the client has gone */
    struct http_request **slot; /* where the connection keeps it */
    const struct http_options *options;
    struct http_route route;
    struct client_head *client_head; /* NULL mostly */
    http_handler_fn at_tail;         /* of HTTP_PUT_OFF */
    void *at_tail_arg;
    struct http_source source; /* zeroed: it is not watched */
    enum http_state state;
    enum http_method method;
    bool is_expired; /* its connection is to end */
    bool is_in_callback;
    bool closes; /* the connection cannot be used again */
    bool knows_chunks;
    bool is_chunked;
    uint64_t content_length;
    struct headers head; /* in texts, behind the path */
    struct str path;
    struct str headers[HTTP_N_HEADERS];
    struct buf body;
    struct buf reply; /* LWS_PRE bytes, then the text */
    struct deadline deadline;
    struct deferred tail;
    char texts[]; /* as many as the head has */
};

enum http_method http_request_method(const struct http_request *r)
{
    return r->method;
}

struct str http_request_path(const struct http_request *r)
{
    return r->path;
}

struct str http_request_header(const struct http_request *r, enum http_header header)
{
    return r->headers[header];
}

struct str http_request_body(const struct http_request *r)
{
    return buf_str(&r->body);
}

const struct client_head *http_request_client_head(const struct http_request *r)
{
    return r->client_head;
}

struct lws *http_request_connection(const struct http_request *r)
{
    return r->wsi;
}

static bool is_under_way(const struct http_request *r)
{
    return r->state != HTTP_READING && r->state != HTTP_REFUSED;
}

static void free_request(struct http_request *r)
{
    *r->options->n_under_way -= is_under_way(r);
    deadline_disarm(r->options->deadlines, &r->deadline);
    loop_undefer(r->options->loop, &r->tail);
    client_head_destroy(r->client_head);
    buf_release(&r->body);
    buf_release(&r->reply);
    free(r);
}

/* --- the head --- */

static enum http_method method_of(int index)
{
    static const enum http_method methods[] = {
        [LWSHUMETH_GET] = HTTP_GET,         [LWSHUMETH_POST] = HTTP_POST,
        [LWSHUMETH_OPTIONS] = HTTP_OPTIONS, [LWSHUMETH_PUT] = HTTP_PUT,
        [LWSHUMETH_PATCH] = HTTP_PATCH,     [LWSHUMETH_DELETE] = HTTP_DELETE,
        [LWSHUMETH_CONNECT] = HTTP_OTHER,   [LWSHUMETH_HEAD] = HTTP_HEAD,
    };
    bool is_known = index >= 0 && (size_t)index < sizeof(methods) / sizeof(methods[0]);
    return is_known ? methods[index] : HTTP_OTHER;
}

static const struct str api_key_name = STR("x-api-key:");
static const struct str signature_name = STR("x-belfry-signature:");
static const struct str hub_signature_name = STR("x-hub-signature-256:");

/* What read_head() and check_head() copy. */
static size_t head_size(struct lws *wsi, const struct http_route *route)
{
    size_t size =
        headers_size(wsi, WSI_TOKEN_ORIGIN) + headers_size(wsi, WSI_TOKEN_HTTP_AUTHORIZATION) +
        headers_size(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH) +
        headers_size(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) + headers_size_custom(wsi, api_key_name);
    if (route->is_for_clients) {
        size += headers_size(wsi, WSI_TOKEN_HTTP_ACCEPT);
    }
    if (route->is_signed) {
        size +=
            headers_size_custom(wsi, signature_name) + headers_size_custom(wsi, hub_signature_name);
    }
    return size;
}

static bool is_http_1_1(struct lws *wsi)
{
    char version[16];
    int len = lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_HTTP);
    return len > 0 && str_eq((struct str){version, (size_t)len}, STR("HTTP/1.1"));
}

static struct http_request *create_request(const struct http_options *options, struct lws *wsi,
                                           struct http_request **slot)
{
    char *uri = NULL;
    int uri_len = 0;
    int method = lws_http_get_uri_and_method(wsi, &uri, &uri_len);
    size_t path_len = method >= 0 && uri_len > 0 ? (size_t)uri_len : 0;
    struct http_route route;
    options->route(options->arg, (struct str){uri, path_len}, &route);
    size_t n_bytes = path_len + head_size(wsi, &route);
    struct http_request *r = malloc(sizeof(*r) + n_bytes);
    if (!r) {
        return NULL;
    }
    *r = (struct http_request){
        .wsi = wsi,
        .slot = slot,
        .options = options,
        .route = route,
        .method = method_of(method),
        .head = {.bytes = r->texts, .size = n_bytes, .used = path_len},
        .path = {r->texts, path_len},
        .knows_chunks = is_http_1_1(wsi),
    };
    if (path_len > 0) {
        memcpy(r->texts, uri, path_len);
    }
    buf_init(&r->body, r->route.max_body_size + 1);
    buf_init(&r->reply, REPLY_MAX_BYTES);
    return r;
}

/* False: memory is short. */
static bool read_head(struct http_request *r)
{
    r->headers[HTTP_HEADER_ORIGIN] = headers_copy(&r->head, r->wsi, WSI_TOKEN_ORIGIN);
    r->headers[HTTP_HEADER_AUTHORIZATION] =
        headers_copy(&r->head, r->wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
    r->headers[HTTP_HEADER_IF_NONE_MATCH] =
        headers_copy(&r->head, r->wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH);
    r->headers[HTTP_HEADER_API_KEY] = headers_copy_custom(&r->head, r->wsi, api_key_name);
    if (r->route.is_signed) {
        r->headers[HTTP_HEADER_SIGNATURE] = headers_copy_custom(&r->head, r->wsi, signature_name);
        r->headers[HTTP_HEADER_HUB_SIGNATURE] =
            headers_copy_custom(&r->head, r->wsi, hub_signature_name);
    }
    if (r->route.is_for_clients) {
        r->headers[HTTP_HEADER_ACCEPT] = headers_copy(&r->head, r->wsi, WSI_TOKEN_HTTP_ACCEPT);
        r->client_head = client_head_read(r->wsi, r->options->forwarded_headers);
    }
    return r->client_head || !r->route.is_for_clients;
}

static void reply_text(struct http_request *r, int status, const char *text)
{
    http_reply(r, &(struct http_reply){.status = status,
                                       .content_type = "text/plain; charset=utf-8",
                                       .body = str_of(text)});
}

static bool method_has_body(enum http_method method)
{
    return method == HTTP_POST || method == HTTP_PUT || method == HTTP_PATCH;
}

static void reply_too_large(struct http_request *r)
{
    char text[128];
    snprintf(text, sizeof(text), "the body is larger than %s\n", r->route.max_body_size_key);
    reply_text(r, 413, text);
}

/* True: the request may go on. False: it has been answered. */
static bool check_head(struct http_request *r)
{
    struct str length = headers_copy(&r->head, r->wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    if (r->head.is_full) {
        r->closes = true;
        reply_text(r, 431, "the headers are too large\n");
        return false;
    }
    if (lws_hdr_total_length(r->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
        r->closes = true; /* where its body ends is not known here */
        reply_text(r, 411, "send a Content-Length, not a Transfer-Encoding\n");
        return false;
    }
    if (length.len > 0 && !http_content_length(length, &r->content_length)) {
        r->closes = true;
        reply_text(r, 400, "Content-Length is not a number of bytes\n");
        return false;
    }
    if (length.len == 0 && method_has_body(r->method)) {
        r->closes = true;
        reply_text(r, 411, "send a Content-Length\n");
        return false;
    }
    if (r->content_length > r->route.max_body_size) {
        r->closes = true;
        reply_too_large(r);
        return false;
    }
    return true;
}

/* --- the answer --- */

static void wake_up(struct deadline *deadline)
{
    struct http_wake_up *w = container_of(deadline, struct http_wake_up, deadline);
    lws_cancel_service(w->context);
}

/* libwebsockets looks at its timers, and at what it has read ahead, only after an event of its own.
 * What it has read ahead (a request behind the one that is answered) must not wait; the timeouts,
 * of many seconds, may. */
static void remind_libwebsockets(const struct http_options *options, struct lws_context *context)
{
    struct http_wake_up *w = options->wake_up;
    if (lws_service_adjust_timeout(context, 1, 0) == 0) {
        lws_cancel_service(context);
    } else if (!deadline_armed(&w->deadline)) {
        w->context = context;
        deadline_arm(options->deadlines, &w->deadline, WAKE_UP_MS, wake_up);
    }
}

/* False: the connection is to end. libwebsockets waits until the socket is writable before it reads
 * the next request. It has no reason to, and this takes a turn of the loop, so it is told at once.
 */
static bool complete_transaction(struct lws *wsi)
{
    bool has_rest = lws_partial_buffered(wsi);
    if (has_rest) { /* a client that does not read shall not stay for ever */
        lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, REPLY_READ_S);
    }
    if (lws_http_transaction_completed(wsi)) {
        return false;
    }
    if (!has_rest) {
        struct lws_pollfd writable = {
            .fd = lws_get_socket_fd(wsi), .events = LWS_POLLOUT, .revents = LWS_POLLOUT};
        lws_service_fd(lws_get_context(wsi), &writable);
    }
    return true;
}

/* Never from inside a callback of libwebsockets for this connection: behind a body it would not
 * find its way to the next request. */
static void end_request(struct http_request *r, bool closes)
{
    const struct http_options *options = r->options;
    struct lws *wsi = r->wsi;
    struct lws_context *context = lws_get_context(wsi);
    *r->slot = NULL;
    free_request(r);
    poll_mask_hold();
    bool goes_on = !closes && complete_transaction(wsi);
    poll_mask_release();
    if (!goes_on) {
        lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_SYNC);
    }
    remind_libwebsockets(options, context);
}

static void write_reply(struct http_request *r)
{
    int n_written = lws_write(r->wsi, (unsigned char *)r->reply.ptr + LWS_PRE,
                              r->reply.len - LWS_PRE, LWS_WRITE_HTTP_FINAL);
    end_request(r, n_written < 0 || r->closes);
}

/* Where only the connection's end tells the body's, the rest must have gone out before. */
static void end_flow(struct http_request *r)
{
    if (r->closes && lws_partial_buffered(r->wsi)) {
        lws_callback_on_writable(r->wsi);
        lws_set_timeout(r->wsi, PENDING_TIMEOUT_HTTP_CONTENT, REPLY_READ_S);
        remind_libwebsockets(r->options, lws_get_context(r->wsi));
    } else {
        end_request(r, r->closes);
    }
}

/* A client that is told neither a length nor chunks takes any orderly end for the body's, and
 * libwebsockets would make one. Linux resets a connection that is connected to nothing. */
static void break_flow(struct http_request *r)
{
    if (r->closes) {
        struct sockaddr nothing = {.sa_family = AF_UNSPEC};
        (void)connect(lws_get_socket_fd(r->wsi), &nothing, sizeof(nothing));
    }
    end_request(r, true);
}

static void on_tail(void *arg)
{
    struct http_request *r = arg;
    if (r->state == HTTP_PUT_OFF) {
        r->state = HTTP_HANDLING;
        r->at_tail(r->at_tail_arg, r);
    } else if (r->state == HTTP_ENDING) {
        end_flow(r);
    } else if (r->state == HTTP_BREAKING) {
        break_flow(r);
    } else {
        write_reply(r);
    }
}

/* --- going through --- */

/* The handler may answer inside of it: the reply is then written at the tail of the loop. */
static void hand_over(struct http_request *r)
{
    r->state = HTTP_HANDLING;
    (*r->options->n_under_way)++;
    deadline_disarm(r->options->deadlines, &r->deadline);
    lws_set_timeout(r->wsi, NO_PENDING_TIMEOUT, 0); /* the handler has its own deadline */
    r->is_in_callback = true;
    r->options->handler(r->options->arg, r);
    r->is_in_callback = false;
}

/* A connection that does not move any more. Armed from outside libwebsockets, its own timeout asks
 * for a wake-up. */
static void on_deadline(struct deadline *deadline)
{
    struct http_request *r = container_of(deadline, struct http_request, deadline);
    log_debug("http", "timeout", log_str("path", r->path));
    r->is_expired = true;
    lws_set_timeout(r->wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_ASYNC);
    lws_cancel_service(lws_get_context(r->wsi));
}

/* The client sees reply and end at once, and may go on sending for a while. */
static int refuse(struct http_request *r)
{
    int n_written = lws_write(r->wsi, (unsigned char *)r->reply.ptr + LWS_PRE,
                              r->reply.len - LWS_PRE, LWS_WRITE_HTTP_FINAL);
    if (n_written < 0) {
        return -1;
    }
    if (!lws_partial_buffered(r->wsi)) {
        shutdown(lws_get_socket_fd(r->wsi), SHUT_WR);
    }
    r->state = HTTP_REFUSED;
    deadline_arm(r->options->deadlines, &r->deadline, LINGER_MS, on_deadline);
    return 0;
}

int http_on_request(const struct http_options *options, struct lws *wsi, struct http_request **slot)
{
    struct http_request *r = create_request(options, wsi, slot);
    if (!r) {
        return -1;
    }
    *slot = r;
    r->tail = (struct deferred){.fn = on_tail, .arg = r};
    if (!read_head(r)) {
        return -1;
    }
    if (!check_head(r)) {
        return refuse(r);
    }
    if (r->content_length == 0 && r->method != HTTP_POST) { /* whose end is told all the same */
        hand_over(r);
        return 0;
    }
    deadline_arm(options->deadlines, &r->deadline, options->body_timeout_ms, on_deadline);
    return 0;
}

/* Behind another request in what libwebsockets 4.1 has read ahead, it takes the head of a request
 * for its body, and hands over freed memory if more is announced. */
static bool is_own_head(const struct http_request *r, struct str piece)
{
    static const struct str beginnings[] = {
        [HTTP_GET] = STR("GET /"),         [HTTP_HEAD] = STR("HEAD /"),
        [HTTP_POST] = STR("POST /"),       [HTTP_PUT] = STR("PUT /"),
        [HTTP_PATCH] = STR("PATCH /"),     [HTTP_DELETE] = STR("DELETE /"),
        [HTTP_OPTIONS] = STR("OPTIONS /"),
    };
    return r->body.len == 0 && r->method < HTTP_OTHER &&
           str_starts_with(str_trim(piece), beginnings[r->method]);
}

int http_on_body(struct http_request *r, struct str piece)
{
    /* A piece that overtakes the wake-up of on_deadline(): for it libwebsockets has set a timeout
     * of its own in place of the end. */
    if (r && r->is_expired) {
        return -1;
    }
    if (r && r->state == HTTP_REFUSED) {
        return 0;
    }
    if (!r || r->state != HTTP_READING) {
        return -1; /* bytes behind a request under way: see http_on_body_complete() */
    }
    if (is_own_head(r, piece)) {
        return -1;
    }
    buf_append(&r->body, piece);
    return buf_failed(&r->body) ? -1 : 0;
}

/* A POST that is sent right behind another request, before its answer, cannot be had from
 * libwebsockets 4.1: it takes the next head for a body, and comes here again and again without
 * consuming anything. A second call ends the connection: clients do not pipeline behind a POST (RFC
 * 9112 section 9.3.2), or try again. */
int http_on_body_complete(struct http_request *r)
{
    if (!r || r->state != HTTP_READING) {
        return -1;
    }
    hand_over(r);
    return 0;
}

void http_on_closed(struct http_request **slot)
{
    struct http_request *r = *slot;
    *slot = NULL;
    if (!r) {
        return;
    }
    r->wsi = NULL;
    deadline_disarm(r->options->deadlines, &r->deadline);
    bool is_watched = r->source.gone && (r->state == HTTP_HANDLING || r->state == HTTP_FLOWING);
    if (is_watched) {
        r->source.gone(r->source.arg);
    }
    if (is_watched || r->state != HTTP_HANDLING) { /* its handler will call http_reply() */
        free_request(r);
    }
}

/* One allocation for all of the reply, as a rule. Where it fails, the appends fail too. */
static void begin_reply(struct buf *out, const struct http_reply *reply)
{
    static const char headroom[LWS_PRE];
    (void)buf_reserve(out, LWS_PRE + REPLY_HEAD_BYTES + reply->body.len);
    buf_append(out, (struct str){headroom, LWS_PRE});
}

/* The reply's own lines, and those that all replies to clients have. */
static void append_headers(const struct http_request *r, const struct http_reply *reply,
                           struct buf *out)
{
    buf_init(out, CLIENT_HEADERS_MAX_BYTES);
    buf_append(out, str_of(reply->headers));
    r->options->append_client_headers(r->options->arg, r, out);
    buf_append_char(out, '\0');
}

static void write_reply_text(struct http_request *r, const struct http_reply *reply)
{
    bool is_head = r->method == HTTP_HEAD;
    begin_reply(&r->reply, reply);
    if (!r->client_head) {
        http_write_reply(&r->reply, reply, is_head, r->closes);
        return;
    }
    struct buf headers;
    append_headers(r, reply, &headers);
    struct http_reply whole = *reply;
    whole.headers = buf_failed(&headers) ? reply->headers : headers.ptr;
    http_write_reply(&r->reply, &whole, is_head, r->closes);
    buf_release(&headers);
}

void http_reply(struct http_request *r, const struct http_reply *reply)
{
    if (!r->wsi) {
        free_request(r);
        return;
    }
    write_reply_text(r, reply);
    if (buf_failed(&r->reply)) {
        log_error("http", "reply_too_large", log_str("path", r->path));
        buf_clear(&r->reply);
        r->closes = true;
        http_reply(r, &(struct http_reply){.status = 500});
        return;
    }
    if (r->state != HTTP_HANDLING) { /* refuse() writes it */
        return;
    }
    r->state = HTTP_ANSWERED;
    if (r->is_in_callback) {
        loop_defer(r->options->loop, &r->tail);
    } else {
        write_reply(r);
    }
}

/* --- piece by piece --- */

void http_watch(struct http_request *r, const struct http_source *source)
{
    r->source = *source;
}

/* Cut from outside libwebsockets' callbacks: gone() comes from there. */
static void cut_dead(struct http_request *r)
{
    lws_set_timeout(r->wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_ASYNC);
    lws_cancel_service(lws_get_context(r->wsi));
    r->is_expired = true;
}

static void write_bytes(struct http_request *r, struct str bytes)
{
    char *start = (char *)(uintptr_t)bytes.ptr; /* libwebsockets does not change them */
    bool is_written =
        lws_is_ssl(r->wsi)
            ? lws_write(r->wsi, (unsigned char *)start, bytes.len, LWS_WRITE_HTTP) >= 0
            : direct_write(r->wsi, lws_get_socket_fd(r->wsi), start, bytes.len);
    if (!is_written) {
        cut_dead(r);
    }
}

void http_begin_reply(struct http_request *r, const struct http_reply *reply, int64_t length)
{
    struct http_flow flow = {
        .length = length, .is_head = r->method == HTTP_HEAD, .knows_chunks = r->knows_chunks};
    struct http_reply whole = *reply;
    struct buf headers;
    buf_init(&headers, 0);
    if (r->client_head) {
        append_headers(r, reply, &headers);
        whole.headers = buf_failed(&headers) ? reply->headers : headers.ptr;
    }
    http_write_flow_head(&r->reply, &whole, &flow);
    buf_release(&headers);
    r->is_chunked = flow.is_chunked;
    r->closes = r->closes || flow.closes;
    r->state = HTTP_FLOWING;
    lws_http_headers_detach(r->wsi); /* see http_take_connection() */
    if (buf_failed(&r->reply)) {
        log_error("http", "reply_too_large", log_str("path", r->path));
        cut_dead(r);
        return;
    }
    write_bytes(r, buf_str(&r->reply));
}

bool http_can_write(const struct http_request *r)
{
    return !r->is_expired && !lws_partial_buffered(r->wsi);
}

void http_write(struct http_request *r, struct str piece)
{
    if (r->is_expired || piece.len == 0) { /* an empty chunk would be the last one */
        return;
    }
    if (!r->is_chunked) {
        write_bytes(r, piece);
    } else {
        buf_clear(&r->reply);
        buf_printf(&r->reply, "%zx\r\n", piece.len);
        buf_append(&r->reply, piece);
        buf_literal(&r->reply, "\r\n");
        if (buf_failed(&r->reply)) {
            cut_dead(r);
            return;
        }
        write_bytes(r, buf_str(&r->reply));
    }
    if (!r->is_expired && lws_partial_buffered(r->wsi)) {
        lws_callback_on_writable(r->wsi);
    }
}

static void leave_flow(struct http_request *r, enum http_state state)
{
    r->state = state;
    loop_defer(r->options->loop, &r->tail);
}

void http_end_reply(struct http_request *r)
{
    if (r->is_chunked && !r->is_expired) {
        write_bytes(r, STR("0\r\n\r\n"));
    }
    leave_flow(r, r->is_expired ? HTTP_BREAKING : HTTP_ENDING);
}

void http_break_reply(struct http_request *r)
{
    leave_flow(r, HTTP_BREAKING);
}

int http_on_writeable(struct http_request *r)
{
    if (r->state == HTTP_FLOWING && !r->is_expired) {
        r->source.may_write(r->source.arg);
    } else if (r->state == HTTP_ENDING) {
        loop_defer(r->options->loop, &r->tail);
    }
    return 0;
}

/* --- without an end --- */

void http_handle_at_tail(struct http_request *r, http_handler_fn fn, void *arg)
{
    r->at_tail = fn;
    r->at_tail_arg = arg;
    r->state = HTTP_PUT_OFF;
    loop_defer(r->options->loop, &r->tail);
}

void http_write_stream_head(const struct http_request *r, const struct http_reply *reply,
                            struct buf *out)
{
    struct buf headers;
    append_headers(r, reply, &headers);
    struct http_reply whole = *reply;
    whole.headers = buf_failed(&headers) ? reply->headers : headers.ptr;
    http_write_endless_head(out, &whole);
    buf_release(&headers);
}

/* libwebsockets cuts who keeps a head for minutes. */
void http_take_connection(struct http_request *r)
{
    lws_http_headers_detach(r->wsi);
    *r->slot = NULL;
    free_request(r);
}

bool http_refuse_upgrade(struct lws *wsi, const struct http_reply *reply)
{
    struct buf text;
    buf_init(&text, 4096);
    begin_reply(&text, reply);
    http_write_reply(&text, reply, false, false);
    int n_written = -1;
    if (!buf_failed(&text)) {
        n_written = lws_write(wsi, (unsigned char *)text.ptr + LWS_PRE, text.len - LWS_PRE,
                              LWS_WRITE_HTTP_FINAL);
    }
    buf_release(&text);
    return n_written >= 0;
}
