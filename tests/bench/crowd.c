/* SPDX-License-Identifier: MIT */
#include "tests/bench/crowd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/cli.h"

#define CLIENTS_PER_SOURCE 1000
#define EVENTS_PER_TURN    512

static struct crowd {
    const struct crowd_handler *handler;
    int epoll_fd;
    struct sockaddr_in server;
    struct buf handshake;
    char line[256];
    size_t line_len;
} crowd;

/* ws NULL: stdin. */
static void watch(int operation, int fd, uint32_t events, struct websocket *ws)
{
    struct epoll_event event = {.events = events, .data.ptr = ws};
    if (epoll_ctl(crowd.epoll_fd, operation, fd, &event) < 0) {
        fail_errno("epoll");
    }
}

void crowd_open(const struct crowd_handler *handler, const char *path, uint16_t port)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    crowd = (struct crowd){
        .handler = handler,
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .server = {.sin_family = AF_INET,
                   .sin_port = htons(port),
                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
    };
    if (crowd.epoll_fd < 0) {
        fail_errno("epoll");
    }
    buf_init(&crowd.handshake, 1024);
    websocket_append_handshake(&crowd.handshake, path, port);
    if (buf_failed(&crowd.handshake)) {
        fail("the path is too long");
    }
    watch(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, NULL);
}

void crowd_close(void)
{
    close(crowd.epoll_fd);
    buf_release(&crowd.handshake);
}

void crowd_connect(struct websocket *ws, size_t index)
{
    uint32_t host = INADDR_LOOPBACK + 1 + (uint32_t)(index / CLIENTS_PER_SOURCE);
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
    websocket_connect(ws, &source, &crowd.server);
    watch(EPOLL_CTL_ADD, ws->fd, EPOLLOUT, ws);
}

void crowd_ignore(struct websocket *ws)
{
    watch(EPOLL_CTL_DEL, ws->fd, 0, ws);
}

static void ready(struct websocket *ws)
{
    if (ws->state == WEBSOCKET_CONNECTING) {
        websocket_writable(ws, buf_str(&crowd.handshake));
        watch(EPOLL_CTL_MOD, ws->fd, EPOLLIN, ws);
    } else {
        websocket_readable(ws, &crowd.handler->websocket);
    }
}

/* False at the end of stdin. */
static bool read_lines(void)
{
    ssize_t n =
        read(STDIN_FILENO, crowd.line + crowd.line_len, sizeof(crowd.line) - crowd.line_len);
    if (n < 0) {
        fail_errno("stdin");
    }
    crowd.line_len += (size_t)n;
    struct str rest = {crowd.line, crowd.line_len};
    for (ptrdiff_t end; (end = str_find(rest, '\n')) >= 0; rest = str_tail(rest, (size_t)end + 1)) {
        crowd.handler->on_line(str_head(rest, (size_t)end));
    }
    if (rest.len == sizeof(crowd.line)) {
        fail("a line that is too long");
    }
    memmove(crowd.line, rest.ptr, rest.len);
    crowd.line_len = rest.len;
    return n > 0;
}

void crowd_run(void)
{
    struct epoll_event events[EVENTS_PER_TURN];
    for (bool going = true; going;) {
        int n = epoll_wait(crowd.epoll_fd, events, EVENTS_PER_TURN, -1);
        if (n < 0 && errno != EINTR) {
            fail_errno("epoll");
        }
        bool has_lines = false;
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                ready(events[i].data.ptr);
            } else {
                has_lines = true; /* last: a line may end sockets that have events in this turn */
            }
        }
        going = !has_lines || read_lines();
        crowd.handler->on_turn();
    }
}
