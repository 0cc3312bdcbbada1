/* SPDX-License-Identifier: MIT */
/* What an upstream's calls do about its failures: retries, the breaker, second copies. */
#include "tests/unit/upstreams/upstream_world.h"

/* --- retries --- */

static void make_retrying(struct world *w, int64_t attempts)
{
    make_world(w, 100, 100);
    w->options.retry.attempts = attempts;
    start_world(w);
}

static void test_failures_that_may_be_mended(void **state)
{
    (void)state;
    const char *answers[] = {"429 Slowly", "502 No", "503 No", "504 No"};
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        struct call call = {0};
        make_retrying(&w, 1);
        ask_how(&w, &call, &(struct how){.path = "/x", .method = FETCH_DELETE, .header = "A: b"});
        run_until_requests(&w, 1);
        answer(&w.server, 0, answers[i], "ETag: \"1\"\r\n", "{}");
        run_until_requests(&w, 2);
        assert_true(request_starts(&w, 1, "DELETE /x HTTP/1.1\r\n"));
        assert_non_null(strstr(w.server.requests[1].text, "\r\nA: b\r\n"));
        answer(&w.server, 1, "200 OK", "", "2");
        finish(&call, UPSTREAM_OK, 2);
        assert_string_equal(call.body, "2");
        assert_string_equal(call.etag, "");
        assert_int_equal(stats_of(&w).n_retries, 1);
        assert_int_equal(stats_of(&w).n_attempts, 2);
        assert_int_equal(stats_of(&w).n_outcomes[UPSTREAM_OK], 1);
        assert_int_equal(stats_of(&w).n_outcomes[UPSTREAM_HTTP_ERROR], 0);
        close_world(&w);
    }
}

static void test_failures_that_may_not_be_mended(void **state)
{
    (void)state;
    const char *answers[] = {"500 No", "404 No", "301 No", "501 No", "505 No"};
    struct world w;
    struct call call = {0};
    make_retrying(&w, 5);
    for (size_t i = 0; i < 5; i++) {
        ask(&w, &call);
        run_until_requests(&w, i + 1);
        answer(&w.server, i, answers[i], "", "{}");
        finish(&call, UPSTREAM_HTTP_ERROR, 1);
    }
    w.server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    ask_how(&w, &call, &(struct how){.max_bytes = 1});
    finish(&call, UPSTREAM_TOO_LARGE, 1);
    w.server.answer = NULL;
    ask_how(&w, &call, &(struct how){.timeout_ms = 30});
    finish(&call, UPSTREAM_TIMEOUT, 1);
    assert_int_equal(stats_of(&w).n_retries, 0);
    assert_int_equal(stats_of(&w).n_budget_spent, 0);
    close_world(&w);
}

static void test_connections_that_fail_or_break(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_retrying(&w, 2);
    ask_how(&w, &call, &(struct how){.path = "http://127.0.0.1:1/"});
    finish(&call, UPSTREAM_CONNECT_ERROR, 3);
    assert_true(call.error[0] != '\0');
    ask(&w, &call);
    run_until_requests(&w, 1);
    close_connection(w.server.requests[0].connection); /* without a word */
    run_until_requests(&w, 2);
    send_answer(&w.server, 1, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbro");
    close_connection(w.server.requests[1].connection);
    run_until_requests(&w, 3);
    answer(&w.server, 2, "200 OK", "", "3");
    finish(&call, UPSTREAM_OK, 3);
    assert_string_equal(call.body, "3");
    close_world(&w);
}

/* A port whose connections are never accepted, and no more are taken. */
static int open_full_port(int *fds, size_t n)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fds[0], (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(fds[0], 0), 0);
    assert_int_equal(getsockname(fds[0], (struct sockaddr *)&name, &len), 0);
    for (size_t i = 1; i < n; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&name, len);
    }
    return ntohs(name.sin_port);
}

static void test_a_timeout_of_connecting_is_retried(void **state)
{
    (void)state;
    enum { N = 4 };
    struct world w;
    struct call call = {0};
    char url[100];
    int fds[N];
    make_retrying(&w, 2);
    w.options.connect_timeout_ms = 50;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", open_full_port(fds, N));
    ask_how(&w, &call, &(struct how){.path = url});
    finish(&call, UPSTREAM_TIMEOUT, 3);
    assert_true(call.error[0] != '\0');
    ask_how(&w, &call, &(struct how){.path = url, .timeout_ms = 40});
    finish(&call, UPSTREAM_TIMEOUT, 1);
    for (size_t i = 0; i < N; i++) {
        (void)close(fds[i]);
    }
    close_world(&w);
}

