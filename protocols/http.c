/* SPDX-License-Identifier: MIT */
/* Unit http is the life of one request: head, body, handler, reply. libwebsockets 4.1 hands over
 * what it does not check itself (Content-Length, Transfer-Encoding, body size and time), so all of
 * that is checked here before a handler runs. A request outlives its connection when its handler
 * still works on the answer. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocols/access_log.h"
#include "protocols/client_head.h"
#include "protocols/http_head.h"
#include "protocols/http_internal.h"
#include "protocols/poll_mask.h"

#define REPLY_READ_S 60

/* Of most replies. */
#define REPLY_HEAD_BYTES 192

/* Of what is added to all replies to clients: mostly names that they sent themselves. */
#define CLIENT_HEADERS_MAX_BYTES 32768

/* A refused request's connection is closed when its body has been read, or after this long: closing
 * over unread bytes would reset the connection, and the client would not see why. */
#define LINGER_MS 5000

#define WAKE_UP_MS 1000

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

struct str http_request_id(const struct http_request *r)
{
    return r->id;
}

void http_request_set_key_name(struct http_request *r, struct str name)
{
    (void)snprintf(r->key_name, sizeof(r->key_name), "%.*s", STR_ARG(name));
}

void *http_request_room(struct http_request *r)
{
    return r->room;
}

struct lws *http_request_connection(const struct http_request *r)
{
    return r->wsi;
}

static bool is_under_way(const struct http_request *r)
{
    return r->state != HTTP_READING && r->state != HTTP_REFUSED;
}

/* --- the access log --- */

const char *http_method_name(enum http_method method)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
        [HTTP_PUT] = "PUT",         [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE",
        [HTTP_OPTIONS] = "OPTIONS", [HTTP_OTHER] = "other",
    };
    return names[method];
}

/* Of a client that did not wait for the answer; nginx's word for it. */
#define STATUS_CLIENT_GONE 499

const int http_counted_statuses[HTTP_N_STATUSES] = {
    200, 204, 206, 301, 302, 304, 400, 401, 403, 404, 405, 406, 408, 409,
    411, 413, 415, 416, 417, 426, 429, 431, 499, 500, 502, 503, 504, 0};

static void count_reply(const struct http_request *r)
{
    int status = r->status ? r->status : STATUS_CLIENT_GONE;
    size_t i = 0;
    while (i < HTTP_N_STATUSES - 1 && http_counted_statuses[i] != status) {
        i++;
    }
    r->options->counts->n_requests[r->method][i]++;
}

/* Once for each request. */
static void log_reply(struct http_request *r)
{
    const struct access_log_options *options = r->options->access_log;
    if (r->is_logged) {
        return;
    }
    r->is_logged = true;
    count_reply(r);
    if (!options->enabled) {
        return;
    }
    access_log_write(options, &(struct access_log_entry){
                                  .method = http_method_name(r->method),
                                  .path = r->path,
                                  .status = r->status ? r->status : STATUS_CLIENT_GONE,
                                  .n_bytes = r->n_reply_bytes,
                                  .duration_us = clock_monotonic_us() - r->begun_us,
                                  .wsi = r->wsi,
                                  .forwarded_for = r->headers[HTTP_HEADER_FORWARDED_FOR],
                                  .id = r->id,
                                  .key = str_of(r->key_name),
                              });
}

static void free_request(struct http_request *r)
{
    log_reply(r);
    *r->options->n_under_way -= is_under_way(r);
    deadline_disarm(r->options->deadlines, &r->deadline);
    loop_undefer(r->options->loop, &r->tail);
    client_head_destroy(r->client_head);
    buf_release(&r->body);
    buf_release(&r->reply);
    free(r);
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
    log_reply(r);
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
    struct http_request *r = http_incoming_create(options, wsi, slot);
    if (!r) {
        return -1;
    }
    *slot = r;
    r->tail = (struct deferred){.fn = on_tail, .arg = r};
    if (!http_incoming_check(r)) {
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
void http_append_headers(const struct http_request *r, const struct http_reply *reply,
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
    struct http_reply whole = *reply;
    whole.request_id = r->id;
    r->status = reply->status;
    r->n_reply_bytes = (int64_t)reply->body.len;
    begin_reply(&r->reply, reply);
    if (!r->client_head) {
        http_write_reply(&r->reply, &whole, is_head, r->closes);
        return;
    }
    struct buf headers;
    http_append_headers(r, reply, &headers);
    whole.headers = buf_failed(&headers) ? reply->headers : headers.ptr;
    http_write_reply(&r->reply, &whole, is_head, r->closes);
    buf_release(&headers);
}

void http_reply(struct http_request *r, const struct http_reply *reply)
{
    if (!r->wsi) {
        r->status = STATUS_CLIENT_GONE;
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

/* --- without an end --- */

void http_handle_at_tail(struct http_request *r, http_handler_fn fn, void *arg)
{
    r->at_tail = fn;
    r->at_tail_arg = arg;
    r->state = HTTP_PUT_OFF;
    loop_defer(r->options->loop, &r->tail);
}

void http_write_stream_head(struct http_request *r, const struct http_reply *reply, struct buf *out)
{
    struct buf headers;
    http_append_headers(r, reply, &headers);
    struct http_reply whole = *reply;
    whole.request_id = r->id;
    r->status = reply->status;
    r->n_reply_bytes = -1;
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
