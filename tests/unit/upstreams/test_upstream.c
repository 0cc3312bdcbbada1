/* SPDX-License-Identifier: MIT */
/* Calls to an upstream: what comes of them, who waits for what, cancelling. */
#include "tests/unit/upstreams/upstream_world.h"

/* --- outcomes --- */

static void test_outcome_names(void **state)
{
    (void)state;
    const char *names[N_UPSTREAM_OUTCOMES] = {
        "ok",        "not_modified", "timeout", "http_error", "dns_error",    "connect_error",
        "tls_error", "too_large",    "refused", "overloaded", "rate_limited", "breaker_open"};
    for (int i = 0; i < N_UPSTREAM_OUTCOMES; i++) {
        assert_string_equal(upstream_outcome_name(i), names[i]);
    }
}

static void test_an_answer(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    open_world(&w);
    ask_how(&w, &call,
            &(struct how){.path = "/x?y=1", .method = FETCH_PUT, .body = "{}", .header = "X-A: 1"});
    run_until_requests(&w, 1);
    struct upstream_stats stats = stats_of(&w);
    assert_int_equal(stats.n_active, 1);
    assert_int_equal(upstream_quantile(stats.upstream, 50), 0);
    assert_true(request_starts(&w, 0, "PUT /x?y=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(w.server.requests[0].text, "\r\nX-A: 1\r\n"));
    assert_non_null(strstr(w.server.requests[0].text, "\r\n\r\n{}"));
    answer(&w.server, 0, "200 OK", "ETag: \"7\"\r\nCache-Control: max-age=60\r\n", "{\"n\":1.10}");
    finish(&call, UPSTREAM_OK, 1);
    assert_string_equal(call.body, "{\"n\":1.10}");
    assert_string_equal(call.etag, "\"7\"");
    assert_string_equal(call.error, "");
    assert_int_equal(call.result.head.http_status, 200);
    assert_int_equal(call.result.head.max_age_s, 60);
    assert_int_equal(call.result.n_bytes, 10);
    assert_false(call.result.is_hedged);
    assert_true(call.result.duration_us >= call.result.first_byte_us);
    stats = stats_of(&w);
    assert_int_equal(stats.n_calls, 1);
    assert_int_equal(stats.n_attempts, 1);
    assert_int_equal(stats.n_outcomes[UPSTREAM_OK], 1);
    assert_int_equal(stats.n_active, 0);
    assert_int_equal(stats.breaker, BREAKER_CLOSED);
    int64_t p50_us = upstream_quantile(stats.upstream, 50);
    int64_t p99_us = upstream_quantile(stats.upstream, 99);
    assert_true(p50_us > 0 && p50_us <= p99_us && histogram_n(stats.latencies) > 0);
    close_world(&w);
}

/* One call to a server that answers so. */
static struct call call_answered(const struct how *how, const char *text)
{
    struct world w;
    struct call call = {0};
    open_world(&w);
    w.server.answer = text;
    ask_how(&w, &call, how);
    run_until_done(&call);
    close_world(&w);
    return call;
}

static void test_answers_of_all_kinds(void **state)
{
    (void)state;
    const struct {
        struct how how;
        const char *answer;
        enum upstream_outcome outcome;
        int http_status;
    } cases[] = {
        {{0}, "HTTP/1.1 204 No Content\r\n\r\n", UPSTREAM_OK, 204},
        {{.header = "If-None-Match: \"1\""},
         "HTTP/1.1 304 Not Modified\r\n\r\n",
         UPSTREAM_NOT_MODIFIED,
         304},
        {{0}, "HTTP/1.1 304 Not Modified\r\n\r\n", UPSTREAM_HTTP_ERROR, 304},
        {{0}, "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}", UPSTREAM_HTTP_ERROR, 404},
        {{0}, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", UPSTREAM_HTTP_ERROR, 503},
        {{.max_bytes = 1},
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
         UPSTREAM_TOO_LARGE,
         200},
        {{.timeout_ms = 30}, "HTTP/1.1 200 OK\r\n", UPSTREAM_TIMEOUT, 200},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct call call = call_answered(&cases[i].how, cases[i].answer);
        assert_outcome(&call, cases[i].outcome, 1);
        if (cases[i].outcome != UPSTREAM_TIMEOUT) {
            assert_int_equal(call.result.head.http_status, cases[i].http_status);
        }
    }
}

static void test_no_answers_of_all_kinds(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    char url[100];
    open_world(&w);
    ask_how(&w, &call, &(struct how){.path = "http://127.0.0.1:1/"});
    finish(&call, UPSTREAM_CONNECT_ERROR, 1);
    assert_true(call.error[0] != '\0');
    assert_int_equal(call.result.head.http_status, 0);
    ask_how(&w, &call, &(struct how){.path = "http://nowhere.invalid/"});
    finish(&call, UPSTREAM_DNS_ERROR, 1);
    assert_true(call.error[0] != '\0');
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/", w.server.port);
    ask_how(&w, &call, &(struct how){.path = url});
    finish(&call, UPSTREAM_TLS_ERROR, 1);
    assert_true(call.error[0] != '\0');
    assert_int_equal(upstream_quantile(w.upstream, 50), 0);
    w.server.answer = "HTTP/1.1 302 There\r\nLocation: http://127.0.0.2:1/\r\n"
                      "Content-Length: 0\r\n\r\n";
    w.options.max_redirects = 3; /* but to no other host */
    ask(&w, &call);
    finish(&call, UPSTREAM_REFUSED, 1);
    assert_true(call.error[0] != '\0');
    close_world(&w);
}

static void test_the_shorter_timeout_counts(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    open_world(&w);
    w.options.timeout_ms = 20;
    ask(&w, &call);
    finish(&call, UPSTREAM_TIMEOUT, 1);
    assert_true(call.result.duration_us >= 19000);
    w.options.timeout_ms = LONG_MS;
    ask_how(&w, &call, &(struct how){.timeout_ms = 20});
    finish(&call, UPSTREAM_TIMEOUT, 1);
    close_world(&w);
}

static void test_what_is_refused_at_once(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    open_world(&w);
    assert_int_equal(try_ask(&w, &call, &(struct how){.header = "Host: x"}), STATUS_INVALID);
    assert_int_equal(try_ask(&w, &call, &(struct how){.header = "no colon"}), STATUS_INVALID);
    fetch_pool_destroy(w.pool);
    w.pool = NULL;
    assert_int_equal(try_ask(&w, &call, &(struct how){0}), STATUS_CLOSED);
    struct upstream_stats stats = stats_of(&w);
    assert_int_equal(stats.n_calls, 0);
    assert_int_equal(stats.n_active, 0);
    close_world(&w);
    assert_int_equal(call.n_done, 0);
}

/* --- waiting --- */

static void test_places_are_given_in_order(void **state)
{
    (void)state;
    struct world w;
    struct call calls[5] = {{0}};
    make_world(&w, 100, 100);
    w.options.max_concurrent = 2;
    start_world(&w);
    const char *paths[] = {"/0", "/1", "/2", "/3", "/4"};
    for (size_t i = 0; i < 5; i++) {
        ask_how(&w, &calls[i],
                &(struct how){
                    .path = paths[i], .method = FETCH_POST, .body = "[1]", .header = "X-A: b"});
        if (i == 0) {
            run_until_requests(&w, 1); /* the two that go at once come in that order */
        }
    }
    assert_int_equal(stats_of(&w).n_active, 2);
    assert_int_equal(stats_of(&w).n_waiting, 3);
    for (size_t i = 0; i < 5; i++) {
        char line[40];
        (void)snprintf(line, sizeof(line), "POST /%zu HTTP/1.1\r\n", i);
        run_until_requests(&w, i + 1);
        assert_true(request_starts(&w, i, line));
        assert_non_null(strstr(w.server.requests[i].text, "\r\nX-A: b\r\n"));
        assert_non_null(strstr(w.server.requests[i].text, "\r\n\r\n[1]"));
        if (i >= 1) { /* one place is still taken: nobody passes */
            answer(&w.server, i, "200 OK", "", "1");
            finish(&calls[i], UPSTREAM_OK, 1);
            assert_true(i < 2 || calls[i].result.queue_us > 0);
        }
    }
    assert_int_equal(stats_of(&w).n_waiting, 0);
    answer(&w.server, 0, "200 OK", "", "1");
    finish(&calls[0], UPSTREAM_OK, 1);
    close_world(&w);
}

static void test_too_many_wait(void **state)
{
    (void)state;
    struct world w;
    struct call calls[3] = {{0}};
    make_world(&w, 100, 100);
    w.options.max_concurrent = 1;
    w.options.max_waiting = 1;
    start_world(&w);
    for (size_t i = 0; i < 3; i++) {
        ask(&w, &calls[i]);
    }
    finish(&calls[2], UPSTREAM_OVERLOADED, 0);
    assert_true(calls[2].error[0] != '\0');
    assert_int_equal(calls[2].result.head.http_status, 0);
    assert_int_equal(calls[2].result.head.retry_after_s, -1);
    assert_int_equal(stats_of(&w).n_outcomes[UPSTREAM_OVERLOADED], 1);
    assert_int_equal(stats_of(&w).n_waiting, 1);
    assert_int_equal(calls[0].n_done + calls[1].n_done, 0);
    close_world(&w);
}

static void test_too_many_wait_in_the_pool(void **state)
{
    (void)state;
    struct world w;
    struct call calls[3] = {{0}};
    make_world(&w, 1, 1);
    start_world(&w);
    for (size_t i = 0; i < 3; i++) {
        ask(&w, &calls[i]);
    }
    finish(&calls[2], UPSTREAM_OVERLOADED, 0);
    w.server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1";
    run_until_requests(&w, 1);
    answer(&w.server, 0, "200 OK", "", "1");
    finish(&calls[1], UPSTREAM_OK, 1);
    assert_true(calls[1].result.queue_us > 0);
    close_world(&w);
}

static void test_waiting_counts_against_the_deadline(void **state)
{
    (void)state;
    struct world w;
    struct call calls[4] = {{0}};
    make_world(&w, 100, 100);
    w.options.max_concurrent = 1;
    w.options.breaker.failures = 3;
    start_world(&w);
    ask_how(&w, &calls[0], &(struct how){.timeout_ms = 150});
    ask_how(&w, &calls[1], &(struct how){.timeout_ms = 300});
    ask_how(&w, &calls[2], &(struct how){.timeout_ms = 20});
    struct upstream *first = w.upstream;
    start_world(&w); /* another upstream, which asks at once */
    ask_how(&w, &calls[3], &(struct how){.timeout_ms = 420});
    run_until_done(&calls[3]);
    assert_outcome(&calls[2], UPSTREAM_TIMEOUT, 0); /* never asked */
    assert_true(calls[2].result.queue_us >= 19000);
    assert_outcome(&calls[0], UPSTREAM_TIMEOUT, 1);
    assert_outcome(&calls[1], UPSTREAM_TIMEOUT, 1); /* with what was left: not 450 ms */
    assert_int_equal(calls[2].place, 1);
    assert_int_equal(calls[0].place, 2);
    assert_int_equal(calls[1].place, 3);
    assert_int_equal(w.server.n_requests, 3);
    struct upstream_stats stats;
    upstream_stats(first, &stats);
    assert_int_equal(stats.breaker, BREAKER_CLOSED); /* who only waited is no failure */
    upstream_destroy(first);
    close_world(&w);
}

static void test_nobody_passes_those_who_wait(void **state)
{
    (void)state;
    struct world w;
    struct call calls[3] = {{0}};
    make_world(&w, 100, 100);
    w.options.max_concurrent = 1;
    start_world(&w);
    calls[0].asks = &calls[2]; /* when its place is free */
    ask(&w, &calls[0]);
    ask_how(&w, &calls[1], &(struct how){.path = "/1"});
    run_until_requests(&w, 1);
    answer(&w.server, 0, "200 OK", "", "0");
    run_until_requests(&w, 2);
    assert_true(request_starts(&w, 1, "GET /1"));
    assert_int_equal(stats_of(&w).n_active, 1);
    assert_int_equal(stats_of(&w).n_waiting, 1);
    close_world(&w);
}

static void test_whose_time_is_over_is_not_asked(void **state)
{
    (void)state;
    struct world w;
    struct call calls[2] = {{0}};
    make_world(&w, 100, 100);
    w.options.max_concurrent = 1;
    start_world(&w);
    ask(&w, &calls[0]);
    ask_how(&w, &calls[1], &(struct how){.timeout_ms = 20});
    stand_still_until_ms(clock_monotonic_ms() + 21);
    upstream_cancel(calls[0].call); /* before the loop sees to deadlines */
    finish(&calls[1], UPSTREAM_TIMEOUT, 0);
    close_world(&w);
}

static void test_waiting_in_the_pool_is_no_failure(void **state)
{
    (void)state;
    struct world w;
    struct call calls[2] = {{0}};
    make_world(&w, 1, 10);
    w.options.breaker.failures = 1;
    start_world(&w);
    ask(&w, &calls[0]);
    ask_how(&w, &calls[1], &(struct how){.timeout_ms = 20});
    finish(&calls[1], UPSTREAM_TIMEOUT, 0);
    assert_true(calls[1].result.queue_us >= 19000);
    assert_int_equal(stats_of(&w).breaker, BREAKER_CLOSED);
    close_world(&w);
}

/* --- the rate --- */

static void test_the_rate_is_kept(void **state)
{
    (void)state;
    struct world w;
    struct call calls[3] = {{0}};
    make_world(&w, 100, 100);
    w.options.rate_limit = (struct rate_limit_options){.requests = 1, .per_ms = 40};
    w.server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1";
    start_world(&w);
    for (size_t i = 0; i < 3; i++) {
        ask(&w, &calls[i]);
    }
    assert_int_equal(stats_of(&w).n_waiting, 2);
    finish(&calls[2], UPSTREAM_OK, 1);
    assert_outcome(&calls[0], UPSTREAM_OK, 1);
    assert_outcome(&calls[1], UPSTREAM_OK, 1);
    assert_int_equal(calls[1].place, 2);
    assert_true(calls[0].result.queue_us < calls[1].result.queue_us);
    assert_true(calls[1].result.queue_us >= 35000);
    assert_true(calls[2].result.queue_us >= 75000);
    w.server.answer = NULL;
    ask(&w, &calls[0]);
    ask(&w, &calls[1]);
    run_until_requests(&w, 5); /* though nothing has ended meanwhile */
    close_world(&w);
}

static void test_what_the_rate_allows_too_late(void **state)
{
    (void)state;
    struct world w;
    struct call calls[4] = {{0}};
    make_world(&w, 100, 100);
    w.options.rate_limit = (struct rate_limit_options){.requests = 1, .per_ms = 20000};
    w.options.max_waiting = 1;
    start_world(&w);
    ask(&w, &calls[0]);
    ask_how(&w, &calls[1], &(struct how){.timeout_ms = 1000});
    finish(&calls[1], UPSTREAM_RATE_LIMITED, 0);
    assert_true(calls[1].error[0] != '\0');
    ask(&w, &calls[1]); /* its turn comes after 20 s, within its 30 */
    ask(&w, &calls[2]); /* behind it, after 40 s */
    finish(&calls[2], UPSTREAM_RATE_LIMITED, 0);
    ask_how(&w, &calls[3], &(struct how){.timeout_ms = 60000});
    finish(&calls[3], UPSTREAM_OVERLOADED, 0); /* time enough, but no place in line */
    assert_int_equal(calls[1].n_done, 0);
    close_world(&w);
}

/* --- cancelling, and what a done() may do --- */

static void test_cancel_is_silent_in_every_state(void **state)
{
    (void)state;
    struct world w;
    struct call calls[5] = {{0}};
    make_world(&w, 100, 100);
    w.options.max_concurrent = 1;
    w.options.max_waiting = 1;
    w.options.retry = (struct retry_options){
        .attempts = 1, .backoff_ms = 20000, .max_backoff_ms = 20000, .budget = 20};
    start_world(&w);
    ask(&w, &calls[0]);
    run_until_requests(&w, 1);
    answer(&w.server, 0, "503 No", "", "");
    RUN_UNTIL(&w, stats_of(&w).n_active == 0); /* backing off */
    ask(&w, &calls[1]);                        /* asking */
    ask(&w, &calls[2]);                        /* waiting */
    ask(&w, &calls[3]);                        /* overloaded: done() is due */
    upstream_cancel(calls[3].call);
    upstream_cancel(calls[2].call);
    assert_int_equal(stats_of(&w).n_waiting, 0);
    ask(&w, &calls[4]);
    upstream_cancel(calls[1].call); /* its place goes to the one who waits */
    assert_int_equal(stats_of(&w).n_waiting, 0);
    run_until_requests(&w, 2);
    upstream_cancel(calls[0].call);
    answer(&w.server, w.server.n_requests - 1, "200 OK", "", "5");
    finish(&calls[4], UPSTREAM_OK, 1);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(calls[i].n_done, 0);
    }
    assert_int_equal(stats_of(&w).n_active, 0);
    close_world(&w);
}

static void test_cancel_with_two_copies(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_hedging(&w, N_MEASURED);
    ask(&w, &call);
    run_until_requests(&w, N_MEASURED + 2);
    upstream_cancel(call.call);
    assert_int_equal(stats_of(&w).n_active, 0);
    RUN_UNTIL(&w, !w.server.requests[N_MEASURED].connection &&
                      !w.server.requests[N_MEASURED + 1].connection);
    assert_int_equal(call.n_done, 0);
    close_world(&w);
}

static void test_destroy_cancels_all(void **state)
{
    (void)state;
    struct world w;
    struct call calls[4] = {{0}};
    make_world(&w, 100, 100);
    w.options.max_concurrent = 1;
    w.options.max_waiting = 1;
    w.options.retry = (struct retry_options){
        .attempts = 1, .backoff_ms = 20000, .max_backoff_ms = 20000, .budget = 20};
    start_world(&w);
    ask(&w, &calls[0]);
    run_until_requests(&w, 1);
    answer(&w.server, 0, "503 No", "", "");
    RUN_UNTIL(&w, stats_of(&w).n_active == 0);
    for (size_t i = 1; i < 4; i++) {
        ask(&w, &calls[i]);
    }
    upstream_destroy(w.upstream);
    start_world(&w);
    ask(&w, &calls[0]);
    run_until_requests(&w, 2);
    answer(&w.server, w.server.n_requests - 1, "200 OK", "", "1");
    finish(&calls[0], UPSTREAM_OK, 1);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(calls[i].n_done, 0);
    }
    close_world(&w);
    upstream_destroy(NULL);
}

static void test_a_done_may_start_and_cancel(void **state)
{
    (void)state;
    struct world w;
    struct call calls[4] = {{0}};
    make_world(&w, 100, 100);
    w.options.max_concurrent = 2;
    start_world(&w);
    ask(&w, &calls[0]);
    ask(&w, &calls[1]);
    ask(&w, &calls[2]);
    calls[0].cancels = &calls[1];
    calls[0].asks = &calls[3];
    run_until_requests(&w, 2);
    answer(&w.server, 0, "200 OK", "", "1");
    finish(&calls[0], UPSTREAM_OK, 1);
    run_until_requests(&w, 4);
    answer(&w.server, 2, "200 OK", "", "3");
    answer(&w.server, 3, "200 OK", "", "4");
    finish(&calls[2], UPSTREAM_OK, 1);
    finish(&calls[3], UPSTREAM_OK, 1);
    assert_int_equal(calls[1].n_done, 0);
    close_world(&w);
}

static void test_asking_again_and_again_does_not_hold_the_loop(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_breaking(&w, 1, HOUR_MS);
    fail_once(&w, ANSWER_500);
    call.asks = &call;
    ask(&w, &call);
    for (int i = 0; i < 10; i++) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
    }
    assert_in_range(n_ended, 5, 12); /* one in each turn */
    call.asks = NULL;
    run_until_done(&call);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcome_names),
        cmocka_unit_test(test_an_answer),
        cmocka_unit_test(test_answers_of_all_kinds),
        cmocka_unit_test(test_no_answers_of_all_kinds),
        cmocka_unit_test(test_the_shorter_timeout_counts),
        cmocka_unit_test(test_what_is_refused_at_once),
        cmocka_unit_test(test_places_are_given_in_order),
        cmocka_unit_test(test_too_many_wait),
        cmocka_unit_test(test_too_many_wait_in_the_pool),
        cmocka_unit_test(test_waiting_counts_against_the_deadline),
        cmocka_unit_test(test_nobody_passes_those_who_wait),
        cmocka_unit_test(test_whose_time_is_over_is_not_asked),
        cmocka_unit_test(test_waiting_in_the_pool_is_no_failure),
        cmocka_unit_test(test_the_rate_is_kept),
        cmocka_unit_test(test_what_the_rate_allows_too_late),
        cmocka_unit_test(test_cancel_is_silent_in_every_state),
        cmocka_unit_test(test_cancel_with_two_copies),
        cmocka_unit_test(test_destroy_cancels_all),
        cmocka_unit_test(test_a_done_may_start_and_cancel),
        cmocka_unit_test(test_asking_again_and_again_does_not_hold_the_loop),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
