/* SPDX-License-Identifier: MIT */
/* Fetches that go without libcurl, and where the two meet: connections to names, redirects, what a
 * fetch before has left on the easy handle. */
#include "tests/unit/upstreams/fetch_world.h"

#include "tests/unit/upstreams/script_server.h"
#include "upstreams/address_guard.h"
#include "upstreams/transport_options.h"

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

static const char *named(const char *path)
{
    return url_at("http", "localhost", server.port, path);
}

static struct fetch_stats stats_of(const struct world *w)
{
    struct fetch_stats stats;
    fetch_pool_stats(w->pool, &stats);
    return stats;
}

static void assert_good(struct world *w, const char *url, bool is_reused)
{
    struct fetch_spec spec = spec_of(url);
    struct call call = call_make(w, &spec);
    assert_outcome_of(&call, FETCH_OK, 200);
    assert_int_equal(call.result.is_reused, is_reused);
    assert_int_equal(call.result.connect_us > 0, !is_reused);
    call_release(&call);
}

/* --- names --- */

static void test_connections_to_names_are_kept(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 4, 10);
    for (int i = 0; i < 5; i++) {
        assert_good(&w, named("/health"), i > 0);
    }
    assert_int_equal(stats_of(&w).n_connections, 1);
    assert_int_equal(stats_of(&w).n_active, 0);
    world_close(&w);
}

/* The socket that libcurl has made is watched by one only: nothing happens to the other's number,
 * which is soon another socket's. */
static void test_many_names_at_once(void **state)
{
    (void)state;
    struct world w;
    struct call calls[40] = {{0}};
    struct fetch_spec spec = spec_of(named("/json?size=20000"));
    world_open(&w, 20, 100);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 40; i++) {
            spec.url = i % 4 == 0 ? url_at("http", "127.0.0.1", server.port, "/json?size=20000")
                                  : named("/json?size=20000");
            assert_int_equal(call_start(&w, &calls[i], &spec), STATUS_OK);
        }
        for (size_t i = 0; i < 40; i++) {
            call_run(&calls[i]);
            assert_outcome_of(&calls[i], FETCH_OK, 200);
            assert_int_equal(calls[i].body.len, 20000);
            call_release(&calls[i]);
        }
    }
    assert_true(stats_of(&w).n_connections <= 40);
    world_close(&w);
}

static void test_a_condition_at_a_name(void **state)
{
    (void)state;
    struct world w;
    struct script_server script = {0};
    const struct str header = STR("If-None-Match: \"a\"");
    script_server_start(&script, (const char *const[]){"HTTP/1.1 304 N\r\n\r\n", NULL});
    struct fetch_spec spec = spec_of(url_at("http", "localhost", script.port, "/"));
    spec.headers = &header;
    spec.n_headers = 1;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 304);
    call_release(&call);
    world_close(&w);
    char *asked = script_server_stop(&script);
    assert_has(asked, "\r\nIf-None-Match: \"a\"\r\n");
    free(asked);
}

/* A kept connection that the server closes with the next request: libcurl connects once more. */
static void test_a_name_whose_connection_breaks(void **state)
{
    (void)state;
    struct world w;
    struct script_server script = {0};
    static const char good[] = "HTTP/1.1 200 O\r\nContent-Length: 2\r\n\r\n[]";
    script_server_start(&script, (const char *const[]){good, good, "", NULL});
    world_open(&w, 1, 10);
    const char *url = url_at("http", "localhost", script.port, "/");
    assert_good(&w, url, false);
    assert_good(&w, url, false);
    struct fetch_spec spec = spec_of(url);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_CONNECT_ERROR, 0);
    call_release(&call);
    world_close(&w);
    free(script_server_stop(&script));
}

static void test_a_name_that_nobody_listens_on(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1, 10);
    struct fetch_spec spec = spec_of("http://localhost:1/");
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_CONNECT_ERROR, 0);
    assert_int_equal(stats_of(&w).n_connections, 0);
    call_release(&call);
    world_close(&w);
}

static void test_timeouts_of_connecting_to_names(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1, 10);
    for (int of_connecting = 0; of_connecting < 2; of_connecting++) {
        struct fetch_spec spec = spec_of(url_at("http", "localhost", server.black_hole_port, "/"));
        spec.timeout_ms = of_connecting ? LONG_MS : 30;
        spec.connect_timeout_ms = of_connecting ? 30 : 0;
        struct call call = call_make(&w, &spec);
        assert_outcome_of(&call, FETCH_TIMEOUT, 0);
        assert_true(call.result.duration_us >= 29000);
        call_release(&call);
    }
    world_close(&w);
}

/* --- cancelling --- */

static void run_a_little(struct world *w)
{
    (void)uv_run(loop_uv(w->loop), UV_RUN_NOWAIT);
}

