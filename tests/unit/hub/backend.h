/* An HTTP server on the loop of the test, for the units that send requests to a backend: it keeps
 * what it was sent and answers what it was told to. Knows no test library. */
#ifndef BELFRY_TESTS_HUB_BACKEND_H
#define BELFRY_TESTS_HUB_BACKEND_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/loop.h"

#define BACKEND_MAX_BYTES ((size_t)4 * 1024 * 1024)

struct backend_peer {
    uv_tcp_t tcp; /* first, so that a closed handle is its peer */
    struct backend *backend;
    struct backend_peer *next;
    struct backend_peer *prev;
    struct buf in;
    bool is_hanging;
    uv_write_t write;
    char input[4096];
};

struct backend {
    uv_tcp_t listener;
    struct backend_peer *peers;
    int port;
    int n_requests;
    char *request; /* the last one: head and body, NUL-terminated */
    char *body;    /* in it */
    struct buf out;
    /* How it answers; may be changed between requests. */
    int status;
    const char *answer;
    const char *headers; /* further lines, each with its end; or NULL */
    bool hangs;          /* until backend_release() */
    bool resets;
    void (*on_request)(struct backend *b); /* before each answer: may change the above; or NULL */
    void *arg;                             /* of its owner */
};

static inline void backend_require(bool condition, const char *words)
{
    if (!condition) {
        (void)fprintf(stderr, "backend: %s\n", words);
        abort();
    }
}

static inline void backend_on_closed(uv_handle_t *handle)
{
    struct backend_peer *peer = (struct backend_peer *)handle;
    buf_release(&peer->in);
    free(peer);
}

static inline void backend_close_peer(struct backend_peer *peer)
{
    if (peer->prev) {
        peer->prev->next = peer->next;
    } else {
        peer->backend->peers = peer->next;
    }
    if (peer->next) {
        peer->next->prev = peer->prev;
    }
    uv_close((uv_handle_t *)&peer->tcp, backend_on_closed);
}

static inline void backend_on_written(uv_write_t *write, int status)
{
    (void)status;
    if (!uv_is_closing((uv_handle_t *)write->handle)) {
        backend_close_peer((struct backend_peer *)write->handle);
    }
}

static inline void backend_answer(struct backend_peer *peer)
{
    struct backend *b = peer->backend;
    buf_clear(&b->out);
    buf_printf(&b->out,
               "HTTP/1.1 %d Any\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
               "%sConnection: close\r\n\r\n",
               b->status, strlen(b->answer), b->headers ? b->headers : "");
    buf_append(&b->out, str_of(b->answer));
    uv_buf_t bytes = uv_buf_init(b->out.ptr, (unsigned)b->out.len);
    (void)uv_write(&peer->write, (uv_stream_t *)&peer->tcp, &bytes, 1, backend_on_written);
}

/* Where the body begins, once all of it is there; NULL before. */
static inline char *backend_body(struct backend_peer *peer)
{
    buf_append_char(&peer->in, '\0');
    peer->in.len--;
    char *end = strstr(peer->in.ptr, "\r\n\r\n");
    if (!end) {
        return NULL;
    }
    const char *length = strcasestr(peer->in.ptr, "\r\nContent-Length:");
    size_t n_bytes = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    size_t n_head = (size_t)(end + 4 - peer->in.ptr);
    return peer->in.len >= n_head + n_bytes ? end + 4 : NULL;
}

static inline void backend_take(struct backend_peer *peer, const char *body)
{
    struct backend *b = peer->backend;
    free(b->request);
    b->request = strdup(peer->in.ptr);
    backend_require(b->request != NULL, "no memory");
    b->body = b->request + (body - peer->in.ptr);
    b->n_requests++;
    if (b->on_request) {
        b->on_request(b);
    }
    peer->is_hanging = b->hangs;
    if (b->resets) {
        backend_close_peer(peer);
    } else if (!b->hangs) {
        backend_answer(peer);
    }
}

static inline void backend_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct backend_peer *peer = (struct backend_peer *)stream;
    if (n < 0) {
        backend_close_peer(peer);
        return;
    }
    buf_append(&peer->in, (struct str){bytes->base, (size_t)n});
    const char *body = backend_body(peer);
    if (body) {
        backend_take(peer, body);
    }
}

static inline void backend_give_room(uv_handle_t *handle, size_t size, uv_buf_t *ret_bytes)
{
    struct backend_peer *peer = (struct backend_peer *)handle;
    (void)size;
    *ret_bytes = uv_buf_init(peer->input, sizeof(peer->input));
}

static inline void backend_on_connection(uv_stream_t *listener, int status)
{
    struct backend *b = listener->data;
    struct backend_peer *peer = calloc(1, sizeof(*peer));
    backend_require(status == 0 && peer, "no connection");
    peer->backend = b;
    peer->next = b->peers;
    if (b->peers) {
        b->peers->prev = peer;
    }
    b->peers = peer;
    buf_init(&peer->in, BACKEND_MAX_BYTES);
    (void)uv_tcp_init(listener->loop, &peer->tcp);
    backend_require(uv_accept(listener, (uv_stream_t *)&peer->tcp) == 0, "not accepted");
    (void)uv_read_start((uv_stream_t *)&peer->tcp, backend_give_room, backend_on_read);
}

/* Answers those that hang, as it would answer now. */
static inline void backend_release(struct backend *b)
{
    struct backend_peer *next;
    for (struct backend_peer *peer = b->peers; peer; peer = next) {
        next = peer->next;
        if (peer->is_hanging) {
            peer->is_hanging = false;
            backend_answer(peer);
        }
    }
}

/* Answers status 200 and "{}" until it is told otherwise. port 0: a free one. */
static inline void backend_open_at(struct backend *b, struct loop *loop, int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = sizeof(name);
    *b = (struct backend){.status = 200, .answer = "{}"};
    buf_init(&b->out, BACKEND_MAX_BYTES);
    (void)uv_tcp_init(loop_uv(loop), &b->listener);
    b->listener.data = b;
    backend_require(uv_tcp_bind(&b->listener, (struct sockaddr *)&name, 0) == 0 &&
                        uv_listen((uv_stream_t *)&b->listener, 64, backend_on_connection) == 0 &&
                        uv_tcp_getsockname(&b->listener, (struct sockaddr *)&name, &len) == 0,
                    "no port");
    b->port = ntohs(name.sin_port);
}

static inline void backend_open(struct backend *b, struct loop *loop)
{
    backend_open_at(b, loop, 0);
}

/* The loop turns once more before b's memory may go. */
static inline void backend_close(struct backend *b)
{
    while (b->peers) {
        backend_close_peer(b->peers);
    }
    uv_close((uv_handle_t *)&b->listener, NULL);
    free(b->request);
    b->request = NULL;
    buf_release(&b->out);
}

#endif
