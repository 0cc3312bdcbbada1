/* What the tests of the direct client share: a server on the same loop that answers from a script,
 * and calls that keep their ends. */
#ifndef BELFRY_TESTS_DIRECT_WORLD_H
#define BELFRY_TESTS_DIRECT_WORLD_H

#include "upstreams/direct.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#include "upstreams/direct_url.h"

#define LONG_MS   30000 /* never reached, unless something hangs */
#define TICK_MS   5
#define MAX_STEPS 16
#define GOOD      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"

/* --- the server --- */

enum then { THEN_KEEP, THEN_CLOSE, THEN_RESET };

struct step {
    struct str answer;
    enum then then;
};

struct server {
    uv_tcp_t listener;
    uint16_t port;
    struct step steps[MAX_STEPS]; /* one for each request, in their order */
    size_t n_steps;
    size_t n_asked;
    size_t n_connections;
    size_t n_open;
    struct buf asked;   /* the last request */
    struct peer *asker; /* who has made it; only while it is open */
};

struct peer {
    uv_tcp_t tcp; /* first */
    struct server *server;
    struct buf input;
    struct peer *next_of_all;
};

static inline void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = (struct peer *)handle;
    peer->server->n_open--;
    buf_release(&peer->input);
    free(peer);
}

static inline void close_peer(struct peer *peer)
{
    if (!uv_is_closing((uv_handle_t *)&peer->tcp)) {
        uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
    }
}

static inline void on_written(uv_write_t *request, int status)
{
    (void)status;
    free(request);
}

static inline void write_text(struct peer *peer, struct str text)
{
    uv_write_t *request = malloc(sizeof(*request));
    uv_buf_t piece = uv_buf_init((char *)text.ptr, (unsigned)text.len);
    assert_int_equal(uv_write(request, (uv_stream_t *)&peer->tcp, &piece, 1, on_written), 0);
}

static inline void answer(struct peer *peer)
{
    struct server *server = peer->server;
    if (server->n_asked >= server->n_steps) {
        fail_msg("nobody should ask: %.*s", STR_ARG(buf_str(&peer->input)));
    }
    const struct step *step = &server->steps[server->n_asked++];
    server->asker = peer;
    buf_clear(&server->asked);
    buf_append(&server->asked, buf_str(&peer->input));
    buf_clear(&peer->input);
    if (step->answer.len > 0) {
        write_text(peer, step->answer);
    }
    if (step->then == THEN_CLOSE) {
        close_peer(peer);
    } else if (step->then == THEN_RESET) {
        assert_int_equal(uv_tcp_close_reset(&peer->tcp, on_peer_closed), 0);
    }
}

static inline void on_allocate(uv_handle_t *handle, size_t n, uv_buf_t *ret_buf)
{
    static char place[65536];
    (void)handle;
    (void)n;
    *ret_buf = uv_buf_init(place, sizeof(place));
}

static inline void on_request(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct peer *peer = (struct peer *)stream;
    if (n < 0) {
        close_peer(peer);
        return;
    }
    buf_append(&peer->input, (struct str){bytes->base, (size_t)n});
    struct str input = buf_str(&peer->input);
    if (input.len >= 4 && str_eq(str_tail(input, input.len - 4), STR("\r\n\r\n"))) {
        answer(peer);
    }
}

static inline void on_connection(uv_stream_t *listener, int status)
{
    struct server *server = listener->data;
    struct peer *peer = calloc(1, sizeof(*peer));
    assert_int_equal(status, 0);
    peer->server = server;
    buf_init(&peer->input, 1 << 25);
    assert_int_equal(uv_tcp_init(listener->loop, &peer->tcp), 0);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&peer->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&peer->tcp, on_allocate, on_request), 0);
    uv_unref((uv_handle_t *)&peer->tcp);
    server->n_connections++;
    server->n_open++;
}

static inline void open_server(struct server *server, uv_loop_t *loop)
{
    struct sockaddr_in name;
    int len = sizeof(name);
    *server = (struct server){.n_steps = 0};
    buf_init(&server->asked, 1 << 25);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &name), 0);
    assert_int_equal(uv_tcp_init(loop, &server->listener), 0);
    assert_int_equal(uv_tcp_bind(&server->listener, (struct sockaddr *)&name, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&server->listener, 64, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&server->listener, (struct sockaddr *)&name, &len), 0);
    uv_unref((uv_handle_t *)&server->listener);
    server->listener.data = server;
    server->port = ntohs(name.sin_port);
}

static inline void expect(struct server *server, struct str text, enum then then)
{
    assert_true(server->n_steps < MAX_STEPS);
    server->steps[server->n_steps++] = (struct step){text, then};
}

/* --- the client --- */

struct world {
    struct loop *loop;
    struct deadlines *deadlines;
    struct direct *direct;
    struct server server;
};

struct asking {
    struct direct_call call; /* first */
    struct world *world;
    struct response_head head;
    struct buf body;
    char error[DIRECT_ERROR_SIZE];
    char authority[40];
    struct buf request;
    enum direct_end end;
    int n_ends;
    bool skips;
    struct asking *starts; /* at its end */
};

