/* SPDX-License-Identifier: MIT */
/* Answers that are read piece by piece: the head first, then what waits; the transfer rests while
 * as much waits as may, and goes on when some is read. */
#include "tests/unit/upstreams/fetch_world.h"

#define MANY_BYTES ((size_t)8 * 1024 * 1024)

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

/* Its call is first: it is both the argument of on_data() and of done(). */
struct reader {
    struct call call;
    size_t n_calls;
    size_t n_read;
    size_t most_waiting;
    size_t reads_at_most; /* per call */
    bool takes_nothing;
    bool cancels;
    bool was_cancelled;
    struct reader *cancels_other;
    int status; /* of the first head that it saw */
};

static void on_data(void *arg, struct fetch *f)
{
    struct reader *r = arg;
    assert_int_equal(r->call.n_done, 0);
    assert_false(r->was_cancelled);
    assert_ptr_equal(f, r->call.fetch);
    assert_non_null(fetch_head(f));
    r->n_calls++;
    r->status = r->status ? r->status : fetch_head(f)->http_status;
    size_t n = fetch_waiting(f).len;
    r->most_waiting = n > r->most_waiting ? n : r->most_waiting;
    if (r->cancels_other) {
        r->cancels_other->was_cancelled = true;
        fetch_cancel(r->cancels_other->call.fetch);
        r->cancels_other = NULL;
    }
    if (r->cancels) {
        r->was_cancelled = true;
        fetch_cancel(f);
    } else if (!r->takes_nothing) {
        n = r->reads_at_most && n > r->reads_at_most ? r->reads_at_most : n;
        r->n_read += n;
        fetch_read(f, n);
    }
}

static void start(struct world *w, struct reader *r, const char *path, size_t max_bytes)
{
    struct fetch_spec spec = spec_of(url_at("http", "127.0.0.1", server.port, path));
    spec.max_bytes = max_bytes;
    spec.on_data = on_data;
    assert_int_equal(call_start(w, &r->call, &spec), STATUS_OK);
    assert_int_equal(r->n_calls, 0);
    assert_null(fetch_head(r->call.fetch));
    assert_int_equal(fetch_waiting(r->call.fetch).len, 0);
}

static void test_all_of_it_comes(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {0};
    world_open(&w, 1, 10);
    start(&w, &r, "/json?size=8388608", 64 * 1024);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_OK, 200);
    assert_int_equal(r.n_read + r.call.body.len, MANY_BYTES);
    assert_int_equal(r.call.result.head.content_length, MANY_BYTES);
    assert_true(r.n_calls > 10);
    assert_int_equal(r.status, 200);
    call_release(&r.call);
    world_close(&w);
}

/* The head comes to the reader before any of the body is there. */
static void test_the_head_comes_first(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {.takes_nothing = true};
    world_open(&w, 1, 10);
    start(&w, &r, "/json?size=100&drip=1/600s", 1000);
    while (r.n_calls == 0) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
    }
    assert_in_range(fetch_waiting(r.call.fetch).len, 0, 1);
    assert_int_equal(fetch_head(r.call.fetch)->content_length, 100);
    fetch_cancel(r.call.fetch);
    world_close(&w);
}

/* Nobody reads: it rests, and what waits is little more than may. Then somebody does. */
static void test_it_rests_while_nobody_reads(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {.takes_nothing = true};
    world_open(&w, 2, 10);
    start(&w, &r, "/json?size=8388608", 64 * 1024);
    struct fetch_spec other = spec_of(url_at("http", "127.0.0.1", server.port, "/health"));
    while (r.most_waiting < 64 * 1024) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
    }
    size_t n_calls = r.n_calls;
    for (int i = 0; i < 20; i++) {
        free(call_text(&w, &other));
    }
    assert_int_equal(r.n_calls, n_calls);
    assert_in_range(fetch_waiting(r.call.fetch).len, 64 * 1024, 80 * 1024);
    assert_int_equal(r.call.n_done, 0);

    r.takes_nothing = false;
    size_t n = fetch_waiting(r.call.fetch).len;
    r.n_read += n;
    fetch_read(r.call.fetch, n);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_OK, 200);
    assert_int_equal(r.n_read + r.call.body.len, MANY_BYTES);
    call_release(&r.call);
    world_close(&w);
}

/* A reader that leaves some: it hears again when more has come, and the rest is in the result. */
static void test_what_was_not_read_is_in_the_result(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {.reads_at_most = 1000};
    world_open(&w, 1, 10);
    start(&w, &r, "/json?size=300000", 1 << 20);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_OK, 200);
    assert_true(r.call.body.len > 0);
    assert_int_equal(r.n_read + r.call.body.len, 300000);
    assert_int_equal(r.call.body.ptr[r.call.body.len - 1], '}');
    call_release(&r.call);
    world_close(&w);
}

static void test_resting_does_not_stop_the_clock(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {.takes_nothing = true};
    world_open(&w, 1, 10);
    struct fetch_spec spec =
        spec_of(url_at("http", "127.0.0.1", server.port, "/json?size=8388608"));
    spec.max_bytes = 1000;
    spec.timeout_ms = 100;
    spec.on_data = on_data;
    assert_int_equal(call_start(&w, &r.call, &spec), STATUS_OK);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_TIMEOUT, 200);
    assert_true(r.call.result.duration_us >= 99000);
    assert_int_equal(r.call.body.len, 0);
    call_release(&r.call);
    world_close(&w);
}

