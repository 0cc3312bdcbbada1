/* SPDX-License-Identifier: MIT */
/* The life of a call of the direct client: over a kept connection or a new one, to its end or its
 * deadline. What a kept connection turns out to have been closed under, before a byte of the
 * answer, is asked once more over a new one: a GET may be. Nothing is touched after on_end(), which
 * may start and cancel others. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "upstreams/address_guard.h"
#include "upstreams/direct_internal.h"

#define MAX_READS 4 /* at one event: others want to be read, too */

static void begin_anew(struct direct *d, struct direct_call *call, struct direct_host *host);

/* --- ends --- */

void direct_call_release(struct direct *d, struct direct_call *call)
{
    deadline_disarm(d->deadlines, &call->deadline);
    direct_answer_release(d, call);
    call->connection = NULL;
}

static void close_and_end(struct direct_call *call, enum direct_end end)
{
    struct direct *d = call->connection->direct;
    connection_close(call->connection);
    direct_call_release(d, call);
    call->on_end(call, end);
}

/* With what is left of the input it is not known who sent that to whom. */
static void finish(struct direct_call *call, enum direct_end end, bool has_excess)
{
    struct direct_connection *c = call->connection;
    struct direct *d = c->direct;
    bool is_sent = c->n_sent == call->request.len;
    if (end == DIRECT_COMPLETE && !has_excess && is_sent && !c->is_failed &&
        http1_response_keeps(&call->response)) {
        connection_keep(c);
    } else {
        connection_close(c);
    }
    direct_call_release(d, call);
    call->on_end(call, end);
}

static enum direct_end not_connected(struct direct_call *call, int error)
{
    (void)snprintf(call->error, DIRECT_ERROR_SIZE, "no connection to %.*s: %s",
                   STR_ARG(call->authority), strerror(error));
    return DIRECT_NOT_CONNECTED;
}

/* --- time --- */

static void on_deadline(struct deadline *deadline)
{
    struct direct_call *call = container_of(deadline, struct direct_call, deadline);
    struct direct_connection *c = call->connection;
    if (c->is_connecting) {
        bool is_whole = clock_monotonic_us() >= call->ends_us;
        (void)snprintf(call->error, DIRECT_ERROR_SIZE, "no connection to %.*s within %lld ms",
                       STR_ARG(call->authority),
                       (long long)(is_whole ? call->timeout_ms : call->connect_timeout_ms));
    } else {
        (void)snprintf(call->error, DIRECT_ERROR_SIZE,
                       "no complete answer within %lld ms, %lld bytes of its body came",
                       (long long)call->timeout_ms, (long long)call->n_body_bytes);
    }
    close_and_end(call, DIRECT_TIMEOUT);
}

static void arm(struct direct *d, struct direct_call *call, int64_t now_us)
{
    int64_t left_ms = (call->ends_us - now_us + 999) / 1000;
    if (call->connection->is_connecting && call->connect_timeout_ms > 0 &&
        call->connect_timeout_ms < left_ms) {
        left_ms = call->connect_timeout_ms;
    }
    deadline_arm(d->deadlines, &call->deadline, left_ms, on_deadline);
}

/* --- sending --- */

static bool is_sent(const struct direct_connection *c)
{
    return c->n_sent == c->call->request.len;
}

/* As much as goes at once. False: the connection is broken, errno says how. */
static bool send_request(struct direct_connection *c)
{
    struct str rest = str_tail(c->call->request, c->n_sent);
    ssize_t n = send(c->fd, rest.ptr, rest.len, MSG_NOSIGNAL);
    if (n < 0) {
        return errno == EAGAIN;
    }
    c->n_sent += (size_t)n;
    return true;
}

static void attach(struct direct_connection *c, struct direct_call *call)
{
    c->call = call;
    c->n_sent = 0;
    call->connection = c;
}

static bool send_over_kept(struct direct_connection *c, struct direct_call *call)
{
    attach(c, call);
    call->is_reused = true;
    call->ready_us = call->begun_us;
    return send_request(c) && (is_sent(c) || connection_watch(c, UV_READABLE | UV_WRITABLE));
}

