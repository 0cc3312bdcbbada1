/* What the tests of upstreams share: a real pool, and an HTTP server on the same loop, which
 * answers a request when and as the test says. */
#ifndef BELFRY_TESTS_UPSTREAM_WORLD_H
#define BELFRY_TESTS_UPSTREAM_WORLD_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "upstreams/upstream.h"

#define LONG_MS      30000 /* never reached, unless something hangs */
#define HOUR_MS      3600000
#define MAX_REQUESTS 200

/* --- the server --- */

struct connection {
    uv_tcp_t tcp; /* first: what libuv hands back */
    struct server *server;
    struct connection *next;
    char text[4096];
    size_t len;
};

struct request {
    struct connection *connection; /* NULL: closed by the client */
    char text[4096];               /* NUL-terminated */
    bool is_answered;
};

struct server {
    uv_tcp_t listener;
    int port;
    struct connection *connections;
    struct request requests[MAX_REQUESTS];
    size_t n_requests;
    const char *answer; /* to every request at once; NULL: the test answers */
};

static inline void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static inline void close_connection(struct connection *c)
{
    struct server *s = c->server;
    for (size_t i = 0; i < s->n_requests; i++) {
        if (s->requests[i].connection == c) {
            s->requests[i].connection = NULL;
        }
    }
    struct connection **at = &s->connections;
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static inline void send_answer(struct server *s, size_t index, const char *text)
{
    struct request *r = &s->requests[index];
    assert_non_null(r->connection);
    uv_buf_t bytes = uv_buf_init((char *)text, (unsigned)strlen(text));
    assert_int_equal(uv_try_write((uv_stream_t *)&r->connection->tcp, &bytes, 1), strlen(text));
    r->is_answered = true;
}

/* Status line's end, header lines (with their ends), body. */
static inline void answer(struct server *s, size_t index, const char *status, const char *headers,
                          const char *body)
{
    char text[4096];
    (void)snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status,
                   headers, strlen(body), body);
    send_answer(s, index, text);
}

static inline size_t request_len(const struct connection *c)
{
    const char *end = strstr(c->text, "\r\n\r\n");
    if (!end) {
        return 0;
    }
    const char *length = strstr(c->text, "Content-Length: ");
    size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
    size_t len = (size_t)(end - c->text) + 4 + body;
    return len <= c->len ? len : 0;
}

static inline void take_request(struct connection *c, size_t len)
{
    struct server *s = c->server;
    assert_true(s->n_requests < MAX_REQUESTS);
    struct request *r = &s->requests[s->n_requests++];
    *r = (struct request){.connection = c};
    memcpy(r->text, c->text, len);
    c->len -= len;
    memmove(c->text, c->text + len, c->len + 1);
    if (s->answer) {
        send_answer(s, s->n_requests - 1, s->answer);
    }
}

static inline void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct connection *c = (struct connection *)(void *)handle;
    (void)suggested;
    *ret_buf = uv_buf_init(c->text + c->len, (unsigned)(sizeof(c->text) - c->len - 1));
}

static inline void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct connection *c = (struct connection *)(void *)stream;
    (void)bytes;
    if (n < 0) {
        close_connection(c);
        return;
    }
    c->len += (size_t)n;
    c->text[c->len] = '\0';
    size_t len = request_len(c);
    if (len > 0) {
        take_request(c, len);
    } else if (c->text[0] == 0x16) { /* TLS, which it does not speak */
        uv_buf_t what = uv_buf_init("what?", 5);
        (void)uv_try_write(stream, &what, 1);
        close_connection(c);
    }
}

static inline void on_connection(uv_stream_t *listener, int status)
{
    struct server *s = listener->data;
    struct connection *c = calloc(1, sizeof(*c));
    assert_int_equal(status, 0);
    assert_non_null(c);
    c->server = s;
    c->next = s->connections;
    s->connections = c;
    assert_int_equal(uv_tcp_init(listener->loop, &c->tcp), 0);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&c->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), 0);
}

