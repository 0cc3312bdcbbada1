/* SPDX-License-Identifier: MIT */
/* The fetch pool against the real belfry-upstream, which is started once for the group: every
 * outcome, the queue, cancelling at every moment, and reuse of connections. */
#include "tests/unit/upstreams/fetch_world.h"

#include <fcntl.h>
#include <poll.h>

#define MANY 100

static struct server server;

static int start_server(void **state)
{
    (void)state;
    return server_start(&server, false, true,
                        (const char *const[]){"--black-hole-port", "0", NULL});
}

static int stop_server(void **state)
{
    (void)state;
    return server_stop(&server);
}

static enum status start_url(struct world *w, struct call *call, const char *url,
                             int64_t timeout_ms, size_t max_bytes)
{
    struct fetch_spec spec = {.url = url, .timeout_ms = timeout_ms, .max_bytes = max_bytes};
    return call_start(w, call, &spec);
}

static enum status start(struct world *w, struct call *call, const char *path, int64_t timeout_ms,
                         size_t max_bytes)
{
    return start_url(w, call, url_at("http", "127.0.0.1", server.port, path), timeout_ms,
                     max_bytes);
}

static void start_plain(struct world *w, struct call *call, const char *path)
{
    assert_int_equal(start(w, call, path, LONG_MS, 1 << 20), STATUS_OK);
}

/* One fetch in a world of its own. */
static struct call fetch_one(const char *path, int64_t timeout_ms, size_t max_bytes)
{
    struct world w;
    struct call call = {0};
    world_open(&w, 10, 10);
    assert_int_equal(start(&w, &call, path, timeout_ms, max_bytes), STATUS_OK);
    call_run(&call);
    world_close(&w);
    assert_int_equal(call.n_done, 1);
    return call;
}

static void assert_outcome(const char *path, int64_t timeout_ms, size_t max_bytes,
                           enum fetch_outcome outcome, int http_status)
{
    struct call call = fetch_one(path, timeout_ms, max_bytes);
    if (call.result.outcome != outcome) {
        fail_msg("%s: %s", path, fetch_outcome_name(call.result.outcome));
    }
    assert_int_equal(call.result.head.http_status, http_status);
    assert_int_equal(call.error[0] != 0, outcome != FETCH_OK && outcome != FETCH_HTTP_ERROR);
    if (outcome != FETCH_OK && outcome != FETCH_HTTP_ERROR) {
        assert_int_equal(call.body.len, 0);
    }
    buf_release(&call.body);
}

/* --- outcomes --- */

static void test_ok_gives_the_exact_bytes(void **state)
{
    (void)state;
    struct str bytes = STR("{\"n\":1.10,\0\"big\":12345678901234567890}\r\n");
    free(server_ask(&server, "PUT", "/values/exact", bytes));
    struct call call = fetch_one("/values/exact", LONG_MS, bytes.len);
    assert_int_equal(call.result.outcome, FETCH_OK);
    assert_int_equal(call.result.head.http_status, 200);
    assert_true(str_eq(buf_str(&call.body), bytes));
    assert_false(call.error[0] != 0);
    assert_true(call.result.duration_us > 0);
    buf_release(&call.body);
    assert_outcome("/status/204", LONG_MS, 100, FETCH_OK, 204);
    assert_outcome("/json?size=200000", LONG_MS, 200000, FETCH_OK, 200);
    assert_outcome("/weather?city=a&drip=30/1ms", LONG_MS, 1000, FETCH_OK, 200);
}

static void test_request_headers(void **state)
{
    (void)state;
    struct call call = fetch_one("/echo?a=b", LONG_MS, 10000);
    buf_append_char(&call.body, '\0');
    assert_non_null(strstr(call.body.ptr, "\"method\":\"GET\""));
    assert_non_null(strstr(call.body.ptr, "\"accept\":\"application/json\""));
    assert_non_null(strstr(call.body.ptr, "\"user-agent\":\"belfry-test/1\""));
    assert_non_null(strstr(call.body.ptr, "\"accept-encoding\":\""));
    buf_release(&call.body);
}