/* Over another connection, which is a new one, so that this happens once. */
static void repeat(struct direct_connection *c)
{
    struct direct_call *call = c->call;
    struct direct *d = c->direct;
    struct direct_host *host = c->host;
    connection_close(c);
    call->first_byte_us = 0;
    direct_answer_begin(call);
    begin_anew(d, call, host);
}

/* The connection broke; before the first byte, once, another is tried. */
static void on_broken(struct direct_connection *c, const char *why)
{
    struct direct_call *call = c->call;
    if (!call->is_reused || call->first_byte_us > 0) {
        (void)snprintf(call->error, DIRECT_ERROR_SIZE, "the connection broke: %s", why);
        close_and_end(call, DIRECT_BROKEN);
    } else {
        repeat(c);
    }
}

/* --- connecting --- */

static bool is_refused(const struct direct *d, struct direct_call *call,
                       const struct direct_address *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (!d->guard || address_guard_allows_address(d->guard, &address->name.any)) {
        return false;
    }
    const void *bytes = address->name.any.sa_family == AF_INET6
                            ? (const void *)&address->name.v6.sin6_addr
                            : (const void *)&address->name.v4.sin_addr;
    (void)inet_ntop(address->name.any.sa_family, bytes, text, sizeof(text));
    (void)snprintf(call->error, DIRECT_ERROR_SIZE, "the address %s is not allowed", text);
    return true;
}

static bool open_new(struct direct *d, struct direct_call *call, struct direct_host *host,
                     enum direct_end *ret_end)
{
    call->begun_us = clock_monotonic_us();
    call->ready_us = 0;
    call->is_reused = false;
    if (host->address.len == 0) {
        *ret_end = DIRECT_NAME;
        return false;
    }
    if (is_refused(d, call, &host->address)) {
        *ret_end = DIRECT_REFUSED;
        return false;
    }
    struct direct_connection *c = connection_open(d, host);
    if (!c) {
        *ret_end = not_connected(call, errno);
        return false;
    }
    attach(c, call);
    return true;
}

static void begin_anew(struct direct *d, struct direct_call *call, struct direct_host *host)
{
    enum direct_end end;
    call->connection = NULL;
    if (open_new(d, call, host, &end)) {
        arm(d, call, call->begun_us);
    } else {
        direct_call_release(d, call);
        call->on_end(call, end);
    }
}

static void send_over_new(struct direct_connection *c)
{
    if (!send_request(c)) {
        on_broken(c, strerror(errno));
    } else if (!connection_watch(c, is_sent(c) ? UV_READABLE : UV_READABLE | UV_WRITABLE)) {
        on_broken(c, strerror(ENOMEM));
    }
}

static void on_connected(struct direct_connection *c, int status)
{
    struct direct_call *call = c->call;
    int error = 0;
    socklen_t len = sizeof(error);
    (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error || status < 0) {
        close_and_end(call, not_connected(call, error ? error : -status));
        return;
    }
    c->is_connecting = false;
    call->ready_us = clock_monotonic_us();
    call->connect_us = call->ready_us - call->begun_us;
    call->n_connections++;
    if (call->connect_timeout_ms > 0) {
        arm(c->direct, call, call->ready_us);
    }
    send_over_new(c);
}

static void go_on_sending(struct direct_connection *c)
{
    if (!send_request(c)) {
        on_broken(c, strerror(errno));
    } else if (is_sent(c) && !connection_watch(c, UV_READABLE)) {
        on_broken(c, strerror(ENOMEM));
    }
}

/* --- receiving --- */

static void note_first_byte(struct direct_call *call)
{
    if (call->first_byte_us == 0) {
        int64_t us = clock_monotonic_us() - call->ready_us;
        call->first_byte_us = us > 0 ? us : 1;
    }
}

/* What a kept connection says first is no status line: it was said before the request came, as some
 * servers do that have sent more than they announced. */
static bool is_of_another(const struct direct_call *call, enum direct_end end)
{
    return end == DIRECT_BROKEN && call->is_reused && call->response.status == 0;
}