static void test_cancel_in_on_data(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {.cancels = true};
    world_open(&w, 1, 10);
    start(&w, &r, "/json?size=8388608", 1000);
    while (!r.was_cancelled) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
    }
    struct fetch_spec spec = spec_of(url_at("http", "127.0.0.1", server.port, "/json?size=1000"));
    struct call call = call_make(&w, &spec); /* with the same handle, not read piece by piece */
    assert_int_equal(call.result.body.len, 1000);
    assert_int_equal(r.call.n_done, 0);
    assert_int_equal(r.n_calls, 1);
    call_release(&call);
    world_close(&w);
}

/* Whichever is told first silences the other, whose news may wait already. */
static void test_cancel_another_in_on_data(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 2, 10);
    for (int i = 0; i < 50; i++) {
        struct reader a = {0};
        struct reader b = {0};
        a.cancels_other = &b;
        b.cancels_other = &a;
        start(&w, &a, "/json?size=100", 1000);
        start(&w, &b, "/json?size=100", 1000);
        while (a.call.n_done + b.call.n_done == 0) {
            (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
        }
        (void)uv_run(loop_uv(w.loop), UV_RUN_NOWAIT);
        assert_int_equal(a.call.n_done + b.call.n_done, 1);
        call_release(&a.call);
        call_release(&b.call);
    }
    world_close(&w);
}

static void test_destroyed_while_resting(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {.takes_nothing = true};
    world_open(&w, 1, 10);
    start(&w, &r, "/json?size=8388608", 1000);
    while (r.most_waiting < 1000) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
    }
    world_close(&w);
    assert_int_equal(r.call.n_done, 0);
}

/* A redirect on the way is nobody's business. */
static void test_redirects(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {0};
    world_open(&w, 1, 10);
    struct fetch_spec spec =
        spec_of(url_at("http", "127.0.0.1", server.port, "/redirect/2?to=/json?size=5000"));
    spec.on_data = on_data;
    spec.max_redirects = 3;
    assert_int_equal(call_start(&w, &r.call, &spec), STATUS_OK);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_OK, 200);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.n_read + r.call.body.len, 5000);
    call_release(&r.call);
    world_close(&w);
}

static void test_other_statuses_are_read_too(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {0};
    world_open(&w, 1, 10);
    start(&w, &r, "/json?size=5000&status=404", 1000);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_HTTP_ERROR, 404);
    assert_int_equal(r.status, 404);
    assert_int_equal(r.n_read + r.call.body.len, 5000);
    call_release(&r.call);
    world_close(&w);
}

static void test_compressed(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {0};
    world_open(&w, 1, 10);
    start(&w, &r, "/json?size=300000&gzip=1", 1000);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_OK, 200);
    assert_true(r.call.result.head.is_encoded);
    assert_int_equal(r.n_read + r.call.body.len, 300000);
    call_release(&r.call);
    world_close(&w);
}

/* What one read unpacks to has a limit, whoever reads. */
static void test_a_bomb(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {0};
    world_open(&w, 1, 10);
    start(&w, &r, "/health?bomb=200", 1000);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_TOO_LARGE, 200);
    assert_true(r.most_waiting <= 1000 + 4 * 1024 * 1024);
    call_release(&r.call);
    world_close(&w);
}

/* What could unpack to anything is not asked for, and not taken. */
static void test_another_coding(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {0};
    world_open(&w, 1, 10);
    start(&w, &r, "/health?header=Content-Encoding:br", 1000);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_CONNECT_ERROR, 200);
    assert_has(r.call.error, "an encoding that was not asked for");
    call_release(&r.call);
    struct fetch_spec spec = spec_of(url_at("http", "127.0.0.1", server.port, "/echo"));
    spec.on_data = on_data;
    spec.max_bytes = 1 << 20;
    r = (struct reader){.takes_nothing = true};
    assert_int_equal(call_start(&w, &r.call, &spec), STATUS_OK);
    call_run(&r.call);
    buf_append_char(&r.call.body, '\0');
    assert_has(r.call.body.ptr, "\"accept-encoding\":\"gzip, deflate\"");
    call_release(&r.call);
    world_close(&w);
}

static void test_nothing_may_wait(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {0};
    world_open(&w, 1, 10);
    start(&w, &r, "/json?size=100000", 0);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_OK, 200);
    assert_int_equal(r.n_read + r.call.body.len, 100000);
    call_release(&r.call);
    world_close(&w);
}

static void test_an_answer_without_a_body(void **state)
{
    (void)state;
    struct world w;
    struct reader r = {0};
    world_open(&w, 1, 10);
    start(&w, &r, "/status/204", 1000);
    call_run(&r.call);
    assert_outcome_of(&r.call, FETCH_OK, 204);
    assert_int_equal(r.n_calls, 1);
    assert_int_equal(r.n_read, 0);
    call_release(&r.call);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_it_comes),
        cmocka_unit_test(test_the_head_comes_first),
        cmocka_unit_test(test_it_rests_while_nobody_reads),
        cmocka_unit_test(test_what_was_not_read_is_in_the_result),
        cmocka_unit_test(test_resting_does_not_stop_the_clock),
        cmocka_unit_test(test_cancel_in_on_data),
        cmocka_unit_test(test_cancel_another_in_on_data),
        cmocka_unit_test(test_destroyed_while_resting),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_other_statuses_are_read_too),
        cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_a_bomb),
        cmocka_unit_test(test_another_coding),
        cmocka_unit_test(test_nothing_may_wait),
        cmocka_unit_test(test_an_answer_without_a_body),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