static void test_http_errors(void **state)
{
    (void)state;
    struct call call = fetch_one("/status/503", LONG_MS, 1000);
    assert_int_equal(call.result.outcome, FETCH_HTTP_ERROR);
    assert_int_equal(call.result.head.http_status, 503);
    assert_true(str_eq(buf_str(&call.body), STR("{\"status\":503}")));
    buf_release(&call.body);
    assert_outcome("/status/304", LONG_MS, 1000, FETCH_HTTP_ERROR, 304);
    assert_outcome("/nowhere", LONG_MS, 1000, FETCH_HTTP_ERROR, 404);
}

static void test_redirects_are_not_followed(void **state)
{
    (void)state;
    server_reset_stats(&server);
    assert_outcome("/health?redirect=/status/299", LONG_MS, 1000, FETCH_HTTP_ERROR, 302);
    assert_true(server_saw(&server, "/health"));
    assert_false(server_saw(&server, "/status/299"));
}

static void test_timeouts(void **state)
{
    (void)state;
    assert_outcome("/health?hang=1", 30, 1000, FETCH_TIMEOUT, 0);
    assert_outcome("/health?latency=60s", 30, 1000, FETCH_TIMEOUT, 0);
    assert_outcome("/weather?city=a&drip=1/1s", 1000, 1000, FETCH_TIMEOUT, 200);
    struct call call = fetch_one("/health?hang=1", 30, 1000);
    assert_true(call.result.duration_us >= 29000);
    buf_release(&call.body);
}

static void test_connect_errors(void **state)
{
    (void)state;
    /* A port that is taken but not listened on. */
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    char url[100];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(name.sin_port));

    struct world w;
    const char *urls[] = {url, "ftp://127.0.0.1/", "http://", "no url"};
    world_open(&w, 10, 10);
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct call call = {0};
        assert_int_equal(start_url(&w, &call, urls[i], LONG_MS, 1000), STATUS_OK);
        call_run(&call);
        assert_int_equal(call.result.outcome, FETCH_CONNECT_ERROR);
        assert_int_equal(call.result.head.http_status, 0);
        assert_true(call.error[0] != 0);
    }
    world_close(&w);
    (void)close(fd);
}

static void test_names_are_looked_up(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    char url[100];
    (void)snprintf(url, sizeof(url), "http://localhost:%d/health", server.port);
    world_open(&w, 10, 10);
    assert_int_equal(start_url(&w, &call, url, LONG_MS, 1000), STATUS_OK);
    call_run(&call);
    assert_int_equal(call.result.outcome, FETCH_OK);
    buf_release(&call.body);
    world_close(&w);
}

static void test_broken_answers(void **state)
{
    (void)state;
    assert_outcome("/health?reset=1", LONG_MS, 1000, FETCH_CONNECT_ERROR, 0);
    assert_outcome("/health?truncate=1", LONG_MS, 1000, FETCH_CONNECT_ERROR, 200);
}

static void test_too_large(void **state)
{
    (void)state;
    assert_outcome("/json?size=1000", LONG_MS, 1000, FETCH_OK, 200);
    assert_outcome("/json?size=1001", LONG_MS, 1000, FETCH_TOO_LARGE, 200);
    assert_outcome("/json?endless=1", LONG_MS, 100000, FETCH_TOO_LARGE, 200);
    assert_outcome("/json?endless=1&drip=100/1ms", LONG_MS, 1000, FETCH_TOO_LARGE, 200);
    /* A page for people behind an error status is no reason to hide the status. */
    struct call call = fetch_one("/json?endless=1&status=500", LONG_MS, 1000);
    assert_int_equal(call.result.outcome, FETCH_HTTP_ERROR);
    assert_int_equal(call.result.head.http_status, 500);
    assert_int_equal(call.body.len, 1000);
    buf_release(&call.body);
}

static void test_proxy_in_the_environment_is_ignored(void **state)
{
    (void)state;
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    (void)setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    assert_outcome("/health", LONG_MS, 1000, FETCH_OK, 200);
    (void)unsetenv("http_proxy");
    (void)unsetenv("ALL_PROXY");
}

/* --- what is sent --- */