static inline void server_open(struct server *s, uv_loop_t *loop)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = sizeof(name);
    assert_int_equal(uv_tcp_init(loop, &s->listener), 0);
    s->listener.data = s;
    assert_int_equal(uv_tcp_bind(&s->listener, (struct sockaddr *)&name, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&s->listener, 100, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&s->listener, (struct sockaddr *)&name, &len), 0);
    s->port = ntohs(name.sin_port);
}

static inline void server_close(struct server *s)
{
    while (s->connections) {
        close_connection(s->connections);
    }
    uv_close((uv_handle_t *)&s->listener, NULL);
}

/* --- the world --- */

struct world {
    struct loop *loop;
    struct deadlines *deadlines;
    struct fetch_pool *pool;
    struct server server;
    struct upstream_options options;
    struct upstream *upstream;
};

struct call {
    struct world *world;
    struct upstream_call *call;
    int n_done;
    int place;                     /* in the order of all that ended */
    struct upstream_result result; /* without its texts, but for these: */
    char body[200];
    char etag[50];
    char error[200];
    struct call *cancels; /* in its done() */
    struct call *asks;
};

static int n_ended;

static inline void make_world(struct world *w, int64_t max_concurrent, int64_t max_waiting)
{
    memset(w, 0, sizeof(*w));
    n_ended = 0;
    assert_int_equal(loop_create(&w->loop), STATUS_OK);
    assert_int_equal(deadlines_create(w->loop, 1, 1024, &w->deadlines), STATUS_OK);
    struct fetch_pool_options options = {.loop = w->loop,
                                         .max_concurrent = max_concurrent,
                                         .max_waiting = max_waiting,
                                         .user_agent = "belfry-test/1"};
    assert_int_equal(fetch_pool_create(&options, &w->pool), STATUS_OK);
    server_open(&w->server, loop_uv(w->loop));
    w->options = (struct upstream_options){
        .max_waiting = 1000,
        .rate_limit = {.per_ms = 1000},
        .retry = {.backoff_ms = 1, .max_backoff_ms = 2, .budget = 20},
        .breaker = {.open_ms = HOUR_MS, .max_open_ms = HOUR_MS},
        .hedge = {.budget = 5},
        .transport = {.tls = {.server_ca_pem_file = "", .cert_pem_file = "", .key_pem_file = ""},
                      .proxy = ""},
    };
}

/* After the test has set the options. */
static inline void start_world(struct world *w)
{
    struct upstream_setting setting = {.name = "test",
                                       .loop = w->loop,
                                       .deadlines = w->deadlines,
                                       .pool = w->pool,
                                       .options = &w->options};
    w->upstream = upstream_create(&setting);
    assert_non_null(w->upstream);
}

static inline void open_world(struct world *w)
{
    make_world(w, 100, 100);
    start_world(w);
}

static inline void close_world(struct world *w)
{
    upstream_destroy(w->upstream);
    fetch_pool_destroy(w->pool);
    deadlines_destroy(w->deadlines);
    server_close(&w->server);
    loop_destroy(w->loop);
}

#define RUN_UNTIL(w, condition)                                                                    \
    while (!(condition)) {                                                                         \
        (void)uv_run(loop_uv((w)->loop), UV_RUN_ONCE);                                             \
    }

static inline void run_until_done(struct call *call)
{
    RUN_UNTIL(call->world, call->n_done > 0);
}

static inline void run_until_requests(struct world *w, size_t n)
{
    RUN_UNTIL(w, w->server.n_requests >= n);
}

static inline struct upstream_stats stats_of(const struct world *w)
{
    struct upstream_stats stats;
    upstream_stats(w->upstream, &stats);
    return stats;
}

static inline void ask(struct world *w, struct call *call);

static inline void copy_text(char *place, size_t size, struct str text)
{
    (void)snprintf(place, size, "%.*s", STR_ARG(text));
}

static inline void on_done(void *arg, const struct upstream_result *result)
{
    struct call *call = arg;
    call->n_done++;
    call->place = ++n_ended;
    call->result = *result;
    copy_text(call->body, sizeof(call->body), result->body);
    copy_text(call->etag, sizeof(call->etag), result->head.etag);
    copy_text(call->error, sizeof(call->error), str_of(result->error));
    if (call->cancels) {
        upstream_cancel(call->cancels->call);
    }
    if (call->asks) {
        ask(call->world, call->asks);
    }
}

