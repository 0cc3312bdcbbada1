/* SPDX-License-Identifier: MIT */
/* The direct client against a server on the same loop that answers from a script: every end,
 * connections that are kept and those that only seem to be, names, limits, cancelling. */
#include "upstreams/direct.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/clock.h"
#include "upstreams/address_guard.h"
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
    struct buf asked; /* the last request */
};

struct peer {
    uv_tcp_t tcp; /* first */
    struct server *server;
    struct buf input;
    struct peer *next_of_all;
};

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = (struct peer *)handle;
    peer->server->n_open--;
    buf_release(&peer->input);
    free(peer);
}

static void close_peer(struct peer *peer)
{
    if (!uv_is_closing((uv_handle_t *)&peer->tcp)) {
        uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
    }
}

static void on_written(uv_write_t *request, int status)
{
    (void)status;
    free(request);
}

static void write_text(struct peer *peer, struct str text)
{
    uv_write_t *request = malloc(sizeof(*request));
    uv_buf_t piece = uv_buf_init((char *)text.ptr, (unsigned)text.len);
    assert_int_equal(uv_write(request, (uv_stream_t *)&peer->tcp, &piece, 1, on_written), 0);
}

static void answer(struct peer *peer)
{
    struct server *server = peer->server;
    if (server->n_asked >= server->n_steps) {
        fail_msg("nobody should ask: %.*s", STR_ARG(buf_str(&peer->input)));
    }
    const struct step *step = &server->steps[server->n_asked++];
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

static void on_allocate(uv_handle_t *handle, size_t n, uv_buf_t *ret_buf)
{
    static char place[65536];
    (void)handle;
    (void)n;
    *ret_buf = uv_buf_init(place, sizeof(place));
}

static void on_request(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
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

static void on_connection(uv_stream_t *listener, int status)
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

static void open_server(struct server *server, uv_loop_t *loop)
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

static void expect(struct server *server, struct str text, enum then then)
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

static void open_world_with(struct world *w, struct direct_options options)
{
    assert_int_equal(loop_create(&w->loop), STATUS_OK);
    assert_int_equal(deadlines_create(w->loop, TICK_MS, 64, &w->deadlines), STATUS_OK);
    options.loop = w->loop;
    options.deadlines = w->deadlines;
    options.max_kept = options.max_kept ? options.max_kept : 10;
    options.kept_ms = options.kept_ms ? options.kept_ms : LONG_MS;
    options.known_ms = options.known_ms ? options.known_ms : LONG_MS;
    assert_int_equal(direct_create(&options, &w->direct), STATUS_OK);
    open_server(&w->server, loop_uv(w->loop));
}

static void open_world(struct world *w)
{
    open_world_with(w, (struct direct_options){.max_kept = 10});
}

static void turn(struct world *w)
{
    (void)uv_run(loop_uv(w->loop), UV_RUN_ONCE);
}

static void close_world(struct world *w)
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

static bool on_head(const struct direct_call *call)
{
    return !((const struct asking *)call)->skips;
}

static void ask(struct asking *a);

static void on_end(struct direct_call *call, enum direct_end end)
{
    struct asking *a = (struct asking *)call;
    a->end = end;
    a->n_ends++;
    if (a->starts) {
        ask(a->starts);
    }
}

static void prepare_port(struct world *w, struct asking *a, const char *host, uint16_t port)
{
    *a = (struct asking){.world = w};
    (void)snprintf(a->authority, sizeof(a->authority), "%s:%d", host, port);
    buf_init(&a->request, 1 << 25);
    buf_init(&a->body, 1000);
    buf_literal(&a->request, "GET /x HTTP/1.1\r\nHost: y\r\n\r\n");
    response_head_reset(&a->head);
}

static void prepare(struct world *w, struct asking *a)
{
    prepare_port(w, a, "127.0.0.1", w->server.port);
}

static void ask(struct asking *a)
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
    direct_start(a->world->direct, &a->call);
    assert_int_equal(a->n_ends, 0);
}

static void run(struct asking *a)
{
    while (a->n_ends == 0) {
        turn(a->world);
    }
    assert_int_equal(a->n_ends, 1);
}

static void forget(struct asking *a)
{
    buf_release(&a->request);
    buf_release(&a->body);
}

static void ask_and_run(struct world *w, struct asking *a)
{
    prepare(w, a);
    ask(a);
    run(a);
}

static void assert_good(struct world *w, bool is_reused)
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

/* Of one answer over a new connection. */
static void assert_end_with(struct str text, enum then then, size_t max_bytes, enum direct_end end,
                            struct str body)
{
    struct world w;
    struct asking a;
    open_world(&w);
    expect(&w.server, text, then);
    prepare(&w, &a);
    a.body.max = max_bytes;
    ask(&a);
    run(&a);
    if (a.end != end) {
        fail_msg("%.*s: %d, %s", STR_ARG(str_head(text, 300)), (int)a.end, a.error);
    }
    if (end == DIRECT_COMPLETE) {
        assert_true(str_eq(buf_str(&a.body), body));
    } else {
        assert_true(strlen(a.error) > 0);
    }
    forget(&a);
    close_world(&w);
}

static void assert_body(struct str text, enum then then, const char *body)
{
    assert_end_with(text, then, 1000, DIRECT_COMPLETE, str_of(body));
}

static void assert_end(struct str text, enum then then, enum direct_end end)
{
    assert_end_with(text, then, 1000, end, STR_EMPTY);
}

/* --- answers --- */

static void test_a_get(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    open_world(&w);
    expect(&w.server, STR("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 3\r\n\r\n1.5"),
           THEN_KEEP);
    ask_and_run(&w, &a);
    assert_int_equal(a.end, DIRECT_COMPLETE);
    assert_true(str_eq(buf_str(&w.server.asked), STR("GET /x HTTP/1.1\r\nHost: y\r\n\r\n")));
    assert_int_equal(a.head.head.http_status, 200);
    assert_true(str_eq(a.head.head.etag, STR("\"e\"")));
    assert_true(str_eq(buf_str(&a.body), STR("1.5")));
    assert_int_equal(a.call.n_body_bytes, 3);
    assert_int_equal(a.call.n_connections, 1);
    assert_true(a.call.connect_us > 0);
    assert_true(a.call.first_byte_us > 0);
    forget(&a);
    close_world(&w);
}

static void test_bodies(void **state)
{
    (void)state;
    assert_body(STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n0"
                    "\r\n\r\n"),
                THEN_KEEP, "[]");
    assert_body(STR("HTTP/1.1 200 OK\r\n\r\n[]"), THEN_CLOSE, "[]");
    assert_body(STR("HTTP/1.1 204 No Content\r\n\r\n"), THEN_KEEP, "");
    assert_body(STR("HTTP/1.1 103 x\r\nContent-Encoding: br\r\n\r\n" GOOD), THEN_KEEP, "[]");
    assert_body(STR("HTTP/1.1 304 x\r\nContent-Length: 5000\r\n\r\n"), THEN_KEEP, "");
    assert_body(STR("HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\nno"), THEN_KEEP, "no");
}