static struct fetch_spec echo_spec(char *url, size_t n)
{
    (void)snprintf(url, n, "http://127.0.0.1:%d/echo", server.port);
    return spec_of(url);
}

static void test_a_post(void **state)
{
    (void)state;
    struct world w;
    char url[100];
    struct fetch_spec spec = echo_spec(url, sizeof(url));
    char bytes[] = "{\"n\":1.10}";
    world_open(&w, 1, 10);
    spec.method = FETCH_POST;
    spec.body = str_of(bytes);
    struct call call = {.world = &w};
    buf_init(&call.body, 1 << 20);
    assert_int_equal(fetch_start(w.pool, &spec, call_on_done, &call, &call.fetch), STATUS_OK);
    memset(bytes, 'x', sizeof(bytes)); /* the body was copied */
    memset(url, 'x', sizeof(url) - 1);
    call_run(&call);
    assert_int_equal(call.result.outcome, FETCH_OK);
    char *said = buf_take(&call.body);
    assert_has(said, "\"method\":\"POST\"");
    assert_has(said, "\"body\":\"{\\\"n\\\":1.10}\"");
    assert_has(said, "\"content-type\":\"application/json\"");
    assert_has(said, "\"content-length\":\"10\"");
    assert_has(said, "\"accept\":\"application/json\"");
    assert_lacks(said, "\"expect\"");
    free(said);
    world_close(&w);
}

static void test_a_post_without_a_body(void **state)
{
    (void)state;
    struct world w;
    char url[100];
    struct fetch_spec spec = echo_spec(url, sizeof(url));
    world_open(&w, 1, 10);
    spec.method = FETCH_POST;
    char *said = call_text(&w, &spec);
    assert_has(said, "\"method\":\"POST\"");
    assert_has(said, "\"content-length\":\"0\"");
    assert_has(said, "\"body\":\"\"");
    free(said);
    world_close(&w);
}

static void test_further_headers(void **state)
{
    (void)state;
    struct world w;
    char url[100];
    struct fetch_spec spec = echo_spec(url, sizeof(url));
    char own[] = "X-Own:  two words \t";
    const struct str headers[] = {str_of(own),
                                  STR("X-Empty:"),
                                  STR("accept: text/plain"),
                                  STR("User-Agent: other/2"),
                                  STR("Content-Type: text/x"),
                                  STR("X-Umlaut: \xc3\xa4")};
    world_open(&w, 1, 10);
    spec.method = FETCH_POST;
    spec.headers = headers;
    spec.n_headers = sizeof(headers) / sizeof(headers[0]);
    char *said = call_text(&w, &spec);
    assert_has(said, "\"x-own\":\"two words\"");
    assert_has(said, "\"x-empty\":\"\"");
    assert_has(said, "\"accept\":\"text/plain\"");
    assert_lacks(said, "\"accept\":\"application/json\"");
    assert_has(said, "\"user-agent\":\"other/2\"");
    assert_lacks(said, "belfry-test");
    assert_has(said, "\"content-type\":\"text/x\"");
    assert_lacks(said, "\"content-type\":\"application/json\"");
    assert_has(said, "\"x-umlaut\":\"\xc3\xa4\"");
    free(said);
    world_close(&w);
}

static void assert_plain_get(struct world *w, const struct fetch_spec *get)
{
    char *said = call_text(w, get);
    assert_has(said, "\"method\":\"GET\"");
    assert_has(said, "\"body\":\"\"");
    assert_has(said, "\"user-agent\":\"belfry-test/1\"");
    assert_has(said, "\"accept\":\"application/json\"");
    assert_lacks(said, "x-own");
    assert_lacks(said, "content-type");
    assert_lacks(said, "content-length");
    free(said);
}

