/* SPDX-License-Identifier: MIT */
#include "protocols/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "protocols/unix_socket.h"

#define ACCEPTS_PER_TURN 128
#define BACKLOG          4096

struct listener {
    struct listener_options options;
    int fd;
    int spare_fd; /* given up for a moment when descriptors run out, to turn a connection away */
    int port;
    struct unix_socket unix_socket; /* with a path */
    uv_poll_t poll;
    bool is_polling;
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t parse_address(const char *text, int port, union address *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, text[0] ? text : "0.0.0.0", &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons((uint16_t)port);
        return sizeof(ret->v4);
    }
    if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons((uint16_t)port);
        return sizeof(ret->v6);
    }
    return 0;
}

static enum status fail(const struct listener *l, const char *what)
{
    const char *path = l->options.path;
    log_error("listener", "cannot_listen", log_s("action", what),
              log_s(path ? "path" : "address", path ? path : l->options.address),
              log_i("port", l->options.port), log_s("error", strerror(errno)));
    return STATUS_IO;
}

static enum status open_tcp(struct listener *l)
{
    union address address;
    socklen_t len = parse_address(l->options.address, l->options.port, &address);
    if (len == 0) {
        errno = EINVAL;
        return fail(l, "parse");
    }
    l->fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0) {
        return fail(l, "socket");
    }
    int one = 1;
    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(l->fd, &address.any, len) != 0) {
        return fail(l, "bind");
    }
    if (listen(l->fd, BACKLOG) != 0) {
        return fail(l, "listen");
    }
    if (getsockname(l->fd, &address.any, &len) != 0) {
        return fail(l, "getsockname");
    }
    l->port = ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
    return STATUS_OK;
}

static enum status open_unix(struct listener *l)
{
    enum status status = unix_socket_bind(l->options.path, l->options.mode, &l->unix_socket);
    if (status != STATUS_OK) {
        return status;
    }
    l->fd = l->unix_socket.fd;
    return listen(l->fd, BACKLOG) == 0 ? STATUS_OK : fail(l, "listen");
}

static void set_tcp_options(int fd)
{
    /* Peers that vanish without a word are found by the kernel, at no cost for the loop. */
    int one = 1;
    int idle_s = 60;
    int interval_s = 10;
    int probes = 3;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

/* Out of descriptors: the connection would wait in the queue and wake the loop for ever. */
static void turn_one_away(struct listener *l)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_warn("listener", "out_of_descriptors", log_s("error", strerror(errno)),
                 log_i("left_out", limit.n_left_out));
    }
    if (l->spare_fd < 0) {
        return;
    }
    close(l->spare_fd);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool accept_one(struct listener *l)
{
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) {
            turn_one_away(l);
        }
        return errno == ECONNABORTED || errno == EINTR;
    }
    if (!l->options.may(l->options.arg)) {
        close(fd);
        return true;
    }
    if (!l->options.path) {
        set_tcp_options(fd);
    }
    l->options.accepted(l->options.arg, fd);
    return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *l = poll->data;
    for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(l); i++) {
    }
    l->options.batch_done(l->options.arg);
}

static enum status start_polling(struct listener *l)
{
    if (uv_poll_init(loop_uv(l->options.loop), &l->poll, l->fd) != 0) {
        return fail(l, "poll");
    }
    l->is_polling = true;
    l->poll.data = l;
    return uv_poll_start(&l->poll, UV_READABLE, on_readable) == 0 ? STATUS_OK : fail(l, "poll");
}

enum status listener_create(const struct listener_options *options, struct listener **ret_listener)
{
    struct listener *l = calloc(1, sizeof(*l));
    if (!l) {
        return STATUS_NO_MEMORY;
    }
    l->options = *options;
    l->fd = -1;
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    enum status status = options->path ? open_unix(l) : open_tcp(l);
    if (status == STATUS_OK) {
        status = start_polling(l);
    }
    if (status != STATUS_OK) {
        listener_destroy(l);
        return status;
    }
    *ret_listener = l;
    return STATUS_OK;
}

int listener_port(const struct listener *l)
{
    return l->port;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void listener_stop(struct listener *l)
{
    if (l->is_polling) {
        uv_poll_stop(&l->poll);
    }
    if (l->fd >= 0) {
        if (l->options.path) { /* before it is closed: another program may be about to replace it */
            unix_socket_remove(l->options.path, &l->unix_socket);
        }
        close(l->fd);
        l->fd = -1;
    }
}

void listener_destroy(struct listener *l)
{
    if (!l) {
        return;
    }
    listener_stop(l);
    if (l->spare_fd >= 0) {
        close(l->spare_fd);
    }
    if (l->is_polling) {
        uv_close((uv_handle_t *)&l->poll, on_closed);
    } else {
        free(l);
    }
}