static void test_only_what_may_be_sent_twice_is_retried(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_retrying(&w, 1);
    w.server.answer = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    ask_how(&w, &call, &(struct how){.method = FETCH_POST, .body = "{}"});
    finish(&call, UPSTREAM_HTTP_ERROR, 1);
    ask_how(&w, &call, &(struct how){.method = FETCH_PATCH, .body = "{}"});
    finish(&call, UPSTREAM_HTTP_ERROR, 1);
    w.options.retry.idempotent = true;
    ask_how(&w, &call, &(struct how){.method = FETCH_POST, .body = "{}"});
    finish(&call, UPSTREAM_HTTP_ERROR, 2);
    assert_non_null(strstr(w.server.requests[3].text, "\r\n\r\n{}"));
    assert_int_equal(call.result.head.http_status, 503);
    close_world(&w);
}

static void test_retry_after(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_retrying(&w, 1);
    ask(&w, &call);
    run_until_requests(&w, 1);
    int64_t answered_us = clock_monotonic_us();
    answer(&w.server, 0, "503 No", "Retry-After: 1\r\n", "");
    run_until_requests(&w, 2);
    assert_true(clock_monotonic_us() - answered_us >= 1000000);
    answer(&w.server, 1, "200 OK", "", "2");
    finish(&call, UPSTREAM_OK, 2);

    ask_how(&w, &call, &(struct how){.timeout_ms = 900});
    run_until_requests(&w, 3);
    answer(&w.server, 2, "503 No", "Retry-After: 1\r\n", "");
    finish(&call, UPSTREAM_HTTP_ERROR, 1); /* and not at the deadline: */
    assert_int_equal(call.result.head.retry_after_s, 1);
    assert_int_equal(stats_of(&w).n_budget_spent, 0);
    ask(&w, &call);
    run_until_requests(&w, 4);
    answer(&w.server, 3, "503 No", "Retry-After: 9223372036854775807\r\n", "");
    finish(&call, UPSTREAM_HTTP_ERROR, 1);
    close_world(&w);
}

static void test_the_backoff_grows_to_its_maximum(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_world(&w, 100, 100);
    w.options.retry =
        (struct retry_options){.attempts = 5, .backoff_ms = 20, .max_backoff_ms = 50, .budget = 20};
    w.server.answer = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    start_world(&w);
    ask(&w, &call);
    finish(&call, UPSTREAM_HTTP_ERROR, 6);
    assert_true(call.result.duration_us >= (10 + 20 + 25 + 25 + 25) * 1000);
    assert_int_equal(call.result.queue_us < call.result.duration_us / 2, true);
    ask_how(&w, &call, &(struct how){.timeout_ms = 40});
    run_until_done(&call);
    assert_int_equal(call.result.outcome, UPSTREAM_HTTP_ERROR); /* not made beyond the deadline */
    assert_true(call.result.n_attempts <= 3);
    w.options.retry = (struct retry_options){
        .attempts = 1, .backoff_ms = 2 * LONG_MS, .max_backoff_ms = 1, .budget = 20};
    ask(&w, &call);
    finish(&call, UPSTREAM_HTTP_ERROR, 2); /* the maximum leaves time enough */
    close_world(&w);
}

static void test_retries_have_a_budget(void **state)
{
    (void)state;
    enum { N = 60 };
    static struct call calls[N];
    struct world w;
    make_retrying(&w, 1);
    w.options.retry.budget = 0; /* read at the creation */
    upstream_destroy(w.upstream);
    start_world(&w);
    memset(calls, 0, sizeof(calls));
    w.server.answer = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    for (size_t i = 0; i < N; i++) {
        ask(&w, &calls[i]);
    }
    for (size_t i = 0; i < N; i++) {
        run_until_done(&calls[i]);
        assert_int_equal(calls[i].result.outcome, UPSTREAM_HTTP_ERROR);
    }
    struct upstream_stats stats = stats_of(&w);
    assert_int_equal(stats.n_calls, N);
    assert_int_equal(stats.n_retries + stats.n_budget_spent, N);
    assert_int_equal(stats.n_attempts, N + stats.n_retries);
    assert_true(stats.n_retries >= 10);
    assert_true(stats.n_budget_spent > 0);
    close_world(&w);
}