/* The pool has one easy handle here. */
static void test_nothing_of_a_fetch_is_in_the_next(void **state)
{
    (void)state;
    struct world w;
    char url[100];
    char hanging_url[120];
    const struct str headers[] = {STR("X-Own: secret"), STR("User-Agent: other/2")};
    struct fetch_spec get = echo_spec(url, sizeof(url));
    struct fetch_spec post = get;
    struct call call = {.world = &w};
    post.method = FETCH_POST;
    post.body = STR("the body");
    post.headers = headers;
    post.n_headers = 2;
    world_open(&w, 1, 10);
    free(call_text(&w, &post));
    assert_plain_get(&w, &get);

    (void)snprintf(hanging_url, sizeof(hanging_url), "%s?hang=1", url);
    post.url = hanging_url;
    assert_int_equal(fetch_start(w.pool, &post, call_on_done, &call, &call.fetch), STATUS_OK);
    fetch_cancel(call.fetch);
    assert_plain_get(&w, &get);

    server_reset_stats(&server);
    assert_int_equal(fetch_start(w.pool, &post, call_on_done, &call, &call.fetch), STATUS_OK);
    while (!server_saw(&server, "/echo")) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_NOWAIT);
    }
    fetch_cancel(call.fetch);
    assert_plain_get(&w, &get);
    world_close(&w);
    assert_int_equal(call.n_done, 0);
}

/* A kept connection breaks when the request has been sent: the server may have handled it. */
static void test_a_post_is_sent_once(void **state)
{
    (void)state;
    struct world w;
    char url[100];
    char breaking_url[120];
    struct fetch_spec spec = echo_spec(url, sizeof(url));
    struct call call = {.world = &w};
    (void)snprintf(breaking_url, sizeof(breaking_url), "%s?reset=1", url);
    spec.method = FETCH_POST;
    spec.body = STR("the body");
    world_open(&w, 1, 10);
    free(call_text(&w, &spec));
    server_reset_stats(&server);
    spec.url = breaking_url;
    assert_int_equal(fetch_start(w.pool, &spec, call_on_done, &call, &call.fetch), STATUS_OK);
    call_run(&call);
    assert_int_equal(call.result.outcome, FETCH_CONNECT_ERROR);
    assert_int_equal(server_stat(&server, "requests"), 1);
    spec.url = url;
    char *said = call_text(&w, &spec);
    assert_has(said, "\"body\":\"the body\"");
    free(said);
    world_close(&w);
}

static void test_headers_that_are_refused(void **state)
{
    (void)state;
    struct world w;
    char url[100];
    struct call call = {0};
    struct fetch_spec spec = echo_spec(url, sizeof(url));
    const struct str bad[] = {
        STR("X: a\r\nEvil: b"),
        STR("X: a\nEvil: b"),
        STR("X: a\0b"),
        STR("X\r\nEvil: b"),
        STR("X Y: a"),
        STR(": a"),
        STR("no colon"),
        STR(""),
        STR("X : a"),
        STR("X: \x7f"),
        STR("Host: evil"),
        STR("content-length: 1"),
        STR("Transfer-Encoding: chunked"),
        STR("Connection: close"),
        STR("Expect: 100-continue"),
    };
    world_open(&w, 1, 10);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        spec.headers = &bad[i];
        spec.n_headers = 1;
        assert_false(fetch_header_valid(bad[i]));
        assert_int_equal(fetch_start(w.pool, &spec, call_on_done, &call, &call.fetch),
                         STATUS_INVALID);
    }
    static char large[70000];
    memset(large, 'a', sizeof(large) - 1);
    large[1] = ':';
    struct str line = str_of(large);
    spec.headers = &line;
    assert_int_equal(fetch_start(w.pool, &spec, call_on_done, &call, &call.fetch), STATUS_INVALID);
    assert_true(fetch_header_valid(STR("X-Good: a\tb")));
    world_close(&w);
    assert_int_equal(call.n_done, 0);
}

/* --- the queue --- */

static void test_concurrency_is_bounded(void **state)
{
    (void)state;
    struct world w;
    struct call calls[50] = {0};
    struct fetch_stats stats;
    server_reset_stats(&server);
    world_open(&w, 5, 45);
    for (size_t i = 0; i < 50; i++) {
        start_plain(&w, &calls[i], "/health?latency=2ms");
    }
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_active, 5);
    assert_int_equal(stats.n_waiting, 45);
    for (size_t i = 0; i < 50; i++) {
        call_run(&calls[i]);
        assert_int_equal(calls[i].result.outcome, FETCH_OK);
        buf_release(&calls[i].body);
    }
    assert_true(calls[0].result.queue_us < calls[49].result.queue_us);
    assert_true(calls[49].result.queue_us < calls[49].result.duration_us);
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_active, 0);
    assert_int_equal(stats.n_waiting, 0);
    assert_int_equal(stats.n_started, 50);
    assert_int_equal(stats.n_outcomes[FETCH_OK], 50);
    world_close(&w);
    assert_in_range(server_stat(&server, "max_active"), 1, 5);
    assert_int_equal(server_stat(&server, "requests"), 50);
}