enum received { RECEIVED_MORE, RECEIVED_ALL, RECEIVED_NOTHING, RECEIVED_END };

/* Keeps what was not taken. False: the call has ended. */
static bool take_input(struct direct_connection *c, size_t n_bytes)
{
    struct direct *d = c->direct;
    struct str input = {d->input, n_bytes};
    enum direct_end end;
    note_first_byte(c->call);
    if (!direct_answer_take(d, c->call, &input, &end)) {
        if (is_of_another(c->call, end)) {
            repeat(c);
        } else {
            finish(c->call, end, input.len > 0);
        }
        return false;
    }
    buf_append(&c->rest, input);
    if (buf_failed(&c->rest)) {
        on_broken(c, strerror(ENOMEM));
        return false;
    }
    return true;
}

static void on_closed_by_server(struct direct_connection *c)
{
    if (c->call->first_byte_us == 0) {
        on_broken(c, "it was closed before the answer");
    } else {
        close_and_end(c->call, direct_answer_close(c->call));
    }
}

/* One read. */
static enum received receive(struct direct_connection *c)
{
    struct direct *d = c->direct;
    size_t n_before = c->rest.len;
    if (n_before > 0) {
        memcpy(d->input, c->rest.ptr, n_before);
    }
    buf_clear(&c->rest);
    ssize_t n = recv(c->fd, d->input + n_before, DIRECT_READ_BYTES, 0);
    if (n < 0 && errno == EAGAIN) {
        return RECEIVED_NOTHING;
    }
    if (n < 0) {
        on_broken(c, strerror(errno));
        return RECEIVED_END;
    }
    if (n == 0) {
        on_closed_by_server(c);
        return RECEIVED_END;
    }
    if (!take_input(c, n_before + (size_t)n)) {
        return RECEIVED_END;
    }
    return (size_t)n == DIRECT_READ_BYTES ? RECEIVED_MORE : RECEIVED_ALL;
}

/* libuv has stopped to watch a socket with an error. What came before that is still to be read, up
 * to where the error shows. */
static void receive_rest(struct direct_connection *c)
{
    enum received received;
    c->is_failed = true;
    do {
        received = receive(c);
    } while (received == RECEIVED_MORE || received == RECEIVED_ALL);
    if (received == RECEIVED_NOTHING) {
        on_broken(c, "it has an error");
    }
}

void direct_on_event(struct direct_connection *c, int status, int events)
{
    if (c->is_connecting) {
        on_connected(c, status);
    } else if (status < 0) {
        receive_rest(c);
    } else if (events & UV_WRITABLE) {
        go_on_sending(c); /* what can be read shows again */
    } else {
        for (int i = 0; i < MAX_READS && receive(c) == RECEIVED_MORE; i++) {
        }
    }
}

/* --- beginning --- */

void direct_call_drop_socket(struct direct_call *call)
{
    if (call->socket >= 0) {
        (void)close(call->socket);
        call->socket = -1;
    }
}

/* The socket that it came with. */
static void begin_over(struct direct *d, struct direct_call *call, struct direct_host *host)
{
    struct direct_connection *c = connection_adopt(d, host, call->socket);
    call->socket = -1;
    if (!c) {
        call->on_end(call, not_connected(call, errno));
        return;
    }
    attach(c, call);
    call->ready_us = call->begun_us;
    call->n_connections++;
    arm(d, call, call->begun_us);
    send_over_new(c);
}

void direct_call_begin(struct direct *d, struct direct_call *call)
{
    struct direct_host *host = direct_host_find(d, call->authority);
    call->begun_us = clock_monotonic_us();
    if (!host) {
        direct_call_drop_socket(call);
        call->on_end(call, not_connected(call, ENOMEM));
        return;
    }
    if (call->socket >= 0) {
        begin_over(d, call, host);
        return;
    }
    struct direct_connection *kept = connection_take_kept(host);
    if (kept && send_over_kept(kept, call)) {
        arm(d, call, call->begun_us);
        return;
    }
    if (kept) {
        connection_close(kept);
    }
    begin_anew(d, call, host);
}