/* How a call differs from a GET of "/" with a long timeout. */
struct how {
    const char *path;
    enum fetch_method method;
    const char *body;
    const char *header;
    int64_t timeout_ms;
    size_t max_bytes;
};

static inline enum status try_ask(struct world *w, struct call *call, const struct how *how)
{
    char url[200];
    char header[100] = "";
    char body[200] = "";
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", w->server.port,
                   how->path ? how->path : "/");
    (void)snprintf(header, sizeof(header), "%s", how->header ? how->header : "");
    (void)snprintf(body, sizeof(body), "%s", how->body ? how->body : "");
    struct str line = str_of(header);
    struct upstream_request request = {.url = how->path && how->path[0] != '/' ? how->path : url,
                                       .method = how->method,
                                       .body = str_of(body),
                                       .headers = &line,
                                       .n_headers = how->header ? 1 : 0,
                                       .timeout_ms = how->timeout_ms ? how->timeout_ms : LONG_MS,
                                       .max_bytes = how->max_bytes ? how->max_bytes : 1 << 20};
    call->world = w;
    call->n_done = 0;
    enum status status = upstream_ask(w->upstream, &request, on_done, call, &call->call);
    assert_int_equal(call->n_done, 0); /* never from inside */
    memset(url, 'x', sizeof(url) - 1); /* all was copied */
    memset(header, 'x', sizeof(header) - 1);
    memset(body, 'x', sizeof(body) - 1);
    return status;
}

static inline void ask_how(struct world *w, struct call *call, const struct how *how)
{
    assert_int_equal(try_ask(w, call, how), STATUS_OK);
}

static inline void ask(struct world *w, struct call *call)
{
    ask_how(w, call, &(struct how){0});
}

static inline void assert_outcome(const struct call *call, enum upstream_outcome outcome,
                                  unsigned n_attempts)
{
    assert_int_equal(call->n_done, 1);
    if (call->result.outcome != outcome) {
        fail_msg("%s: %s", upstream_outcome_name(call->result.outcome), call->error);
    }
    assert_int_equal(call->result.n_attempts, n_attempts);
    assert_int_equal(call->body[0] != '\0' && outcome != UPSTREAM_OK, false);
}

static inline void finish(struct call *call, enum upstream_outcome outcome, unsigned n_attempts)
{
    run_until_done(call);
    assert_outcome(call, outcome, n_attempts);
}

static inline bool request_starts(struct world *w, size_t index, const char *text)
{
    return strncmp(w->server.requests[index].text, text, strlen(text)) == 0;
}

/* --- what the tests begin with --- */

#define ANSWER_500 "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"

static inline void stand_still_until_ms(int64_t until_ms)
{
    while (clock_monotonic_ms() < until_ms) {
    }
}

static inline void make_breaking(struct world *w, int64_t failures, int64_t open_ms)
{
    make_world(w, 100, 100);
    w->options.breaker = (struct breaker_options){
        .failures = failures, .open_ms = open_ms, .max_open_ms = 10 * open_ms};
    start_world(w);
}

static inline void fail_once(struct world *w, const char *text)
{
    struct call call = {0};
    w->server.answer = text;
    ask(w, &call);
    finish(&call, UPSTREAM_HTTP_ERROR, 1);
    w->server.answer = NULL;
}

enum { N_MEASURED = 20 };

static inline void measure(struct world *w, int n)
{
    struct call call = {0};
    w->server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0";
    for (int i = 0; i < n; i++) {
        ask(w, &call);
        finish(&call, UPSTREAM_OK, 1);
    }
    w->server.answer = NULL;
}

static inline void make_hedging(struct world *w, int n_measured)
{
    make_world(w, 100, 100);
    w->options.hedge = (struct hedge_options){.percentile = 50, .min_delay_ms = 1, .budget = 100};
    start_world(w);
    measure(w, n_measured);
}

#endif