static void test_the_failure_stays_where_no_retry_comes(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_world(&w, 100, 100);
    w.options.retry.attempts = 3;
    w.options.rate_limit = (struct rate_limit_options){.requests = 1, .per_ms = HOUR_MS};
    start_world(&w);
    ask(&w, &call);
    run_until_requests(&w, 1);
    close_connection(w.server.requests[0].connection);
    finish(&call, UPSTREAM_CONNECT_ERROR, 1);
    assert_true(call.error[0] != '\0');
    assert_int_equal(stats_of(&w).n_retries, 0);
    assert_int_equal(stats_of(&w).n_outcomes[UPSTREAM_RATE_LIMITED], 0);
    close_world(&w);
}

static void test_the_words_of_a_failure_are_kept(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    struct call other = {0};
    make_world(&w, 100, 100);
    w.options.retry = (struct retry_options){
        .attempts = 1, .backoff_ms = 200, .max_backoff_ms = 200, .budget = 20};
    w.options.rate_limit = (struct rate_limit_options){.requests = 1, .per_ms = HOUR_MS};
    start_world(&w);
    ask(&w, &call);
    run_until_requests(&w, 1);
    close_connection(w.server.requests[0].connection);
    RUN_UNTIL(&w, stats_of(&w).n_active == 0); /* backing off */
    struct upstream *first = w.upstream;
    start_world(&w); /* another one, whose request takes the memory of the failed one */
    w.server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1";
    ask(&w, &other);
    finish(&other, UPSTREAM_OK, 1);
    finish(&call, UPSTREAM_CONNECT_ERROR, 1); /* the rate has none for another attempt */
    assert_true(call.error[0] != '\0');
    upstream_destroy(first);
    close_world(&w);
}

/* --- the breaker --- */

#define ANSWER_429 "HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n"
#define ANSWER_404 "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"

static void test_the_breaker_opens(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_breaking(&w, 3, HOUR_MS);
    fail_once(&w, ANSWER_500);
    fail_once(&w, ANSWER_429);
    fail_once(&w, ANSWER_404); /* an answer: the row is over */
    fail_once(&w, ANSWER_500);
    fail_once(&w, ANSWER_429);
    assert_int_equal(stats_of(&w).breaker, BREAKER_CLOSED);
    ask_how(&w, &call, &(struct how){.path = "http://127.0.0.1:1/"});
    finish(&call, UPSTREAM_CONNECT_ERROR, 1);
    struct upstream_stats stats = stats_of(&w);
    assert_int_equal(stats.breaker, BREAKER_OPEN);
    assert_int_equal(stats.n_opened, 1);
    size_t n_requests = w.server.n_requests;
    ask(&w, &call);
    finish(&call, UPSTREAM_BREAKER_OPEN, 0);
    assert_true(call.error[0] != '\0');
    assert_int_equal(w.server.n_requests, n_requests);
    assert_int_equal(stats_of(&w).n_outcomes[UPSTREAM_BREAKER_OPEN], 1);
    close_world(&w);
}

/* Asks until the breaker lets a request pass. */
static void ask_until_asked(struct world *w, struct call *call)
{
    size_t n_before = w->server.n_requests;
    do {
        ask(w, call);
        RUN_UNTIL(w, call->n_done > 0 || w->server.n_requests > n_before);
    } while (w->server.n_requests == n_before);
}

static void test_one_call_tries(void **state)
{
    (void)state;
    struct world w;
    struct call probe = {0};
    struct call other = {0};
    make_breaking(&w, 1, 5);
    fail_once(&w, ANSWER_500);
    ask_until_asked(&w, &probe);
    assert_int_equal(stats_of(&w).breaker, BREAKER_HALF_OPEN);
    ask(&w, &other);
    finish(&other, UPSTREAM_BREAKER_OPEN, 0);
    upstream_cancel(probe.call); /* then the next one does */
    assert_int_equal(stats_of(&w).breaker, BREAKER_HALF_OPEN);
    ask(&w, &probe);
    run_until_requests(&w, 3);
    ask(&w, &other);
    finish(&other, UPSTREAM_BREAKER_OPEN, 0);
    answer(&w.server, 2, "500 No", "", "");
    finish(&probe, UPSTREAM_HTTP_ERROR, 1);
    assert_int_equal(stats_of(&w).breaker, BREAKER_OPEN);
    assert_int_equal(stats_of(&w).n_opened, 2);
    ask_until_asked(&w, &probe);
    answer(&w.server, 3, "404 No", "", "");
    finish(&probe, UPSTREAM_HTTP_ERROR, 1);
    assert_int_equal(stats_of(&w).breaker, BREAKER_CLOSED);
    w.server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1";
    ask(&w, &other);
    finish(&other, UPSTREAM_OK, 1);
    close_world(&w);
}

