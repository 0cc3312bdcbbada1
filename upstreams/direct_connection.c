/* SPDX-License-Identifier: MIT */
/* The sockets of the direct client. One is watched for reading as long as it lives, so that a
 * request over a kept one changes nothing in the kernel's table. Kept ones are taken last in, first
 * out: those that are not needed any more are found at the other end. */
#include "upstreams/direct_internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include <utlist.h>

#define SWEEPS_PER_LIFE      6
#define MAX_KEPT_INPUT_BYTES ((size_t)4096) /* a larger buffer is not kept for the next */

/* --- the end of their memory --- */

void handle_closed(struct direct *d)
{
    if (--d->n_handles > 0) {
        return;
    }
    struct direct_connection *c;
    struct direct_connection *next;
    LL_FOREACH_SAFE (d->free, c, next) {
        buf_release(&c->rest);
        free(c);
    }
    free(d);
}

static void on_closed(uv_handle_t *handle)
{
    struct direct_connection *c = (struct direct_connection *)handle;
    struct direct *d = c->direct;
    LL_PREPEND(d->free, c);
    handle_closed(d);
}

/* --- kept ones --- */

static void leave_kept(struct direct_connection *c)
{
    struct direct *d = c->direct;
    DL_DELETE(c->host->kept, c);
    DL_DELETE2(d->kept_last, c, newer, older);
    d->n_kept--;
    c->is_kept = false;
}

/* The one kept for the longest time. */
static struct direct_connection *kept_first(const struct direct *d)
{
    return d->kept_last ? d->kept_last->newer : NULL; /* the list's tail */
}

static void on_sweep(uv_timer_t *timer)
{
    struct direct *d = timer->data;
    struct direct_connection *c;
    int64_t since_ms = loop_now_ms(d->loop) - d->kept_ms;
    while ((c = kept_first(d)) && c->kept_since_ms <= since_ms) {
        connection_close(c);
    }
    if (!c) {
        (void)uv_timer_stop(timer);
    }
}

void connection_keep(struct direct_connection *c)
{
    struct direct *d = c->direct;
    c->call = NULL;
    c->is_kept = true;
    c->kept_since_ms = loop_now_ms(d->loop);
    DL_PREPEND(c->host->kept, c);
    DL_PREPEND2(d->kept_last, c, newer, older);
    d->n_kept++;
    if (d->n_kept > d->max_kept) {
        connection_close(kept_first(d));
    } else if (d->n_kept == 1 && !uv_is_active((uv_handle_t *)&d->sweeper)) {
        uint64_t interval_ms = (uint64_t)d->kept_ms / SWEEPS_PER_LIFE + 1;
        (void)uv_timer_start(&d->sweeper, on_sweep, interval_ms, interval_ms);
    }
}

struct direct_connection *connection_take_kept(struct direct_host *host)
{
    struct direct_connection *c = host->kept;
    if (c) {
        leave_kept(c);
    }
    return c;
}

void connections_close_kept(struct direct *d)
{
    while (d->kept_last) {
        connection_close(d->kept_last);
    }
}

/* --- watching --- */

/* Closed by the server, or it says something that nobody asked for: a kept one is of no use then.
 */
static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct direct_connection *c = (struct direct_connection *)poll;
    if (c->is_kept) {
        connection_close(c);
    } else {
        direct_on_event(c, status, events);
    }
}

bool connection_watch(struct direct_connection *c, int events)
{
    return uv_poll_start(&c->poll, events, on_poll) == 0;
}

/* --- opening and closing --- */

/* With its handle, which is not started. */
static struct direct_connection *connection_new(struct direct *d, int fd)
{
    struct direct_connection *c = d->free;
    if (c) {
        LL_DELETE(d->free, c);
    } else if (!(c = calloc(1, sizeof(*c)))) {
        return NULL;
    } else {
        buf_init(&c->rest, HTTP1_HEAD_BYTES_MAX);
    }
    int error = uv_poll_init(loop_uv(d->loop), &c->poll, fd);
    if (error) {
        LL_PREPEND(d->free, c);
        errno = -error;
        return NULL;
    }
    uv_unref((uv_handle_t *)&c->poll);
    d->n_handles++;
    c->direct = d;
    c->call = NULL;
    c->fd = fd;
    c->is_failed = false;
    c->n_sent = 0;
    return c;
}

static int open_socket(const struct direct_address *address)
{
    static const int on = 1;
    int fd = socket(address->name.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (connect(fd, &address->name.any, address->len) && errno != EINPROGRESS) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Of a socket, which is its own from here on. */
static struct direct_connection *begin(struct direct *d, struct direct_host *host, int fd,
                                       bool is_connecting)
{
    struct direct_connection *c = connection_new(d, fd);
    if (!c) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return NULL;
    }
    c->host = host;
    c->is_connecting = is_connecting;
    host->n_connections++;
    if (!connection_watch(c, is_connecting ? UV_WRITABLE : UV_READABLE)) {
        connection_close(c);
        errno = ENOMEM;
        return NULL;
    }
    return c;
}

struct direct_connection *connection_open(struct direct *d, struct direct_host *host)
{
    int fd = open_socket(&host->address);
    return fd < 0 ? NULL : begin(d, host, fd, true);
}

struct direct_connection *connection_adopt(struct direct *d, struct direct_host *host, int fd)
{
    return begin(d, host, fd, false);
}

void connection_close(struct direct_connection *c)
{
    if (c->is_kept) {
        leave_kept(c);
    }
    c->host->n_connections--;
    c->call = NULL;
    if (c->rest.capacity > MAX_KEPT_INPUT_BYTES) {
        buf_release(&c->rest);
    }
    buf_clear(&c->rest);
    (void)uv_poll_stop(&c->poll); /* before the socket's number can be another's */
    uv_close((uv_handle_t *)&c->poll, on_closed);
    (void)close(c->fd);
}
