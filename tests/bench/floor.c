/* SPDX-License-Identifier: MIT */
/* bench-floor: what the kernel itself takes to send a frame to each of many sockets. A bare epoll
 * loop on one thread: GET /sub/NAME becomes a WebSocket, POST /publish/NAME makes one frame of its
 * body and writes it with one send() to each of NAME's. What clients send on is read and dropped.
 * It prints "listening PORT" and runs until it is killed. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/cli.h"
#include "tests/bench/floor_http.h"

#define EVENTS_PER_TURN   512
#define INPUT_BYTES       65536
#define REQUEST_MAX_BYTES (2u << 20)
#define ACCEPTS_PER_TURN  64

/* A client that does not read is cut off when this much waits for it: more than a broadcast of
 * 16 KB leaves behind, and than a burst does to a client that reads. */
#define QUEUE_MAX_BYTES (4u << 20)

#define BUCKETS 16384

struct peer {
    struct peer *next; /* of the same channel */
    struct channel *channel;
    struct buf *waiting; /* of a request, before it is complete; of frames, to be sent */
    int fd;
};

struct channel {
    struct channel *next; /* of the same bucket */
    struct peer *peers;
    size_t name_bytes;
    char name[];
};

static struct {
    int epoll_fd;
    int listener;
    struct channel *buckets[BUCKETS];
    struct buf frame;
    char input[INPUT_BYTES];
} server;

static void watch(int operation, int fd, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(server.epoll_fd, operation, fd, &event) < 0) {
        fail_errno("epoll");
    }
}

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (!memory) {
        fail_errno("memory");
    }
    return memory;
}

/* --- channels --- */

static size_t bucket_of(struct str name)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ (unsigned char)name.ptr[i]) * 0x100000001b3;
    }
    return hash % BUCKETS;
}

static struct channel *find_channel(struct str name)
{
    struct channel *c = server.buckets[bucket_of(name)];
    while (c && !str_eq((struct str){c->name, c->name_bytes}, name)) {
        c = c->next;
    }
    return c;
}

static struct channel *make_channel(struct str name)
{
    struct channel *c = find_channel(name);
    if (!c) {
        struct channel **bucket = &server.buckets[bucket_of(name)];
        c = allocate(sizeof(*c) + name.len);
        memcpy(c->name, name.ptr, name.len);
        c->name_bytes = name.len;
        c->next = *bucket;
        *bucket = c;
    }
    return c;
}