static void test_overload(void **state)
{
    (void)state;
    struct world w;
    struct call calls[4] = {0};
    struct fetch_stats stats;
    world_open(&w, 2, 1);
    for (size_t i = 0; i < 3; i++) {
        start_plain(&w, &calls[i], "/health?hang=1");
    }
    assert_int_equal(start(&w, &calls[3], "/health", LONG_MS, 100), STATUS_OVERLOADED);
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_overloaded, 1);
    /* A cancelled one makes room, and the one that waited takes its place. */
    fetch_cancel(calls[0].fetch);
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_active, 2);
    assert_int_equal(stats.n_waiting, 0);
    start_plain(&w, &calls[3], "/health");
    fetch_cancel(calls[1].fetch);
    call_run(&calls[3]);
    assert_int_equal(calls[3].result.outcome, FETCH_OK);
    buf_release(&calls[3].body);
    world_close(&w);
    assert_int_equal(calls[0].n_done + calls[1].n_done + calls[2].n_done, 0);
}

static void test_time_in_the_queue_counts(void **state)
{
    (void)state;
    struct world w;
    struct call blocking = {0};
    struct call waiting = {0};
    world_open(&w, 1, 10);
    start_plain(&w, &blocking, "/health?hang=1");
    assert_int_equal(start(&w, &waiting, "/health", 20, 100), STATUS_OK);
    call_run(&waiting);
    assert_int_equal(waiting.result.outcome, FETCH_TIMEOUT);
    assert_true(waiting.error[0] != 0);
    assert_true(waiting.result.duration_us >= 19000);
    assert_int_equal(waiting.result.queue_us, waiting.result.duration_us);
    assert_int_equal(blocking.n_done, 0);
    world_close(&w);
    assert_int_equal(blocking.n_done, 0);
}

/* --- cancelling --- */

static void test_cancel_at_once_and_under_way(void **state)
{
    (void)state;
    struct world w;
    struct call cancelled[3] = {0};
    struct call other = {0};
    world_open(&w, 2, 10);
    start_plain(&w, &cancelled[0], "/health");
    fetch_cancel(cancelled[0].fetch); /* before the loop has turned */
    start_plain(&w, &cancelled[1], "/health?hang=1");
    start_plain(&w, &other, "/health?latency=20ms");
    start_plain(&w, &cancelled[2], "/health");
    fetch_cancel(cancelled[2].fetch); /* waiting */
    call_run(&other);
    fetch_cancel(cancelled[1].fetch); /* sent, unanswered */
    other.n_done = 0;
    buf_release(&other.body);
    start_plain(&w, &other, "/health?latency=20ms");
    call_run(&other);
    assert_int_equal(other.result.outcome, FETCH_OK);
    buf_release(&other.body);
    world_close(&w);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(cancelled[i].n_done, 0);
    }
}

/* Whichever of the two ends first silences the other, whether that is active or has finished in the
 * same turn. */
static void test_cancel_from_the_done_of_another(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 10, 10);
    for (size_t round = 0; round < MANY; round++) {
        struct call a = {0};
        struct call b = {0};
        a.cancels = &b;
        b.cancels = &a;
        start_plain(&w, &a, "/health");
        start_plain(&w, &b, "/health");
        while (a.n_done + b.n_done == 0) {
            (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
        }
        (void)uv_run(loop_uv(w.loop), UV_RUN_NOWAIT);
        assert_int_equal(a.n_done + b.n_done, 1);
        buf_release(&a.body);
        buf_release(&b.body);
    }
    world_close(&w);
}