static void test_answers_that_are_none(void **state)
{
    (void)state;
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]"), THEN_CLOSE, DIRECT_BROKEN);
    assert_end(STR("HTTP/1.1 200 OK\r\n"), THEN_CLOSE, DIRECT_BROKEN);
    assert_end(STR("SSH-2.0-x\r\n"), THEN_KEEP, DIRECT_BROKEN);
    assert_end(STR_EMPTY, THEN_CLOSE, DIRECT_BROKEN);
    assert_end(STR_EMPTY, THEN_RESET, DIRECT_BROKEN);
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n[]"),
               THEN_KEEP, DIRECT_BROKEN);
}

/* A line that takes several reads. */
static void test_a_large_head(void **state)
{
    (void)state;
    struct buf text;
    for (size_t n = 40000; n <= 80000; n += 40000) {
        buf_init(&text, 1 << 20);
        buf_literal(&text, "HTTP/1.1 200 OK\r\nX: ");
        for (size_t i = 0; i < n; i++) {
            buf_append_char(&text, 'x');
        }
        buf_literal(&text, "\r\nContent-Length: 2\r\n\r\n[]");
        if (n < HTTP1_HEAD_BYTES_MAX) {
            assert_body(buf_str(&text), THEN_KEEP, "[]");
        } else {
            assert_end(buf_str(&text), THEN_KEEP, DIRECT_TOO_LARGE);
        }
        buf_release(&text);
    }
}

