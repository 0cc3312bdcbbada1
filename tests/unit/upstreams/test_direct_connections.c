/* SPDX-License-Identifier: MIT */
/* The direct client's connections: those that are kept and those that only seem to be, what is
 * asked once more, cancelling. */
#include "direct_world.h"

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

/* Somebody's excess, which came before the request: no answer to it. */
static void test_what_is_no_answer_at_all_is_repeated_once(void **state)
{
    (void)state;
    const struct str excess = STR("\r\n" GOOD);
    struct world w;
    struct asking a;
    open_world(&w);
    assert_good(&w, false);
    expect(&w.server, excess, THEN_KEEP);
    expect(&w.server, STR(GOOD), THEN_KEEP);
    ask_and_run(&w, &a);
    assert_int_equal(a.end, DIRECT_COMPLETE);
    assert_false(a.call.is_reused);
    assert_true(str_eq(buf_str(&a.body), STR("[]")));
    forget(&a);
    expect(&w.server, excess, THEN_KEEP);
    expect(&w.server, excess, THEN_KEEP);
    ask_and_run(&w, &a);
    assert_int_equal(a.end, DIRECT_BROKEN);
    forget(&a);
    close_world(&w);
}

/* Of a line that came in two pieces nothing is left for the next answer. */
static void test_an_answer_in_pieces(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    open_world(&w);
    expect(&w.server, STR("HTTP/1.1 200 OK\r\nContent-Le"), THEN_KEEP);
    prepare(&w, &a);
    ask(&a);
    while (a.call.first_byte_us == 0) {
        turn(&w);
    }
    write_text(w.server.asker, STR("ngth: 2\r\n\r\n[]"));
    run(&a);
    assert_int_equal(a.end, DIRECT_COMPLETE);
    forget(&a);
    assert_good(&w, true);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_kept),
        cmocka_unit_test(test_connections_that_are_not_kept),
        cmocka_unit_test(test_a_kept_connection_that_was_closed),
        cmocka_unit_test(test_what_breaks_without_an_answer_is_repeated_once),
        cmocka_unit_test(test_what_breaks_with_an_answer_is_not_repeated),
        cmocka_unit_test(test_what_is_no_answer_at_all_is_repeated_once),
        cmocka_unit_test(test_an_answer_in_pieces),
        cmocka_unit_test(test_a_call_at_the_end_of_another),
        cmocka_unit_test(test_kept_connections_have_a_limit),
        cmocka_unit_test(test_kept_connections_have_an_end),
        cmocka_unit_test(test_a_large_request),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_kept_connections_do_not_hold_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
