/* SPDX-License-Identifier: MIT */
/* What a fetch sends by its method, and what its result says of the answer: the head, conditions,
 * times, bytes, the finer outcomes, and the pool's counters. */
#include "tests/unit/upstreams/fetch_world.h"

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

static struct fetch_spec at(const char *path)
{
    return spec_of(url_at("http", "127.0.0.1", server.port, path));
}

/* --- methods --- */

static void test_names(void **state)
{
    (void)state;
    static const char *const outcomes[] = {"ok",        "timeout",       "http_error",
                                           "dns_error", "connect_error", "tls_error",
                                           "too_large", "refused"};
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    static const bool is_idempotent[] = {true, true, false, true, false, true};
    assert_int_equal(N_FETCH_OUTCOMES, 8);
    for (int i = 0; i < N_FETCH_OUTCOMES; i++) {
        assert_string_equal(fetch_outcome_name((enum fetch_outcome)i), outcomes[i]);
    }
    for (int i = FETCH_GET; i <= FETCH_DELETE; i++) {
        assert_string_equal(fetch_method_name((enum fetch_method)i), methods[i]);
        assert_int_equal(fetch_method_is_idempotent((enum fetch_method)i), is_idempotent[i]);
    }
}

static void test_methods_with_a_body(void **state)
{
    (void)state;
    static const enum fetch_method methods[] = {FETCH_POST, FETCH_PUT, FETCH_PATCH, FETCH_DELETE};
    struct world w;
    world_open(&w, 1, 10);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char name[40];
        struct fetch_spec spec = at("/echo");
        spec.method = methods[i];
        spec.body = STR("{\"a\":1}");
        char *said = call_text(&w, &spec);
        (void)snprintf(name, sizeof(name), "\"method\":\"%s\"", fetch_method_name(methods[i]));
        assert_has(said, name);
        assert_has(said, "\"body\":\"{\\\"a\\\":1}\"");
        assert_has(said, "\"content-type\":\"application/json\"");
        assert_has(said, "\"content-length\":\"7\"");
        assert_lacks(said, "\"expect\"");
        free(said);
        spec = at("/echo"); /* nothing of it is left on the handle */
        said = call_text(&w, &spec);
        assert_has(said, "\"method\":\"GET\"");
        assert_lacks(said, "content-");
        free(said);
    }
    world_close(&w);
}

static void test_delete_without_a_body_has_no_type(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = at("/echo");
    spec.method = FETCH_DELETE;
    world_open(&w, 1, 10);
    char *said = call_text(&w, &spec);
    assert_has(said, "\"method\":\"DELETE\"");
    assert_lacks(said, "content-type");
    free(said);
    world_close(&w);
}

/* Its length is that of a body which does not come, and no reason to refuse it. */
static void test_head(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = at("/json?size=100000");
    spec.method = FETCH_HEAD;
    spec.max_bytes = 10;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 200);
    assert_int_equal(call.result.body.len, 0);
    assert_int_equal(call.result.head.content_length, 100000);
    call_release(&call);
    spec = at("/json?size=1000"); /* a GET again, with its body */
    call = call_make(&w, &spec);
    assert_int_equal(call.result.body.len, 1000);
    call_release(&call);
    world_close(&w);
}

/* A kept connection breaks when the request has been sent: the server may have handled it. */
static void test_nothing_but_get_and_head_is_sent_twice(void **state)
{
    (void)state;
    static const enum fetch_method methods[] = {FETCH_POST, FETCH_PUT, FETCH_PATCH, FETCH_DELETE};
    struct world w;
    world_open(&w, 1, 10);
    for (size_t i = 0; i < 8; i++) {
        struct fetch_spec spec = at("/health");
        free(call_text(&w, &spec)); /* the connection is kept */
        server_reset_stats(&server);
        spec = at("/echo?reset=1");
        spec.method = methods[i / 2];
        spec.body = i % 2 ? STR("[]") : STR_EMPTY;
        struct call call = call_make(&w, &spec);
        assert_outcome_of(&call, FETCH_CONNECT_ERROR, 0);
        assert_int_not_equal(call.error[0], 0);
        assert_int_equal(server_stat(&server, "requests"), 1);
        call_release(&call);
    }
    world_close(&w);
}

/* --- heads --- */

