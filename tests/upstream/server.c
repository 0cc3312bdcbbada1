/* SPDX-License-Identifier: MIT */
/* Listening sockets and the start and end of everything. */
#include "tests/upstream/server.h"

#include <stdlib.h>

#include "tests/upstream/connection.h"

#define BACKLOG 4096

struct listener {
    uv_tcp_t tcp;
    struct listener *next;
};

int server_open(struct server *s, uv_loop_t *loop)
{
    *s = (struct server){.loop = loop};
    buf_init(&s->response.body, RESPONSE_MAX_BODY);
    s->routes.stats = stats_create();
    s->routes.values = values_create();
    return s->routes.stats && s->routes.values ? 0 : UV_ENOMEM;
}

static void on_connection(uv_stream_t *listening, int status)
{
    if (status == 0) {
        connection_accept(listening->data, listening);
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle);
}

static int parse_address(const char *address, int port, struct sockaddr_storage *ret)
{
    return strchr(address, ':') ? uv_ip6_addr(address, port, (struct sockaddr_in6 *)ret)
                                : uv_ip4_addr(address, port, (struct sockaddr_in *)ret);
}

static int find_port(const uv_tcp_t *tcp, int *ret_port)
{
    struct sockaddr_storage name;
    int len = sizeof(name);
    int rc = uv_tcp_getsockname(tcp, (struct sockaddr *)&name, &len);
    /* The port lies at the same place for both families. */
    *ret_port = ntohs(((struct sockaddr_in *)&name)->sin_port);
    return rc;
}

int server_listen(struct server *s, const char *address, int port, int *ret_port)
{
    struct sockaddr_storage name;
    int rc = parse_address(address, port, &name);
    if (rc) {
        return rc;
    }
    struct listener *l = calloc(1, sizeof(*l));
    if (!l) {
        return UV_ENOMEM;
    }
    rc = uv_tcp_init(s->loop, &l->tcp);
    if (rc) {
        free(l);
        return rc;
    }
    l->tcp.data = s;
    l->next = s->listeners;
    s->listeners = l;

    rc = uv_tcp_bind(&l->tcp, (struct sockaddr *)&name, 0);
    if (!rc) {
        rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
    }
    return rc ? rc : find_port(&l->tcp, ret_port);
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
    buf_release(&s->response.body);
}