/* Wherever it is by then: with libcurl, between the two, or asking. */
static void test_cancelled_at_every_turn(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1, 10);
    for (int n_turns = 0; n_turns < 30; n_turns++) {
        struct call call = {0};
        struct fetch_spec spec = spec_of(named("/json?latency=30s"));
        assert_int_equal(call_start(&w, &call, &spec), STATUS_OK);
        for (int i = 0; i < n_turns; i++) {
            run_a_little(&w);
        }
        fetch_cancel(call.fetch);
        assert_int_equal(call.n_done, 0);
        assert_int_equal(stats_of(&w).n_active, 0);
    }
    assert_good(&w, named("/health"), false);
    world_close(&w);
}

static void test_destroyed_at_every_turn(void **state)
{
    (void)state;
    for (int n_turns = 0; n_turns < 20; n_turns++) {
        struct world w;
        struct call calls[3] = {{0}};
        struct fetch_spec spec = spec_of(named("/json?latency=30s"));
        world_open(&w, 2, 10);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(call_start(&w, &calls[i], &spec), STATUS_OK);
        }
        for (int i = 0; i < n_turns; i++) {
            run_a_little(&w);
        }
        world_close(&w);
        assert_int_equal(calls[0].n_done + calls[1].n_done + calls[2].n_done, 0);
    }
}

/* Of those that are cancelled, too; and none that a fetch before has made. */
static void test_connections_of_the_cancelled_are_counted(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    struct fetch_spec spec = spec_of(url_at("http", "127.0.0.1", server.port, "/health"));
    spec.method = FETCH_HEAD;
    world_open(&w, 1, 10);
    call_release(&(struct call[]){call_make(&w, &spec)}[0]);
    assert_int_equal(stats_of(&w).n_connections, 1);
    spec = spec_of(url_at("http", "127.0.0.1", server.port, "/json?latency=30s"));
    assert_int_equal(call_start(&w, &call, &spec), STATUS_OK);
    fetch_cancel(call.fetch);
    assert_int_equal(stats_of(&w).n_connections, 1);
    server_reset_stats(&server);
    assert_int_equal(call_start(&w, &call, &spec), STATUS_OK);
    while (server_stat(&server, "requests") == 0) {
        run_a_little(&w);
    }
    fetch_cancel(call.fetch);
    assert_int_equal(stats_of(&w).n_connections, 2);
    world_close(&w);
}

/* --- the easy handle --- */

/* What libcurl is only to connect with is soon asked for more. */
static void test_after_connecting_libcurl_asks_again(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    world_open(&w, 1, 10);
    for (int is_cancelled = 0; is_cancelled < 2; is_cancelled++) {
        struct fetch_spec spec = spec_of(named("/health"));
        if (is_cancelled) {
            spec.url = url_at("http", "localhost", server.black_hole_port, "/");
            assert_int_equal(call_start(&w, &call, &spec), STATUS_OK);
            run_a_little(&w);
            run_a_little(&w);
            fetch_cancel(call.fetch);
        } else {
            assert_good(&w, spec.url, false);
        }
        spec = spec_of(named("/echo"));
        spec.method = FETCH_POST;
        spec.body = STR("[1]");
        char *text = call_text(&w, &spec);
        assert_has(text, "\"body\":\"[1]\"");
        free(text);
    }
    world_close(&w);
}

/* --- resets --- */

/* With libcurl and without it. */
static void test_a_kept_connection_that_is_reset(void **state)
{
    (void)state;
    free(server_ask(&server, "PUT", "/values/reset", STR("[1]")));
    for (int is_direct = 0; is_direct < 2; is_direct++) {
        struct world w;
        server_reset_stats(&server);
        world_open_with(&w, (struct fetch_pool_options){.max_concurrent = 1,
                                                        .max_waiting = 10,
                                                        .uses_libcurl_only = !is_direct});
        assert_good(&w, url_at("http", "127.0.0.1", server.port, "/health"), false);
        struct fetch_spec spec = spec_of(
            url_at("http", "127.0.0.1", server.port, "/values/reset?fail=1&fail_with=reset"));
        char *body = call_text(&w, &spec);
        assert_string_equal(body, "[1]");
        free(body);
        assert_int_equal(server_stat(&server, "requests"), 3);
        spec.url = url_at("http", "127.0.0.1", server.port, "/health?reset=1");
        struct call call = call_make(&w, &spec);
        assert_outcome_of(&call, FETCH_CONNECT_ERROR, 0);
        assert_int_equal(server_stat(&server, "requests"), 5);
        call_release(&call);
        world_close(&w);
    }
}

/* --- redirects --- */

static struct call redirected(struct world *w, const char *location)
{
    struct script_server script = {0};
    struct buf answer;
    buf_init(&answer, 1 << 20);
    buf_printf(&answer, "HTTP/1.1 302 F\r\nConnection: close\r\nLocation:%s\r\n\r\n", location);
    buf_append_char(&answer, '\0');
    script_server_start(
        &script,
        (const char *const[]){answer.ptr, "HTTP/1.1 200 O\r\nContent-Length: 2\r\n\r\n[]", NULL});
    struct fetch_spec spec = spec_of(url_at("http", "127.0.0.1", script.port, "/a/b"));
    spec.max_redirects = 1;
    struct call call = call_make(w, &spec);
    if (call.result.outcome != FETCH_OK) { /* it has asked once; the other answer is not used up */
        spec.max_redirects = 0;
        call_release(&(struct call[]){call_make(w, &spec)}[0]);
    }
    free(script_server_stop(&script));
    buf_release(&answer);
    return call;
}