static void test_the_head(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1, 10);
    struct fetch_spec spec =
        at("/json?size=100&etag=1&last_modified=1&cache=60&header=Age:20&content_type=text/x");
    struct call call = call_make(&w, &spec);
    const struct fetch_head *head = &call.result.head;
    assert_outcome_of(&call, FETCH_OK, 200);
    assert_int_equal(call.etag[0], '"');
    assert_has(call.last_modified, "GMT");
    assert_string_equal(call.content_type, "text/x");
    assert_int_equal(head->max_age_s, 40);
    assert_int_equal(head->content_length, 100);
    assert_int_equal(head->retry_after_s, -1);
    assert_false(head->is_encoded);
    call_release(&call);

    spec = at("/status/503?retry_after=7"); /* nothing of the head before is left */
    call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_HTTP_ERROR, 503);
    assert_int_equal(call.result.head.retry_after_s, 7);
    assert_int_equal(call.result.head.max_age_s, -1);
    assert_string_equal(call.etag, "");
    assert_string_equal(call.last_modified, "");
    call_release(&call);
    world_close(&w);
}

static void test_long_texts_are_left_out(void **state)
{
    (void)state;
    struct world w;
    char path[1200] = "/health?header=ETag:";
    char url[1300];
    size_t n = strlen(path);
    memset(path + n, 'x', 1024 + 1);
    world_open(&w, 1, 10);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server.port, path);
    struct fetch_spec spec = spec_of(url);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 200);
    assert_string_equal(call.etag, "");
    call_release(&call);
    world_close(&w);
}

static void test_conditions(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1, 10);
    struct fetch_spec spec = at("/json?etag=1");
    struct call call = call_make(&w, &spec);
    char line[200];
    (void)snprintf(line, sizeof(line), "if-none-match: %s", call.etag);
    call_release(&call);
    struct str header = str_of(line);
    spec.headers = &header;
    spec.n_headers = 1;
    call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 304);
    assert_int_equal(call.result.body.len, 0);
    call_release(&call);

    header = STR("If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT");
    spec = at("/status/304");
    spec.headers = &header;
    spec.n_headers = 1;
    call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 304);
    call_release(&call);

    header = STR("X-Other: 1");
    call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_HTTP_ERROR, 304);
    call_release(&call);
    spec = at("/status/304");
    call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_HTTP_ERROR, 304);
    call_release(&call);
    world_close(&w);
}

/* --- compressed bodies --- */

static void test_what_is_accepted(void **state)
{
    (void)state;
    struct world w;
    struct str header = STR("Accept-Encoding: identity");
    world_open(&w, 1, 10);
    struct fetch_spec spec = at("/echo");
    spec.headers = &header;
    spec.n_headers = 1;
    char *said = call_text(&w, &spec);
    assert_has(said, "\"accept-encoding\":\"identity\"");
    assert_lacks(said, "gzip");
    free(said);
    spec = at("/echo");
    said = call_text(&w, &spec);
    assert_has(said, "\"accept-encoding\":\"");
    assert_has(said, "gzip");
    free(said);
    world_close(&w);
}

static void test_gzip(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = at("/json?size=50000&gzip=1");
    spec.max_bytes = 50000;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 200);
    assert_int_equal(call.result.body.len, 50000);
    assert_true(call.result.head.is_encoded);
    assert_in_range(call.result.n_bytes, 1, 49999);
    assert_true(call.result.head.content_length < 0 ||
                call.result.head.content_length == call.result.n_bytes);
    call_release(&call);
    world_close(&w);
}

static void test_a_bomb_ends_at_the_limit(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = at("/health?bomb=200");
    spec.max_bytes = 1 << 20;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_TOO_LARGE, 200);
    assert_in_range(call.result.n_bytes, 1, 100000); /* of about 200,000 */
    call_release(&call);
    world_close(&w);
}

/* --- times and bytes --- */

static void assert_times(enum fetch_method method, struct str body)
{
    struct world w;
    struct fetch_spec spec = at("/json?size=1000&latency=30ms");
    spec.method = method;
    spec.body = body;
    world_open(&w, 1, 10);
    for (int i = 0; i < 2; i++) {
        struct call call = call_make(&w, &spec);
        const struct fetch_result *r = &call.result;
        assert_outcome_of(&call, FETCH_OK, 200);
        assert_int_equal(r->is_reused, i == 1);
        assert_int_equal(r->n_bytes, 1000);
        assert_true(r->first_byte_us >= 29000);
        assert_true(r->queue_us + r->dns_us + r->connect_us + r->first_byte_us <= r->duration_us);
        assert_true(i == 0 ? r->connect_us > 0 : r->connect_us == 0 && r->dns_us == 0);
        call_release(&call);
    }
    world_close(&w);
}