static void test_limits_of_bodies(void **state)
{
    (void)state;
    const struct str four = STR("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1234");
    const struct str chunks =
        STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n");
    const struct str endless = STR("HTTP/1.1 200 OK\r\n\r\n1234");
    assert_end_with(four, THEN_KEEP, 4, DIRECT_COMPLETE, STR("1234"));
    assert_end_with(chunks, THEN_KEEP, 4, DIRECT_COMPLETE, STR("1234"));
    assert_end_with(endless, THEN_CLOSE, 4, DIRECT_COMPLETE, STR("1234"));
    assert_end_with(four, THEN_KEEP, 3, DIRECT_TOO_LARGE, STR_EMPTY);
    assert_end_with(chunks, THEN_KEEP, 3, DIRECT_TOO_LARGE, STR_EMPTY);
    assert_end_with(endless, THEN_KEEP, 3, DIRECT_TOO_LARGE, STR_EMPTY);
    /* What is announced is enough. */
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"), THEN_KEEP, DIRECT_TOO_LARGE);
}

static struct asking ask_skipping(struct world *w, struct str text)
{
    struct asking a;
    expect(&w->server, text, THEN_KEEP);
    prepare(w, &a);
    a.skips = true;
    ask(&a);
    run(&a);
    assert_int_equal(a.body.len, 0);
    forget(&a);
    return a;
}

static void test_a_body_that_nobody_wants(void **state)
{
    (void)state;
    struct world w;
    struct buf text;
    open_world(&w);
    struct asking a = ask_skipping(
        &w, STR("HTTP/1.1 302 x\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nxxx"));
    assert_int_equal(a.end, DIRECT_COMPLETE);
    assert_good(&w, true);
    buf_init(&text, 1 << 20);
    buf_literal(&text, "HTTP/1.1 302 x\r\nContent-Length: 70000\r\n\r\n");
    for (size_t i = 0; i < 70000; i++) {
        buf_append_char(&text, 'x');
    }
    a = ask_skipping(&w, buf_str(&text));
    assert_int_equal(a.end, DIRECT_TOO_LARGE);
    close_world(&w);
    buf_release(&text);
}

/* --- compression --- */

/* window: as zlib's windowBits. */
static struct buf compressed(const char *coding, int window, struct str body, size_t n_missing)
{
    struct buf text;
    z_stream zlib = {.avail_in = (uInt)body.len, .next_in = (z_const Bytef *)body.ptr};
    buf_init(&text, 1 << 20);
    buf_printf(&text, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: %s\r\n\r\n",
               coding);
    assert_int_equal(buf_reserve(&text, body.len + 1000), STATUS_OK);
    assert_int_equal(deflateInit2(&zlib, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    zlib.next_out = (Bytef *)text.ptr + text.len;
    zlib.avail_out = (uInt)(text.capacity - text.len);
    assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    text.len += zlib.total_out - n_missing;
    assert_int_equal(deflateEnd(&zlib), Z_OK);
    return text;
}

static void assert_inflated(const char *coding, int window)
{
    const struct str body = STR("{\"a\":[1,2,3,1,2,3,1,2,3,1,2,3,1,2,3]}");
    struct buf text = compressed(coding, window, body, 0);
    assert_end_with(buf_str(&text), THEN_CLOSE, body.len, DIRECT_COMPLETE, body);
    assert_end_with(buf_str(&text), THEN_CLOSE, body.len - 1, DIRECT_TOO_LARGE, STR_EMPTY);
    buf_append(&text, STR("behind the end"));
    assert_end_with(buf_str(&text), THEN_CLOSE, body.len, DIRECT_COMPLETE, body);
    buf_release(&text);
    text = compressed(coding, window, body, 5);
    assert_end(buf_str(&text), THEN_CLOSE, DIRECT_BROKEN);
    buf_release(&text);
}

static void test_compressed_bodies(void **state)
{
    (void)state;
    assert_inflated("gzip", 15 + 16);
    assert_inflated("x-gzip", 15 + 16);
    assert_inflated("deflate", 15);
    assert_inflated("deflate", -15);
    assert_body(STR("HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\n[]"), THEN_CLOSE, "[]");
    assert_body(STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"),
                THEN_KEEP, "");
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n[]"), THEN_CLOSE, DIRECT_BROKEN);
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n[]"), THEN_CLOSE,
               DIRECT_BROKEN);
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\n[]"), THEN_CLOSE,
               DIRECT_BROKEN);
}