static void test_destroy_with_fetches_under_way(void **state)
{
    (void)state;
    struct world w;
    struct call calls[20] = {0};
    struct call first = {.destroys_pool = true};
    /* From outside, in every state: waiting, not begun, sent. */
    world_open(&w, 10, 20);
    for (size_t i = 0; i < 20; i++) {
        start_plain(&w, &calls[i], "/health?hang=1");
    }
    world_close(&w);

    /* From inside a done(). */
    world_open(&w, 15, 20);
    for (size_t i = 0; i < 20; i++) {
        start_plain(&w, &calls[i], "/health?hang=1");
        if (i == 10) {
            start_plain(&w, &first, "/health");
        }
    }
    call_run(&first);
    loop_destroy(w.loop);
    buf_release(&first.body);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(calls[i].n_done, 0);
    }
    fetch_pool_destroy(NULL);
}

/* --- connections --- */

static void test_connections_are_kept(void **state)
{
    (void)state;
    struct world w;
    server_reset_stats(&server);
    world_open(&w, 10, 10);
    for (size_t i = 0; i < MANY; i++) {
        struct call call = {0};
        start_plain(&w, &call, i % 2 ? "/health" : "/weather?city=a");
        call_run(&call);
        assert_int_equal(call.result.outcome, FETCH_OK);
        buf_release(&call.body);
    }
    world_close(&w);
    assert_int_equal(server_stat(&server, "requests"), MANY);
    assert_int_equal(server_stat(&server, "connections"),
                     1 + 2); /* this one and the one before ask */
}

static void test_a_burst_reuses_its_connections(void **state)
{
    (void)state;
    struct world w;
    server_reset_stats(&server);
    world_open(&w, 20, 0);
    for (size_t round = 0; round < 5; round++) {
        struct call calls[20] = {0};
        for (size_t i = 0; i < 20; i++) {
            start_plain(&w, &calls[i], "/health?latency=2ms");
        }
        for (size_t i = 0; i < 20; i++) {
            call_run(&calls[i]);
            assert_int_equal(calls[i].result.outcome, FETCH_OK);
            buf_release(&calls[i].body);
        }
    }
    world_close(&w);
    assert_in_range(server_stat(&server, "connections"), 1, 20 + 1);
}

/* The server closed a kept connection meanwhile: the next fetch must not notice. */
static void test_a_connection_that_was_closed_is_replaced(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1, 10);
    for (size_t i = 0; i < 10; i++) {
        struct call broken = {0};
        struct call good = {0};
        start_plain(&w, &broken, "/health?truncate=1");
        start_plain(&w, &good, "/health");
        call_run(&broken);
        call_run(&good);
        assert_int_equal(broken.result.outcome, FETCH_CONNECT_ERROR);
        assert_int_equal(good.result.outcome, FETCH_OK);
        buf_release(&good.body);
    }
    world_close(&w);
}

/* --- idle connections and the loop --- */

static void fetch_in(struct world *w, const char *path)
{
    struct call call = {0};
    start_plain(w, &call, path);
    call_run(&call);
    assert_int_equal(call.result.outcome, FETCH_OK);
    buf_release(&call.body);
}

/* The first fetch over a connection makes it a kept one, the second leaves its watch started, if
 * its answer is not there at once. */
static void warm_up(struct world *w, const char *second_path)
{
    fetch_in(w, "/health");
    fetch_in(w, second_path);
}

/* The only descriptor of this process that is connected to the server; -1: there is none. */
static int find_connection(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t len = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == server.port) {
            return fd;
        }
    }
    return -1;
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static void on_somebody(uv_poll_t *poll, int status, int events)
{
    assert_int_equal(status, 0);
    assert_int_equal(events, UV_READABLE);
    (void)uv_poll_stop(poll);
    uv_close((uv_handle_t *)poll, NULL);
}