static void test_times(void **state)
{
    (void)state;
    assert_times(FETCH_GET, STR_EMPTY);
    assert_times(FETCH_POST, STR("[1,2,3]"));
    assert_times(FETCH_PUT, STR_EMPTY);
}

/* --- outcomes --- */

static void test_a_name_that_does_not_resolve(void **state)
{
    (void)state;
    struct world w;
    char url[100] = "http://";
    world_open(&w, 1, 10);
    memset(url + strlen(url), 'x', 64); /* one more than a label may have: nobody is asked */
    struct fetch_spec spec = spec_of(url);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_DNS_ERROR, 0);
    assert_int_not_equal(call.error[0], 0);
    call_release(&call);
    world_close(&w);
}

static void test_the_timeout_of_connecting(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = spec_of(url_at("http", "127.0.0.1", server.black_hole_port, "/"));
    spec.connect_timeout_ms = 30;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_TIMEOUT, 0);
    assert_true(call.result.duration_us >= 29000);
    assert_false(call.result.is_reused);
    call_release(&call);
    /* The next on that handle has it no more. */
    spec = at("/health?latency=60ms");
    free(call_text(&w, &spec));
    world_close(&w);
}

/* It is over once there is a connection. */
static void test_the_timeout_of_connecting_does_not_end_answers(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = at("/health?latency=1500ms");
    spec.connect_timeout_ms = 1000;
    world_open(&w, 1, 10);
    free(call_text(&w, &spec));
    world_close(&w);
}

static void test_no_head_says_nothing(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = at("/health?hang=1");
    spec.timeout_ms = 30;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_TIMEOUT, 0);
    assert_int_equal(call.result.head.max_age_s, -1);
    assert_int_equal(call.result.head.content_length, -1);
    call_release(&call);
    world_close(&w);
}

/* --- counters --- */

static void test_stats(void **state)
{
    (void)state;
    struct world w;
    struct fetch_stats stats;
    world_open(&w, 2, 0);
    struct fetch_spec spec = at("/health");
    for (int i = 0; i < 3; i++) {
        free(call_text(&w, &spec));
    }
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_connections, 1);
    struct call calls[3] = {0};
    spec = at("/health?latency=20ms");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(call_start(&w, &calls[i], &spec), i < 2 ? STATUS_OK : STATUS_OVERLOADED);
    }
    call_run(&calls[0]);
    call_run(&calls[1]);
    spec = at("/status/500");
    struct call call = call_make(&w, &spec);
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_started, 6);
    assert_int_equal(stats.n_outcomes[FETCH_OK], 5);
    assert_int_equal(stats.n_outcomes[FETCH_HTTP_ERROR], 1);
    assert_int_equal(stats.n_connections, 2);
    assert_int_equal(stats.n_overloaded, 1);
    assert_int_equal(stats.n_redirects, 0);
    assert_int_equal(stats.n_active, 0);
    assert_int_equal(stats.n_waiting, 0);
    call_release(&call);
    call_release(&calls[0]);
    call_release(&calls[1]);
    world_close(&w);
}

/* What makes no connection is not counted as one. */
static void test_failed_connections_are_not_counted(void **state)
{
    (void)state;
    struct world w;
    struct fetch_stats stats;
    struct fetch_spec spec = spec_of("http://127.0.0.1:1/");
    world_open(&w, 1, 0);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_CONNECT_ERROR, 0);
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_connections, 0);
    call_release(&call);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_methods_with_a_body),
        cmocka_unit_test(test_delete_without_a_body_has_no_type),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_nothing_but_get_and_head_is_sent_twice),
        cmocka_unit_test(test_the_head),
        cmocka_unit_test(test_long_texts_are_left_out),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_what_is_accepted),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_a_bomb_ends_at_the_limit),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_a_name_that_does_not_resolve),
        cmocka_unit_test(test_the_timeout_of_connecting),
        cmocka_unit_test(test_the_timeout_of_connecting_does_not_end_answers),
        cmocka_unit_test(test_no_head_says_nothing),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_failed_connections_are_not_counted),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
