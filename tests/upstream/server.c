/* SPDX-License-Identifier: MIT */
/* Listening sockets and the start and end of everything. */
#include "tests/upstream/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/upstream/connection.h"

#define BACKLOG 4096

/* With a backlog of 0 Linux keeps one connection that nobody accepts; once there is one, all
 * further attempts to connect are dropped. One more than that, so as to be sure. */
#define N_PLUGS 2

struct listener {
    uv_tcp_t tcp;
    struct listener *next;
    struct server *server;
    enum listen_kind kind;
    int black_hole; /* these are descriptors, -1: none */
    int plugs[N_PLUGS];
};

int server_open(struct server *s, uv_loop_t *loop)
{
    *s = (struct server){.loop = loop};
    response_init(&s->response);
    s->routes.stats = stats_create();
    s->routes.values = values_create();
    s->routes.targets = targets_create();
    return s->routes.stats && s->routes.values && s->routes.targets ? 0 : UV_ENOMEM;
}

static void on_connection(uv_stream_t *listening, int status)
{
    if (status == 0) {
        struct listener *l = listening->data;
        connection_accept(l->server, listening, l->kind == LISTEN_TLS ? l->server->tls : NULL);
    }
}

static void close_if_open(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    close_if_open(l->black_hole);
    for (size_t i = 0; i < N_PLUGS; i++) {
        close_if_open(l->plugs[i]);
    }
    free(l);
}

static int parse_address(const char *address, int port, struct sockaddr_storage *ret)
{
    return strchr(address, ':') ? uv_ip6_addr(address, port, (struct sockaddr_in6 *)ret)
                                : uv_ip4_addr(address, port, (struct sockaddr_in *)ret);
}

static int port_of(const struct sockaddr_storage *name)
{
    /* The port lies at the same place for both families. */
    return ntohs(((const struct sockaddr_in *)name)->sin_port);
}

static int listen_well(struct listener *l, const struct sockaddr_storage *name, int *ret_port)
{
    struct sockaddr_storage own;
    int len = sizeof(own);
    int rc = uv_tcp_bind(&l->tcp, (const struct sockaddr *)name, 0);
    if (!rc) {
        rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
    }
    if (!rc) {
        rc = uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&own, &len);
    }
    *ret_port = rc ? 0 : port_of(&own);
    return rc;
}

static int open_socket(sa_family_t family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int plug(struct listener *l, const struct sockaddr_storage *own, socklen_t len)
{
    for (size_t i = 0; i < N_PLUGS; i++) {
        l->plugs[i] = open_socket(own->ss_family);
        if (l->plugs[i] < 0 || (connect(l->plugs[i], (const struct sockaddr *)own, len) != 0 &&
                                errno != EINPROGRESS)) {
            return uv_translate_sys_error(errno);
        }
    }
    return 0;
}

static int listen_as_black_hole(struct listener *l, const struct sockaddr_storage *name,
                                int *ret_port)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);
    int on = 1;
    l->black_hole = open_socket(name->ss_family);
    if (l->black_hole < 0 ||
        setsockopt(l->black_hole, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(l->black_hole, (const struct sockaddr *)name,
             name->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                         : sizeof(struct sockaddr_in)) != 0 ||
        listen(l->black_hole, 0) != 0 ||
        getsockname(l->black_hole, (struct sockaddr *)&own, &len) != 0) {
        return uv_translate_sys_error(errno);
    }
    *ret_port = port_of(&own);
    return plug(l, &own, len);
}

static struct listener *add_listener(struct server *s, enum listen_kind kind)
{
    struct listener *l = malloc(sizeof(*l));
    if (!l || uv_tcp_init(s->loop, &l->tcp)) {
        free(l);
        return NULL;
    }
    l->tcp.data = l;
    l->server = s;
    l->kind = kind;
    l->black_hole = -1;
    for (size_t i = 0; i < N_PLUGS; i++) {
        l->plugs[i] = -1;
    }
    l->next = s->listeners;
    s->listeners = l;
    return l;
}

int server_listen(struct server *s, enum listen_kind kind, const char *address, int port,
                  int *ret_port)
{
    struct sockaddr_storage name;
    int rc = parse_address(address, port, &name);
    if (rc) {
        return rc;
    }
    struct listener *l = add_listener(s, kind);
    if (!l) {
        return UV_ENOMEM;
    }
    return kind == LISTEN_BLACK_HOLE ? listen_as_black_hole(l, &name, ret_port)
                                     : listen_well(l, &name, ret_port);
}

bool server_use_tls(struct server *s, const struct tls_files *files, const char **ret_problem)
{
    s->tls = tls_create(files, ret_problem);
    return s->tls != NULL;
}

void server_stop(struct server *s)
{
    while (s->listeners) {
        struct listener *l = s->listeners;
        s->listeners = l->next;
        uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
    }
    connection_close_all(s);
}

void server_release(struct server *s)
{
    stats_destroy(s->routes.stats);
    values_destroy(s->routes.values);
    targets_destroy(s->routes.targets);
    tls_destroy(s->tls);
    response_release(&s->response);
}
