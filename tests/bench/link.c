/* SPDX-License-Identifier: MIT */
/* Each readable socket is read until it is empty, mostly by one call. What a link kept is put in
 * front of what it reads, in the same buffer, so that a handler always sees contiguous bytes and
 * nothing else is copied. */
#include "tests/bench/link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/cli.h"
#include "tests/bench/dial.h"
#include "tests/bench/link_tls.h"
#include "tests/bench/stamp.h"

#define READ_BYTES       65536
#define UNSENT_MAX_BYTES (2u << 20)
#define ENDED            (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

static struct {
    struct link_options options;
    uint64_t received_ns;
    char input[LINK_KEPT_MAX_BYTES + READ_BYTES];
} links;

void link_set_up(const struct link_options *options)
{
    links.options = *options;
    if (options->tls) {
        link_tls_set_up();
    }
}

void link_tear_down(void)
{
    link_tls_tear_down();
}

uint64_t link_received_ns(void)
{
    return links.received_ns;
}

/* --- sending --- */

/* Sends until all is sent or the socket is full, and only then is it told when there is room again;
 * TLS takes no more than a record at a time. Returns what is left. */
static struct str send_some(struct link *l, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n =
            l->tls ? link_tls_send(l->tls, bytes) : send(l->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n < 0) {
            fail_errno("send");
        }
        bytes = str_tail(bytes, (size_t)n);
    }
    return bytes;
}

void link_send(struct link *l, struct str bytes)
{
    assert(l->state == LINK_OPEN);
    if (l->unsent.len == 0) {
        bytes = send_some(l, bytes);
    }
    if (bytes.len == 0) {
        return;
    }
    buf_append(&l->unsent, bytes);
    if (buf_failed(&l->unsent)) {
        fail("the server does not read: %zu bytes wait to be sent", l->unsent.len);
    }
}

static void flush(struct link *l)
{
    struct str rest = send_some(l, buf_str(&l->unsent));
    buf_consume(&l->unsent, l->unsent.len - rest.len);
}

/* --- receiving --- */

/* rest lies in the shared buffer. */
static void keep(struct link *l, struct str rest)
{
    if (rest.len > LINK_KEPT_MAX_BYTES) {
        fail("not what a server says: %zu bytes that make no sense yet", rest.len);
    }
    free(l->kept);
    l->kept = NULL;
    l->n_kept = rest.len;
    if (rest.len > 0) {
        l->kept = malloc(rest.len);
        if (!l->kept) {
            fail_errno("input");
        }
        memcpy(l->kept, rest.ptr, rest.len);
    }
}

/* False where there was nothing more to read. */
static bool receive(struct link *l)
{
    char *start = links.input + LINK_KEPT_MAX_BYTES;
    ssize_t n =
        l->tls ? link_tls_receive(l->tls, start, READ_BYTES) : recv(l->fd, start, READ_BYTES, 0);
    if (n < 0 && errno == EAGAIN) {
        return false;
    }
    if (n <= 0) {
        l->handler->on_closed(l);
        return false;
    }
    links.received_ns = stamp_now_ns();
    if (l->n_kept > 0) {
        start -= l->n_kept;
        memcpy(start, l->kept, l->n_kept);
    }
    struct str data = {start, (size_t)n + l->n_kept};
    struct str rest = str_tail(data, l->handler->on_input(l, data));
    if (rest.len > 0 || l->n_kept > 0) {
        keep(l, rest);
    }
    /* A plain socket that gave less than there was room for has no more; TLS reads by the record.
     */
    return l->tls || n == READ_BYTES;
}

/* What the server said before it ended the connection leaves the end unread. */
static void receive_all(struct link *l, bool has_ended)
{
    while (receive(l)) {
    }
    if (has_ended && l->state == LINK_OPEN) {
        receive(l);
    }
}

/* --- connecting --- */

static void opened(struct link *l)
{
    l->state = LINK_OPEN;
    l->handler->on_open(l);
}

static void shake_hands(struct link *l)
{
    if (link_tls_shake_hands(l->tls)) {
        opened(l);
    }
}

static void connected(struct link *l)
{
    dial_finish(l->fd);
    if (links.options.tls) {
        l->state = LINK_SHAKING_HANDS;
        l->tls = link_tls_create(l->fd);
        shake_hands(l);
    } else {
        opened(l);
    }
}

static void on_ready(struct watched *w, uint32_t events)
{
    struct link *l = (struct link *)w;
    switch (l->state) {
    case LINK_CLOSED: break;
    case LINK_CONNECTING: connected(l); break;
    case LINK_SHAKING_HANDS: shake_hands(l); break;
    case LINK_OPEN:
        if ((events & EPOLLOUT) && l->unsent.len > 0) {
            flush(l);
        }
        if (events & (EPOLLIN | ENDED)) {
            receive_all(l, events & ENDED);
        }
        break;
    }
}

void link_connect(struct link *l, const struct link_handler *handler, unsigned source)
{
    *l = (struct link){.watched.on_ready = on_ready, .handler = handler, .state = LINK_CONNECTING};
    buf_init(&l->unsent, UNSENT_MAX_BYTES);
    l->fd = dial_start(links.options.port, source, links.options.receive_buffer_bytes);
    poller_watch(l->fd, &l->watched);
}

void link_close(struct link *l)
{
    if (l->state == LINK_CLOSED) {
        return;
    }
    link_tls_destroy(l->tls);
    close(l->fd);
    free(l->kept);
    buf_release(&l->unsent);
    *l = (struct link){.state = LINK_CLOSED};
}

void link_prefer(struct link *l)
{
    poller_prefer(l->fd, &l->watched);
}

void link_ignore(struct link *l)
{
    poller_ignore(l->fd);
}