static void test_a_try_that_did_not_get_off(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    struct call other = {0};
    make_world(&w, 1, 0);
    w.options.breaker = (struct breaker_options){.failures = 1, .open_ms = 5, .max_open_ms = 5};
    start_world(&w);
    fail_once(&w, ANSWER_500);
    struct upstream *first = w.upstream;
    start_world(&w);
    ask(&w, &other); /* over another upstream: the pool is full */
    struct upstream *second = w.upstream;
    w.upstream = first;
    do {
        ask(&w, &call);
        run_until_done(&call);
    } while (call.result.outcome == UPSTREAM_BREAKER_OPEN);
    assert_outcome(&call, UPSTREAM_OVERLOADED, 0);
    upstream_cancel(other.call);
    w.server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1";
    ask(&w, &call); /* so this one tries */
    finish(&call, UPSTREAM_OK, 1);
    upstream_destroy(second);
    close_world(&w);
}

static void test_those_who_wait_hear_of_the_breaker(void **state)
{
    (void)state;
    struct world w;
    struct call calls[3] = {{0}};
    make_world(&w, 100, 100);
    w.options.breaker.failures = 1;
    w.options.max_concurrent = 1;
    start_world(&w);
    for (size_t i = 0; i < 3; i++) {
        ask(&w, &calls[i]);
    }
    run_until_requests(&w, 1);
    answer(&w.server, 0, "500 No", "", "");
    finish(&calls[0], UPSTREAM_HTTP_ERROR, 1);
    finish(&calls[1], UPSTREAM_BREAKER_OPEN, 0);
    finish(&calls[2], UPSTREAM_BREAKER_OPEN, 0);
    assert_int_equal(w.server.n_requests, 1);
    close_world(&w);
}

static void test_the_breaker_ends_retries(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_world(&w, 100, 100);
    w.options.breaker.failures = 2;
    w.options.retry.attempts = 10;
    w.server.answer = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    start_world(&w);
    ask(&w, &call);
    finish(&call, UPSTREAM_HTTP_ERROR, 2);
    assert_int_equal(call.result.head.http_status, 503);
    assert_int_equal(stats_of(&w).breaker, BREAKER_OPEN);
    upstream_destroy(w.upstream);
    start_world(&w);
    w.options.breaker.failures = 1;
    w.options.retry.backoff_ms = w.options.retry.max_backoff_ms = 20000;
    ask(&w, &call);
    RUN_UNTIL(&w, stats_of(&w).breaker == BREAKER_OPEN);
    assert_outcome(&call, UPSTREAM_HTTP_ERROR, 1); /* at once: nothing is worth waiting for */
    close_world(&w);
}

static void turn_until_ms(struct world *w, int64_t until_ms)
{
    RUN_UNTIL(w, clock_monotonic_ms() >= until_ms);
}

static void test_a_cancel_at_the_deadline_is_a_timeout(void **state)
{
    (void)state;
    struct world w;
    struct call calls[2] = {{0}};
    make_breaking(&w, 1, HOUR_MS);
    ask(&w, &calls[0]);
    run_until_requests(&w, 1);
    upstream_cancel(calls[0].call);
    assert_int_equal(stats_of(&w).breaker, BREAKER_CLOSED);
    ask_how(&w, &calls[0], &(struct how){.timeout_ms = 200});
    ask_how(&w, &calls[1], &(struct how){.timeout_ms = 200});
    int64_t over_ms = clock_monotonic_ms() + 201;
    run_until_requests(&w, 3);
    stand_still_until_ms(over_ms);
    upstream_cancel(calls[0].call);
    assert_int_equal(stats_of(&w).breaker, BREAKER_OPEN);
    close_world(&w);
}

/* --- second copies --- */