static inline void open_world_with(struct world *w, struct direct_options options)
{
    assert_int_equal(loop_create(&w->loop), STATUS_OK);
    assert_int_equal(deadlines_create(w->loop, TICK_MS, 64, &w->deadlines), STATUS_OK);
    options.loop = w->loop;
    options.deadlines = w->deadlines;
    options.max_kept = options.max_kept ? options.max_kept : 10;
    options.kept_ms = options.kept_ms ? options.kept_ms : LONG_MS;
    assert_int_equal(direct_create(&options, &w->direct), STATUS_OK);
    open_server(&w->server, loop_uv(w->loop));
}

static inline void open_world(struct world *w)
{
    open_world_with(w, (struct direct_options){.max_kept = 10});
}

static inline void turn(struct world *w)
{
    (void)uv_run(loop_uv(w->loop), UV_RUN_ONCE);
}

static inline void close_world(struct world *w)
{
    assert_int_equal(w->server.n_asked, w->server.n_steps);
    direct_destroy(w->direct);
    deadlines_destroy(w->deadlines);
    uv_close((uv_handle_t *)&w->server.listener, NULL);
    uv_timer_t company; /* the server's ends do not hold the loop */
    (void)uv_timer_init(loop_uv(w->loop), &company);
    (void)uv_timer_start(&company, NULL, 0, 0);
    uv_close((uv_handle_t *)&company, NULL);
    while (w->server.n_open > 0) {
        turn(w);
    }
    loop_destroy(w->loop);
    buf_release(&w->server.asked);
}

static inline bool on_head(const struct direct_call *call)
{
    return !((const struct asking *)call)->skips;
}

static inline void ask(struct asking *a);

static inline void on_end(struct direct_call *call, enum direct_end end)
{
    struct asking *a = (struct asking *)call;
    a->end = end;
    a->n_ends++;
    if (a->starts) {
        ask(a->starts);
    }
}

static inline void prepare_port(struct world *w, struct asking *a, const char *host, uint16_t port)
{
    *a = (struct asking){.world = w};
    (void)snprintf(a->authority, sizeof(a->authority), "%s:%d", host, port);
    buf_init(&a->request, 1 << 25);
    buf_init(&a->body, 1000);
    buf_literal(&a->request, "GET /x HTTP/1.1\r\nHost: y\r\n\r\n");
    response_head_reset(&a->head);
}

static inline void prepare(struct world *w, struct asking *a)
{
    prepare_port(w, a, "127.0.0.1", w->server.port);
}

static inline void fill_call(struct asking *a)
{
    a->call.authority = str_of(a->authority);
    a->call.request = buf_str(&a->request);
    a->call.timeout_ms = a->call.timeout_ms ? a->call.timeout_ms : LONG_MS;
    a->call.ends_us = clock_monotonic_us() + a->call.timeout_ms * 1000;
    a->call.on_head = on_head;
    a->call.on_end = on_end;
    a->call.head = &a->head;
    a->call.body = &a->body;
    a->call.error = a->error;
    a->n_ends = 0;
}

static inline void ask(struct asking *a)
{
    fill_call(a);
    direct_start(a->world->direct, &a->call);
    assert_int_equal(a->n_ends, 0);
}

/* Over a connection of somebody else's. */
static inline void ask_over(struct asking *a, int fd)
{
    fill_call(a);
    direct_start_over(a->world->direct, &a->call, fd);
    assert_int_equal(a->n_ends, 0);
}

static inline void run(struct asking *a)
{
    while (a->n_ends == 0) {
        turn(a->world);
    }
    assert_int_equal(a->n_ends, 1);
}

static inline void forget(struct asking *a)
{
    buf_release(&a->request);
    buf_release(&a->body);
}

static inline void ask_and_run(struct world *w, struct asking *a)
{
    prepare(w, a);
    ask(a);
    run(a);
}

static inline void assert_good(struct world *w, bool is_reused)
{
    struct asking a;
    expect(&w->server, STR(GOOD), THEN_KEEP);
    ask_and_run(w, &a);
    assert_int_equal(a.end, DIRECT_COMPLETE);
    assert_int_equal(a.call.is_reused, is_reused);
    assert_int_equal(a.call.n_connections, is_reused ? 0 : 1);
    assert_true(str_eq(buf_str(&a.body), STR("[]")));
    forget(&a);
}

/* At once or later, as the kernel likes. */
static inline enum direct_end end_of(struct asking *a)
{
    ask(a);
    run(a);
    return a->end;
}

static inline void on_company(uv_timer_t *timer)
{
    (void)timer;
}

/* The rest of the world does not hold the loop. */
static inline void turn_until_open(struct world *w, size_t n_open)
{
    uv_timer_t company;
    (void)uv_timer_init(loop_uv(w->loop), &company);
    (void)uv_timer_start(&company, on_company, LONG_MS, 0);
    while (w->server.n_open != n_open) {
        turn(w);
    }
    uv_close((uv_handle_t *)&company, NULL);
    (void)uv_run(loop_uv(w->loop), UV_RUN_NOWAIT);
}

#endif
