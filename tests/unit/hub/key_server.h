/* An HTTP server for tests on the loop of what is tested: answers every request with the same text,
 * counts them, and may keep them waiting. */
#ifndef BELFRY_TESTS_HUB_KEY_SERVER_H
#define BELFRY_TESTS_HUB_KEY_SERVER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/loop.h"

struct key_server {
    uv_tcp_t listener;
    char url[64];
    int status;
    const char *body;
    bool holds; /* requests wait for key_server_answer() */
    int n_requests;
    struct key_connection *connections;
};

struct key_connection {
    uv_tcp_t tcp;
    uv_write_t write;
    struct key_server *server;
    struct key_connection *next;
    struct buf in;
    struct buf out;
    bool is_asked;
    bool is_closing;
};

static inline void key_server_on_closed(uv_handle_t *handle)
{
    struct key_connection *c = handle->data;
    struct key_connection **at = &c->server->connections;
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    buf_release(&c->in);
    buf_release(&c->out);
    free(c);
}

static inline void key_server_close(struct key_connection *c)
{
    if (!c->is_closing) {
        c->is_closing = true;
        uv_close((uv_handle_t *)&c->tcp, key_server_on_closed);
    }
}

static inline void key_server_on_written(uv_write_t *request, int status)
{
    (void)status;
    key_server_close(request->data);
}

static inline void key_server_reply(struct key_connection *c)
{
    size_t len = strlen(c->server->body);
    buf_printf(&c->out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
               c->server->status, len);
    buf_append(&c->out, (struct str){c->server->body, len});
    uv_buf_t piece = uv_buf_init(c->out.ptr, (unsigned)c->out.len);
    c->is_asked = false;
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &piece, 1, key_server_on_written)) {
        key_server_close(c);
    }
}

static inline void key_server_alloc(uv_handle_t *handle, size_t size, uv_buf_t *ret_piece)
{
    static char bytes[4096];
    (void)handle;
    (void)size;
    *ret_piece = uv_buf_init(bytes, sizeof(bytes));
}

static inline void key_server_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *piece)
{
    struct key_connection *c = stream->data;
    if (n < 0) {
        key_server_close(c);
        return;
    }
    buf_append(&c->in, (struct str){piece->base, (size_t)n});
    if (c->in.len >= 4 && memcmp(c->in.ptr + c->in.len - 4, "\r\n\r\n", 4) == 0) {
        buf_clear(&c->in);
        c->server->n_requests++;
        c->is_asked = true;
        if (!c->server->holds) {
            key_server_reply(c);
        }
    }
}

static inline void key_server_on_connection(uv_stream_t *listener, int status)
{
    struct key_server *server = listener->data;
    struct key_connection *c = calloc(1, sizeof(*c));
    if (status || !c || uv_tcp_init(listener->loop, &c->tcp)) {
        abort();
    }
    c->tcp.data = c;
    c->server = server;
    buf_init(&c->in, 65536);
    buf_init(&c->out, 1 << 20);
    c->next = server->connections;
    server->connections = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) ||
        uv_read_start((uv_stream_t *)&c->tcp, key_server_alloc, key_server_on_read)) {
        abort();
    }
}

/* All that wait. */
static inline void key_server_answer(struct key_server *server)
{
    server->holds = false;
    for (struct key_connection *c = server->connections; c; c = c->next) {
        if (c->is_asked) {
            key_server_reply(c);
        }
    }
}

static inline void key_server_start(struct key_server *server, struct loop *loop)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = sizeof(name);
    *server = (struct key_server){.status = 200, .body = ""};
    if (uv_tcp_init(loop_uv(loop), &server->listener) ||
        uv_tcp_bind(&server->listener, (const struct sockaddr *)&name, 0) ||
        uv_listen((uv_stream_t *)&server->listener, 16, key_server_on_connection) ||
        uv_tcp_getsockname(&server->listener, (struct sockaddr *)&name, &len)) {
        abort();
    }
    server->listener.data = server;
    (void)snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d/keys",
                   ntohs(name.sin_port));
}

/* Returns when all is closed: the server may lie on the stack. */
static inline void key_server_stop(struct key_server *server, struct loop *loop)
{
    uv_close((uv_handle_t *)&server->listener, NULL);
    for (struct key_connection *c = server->connections; c; c = c->next) {
        key_server_close(c);
    }
    (void)uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    while (server->connections) {
        (void)uv_run(loop_uv(loop), UV_RUN_ONCE);
    }
}

#endif
