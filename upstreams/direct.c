/* SPDX-License-Identifier: MIT */
/* The life of a call of the direct client: over a kept connection or a new one, to its end or its
 * deadline. What a kept connection turns out to have been closed under, before a byte of the
 * answer, is asked once more over a new one: a GET may be. Nothing is touched after on_end(), which
 * may start and cancel others. */
#include "upstreams/direct.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <utlist.h>

#include "base/clock.h"
#include "upstreams/address_guard.h"
#include "upstreams/direct_internal.h"

#define MAX_READS 4 /* at one event: others want to be read, too */

static void begin_anew(struct direct *d, struct direct_call *call, struct direct_host *host);

/* --- ends --- */

static void release(struct direct *d, struct direct_call *call)
{
    deadline_disarm(d->deadlines, &call->deadline);
    direct_answer_release(d, call);
    call->connection = NULL;
}

static void close_and_end(struct direct_call *call, enum direct_end end)
{
    struct direct *d = call->connection->direct;
    connection_close(call->connection);
    release(d, call);
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
    release(d, call);
    call->on_end(call, end);
}

static enum direct_end not_connected(struct direct_call *call, struct direct_host *host, int error)
{
    (void)snprintf(call->error, DIRECT_ERROR_SIZE, "no connection to %.*s: %s",
                   (int)host->authority_len, host->authority, strerror(error));
    direct_host_forget_address(host);
    return host->is_literal ? DIRECT_NOT_CONNECTED : DIRECT_UNKNOWN;
}

/* --- time --- */

static void on_deadline(struct deadline *deadline)
{
    struct direct_call *call = container_of(deadline, struct direct_call, deadline);
    struct direct_connection *c = call->connection;
    if (c->is_connecting) {
        bool is_sooner =
            call->connect_timeout_ms > 0 && call->connect_timeout_ms < call->timeout_ms;
        (void)snprintf(call->error, DIRECT_ERROR_SIZE, "no connection to %.*s within %lld ms",
                       STR_ARG(call->authority),
                       (long long)(is_sooner ? call->connect_timeout_ms : call->timeout_ms));
        direct_host_forget_address(c->host);
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

/* The connection broke; before the first byte, once, another is tried. */
static void on_broken(struct direct_connection *c, const char *why)
{
    struct direct_call *call = c->call;
    struct direct *d = c->direct;
    struct direct_host *host = c->host;
    if (!call->is_reused || call->first_byte_us > 0) {
        (void)snprintf(call->error, DIRECT_ERROR_SIZE, "the connection broke: %s", why);
        close_and_end(call, DIRECT_BROKEN);
        return;
    }
    connection_close(c);
    begin_anew(d, call, host);
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
    const struct direct_address *address;
    call->begun_us = clock_monotonic_us();
    call->ready_us = 0;
    call->is_reused = false;
    if (!direct_host_address(d, host, &address)) {
        *ret_end = DIRECT_UNKNOWN;
        return false;
    }
    if (is_refused(d, call, address)) {
        *ret_end = DIRECT_REFUSED;
        return false;
    }
    struct direct_connection *c = connection_open(d, host, address);
    if (!c) {
        *ret_end = not_connected(call, host, errno);
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
        release(d, call);
        call->on_end(call, end);
    }
}

static void on_connected(struct direct_connection *c, int status)
{
    struct direct_call *call = c->call;
    int error = 0;
    socklen_t len = sizeof(error);
    (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error || status < 0) {
        close_and_end(call, not_connected(call, c->host, error ? error : -status));
        return;
    }
    c->is_connecting = false;
    call->ready_us = clock_monotonic_us();
    call->connect_us = call->ready_us - call->begun_us;
    call->n_connections++;
    if (call->connect_timeout_ms > 0) {
        arm(c->direct, call, call->ready_us);
    }
    if (!send_request(c)) {
        on_broken(c, strerror(errno));
    } else if (!connection_watch(c, is_sent(c) ? UV_READABLE : UV_READABLE | UV_WRITABLE)) {
        on_broken(c, strerror(ENOMEM));
    }
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

enum received { RECEIVED_MORE, RECEIVED_ALL, RECEIVED_NOTHING, RECEIVED_END };

/* Keeps what was not taken. False: the call has ended. */
static bool take_input(struct direct_connection *c, size_t n_bytes)
{
    struct direct *d = c->direct;
    struct str input = {d->input, n_bytes};
    enum direct_end end;
    note_first_byte(c->call);
    if (!direct_answer_take(d, c->call, &input, &end)) {
        finish(c->call, end, input.len > 0);
        return false;
    }
    buf_clear(&c->rest);
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

static void begin(struct direct *d, struct direct_call *call)
{
    struct direct_host *host = direct_host_find(d, call->authority);
    if (!host) {
        call->on_end(call, DIRECT_UNKNOWN);
        return;
    }
    struct direct_connection *kept = connection_take_kept(host);
    call->begun_us = clock_monotonic_us();
    if (kept && send_over_kept(kept, call)) {
        arm(d, call, call->begun_us);
        return;
    }
    if (kept) {
        connection_close(kept);
    }
    begin_anew(d, call, host);
}

static void leave_starting(struct direct *d, struct direct_call *call)
{
    DL_DELETE(d->starting, call);
    d->n_starting--;
    call->is_starting = false;
}

/* Those who have come by now: who is started from inside here has its turn in the next one. */
static void on_begin(void *arg)
{
    struct direct *d = arg;
    for (size_t n = d->n_starting; n > 0 && d->starting; n--) {
        struct direct_call *call = d->starting;
        leave_starting(d, call);
        begin(d, call);
    }
    if (d->starting) {
        loop_defer(d->loop, &d->begin);
    }
}

/* --- the calls of others --- */

/* Nothing is sent yet: who starts and cancels in one turn has done nothing. */
void direct_start(struct direct *d, struct direct_call *call)
{
    call->connection = NULL;
    call->connect_us = 0;
    call->first_byte_us = 0;
    call->n_connections = 0;
    call->is_reused = false;
    call->is_starting = true;
    direct_answer_begin(call);
    DL_APPEND(d->starting, call);
    d->n_starting++;
    loop_defer(d->loop, &d->begin);
}

void direct_cancel(struct direct *d, struct direct_call *call)
{
    if (call->is_starting) {
        leave_starting(d, call);
    } else if (call->connection) {
        connection_close(call->connection);
        release(d, call);
    }
}

/* --- create and destroy --- */

static void on_sweeper_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

enum status direct_create(const struct direct_options *options, struct direct **ret_direct)
{
    struct direct *d = calloc(1, sizeof(*d));
    if (!d) {
        return STATUS_NO_MEMORY;
    }
    d->loop = options->loop;
    d->begin = (struct deferred){.fn = on_begin, .arg = d};
    d->deadlines = options->deadlines;
    d->guard = options->guard;
    d->max_kept = options->max_kept;
    d->kept_ms = options->kept_ms;
    d->known_ms = options->known_ms;
    (void)uv_timer_init(loop_uv(d->loop), &d->sweeper); /* cannot fail */
    uv_unref((uv_handle_t *)&d->sweeper);
    d->sweeper.data = d;
    d->n_handles = 1;
    *ret_direct = d;
    return STATUS_OK;
}

void direct_destroy(struct direct *d)
{
    if (!d) {
        return;
    }
    loop_undefer(d->loop, &d->begin);
    connections_close_kept(d);
    direct_hosts_release(d);
    inflaters_release(&d->inflaters);
    uv_close((uv_handle_t *)&d->sweeper, on_sweeper_closed);
}
