/* SPDX-License-Identifier: MIT */
/* The limit per host: who waits, whom others pass, and that hosts take turns. */
#include "tests/unit/upstreams/fetch_world.h"

#include "upstreams/hosts.h"

static struct server server;

static int start_server(void **state)
{
    (void)state;
    return server_start(&server, false, false, (const char *const[]){NULL});
}

static int stop_server(void **state)
{
    (void)state;
    return server_stop(&server);
}

static void open_limited(struct world *w, int64_t max_concurrent, int64_t max_per_host)
{
    world_open_with(w, (struct fetch_pool_options){.max_concurrent = max_concurrent,
                                                   .max_per_host = max_per_host,
                                                   .max_waiting = 100});
}

static struct fetch_spec here(const char *path)
{
    return spec_of(url_at("http", "127.0.0.1", server.port, path));
}

static struct fetch_spec there(const char *path)
{
    return spec_of(url_at("http", "127.0.0.1", server.other_port, path));
}

static void start_ok(struct world *w, struct call *call, struct fetch_spec spec)
{
    assert_int_equal(call_start(w, call, &spec), STATUS_OK);
}

static void test_the_limit_per_host(void **state)
{
    (void)state;
    struct world w;
    struct call calls[20] = {0};
    struct fetch_stats stats;
    open_limited(&w, 10, 3);
    server_reset_stats(&server);
    for (size_t i = 0; i < 20; i++) {
        start_ok(&w, &calls[i], here("/health?latency=2ms"));
    }
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_active, 3);
    assert_int_equal(stats.n_waiting, 17);
    for (size_t i = 0; i < 20; i++) {
        call_run(&calls[i]);
        assert_outcome_of(&calls[i], FETCH_OK, 200);
        call_release(&calls[i]);
    }
    assert_true(calls[19].result.queue_us > calls[0].result.queue_us);
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_waiting, 0);
    world_close(&w);
    assert_in_range(server_stat(&server, "max_active"), 1, 3);
}

static void test_others_pass(void **state)
{
    (void)state;
    struct world w;
    struct call hanging = {0};
    struct call waiting = {0};
    open_limited(&w, 2, 1);
    start_ok(&w, &hanging, here("/health?hang=1"));
    start_ok(&w, &waiting, here("/health"));
    struct fetch_spec spec = there("/health");
    free(call_text(&w, &spec));
    free(call_text(&w, &spec));
    assert_int_equal(waiting.n_done, 0);
    fetch_cancel(hanging.fetch); /* its place is free */
    call_run(&waiting);
    assert_outcome_of(&waiting, FETCH_OK, 200);
    call_release(&waiting);
    world_close(&w);
}

/* The place is the host's, however it is written. */
static void test_spellings_of_a_host(void **state)
{
    (void)state;
    struct world w;
    struct call calls[4] = {0};
    struct fetch_stats stats;
    char user_url[100];
    open_limited(&w, 10, 1);
    (void)snprintf(user_url, sizeof(user_url), "http://a:b@localhost:%d/health?hang=1",
                   server.port);
    start_ok(&w, &calls[0], spec_of(url_at("http", "localhost", server.port, "/health?hang=1")));
    start_ok(&w, &calls[1], spec_of(url_at("HTTP", "LocalHost", server.port, "?hang=1")));
    start_ok(&w, &calls[2], spec_of(user_url));
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_active, 1);
    assert_int_equal(stats.n_waiting, 2);
    start_ok(&w, &calls[3], there("/health?hang=1"));
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_active, 2);
    world_close(&w); /* with all of them under way */
}

static void test_the_usual_port_is_one(void **state)
{
    (void)state;
    struct world w;
    struct call calls[4] = {0};
    struct fetch_stats stats;
    static const char *const urls[] = {"http://127.0.0.1/", "http://127.0.0.1:80?x",
                                       "http://[::1]/", "http://[::1]:80#x"};
    open_limited(&w, 10, 1);
    for (size_t i = 0; i < 4; i++) {
        start_ok(&w, &calls[i], spec_of(urls[i]));
    }
    fetch_pool_stats(w.pool, &stats);
    assert_int_equal(stats.n_active, 2);
    assert_int_equal(stats.n_waiting, 2);
    world_close(&w);
}