/* The loop tells somebody else about a descriptor of that number, which must be free. */
static void assert_watchable(struct loop *loop, int fd)
{
    int ends[2];
    uv_poll_t poll;
    assert_int_equal(pipe(ends), 0);
    if (ends[0] != fd) {
        assert_int_equal(fcntl(ends[0], F_DUPFD, fd), fd);
        (void)close(ends[0]);
    }
    assert_int_equal(uv_poll_init(loop_uv(loop), &poll, fd), 0);
    assert_int_equal(uv_poll_start(&poll, UV_READABLE, on_somebody), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    while (!uv_is_closing((uv_handle_t *)&poll)) {
        (void)uv_run(loop_uv(loop), UV_RUN_ONCE);
    }
    (void)uv_run(loop_uv(loop), UV_RUN_NOWAIT); /* the handle is on this stack */
    (void)close(fd);
    (void)close(ends[1]);
}

static void on_never(uv_timer_t *timer)
{
    (void)timer;
}

/* A loop that only idle connections are left to would not look at them. */
static void turn_twice(struct loop *loop)
{
    uv_timer_t company;
    (void)uv_timer_init(loop_uv(loop), &company);
    (void)uv_timer_start(&company, on_never, LONG_MS, 0);
    (void)uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    uv_close((uv_handle_t *)&company, NULL);
    (void)uv_run(loop_uv(loop), UV_RUN_NOWAIT);
}

static void test_a_close_while_idle_does_not_keep_the_loop_awake(void **state)
{
    (void)state;
    struct world w;
    int lower = dup(STDERR_FILENO); /* a number that the next connection will prefer */
    world_open(&w, 1, 10);
    warm_up(&w, "/health?latency=20ms&close=1");
    int fd = find_connection();
    assert_true(fd > lower);
    assert_true(is_readable(fd, LONG_MS)); /* its end */

    turn_twice(w.loop);
    assert_false(is_readable(uv_backend_fd(loop_uv(w.loop)), 0)); /* the next turn would sleep */

    (void)close(lower);
    fetch_in(&w, "/health");
    assert_int_equal(find_connection(), lower);
    assert_watchable(w.loop, fd);
    world_close(&w);
}

static void test_sockets_are_not_inherited(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1, 10);
    fetch_in(&w, "/health");
    int fd = find_connection();
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    world_close(&w);
}

static void test_an_idle_pool_does_not_hold_the_loop(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1, 10);
    warm_up(&w, "/health?latency=20ms");
    assert_int_equal(uv_run(loop_uv(w.loop), UV_RUN_NOWAIT), 0); /* nothing holds it */
    int fd = find_connection();
    assert_true(fd >= 0);

    /* The watch is started when this closes the connection. */
    fetch_pool_destroy(w.pool);
    loop_run(w.loop);
    assert_int_equal(find_connection(), -1);
    assert_watchable(w.loop, fd);
    loop_destroy(w.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ok_gives_the_exact_bytes),
        cmocka_unit_test(test_request_headers),
        cmocka_unit_test(test_http_errors),
        cmocka_unit_test(test_redirects_are_not_followed),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_connect_errors),
        cmocka_unit_test(test_names_are_looked_up),
        cmocka_unit_test(test_broken_answers),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_proxy_in_the_environment_is_ignored),
        cmocka_unit_test(test_a_post),
        cmocka_unit_test(test_a_post_without_a_body),
        cmocka_unit_test(test_further_headers),
        cmocka_unit_test(test_nothing_of_a_fetch_is_in_the_next),
        cmocka_unit_test(test_a_post_is_sent_once),
        cmocka_unit_test(test_headers_that_are_refused),
        cmocka_unit_test(test_concurrency_is_bounded),
        cmocka_unit_test(test_overload),
        cmocka_unit_test(test_time_in_the_queue_counts),
        cmocka_unit_test(test_cancel_at_once_and_under_way),
        cmocka_unit_test(test_cancel_from_the_done_of_another),
        cmocka_unit_test(test_destroy_with_fetches_under_way),
        cmocka_unit_test(test_connections_are_kept),
        cmocka_unit_test(test_a_burst_reuses_its_connections),
        cmocka_unit_test(test_a_connection_that_was_closed_is_replaced),
        cmocka_unit_test(test_a_close_while_idle_does_not_keep_the_loop_awake),
        cmocka_unit_test(test_sockets_are_not_inherited),
        cmocka_unit_test(test_an_idle_pool_does_not_hold_the_loop),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