static void test_the_second_copy_wins(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_hedging(&w, N_MEASURED);
    ask_how(&w, &call, &(struct how){.path = "/slow", .header = "A: b"});
    run_until_requests(&w, N_MEASURED + 2);
    assert_true(request_starts(&w, N_MEASURED, "GET /slow"));
    assert_true(request_starts(&w, N_MEASURED + 1, "GET /slow"));
    assert_non_null(strstr(w.server.requests[N_MEASURED + 1].text, "\r\nA: b\r\n"));
    assert_int_equal(stats_of(&w).n_active, 2);
    answer(&w.server, N_MEASURED + 1, "200 OK", "", "2");
    finish(&call, UPSTREAM_OK, 2);
    assert_string_equal(call.body, "2");
    assert_true(call.result.is_hedged);
    RUN_UNTIL(&w, !w.server.requests[N_MEASURED].connection); /* the other one was cancelled */
    struct upstream_stats stats = stats_of(&w);
    assert_int_equal(stats.n_active, 0);
    assert_int_equal(stats.n_hedges, 1);
    assert_int_equal(stats.n_hedges_won, 1);
    assert_int_equal(stats.n_calls, N_MEASURED + 1);
    assert_int_equal(stats.n_attempts, N_MEASURED + 2);
    close_world(&w);
}

static void test_who_is_overtaken_is_measured(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_hedging(&w, N_MEASURED);
    w.options.hedge.min_delay_ms = 200;
    ask(&w, &call);
    run_until_requests(&w, N_MEASURED + 2);
    answer(&w.server, N_MEASURED + 1, "200 OK", "", "2");
    finish(&call, UPSTREAM_OK, 2);
    assert_true(call.result.is_hedged);
    assert_true(upstream_quantile(w.upstream, 99) >=
                200000); /* what the first copy took until then */
    close_world(&w);
}

static void test_the_first_copy_wins(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_hedging(&w, N_MEASURED);
    ask(&w, &call);
    run_until_requests(&w, N_MEASURED + 2);
    answer(&w.server, N_MEASURED, "200 OK", "", "1");
    finish(&call, UPSTREAM_OK, 2);
    assert_string_equal(call.body, "1");
    assert_false(call.result.is_hedged);
    assert_int_equal(stats_of(&w).n_hedges, 1);
    assert_int_equal(stats_of(&w).n_hedges_won, 0);
    assert_int_equal(stats_of(&w).n_active, 0);
    close_world(&w);
}

static void test_a_failure_waits_for_the_other_copy(void **state)
{
    (void)state;
    for (size_t failing = 0; failing < 2; failing++) {
        struct world w;
        struct call call = {0};
        make_hedging(&w, N_MEASURED);
        ask(&w, &call);
        run_until_requests(&w, N_MEASURED + 2);
        answer(&w.server, N_MEASURED + failing, "500 No", "", "");
        RUN_UNTIL(&w, stats_of(&w).n_active == 1);
        assert_int_equal(call.n_done, 0);
        answer(&w.server, N_MEASURED + 1 - failing, "200 OK", "", "1");
        finish(&call, UPSTREAM_OK, 2);
        assert_int_equal(call.result.is_hedged, failing == 0);
        close_world(&w);
    }
}

static void test_both_copies_fail(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    make_hedging(&w, N_MEASURED);
    ask(&w, &call);
    run_until_requests(&w, N_MEASURED + 2);
    answer(&w.server, N_MEASURED, "500 No", "", "");
    RUN_UNTIL(&w, stats_of(&w).n_active == 1);
    answer(&w.server, N_MEASURED + 1, "501 No", "", "");
    finish(&call, UPSTREAM_HTTP_ERROR, 2);
    assert_int_equal(call.result.head.http_status, 501);
    assert_false(call.result.is_hedged);
    assert_int_equal(stats_of(&w).n_hedges_won, 0);
    close_world(&w);
}

/* One slow call gets no second copy. */
static void assert_no_second_copy(struct world *w, const struct how *how)
{
    struct call call = {0};
    size_t n_before = w->server.n_requests;
    ask_how(w, &call, how);
    turn_until_ms(w, clock_monotonic_ms() + 100);
    assert_int_equal(w->server.n_requests, n_before + 1);
    assert_int_equal(stats_of(w).n_hedges, 0);
    assert_int_equal(stats_of(w).n_active, 1);
    answer(&w->server, n_before, "200 OK", "", "1");
    finish(&call, UPSTREAM_OK, 1);
}

static void wake(uv_timer_t *timer)
{
    (void)timer;
}