static void assert_redirected(const char *location, enum fetch_outcome outcome, const char *words)
{
    for (int is_direct = 0; is_direct < 2; is_direct++) {
        struct world w;
        world_open_with(&w, (struct fetch_pool_options){.max_concurrent = 1,
                                                        .max_waiting = 10,
                                                        .uses_libcurl_only = !is_direct});
        struct call call = redirected(&w, location);
        if (call.result.outcome != outcome || !strstr(call.error, words)) {
            fail_msg("%.100s, direct %d: %s, %s", location, is_direct,
                     fetch_outcome_name(call.result.outcome), call.error);
        }
        call_release(&call);
        world_close(&w);
    }
}

static void test_locations(void **state)
{
    (void)state;
    struct buf text;
    assert_redirected(" /x y", FETCH_OK, "");
    assert_redirected(" ../c?d#e", FETCH_OK, "");
    assert_redirected("\t?x ", FETCH_OK, "");
    assert_redirected(" http://[::1", FETCH_REFUSED,
                      "what is no URL of http or https: http://[::1");
    assert_redirected(" ftp://a/", FETCH_REFUSED, "what is no URL of http or https: ftp://a/");
    assert_redirected(" http://other.test/", FETCH_REFUSED, "to another host is not followed");
    /* Three times as long when it is written as a URL, and in the request once more. */
    buf_init(&text, 1 << 20);
    buf_literal(&text, " /");
    for (int i = 0; i < 60000; i++) {
        buf_append_char(&text, '\xfc');
    }
    buf_append_char(&text, '\0');
    assert_redirected(text.ptr, FETCH_OK, "");
    buf_release(&text);
}

/* The proxy was that of the fetch before. */
static void test_a_redirect_after_a_proxy(void **state)
{
    (void)state;
    struct world w;
    struct script_server proxy = {0};
    char url[60];
    char entry[60];
    char path[200];
    char *entries[] = {entry};
    (void)snprintf(entry, sizeof(entry), "127.0.0.1:%d", server.other_port);
    const struct config_list hosts = {.items = entries, .n_items = 1};
    struct address_guard *guard = address_guard_create(&hosts);
    script_server_start(&proxy,
                        (const char *const[]){"HTTP/1.1 200 O\r\nContent-Length: 0\r\n\r\n", NULL});
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", proxy.port);
    struct transport_options transport = {.proxy = url};
    world_open(&w, 1, 10);
    struct fetch_spec spec = spec_of("http://far.example/x");
    spec.transport = &transport;
    free(call_text(&w, &spec));
    (void)snprintf(path, sizeof(path), "/health?redirect=%s",
                   url_at("http", "127.0.0.1", server.other_port, "/health"));
    spec = spec_of(url_at("http", "127.0.0.1", server.port, path));
    spec.max_redirects = 1;
    spec.redirect_guard = guard;
    free(call_text(&w, &spec));
    world_close(&w);
    free(script_server_stop(&proxy));
    address_guard_destroy(guard);
}

/* --- headers --- */

/* Whoever says what is accepted may get what only libcurl knows. */
static void test_an_own_accept_encoding(void **state)
{
    (void)state;
    struct world w;
    struct script_server script = {0};
    const struct str header = STR("accept-encoding: identity");
    script_server_start(
        &script, (const char *const[]){"HTTP/1.1 200 O\r\nContent-Length: 2\r\n\r\n[]", NULL});
    struct fetch_spec spec = spec_of(url_at("http", "127.0.0.1", script.port, "/"));
    spec.headers = &header;
    spec.n_headers = 1;
    world_open(&w, 1, 10);
    free(call_text(&w, &spec));
    world_close(&w);
    char *asked = script_server_stop(&script);
    assert_has(asked, "\r\naccept-encoding: identity\r\n");
    assert_lacks(asked, "gzip");
    free(asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_to_names_are_kept),
        cmocka_unit_test(test_many_names_at_once),
        cmocka_unit_test(test_a_condition_at_a_name),
        cmocka_unit_test(test_a_name_whose_connection_breaks),
        cmocka_unit_test(test_a_name_that_nobody_listens_on),
        cmocka_unit_test(test_timeouts_of_connecting_to_names),
        cmocka_unit_test(test_cancelled_at_every_turn),
        cmocka_unit_test(test_destroyed_at_every_turn),
        cmocka_unit_test(test_connections_of_the_cancelled_are_counted),
        cmocka_unit_test(test_after_connecting_libcurl_asks_again),
        cmocka_unit_test(test_a_kept_connection_that_is_reset),
        cmocka_unit_test(test_locations),
        cmocka_unit_test(test_a_redirect_after_a_proxy),
        cmocka_unit_test(test_an_own_accept_encoding),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