/* One place for all, a long queue at one host and a short one at another. */
static void assert_turns(int64_t max_per_host)
{
    struct world w;
    struct call many[20] = {0};
    struct call few[2] = {0};
    int n_done_of_many = 0;
    open_limited(&w, 1, max_per_host);
    for (size_t i = 0; i < 20; i++) {
        start_ok(&w, &many[i], here("/health"));
    }
    start_ok(&w, &few[0], there("/health"));
    start_ok(&w, &few[1], there("/health"));
    call_run(&few[1]);
    for (size_t i = 0; i < 20; i++) {
        n_done_of_many += many[i].n_done;
        call_release(&many[i]);
    }
    assert_in_range(n_done_of_many, 2, 4);
    call_release(&few[0]);
    call_release(&few[1]);
    world_close(&w);
}

static void test_hosts_take_turns(void **state)
{
    (void)state;
    assert_turns(1);
    assert_turns(5);
}

static void test_waiting_has_a_limit_and_an_end(void **state)
{
    (void)state;
    struct world w;
    struct call hanging = {0};
    struct call waiting = {0};
    struct call refused = {0};
    struct fetch_spec spec = here("/health");
    world_open_with(
        &w, (struct fetch_pool_options){.max_concurrent = 10, .max_per_host = 1, .max_waiting = 1});
    start_ok(&w, &hanging, here("/health?hang=1"));
    spec.timeout_ms = 20;
    start_ok(&w, &waiting, spec);
    assert_int_equal(call_start(&w, &refused, &spec), STATUS_OVERLOADED);
    start_ok(&w, &refused, there("/health")); /* there is room there */
    call_run(&refused);
    call_run(&waiting);
    assert_outcome_of(&waiting, FETCH_TIMEOUT, 0);
    assert_int_equal(waiting.result.queue_us, waiting.result.duration_us);
    call_release(&refused);
    world_close(&w);
}

static void test_cancelled_while_waiting(void **state)
{
    (void)state;
    struct world w;
    struct call calls[3] = {0};
    open_limited(&w, 10, 1);
    for (size_t i = 0; i < 3; i++) {
        start_ok(&w, &calls[i], here("/health?latency=5ms"));
    }
    fetch_cancel(calls[1].fetch);
    call_run(&calls[2]);
    assert_int_equal(calls[1].n_done, 0);
    call_release(&calls[0]);
    call_release(&calls[2]);
    world_close(&w);
}

/* More hosts than are remembered. */
static void test_many_hosts(void **state)
{
    (void)state;
    struct hosts hosts = {.max_active = 1};
    struct world w;
    open_limited(&w, 10, 1);
    for (int i = 0; i < 600; i++) {
        struct call call = {0};
        char url[60];
        (void)snprintf(url, sizeof(url), "http://host-%d.invalid/", i);
        start_ok(&w, &call, spec_of(url));
        fetch_cancel(call.fetch);
        assert_non_null(hosts_find(&hosts, url));
        assert_in_range(hosts.n_idle, 1, 256);
    }
    hosts_release(&hosts);
    struct fetch_spec spec = here("/health");
    free(call_text(&w, &spec));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_limit_per_host),
        cmocka_unit_test(test_others_pass),
        cmocka_unit_test(test_spellings_of_a_host),
        cmocka_unit_test(test_the_usual_port_is_one),
        cmocka_unit_test(test_hosts_take_turns),
        cmocka_unit_test(test_waiting_has_a_limit_and_an_end),
        cmocka_unit_test(test_cancelled_while_waiting),
        cmocka_unit_test(test_many_hosts),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