static void test_no_second_copy_without_measurements(void **state)
{
    (void)state;
    struct world w;
    uv_timer_t timer; /* keeps turns coming */
    make_hedging(&w, N_MEASURED - 1);
    assert_int_equal(uv_timer_init(loop_uv(w.loop), &timer), 0);
    assert_int_equal(uv_timer_start(&timer, wake, 5, 5), 0);
    assert_no_second_copy(&w, &(struct how){0}); /* which is the twentieth */
    assert_no_second_copy(&w, &(struct how){.method = FETCH_POST});
    w.options.hedge.min_delay_ms = HOUR_MS;
    assert_no_second_copy(&w, &(struct how){0});
    w.options.hedge.min_delay_ms = 1;
    w.options.hedge.percentile = 0;
    assert_no_second_copy(&w, &(struct how){0});
    w.options.hedge.percentile = 50;
    w.options.max_concurrent = 1;
    assert_no_second_copy(&w, &(struct how){0});
    w.options.max_concurrent = 0;
    struct call call = {0};
    size_t n_before = w.server.n_requests;
    ask(&w, &call); /* and now there is one */
    run_until_requests(&w, n_before + 2);
    uv_close((uv_handle_t *)&timer, NULL);
    close_world(&w);
}

static void test_no_second_copy_without_room(void **state)
{
    (void)state;
    struct world w;
    uv_timer_t timer;       /* keeps turns coming */
    make_world(&w, 1, 100); /* it would wait in the pool */
    w.options.hedge = (struct hedge_options){.percentile = 50, .budget = 100};
    start_world(&w);
    assert_int_equal(uv_timer_init(loop_uv(w.loop), &timer), 0);
    assert_int_equal(uv_timer_start(&timer, wake, 5, 5), 0);
    measure(&w, N_MEASURED);
    assert_no_second_copy(&w, &(struct how){0});
    assert_int_equal(stats_of(&w).n_attempts, N_MEASURED + 1);
    struct upstream *first = w.upstream;
    w.options.rate_limit =
        (struct rate_limit_options){.requests = N_MEASURED + 1, .per_ms = HOUR_MS};
    start_world(&w); /* the rate has none for it */
    measure(&w, N_MEASURED);
    assert_no_second_copy(&w, &(struct how){0});
    assert_int_equal(stats_of(&w).n_budget_spent, 0);
    upstream_destroy(first);
    uv_close((uv_handle_t *)&timer, NULL);
    close_world(&w);
}

static void test_second_copies_have_a_budget(void **state)
{
    (void)state;
    struct world w;
    struct call calls[3] = {{0}};
    make_hedging(&w, N_MEASURED);
    upstream_destroy(w.upstream);
    w.options.hedge.budget = 5; /* read at the creation */
    start_world(&w);
    size_t n_before = w.server.n_requests + N_MEASURED;
    measure(&w, N_MEASURED); /* these have earned one */
    ask(&w, &calls[0]);
    run_until_requests(&w, n_before + 2);
    ask(&w, &calls[1]);
    RUN_UNTIL(&w, stats_of(&w).n_budget_spent == 1);
    run_until_requests(&w, n_before + 3);
    assert_int_equal(stats_of(&w).n_hedges, 1);
    assert_int_equal(stats_of(&w).n_active, 3);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures_that_may_be_mended),
        cmocka_unit_test(test_failures_that_may_not_be_mended),
        cmocka_unit_test(test_connections_that_fail_or_break),
        cmocka_unit_test(test_a_timeout_of_connecting_is_retried),
        cmocka_unit_test(test_only_what_may_be_sent_twice_is_retried),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_the_backoff_grows_to_its_maximum),
        cmocka_unit_test(test_retries_have_a_budget),
        cmocka_unit_test(test_the_failure_stays_where_no_retry_comes),
        cmocka_unit_test(test_the_words_of_a_failure_are_kept),
        cmocka_unit_test(test_the_breaker_opens),
        cmocka_unit_test(test_one_call_tries),
        cmocka_unit_test(test_a_try_that_did_not_get_off),
        cmocka_unit_test(test_those_who_wait_hear_of_the_breaker),
        cmocka_unit_test(test_the_breaker_ends_retries),
        cmocka_unit_test(test_a_cancel_at_the_deadline_is_a_timeout),
        cmocka_unit_test(test_the_second_copy_wins),
        cmocka_unit_test(test_who_is_overtaken_is_measured),
        cmocka_unit_test(test_the_first_copy_wins),
        cmocka_unit_test(test_a_failure_waits_for_the_other_copy),
        cmocka_unit_test(test_both_copies_fail),
        cmocka_unit_test(test_no_second_copy_without_measurements),
        cmocka_unit_test(test_no_second_copy_without_room),
        cmocka_unit_test(test_second_copies_have_a_budget),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