static void test_a_bomb(void **state)
{
    (void)state;
    static char zeros[1 << 19];
    struct buf text = compressed("gzip", 15 + 16, (struct str){zeros, sizeof(zeros)}, 0);
    assert_true(text.len < 1000);
    assert_end_with(buf_str(&text), THEN_CLOSE, 100000, DIRECT_TOO_LARGE, STR_EMPTY);
    buf_release(&text);
}

/* Empty blocks, which come to nothing, for ever. */
static void test_a_compressed_body_without_contents(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_literal(&text, "HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n");
    while (text.len < 100000) {
        buf_append(&text, (struct str){"\x00\x00\x00\xff\xff", 5});
    }
    assert_end(buf_str(&text), THEN_KEEP, DIRECT_TOO_LARGE);
    buf_release(&text);
}

/* --- connections --- */

static void test_connections_are_kept(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    for (int i = 0; i < 10; i++) {
        assert_good(&w, i > 0);
    }
    assert_int_equal(w.server.n_connections, 1);
    close_world(&w);
}

static void assert_not_kept(struct str text, enum then then)
{
    struct world w;
    struct asking a;
    open_world(&w);
    expect(&w.server, text, then);
    ask_and_run(&w, &a);
    forget(&a);
    assert_good(&w, false);
    assert_int_equal(w.server.n_connections, 2);
    close_world(&w);
}