static void leave_channel(struct peer *p)
{
    struct peer **at = &p->channel->peers;
    while (*at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    p->channel = NULL;
}

/* --- what waits --- */

static void stop_waiting(struct peer *p)
{
    if (p->waiting) {
        buf_release(p->waiting);
        free(p->waiting);
        p->waiting = NULL;
    }
}

static void wait_with(struct peer *p, struct str bytes, size_t max_bytes)
{
    if (!p->waiting) {
        p->waiting = allocate(sizeof(*p->waiting));
        buf_init(p->waiting, max_bytes);
    }
    buf_append(p->waiting, bytes);
}

static void close_peer(struct peer *p)
{
    if (p->channel) {
        leave_channel(p);
    }
    stop_waiting(p);
    close(p->fd);
    free(p);
}

/* How many bytes the socket took; a connection that is broken is seen when it is read. */
static size_t send_some(struct peer *p, struct str bytes)
{
    ssize_t n = send(p->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    return n > 0 ? (size_t)n : 0;
}

static void send_all(struct peer *p, struct str bytes)
{
    bool has_waited = p->waiting != NULL;
    size_t n = has_waited ? 0 : send_some(p, bytes);
    if (n == bytes.len) {
        return;
    }
    wait_with(p, str_tail(bytes, n), QUEUE_MAX_BYTES);
    if (!has_waited) {
        watch(EPOLL_CTL_MOD, p->fd, EPOLLIN | EPOLLOUT, p);
    }
    if (buf_failed(p->waiting)) {
        shutdown(p->fd, SHUT_RDWR);
    }
}

static void send_waiting(struct peer *p)
{
    buf_consume(p->waiting, send_some(p, buf_str(p->waiting)));
    if (p->waiting->len == 0) {
        stop_waiting(p);
        watch(EPOLL_CTL_MOD, p->fd, EPOLLIN, p);
    }
}

/* --- requests --- */

static void publish(struct str name, struct str body)
{
    struct channel *c = find_channel(name);
    buf_clear(&server.frame);
    floor_http_append_frame(&server.frame, body);
    for (struct peer *p = c ? c->peers : NULL; p; p = p->next) {
        send_all(p, buf_str(&server.frame));
    }
}

static void answer(struct peer *p, const struct floor_http_request *request)
{
    struct str sub = STR("/sub/");
    struct str post = STR("/publish/");
    struct str done = STR("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    if (str_starts_with(request->path, post)) {
        publish(str_tail(request->path, post.len), request->body);
        send_all(p, done);
    } else if (str_starts_with(request->path, sub) && request->key.len > 0) {
        buf_clear(&server.frame);
        floor_http_append_upgraded(&server.frame, request->key);
        p->channel = make_channel(str_tail(request->path, sub.len));
        p->next = p->channel->peers;
        p->channel->peers = p;
        send_all(p, buf_str(&server.frame));
    } else {
        fail("not a request for this server: %.*s", STR_ARG(request->path));
    }
}

static void take_requests(struct peer *p, struct str data)
{
    struct floor_http_request request;
    if (p->waiting) {
        buf_append(p->waiting, data);
        data = buf_str(p->waiting);
    }
    struct buf *before = p->waiting; /* an answer may have to wait, too */
    p->waiting = NULL;
    while (!p->channel && floor_http_read(data, &request)) {
        answer(p, &request);
        data = str_tail(data, request.size_bytes);
    }
    if (data.len > 0 && !p->channel) {
        wait_with(p, data, REQUEST_MAX_BYTES);
    }
    if (before) {
        buf_release(before);
        free(before);
    }
}

static void readable(struct peer *p)
{
    ssize_t n = recv(p->fd, server.input, sizeof(server.input), 0);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        close_peer(p);
    } else if (!p->channel) {
        take_requests(p, (struct str){server.input, (size_t)n});
    }
}

/* --- the program --- */

static void accept_some(void)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN) {
            return;
        }
        if (fd < 0) {
            fail_errno("accept");
        }
        struct peer *p = allocate(sizeof(*p));
        p->fd = fd;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN, p);
    }
}

static void set_up(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    struct rlimit limit;
    int on = 1;
    server.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || server.epoll_fd < 0 || server.listener < 0 ||
        /* Those that it accepts inherit this. */
        setsockopt(server.listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        bind(server.listener, (struct sockaddr *)&address, size) < 0 ||
        listen(server.listener, 4096) < 0 ||
        getsockname(server.listener, (struct sockaddr *)&address, &size) < 0) {
        fail_errno("listen");
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    buf_init(&server.frame, REQUEST_MAX_BYTES);
    watch(EPOLL_CTL_ADD, server.listener, EPOLLIN, NULL);
    printf("listening %u\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void ready(struct peer *p, uint32_t events)
{
    if (!p) {
        accept_some();
        return;
    }
    if ((events & EPOLLOUT) && p->waiting) {
        send_waiting(p);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        readable(p);
    }
}

static void run(void)
{
    struct epoll_event events[EVENTS_PER_TURN];
    for (;;) {
        int n = epoll_wait(server.epoll_fd, events, EVENTS_PER_TURN, -1);
        if (n < 0 && errno != EINTR) {
            fail_errno("epoll");
        }
        for (int i = 0; i < n; i++) {
            ready(events[i].data.ptr, events[i].events);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {NULL, 0, NULL, 0}};
    uint64_t port = 0;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c != 'p' || !str_to_u64(str_of(optarg), &port) || port > UINT16_MAX) {
            fail("bench-floor [--port 0]");
        }
    }
    set_up((uint16_t)port);
    run();
}