static void test_connections_that_are_not_kept(void **state)
{
    (void)state;
    assert_not_kept(STR("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
                    THEN_KEEP);
    assert_not_kept(STR("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), THEN_KEEP);
    assert_not_kept(STR(GOOD "excess"), THEN_KEEP);
    assert_not_kept(STR("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), THEN_KEEP);
}

/* Whether the close is seen before the next request or only by it. */
static void test_a_kept_connection_that_was_closed(void **state)
{
    (void)state;
    for (int sees = 0; sees < 2; sees++) {
        struct world w;
        struct asking a;
        open_world(&w);
        expect(&w.server, STR(GOOD), THEN_CLOSE);
        ask_and_run(&w, &a);
        assert_int_equal(a.end, DIRECT_COMPLETE);
        forget(&a);
        expect(&w.server, STR(GOOD), THEN_KEEP);
        if (sees) {
            uv_timer_t company;
            (void)uv_timer_init(loop_uv(w.loop), &company);
            (void)uv_timer_start(&company, NULL, 0, 0);
            uv_close((uv_handle_t *)&company, NULL);
            while (w.server.n_open > 0) {
                (void)uv_run(loop_uv(w.loop), UV_RUN_NOWAIT);
            }
            (void)uv_run(loop_uv(w.loop), UV_RUN_NOWAIT);
        }
        ask_and_run(&w, &a);
        assert_int_equal(a.end, DIRECT_COMPLETE);
        assert_false(a.call.is_reused);
        assert_int_equal(a.call.n_connections, 1);
        assert_int_equal(w.server.n_connections, 2);
        forget(&a);
        close_world(&w);
    }
}

/* Without a byte of the answer it is asked again, once, and over a new connection. */
static void test_what_breaks_without_an_answer_is_repeated_once(void **state)
{
    (void)state;
    for (enum then then = THEN_CLOSE; then <= THEN_RESET; then++) {
        struct world w;
        struct asking a;
        open_world(&w);
        assert_good(&w, false);
        expect(&w.server, STR_EMPTY, then);
        expect(&w.server, STR(GOOD), THEN_KEEP);
        ask_and_run(&w, &a);
        assert_int_equal(a.end, DIRECT_COMPLETE);
        forget(&a);
        expect(&w.server, STR_EMPTY, then);
        expect(&w.server, STR_EMPTY, then);
        ask_and_run(&w, &a);
        assert_int_equal(a.end, DIRECT_BROKEN);
        forget(&a);
        close_world(&w);
    }
}

static void test_what_breaks_with_an_answer_is_not_repeated(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    open_world(&w);
    assert_good(&w, false);
    expect(&w.server, STR("HTTP/1.1 200 OK\r\n"), THEN_CLOSE);
    ask_and_run(&w, &a);
    assert_int_equal(a.end, DIRECT_BROKEN);
    assert_true(a.call.is_reused);
    forget(&a);
    close_world(&w);
}

/* The connection is there again before the end is told. */
static void test_a_call_at_the_end_of_another(void **state)
{
    (void)state;
    struct world w;
    struct asking first;
    struct asking second;
    open_world(&w);
    expect(&w.server, STR(GOOD), THEN_KEEP);
    expect(&w.server, STR(GOOD), THEN_KEEP);
    prepare(&w, &first);
    prepare(&w, &second);
    first.starts = &second;
    ask(&first);
    run(&first);
    run(&second);
    assert_true(second.call.is_reused);
    forget(&first);
    forget(&second);
    close_world(&w);
}

static void ask_at_once(struct world *w, size_t n)
{
    struct asking all[8];
    for (size_t i = 0; i < n; i++) {
        expect(&w->server, STR(GOOD), THEN_KEEP);
        prepare(w, &all[i]);
        ask(&all[i]);
    }
    for (size_t i = 0; i < n; i++) {
        while (all[i].n_ends == 0) {
            turn(w);
        }
        assert_int_equal(all[i].end, DIRECT_COMPLETE);
        forget(&all[i]);
    }
}

static void on_company(uv_timer_t *timer)
{
    (void)timer;
}

/* The rest of the world does not hold the loop. */
static void turn_until_open(struct world *w, size_t n_open)
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

static void test_kept_connections_have_a_limit(void **state)
{
    (void)state;
    struct world w;
    open_world_with(&w, (struct direct_options){.max_kept = 2});
    ask_at_once(&w, 6);
    assert_int_equal(w.server.n_connections, 6);
    turn_until_open(&w, 2);
    ask_at_once(&w, 2);
    assert_int_equal(w.server.n_connections, 6);
    close_world(&w);
}

static void test_kept_connections_have_an_end(void **state)
{
    (void)state;
    struct world w;
    open_world_with(&w, (struct direct_options){.kept_ms = 20});
    ask_at_once(&w, 3);
    turn_until_open(&w, 0);
    assert_good(&w, false);
    turn_until_open(&w, 0);
    close_world(&w);
}

static void test_a_large_request(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    open_world(&w);
    expect(&w.server, STR(GOOD), THEN_KEEP);
    prepare(&w, &a);
    buf_clear(&a.request);
    for (size_t i = 0; i < 1000000; i++) {
        buf_literal(&a.request, "0123456789");
    }
    buf_literal(&a.request, "\r\n\r\n");
    ask(&a);
    run(&a);
    assert_int_equal(a.end, DIRECT_COMPLETE);
    assert_true(str_eq(buf_str(&w.server.asked), buf_str(&a.request)));
    forget(&a);
    assert_good(&w, true);
    close_world(&w);
}

/* --- connecting --- */

/* A port that is taken but not listened on. */
static int take_port(uint16_t *ret_port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    *ret_port = ntohs(name.sin_port);
    return fd;
}

/* At once or later, as the kernel likes. */
static enum direct_end end_of(struct asking *a)
{
    ask(a);
    run(a);
    return a->end;
}

static void test_a_refused_connection(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    uint16_t port;
    int fd = take_port(&port);
    open_world(&w);
    prepare_port(&w, &a, "127.0.0.1", port);
    assert_int_equal(end_of(&a), DIRECT_NOT_CONNECTED);
    assert_non_null(strstr(a.error, "Connection refused"));
    forget(&a);
    /* A name may have got another address meanwhile. */
    prepare_port(&w, &a, "name.test", port);
    direct_learn(w.direct, str_of(a.authority), "127.0.0.1");
    assert_int_equal(end_of(&a), DIRECT_UNKNOWN);
    forget(&a);
    prepare_port(&w, &a, "name.test", port);
    assert_int_equal(end_of(&a), DIRECT_UNKNOWN);
    forget(&a);
    close_world(&w);
    (void)close(fd);
}

/* Nobody accepts, so that the queue is soon full, and the kernel answers no more. */
static int make_black_hole(uint16_t *ret_port, int *fillers, size_t n)
{
    int fd = take_port(ret_port);
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons(*ret_port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(listen(fd, 0), 0);
    for (size_t i = 0; i < n; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&name, sizeof(name));
    }
    return fd;
}

static void test_timeouts_of_connecting(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    uint16_t port;
    int fillers[4];
    int fd = make_black_hole(&port, fillers, 4);
    open_world(&w);
    for (int is_connect_timeout = 0; is_connect_timeout < 2; is_connect_timeout++) {
        prepare_port(&w, &a, "127.0.0.1", port);
        a.call.timeout_ms = is_connect_timeout ? LONG_MS : 20;
        a.call.connect_timeout_ms = is_connect_timeout ? 20 : LONG_MS;
        assert_int_equal(end_of(&a), DIRECT_TIMEOUT);
        assert_non_null(strstr(a.error, "within 20 ms"));
        forget(&a);
    }
    close_world(&w);
    for (size_t i = 0; i < 4; i++) {
        (void)close(fillers[i]);
    }
    (void)close(fd);
}

/* The time for connecting is over, the answer still has its own. */
static void test_timeouts_of_answers(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    open_world(&w);
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        if (is_kept) {
            assert_good(&w, false);
        }
        expect(&w.server, STR("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]"), THEN_KEEP);
        prepare(&w, &a);
        a.call.timeout_ms = 60;
        a.call.connect_timeout_ms = 20;
        int64_t before_ms = (int64_t)(uv_hrtime() / 1000000);
        assert_int_equal(end_of(&a), DIRECT_TIMEOUT);
        assert_true((int64_t)(uv_hrtime() / 1000000) - before_ms >= 59);
        assert_non_null(strstr(a.error, "2 bytes"));
        assert_int_equal(a.head.head.http_status, 200);
        forget(&a);
    }
    assert_good(&w, false);
    close_world(&w);
}

static void test_names(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    open_world(&w);
    expect(&w.server, STR(GOOD), THEN_KEEP);
    prepare_port(&w, &a, "name.test", w.server.port);
    assert_int_equal(end_of(&a), DIRECT_UNKNOWN);
    direct_learn(w.direct, str_of(a.authority), "no address");
    assert_int_equal(end_of(&a), DIRECT_UNKNOWN);
    direct_learn(w.direct, str_of(a.authority), "127.0.0.1");
    assert_int_equal(end_of(&a), DIRECT_COMPLETE);
    forget(&a);
    close_world(&w);
}

/* Who is not asked again has no connection either. */
static void test_addresses_have_an_end(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    open_world_with(&w, (struct direct_options){.known_ms = 1});
    prepare_port(&w, &a, "name.test", w.server.port);
    direct_learn(w.direct, str_of(a.authority), "127.0.0.1");
    int64_t until_ms = loop_now_ms(w.loop) + 1;
    while (loop_now_ms(w.loop) < until_ms) {
        uv_update_time(loop_uv(w.loop));
    }
    assert_int_equal(end_of(&a), DIRECT_UNKNOWN);
    forget(&a);
    close_world(&w);
}

/* Far more names than there is place for: old ones go, those with connections stay. */
static void test_hosts_have_a_limit(void **state)
{
    (void)state;
    struct world w;
    char name[40];
    open_world(&w);
    assert_good(&w, false);
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(name, sizeof(name), "n%d.test", i);
        direct_learn(w.direct, str_of(name), "127.0.0.1");
    }
    struct asking a;
    prepare_port(&w, &a, "n1.test", 80);
    a.authority[strlen("n1.test")] = '\0';
    assert_int_equal(end_of(&a), DIRECT_UNKNOWN);
    forget(&a);
    assert_good(&w, true);
    close_world(&w);
}

static void test_a_guard(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    char *entries[] = {"name.test"};
    const struct config_list hosts = {.items = entries, .n_items = 1};
    struct address_guard *guard = address_guard_create(&hosts);
    open_world_with(&w, (struct direct_options){.guard = guard});
    prepare(&w, &a);
    assert_int_equal(end_of(&a), DIRECT_REFUSED);
    assert_string_equal(a.error, "the address 127.0.0.1 is not allowed");
    forget(&a);
    prepare_port(&w, &a, "name.test", w.server.port);
    direct_learn(w.direct, str_of(a.authority), "::1");
    assert_int_equal(end_of(&a), DIRECT_REFUSED);
    assert_string_equal(a.error, "the address ::1 is not allowed");
    forget(&a);
    close_world(&w);
    address_guard_destroy(guard);
}

/* --- cancelling --- */

static void test_cancel(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    open_world(&w);
    prepare(&w, &a);
    ask(&a);
    direct_cancel(w.direct, &a.call); /* before it has begun */
    direct_cancel(w.direct, &a.call);
    turn_until_open(&w, 0);
    assert_int_equal(w.server.n_connections, 0);
    ask(&a);
    turn(&w);
    direct_cancel(w.direct, &a.call); /* connecting */
    turn_until_open(&w, 0);
    assert_good(&w, false);
    expect(&w.server, STR("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n["), THEN_KEEP);
    ask(&a);
    while (a.body.len == 0) {
        turn(&w);
    }
    direct_cancel(w.direct, &a.call); /* in the middle of the answer */
    assert_int_equal(a.n_ends, 0);
    forget(&a);
    assert_good(&w, false);
    close_world(&w);
}

static void test_kept_connections_do_not_hold_the_loop(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    ask_at_once(&w, 3);
    assert_int_equal(uv_run(loop_uv(w.loop), UV_RUN_NOWAIT), 0);
    close_world(&w);
}

/* --- URLs --- */

static void assert_written(const char *text, const char *expected)
{
    struct direct_url url;
    struct buf buf;
    buf_init(&buf, 10000);
    if (!direct_url_read(str_of(text), &url)) {
        fail_msg("%s is not read", text);
    }
    direct_url_write_get(&url, &buf);
    buf_append_char(&buf, '\0');
    assert_string_equal(buf.ptr, expected);
    buf_release(&buf);
}

static void test_urls(void **state)
{
    (void)state;
    assert_written("http://a.test/x?y=z", "GET /x?y=z HTTP/1.1\r\nHost: a.test\r\n");
    assert_written("http://a", "GET / HTTP/1.1\r\nHost: a\r\n");
    assert_written("http://a?b", "GET /?b HTTP/1.1\r\nHost: a\r\n");
    assert_written("http://a:80/", "GET / HTTP/1.1\r\nHost: a\r\n");
    assert_written("http://a:8080/?b=/c//d%2F", "GET /?b=/c//d%2F HTTP/1.1\r\nHost: a:8080\r\n");
    assert_written("http://[::1]:80/", "GET / HTTP/1.1\r\nHost: [::1]\r\n");
    assert_written("http://[::ffff:1.2.3.4]:81", "GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:81\r\n");
    assert_written("http://1.2.3.4/x.json", "GET /x.json HTTP/1.1\r\nHost: 1.2.3.4\r\n");
    assert_written("http://a_b-1.c1", "GET / HTTP/1.1\r\nHost: a_b-1.c1\r\n");
}

static void test_urls_for_libcurl(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "http://",
        "https://a/",
        "HTTP://a/",
        "ftp://a/",
        "a",
        "http:/a",
        "http://u@a/",
        "http://A/",
        "http://a./",
        "http://.a/",
        "http://a..b/",
        "http://a:/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:x",
        "http://a:1:2/",
        "http://a b/",
        "http://a/ b",
        "http://a/#b",
        "http://a#b",
        "http://a/./b",
        "http://a/../b",
        "http://a/..",
        "http://a/b/.c",
        "http://a/\n",
        "http://a/\x7f",
        "http://a/\xc3\xa4",
        "http://\xc3\xa4/",
        "http://a%41/",
        "http://a/\\b",
        "http://[::1",
        "http://[::1%25x]/",
        "http://[]/",
        "http://[::1]x/",
        "http://[a.b]:x/",
        "http://1.2.3.a1x/\t",
        "http://0x7f.0x1/",
        "http://-a.1b/",
    };
    struct direct_url url;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (direct_url_read(str_of(others[i]), &url)) {
            fail_msg("%s is read", others[i]);
        }
    }
    char text[300] = "http://";
    memset(text + strlen(text), 'a', 254);
    assert_false(direct_url_read(str_of(text), &url));
}

/* What looks like an address and is none is known to nobody. */
static void test_addresses_that_are_none(void **state)
{
    (void)state;
    struct world w;
    const char *const others[] = {"127.1", "2130706433", "256.1.1.1", "1.2.3.4.5",
                                  "[:]",   "[1.2.3.4]",  "[::1::1]",  "127.0.0.01"};
    open_world(&w);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct asking a;
        prepare_port(&w, &a, others[i], w.server.port);
        assert_int_equal(end_of(&a), DIRECT_UNKNOWN);
        direct_learn(w.direct, str_of(a.authority), "127.0.0.1");
        assert_int_equal(end_of(&a), DIRECT_UNKNOWN);
        forget(&a);
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_get),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_answers_that_are_none),
        cmocka_unit_test(test_a_large_head),
        cmocka_unit_test(test_limits_of_bodies),
        cmocka_unit_test(test_a_body_that_nobody_wants),
        cmocka_unit_test(test_compressed_bodies),
        cmocka_unit_test(test_a_bomb),
        cmocka_unit_test(test_a_compressed_body_without_contents),
        cmocka_unit_test(test_connections_are_kept),
        cmocka_unit_test(test_connections_that_are_not_kept),
        cmocka_unit_test(test_a_kept_connection_that_was_closed),
        cmocka_unit_test(test_what_breaks_without_an_answer_is_repeated_once),
        cmocka_unit_test(test_what_breaks_with_an_answer_is_not_repeated),
        cmocka_unit_test(test_a_call_at_the_end_of_another),
        cmocka_unit_test(test_kept_connections_have_a_limit),
        cmocka_unit_test(test_kept_connections_have_an_end),
        cmocka_unit_test(test_a_large_request),
        cmocka_unit_test(test_a_refused_connection),
        cmocka_unit_test(test_timeouts_of_connecting),
        cmocka_unit_test(test_timeouts_of_answers),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_addresses_have_an_end),
        cmocka_unit_test(test_hosts_have_a_limit),
        cmocka_unit_test(test_a_guard),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_kept_connections_do_not_hold_the_loop),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_urls_for_libcurl),
        cmocka_unit_test(test_addresses_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
