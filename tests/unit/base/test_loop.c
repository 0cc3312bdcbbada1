/* SPDX-License-Identifier: MIT */
/* Deferred calls: when they are made, in what order, and what may be done from inside one. */
#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct loop *loop;
    char calls[64]; /* one letter each */
    size_t n_calls;
    struct deferred a, b, c;
    uv_timer_t timer;
    unsigned turns;
};

static void note(struct fixture *f, char letter)
{
    assert_true(f->n_calls < sizeof(f->calls) - 1);
    f->calls[f->n_calls++] = letter;
}

static void call_a(void *arg)
{
    note(arg, 'a');
}

static void call_b(void *arg)
{
    note(arg, 'b');
}

static void call_c(void *arg)
{
    note(arg, 'c');
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(loop_create(&f->loop), STATUS_OK);
    f->a = (struct deferred){.fn = call_a, .arg = f};
    f->b = (struct deferred){.fn = call_b, .arg = f};
    f->c = (struct deferred){.fn = call_c, .arg = f};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    loop_destroy(f->loop);
    free(f);
    return 0;
}

static void empty_loop_ends(void **state)
{
    struct fixture *f = *state;

    loop_run(f->loop);
    loop_destroy(NULL);
}

static void in_order_and_once(void **state)
{
    struct fixture *f = *state;

    loop_defer(f->loop, &f->b);
    loop_defer(f->loop, &f->a);
    loop_defer(f->loop, &f->b);
    loop_defer(f->loop, &f->c);
    assert_true(deferred_waiting(&f->a));
    assert_int_equal(f->n_calls, 0); /* never at once */
    loop_run(f->loop);
    assert_string_equal(f->calls, "bac");
    assert_false(deferred_waiting(&f->a));
    loop_run(f->loop);
    assert_string_equal(f->calls, "bac");
}

static void undefer(void **state)
{
    struct fixture *f = *state;

    loop_undefer(f->loop, &f->a);
    loop_defer(f->loop, &f->a);
    loop_defer(f->loop, &f->b);
    loop_undefer(f->loop, &f->a);
    assert_false(deferred_waiting(&f->a));
    loop_run(f->loop);
    assert_string_equal(f->calls, "b");

    loop_defer(f->loop, &f->a);
    loop_undefer(f->loop, &f->a);
    loop_run(f->loop); /* nothing waits any more, so nothing holds the loop */
    assert_string_equal(f->calls, "b");
}

static void call_that_undefers_b(void *arg)
{
    struct fixture *f = arg;

    note(f, 'a');
    assert_true(deferred_waiting(&f->b));
    loop_undefer(f->loop, &f->b);
}

static void undefer_inside_the_batch(void **state)
{
    struct fixture *f = *state;

    f->a.fn = call_that_undefers_b;
    loop_defer(f->loop, &f->a);
    loop_defer(f->loop, &f->b);
    loop_defer(f->loop, &f->c);
    loop_run(f->loop);
    assert_string_equal(f->calls, "ac");
}

static void call_that_defers_both(void *arg)
{
    struct fixture *f = arg;

    note(f, 'a');
    if (f->n_calls == 1) {
        loop_defer(f->loop, &f->a); /* itself */
        loop_defer(f->loop, &f->b); /* still waiting in this batch: stays where it is */
        loop_defer(f->loop, &f->c);
    }
}

static void deferred_inside_goes_to_the_next_turn(void **state)
{
    struct fixture *f = *state;

    f->a.fn = call_that_defers_both;
    loop_defer(f->loop, &f->a);
    loop_defer(f->loop, &f->b);
    (void)uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    assert_string_equal(f->calls, "ab");
    (void)uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    assert_string_equal(f->calls, "abac");
    loop_run(f->loop);
    assert_string_equal(f->calls, "abac");
}

static void call_that_defers_c_late(void *arg)
{
    struct fixture *f = arg;

    note(f, 'a');
    loop_defer_late(f->loop, &f->c);
}

static void late_comes_behind_all_of_its_tail(void **state)
{
    struct fixture *f = *state;

    f->a.fn = call_that_defers_c_late;
    loop_defer_late(f->loop, &f->b);
    loop_defer(f->loop, &f->a);
    (void)uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    assert_string_equal(f->calls, "abc");
    loop_run(f->loop);
    assert_string_equal(f->calls, "abc");
}

static void call_that_defers_itself_late(void *arg)
{
    struct fixture *f = arg;

    note(f, 'a');
    if (f->n_calls == 1) {
        loop_defer_late(f->loop, &f->a);
        loop_defer(f->loop, &f->b);
    }
}

static void late_inside_late_goes_to_the_next_turn(void **state)
{
    struct fixture *f = *state;

    f->a.fn = call_that_defers_itself_late;
    loop_defer_late(f->loop, &f->a);
    (void)uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    assert_string_equal(f->calls, "a");
    loop_run(f->loop);
    assert_string_equal(f->calls, "aba");
}

static void late_can_be_undeferred(void **state)
{
    struct fixture *f = *state;

    loop_defer_late(f->loop, &f->a);
    loop_undefer(f->loop, &f->a);
    loop_run(f->loop); /* nothing holds it */
    assert_string_equal(f->calls, "");
}

static void free_itself(void *arg)
{
    free(arg);
}

static void call_may_free_its_memory(void **state)
{
    struct fixture *f = *state;
    struct deferred *d = calloc(1, sizeof(*d));

    assert_non_null(d);
    *d = (struct deferred){.fn = free_itself, .arg = d};
    loop_defer(f->loop, d);
    loop_defer(f->loop, &f->b);
    loop_run(f->loop);
    assert_string_equal(f->calls, "b");
}

static void on_timer(uv_timer_t *timer)
{
    struct fixture *f = timer->data;

    note(f, 't');
    loop_defer(f->loop, &f->a);
    if (++f->turns == 3) {
        uv_close((uv_handle_t *)timer, NULL);
    }
}

/* From a callback: at the tail of the same turn, before the next timer. */
static void tail_of_the_turn(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(uv_timer_init(loop_uv(f->loop), &f->timer), 0);
    f->timer.data = f;
    assert_int_equal(uv_timer_start(&f->timer, on_timer, 1, 1), 0);
    loop_run(f->loop);
    assert_string_equal(f->calls, "tatata");
}

static void on_closed(uv_handle_t *handle)
{
    struct fixture *f = handle->data;

    note(f, 'x');
    loop_defer(f->loop, &f->a);
}

/* What a close callback defers, often the freeing of something, is done even while the loop dies.
 */
static void destroy_makes_the_last_calls(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(uv_timer_init(loop_uv(f->loop), &f->timer), 0);
    f->timer.data = f;
    uv_close((uv_handle_t *)&f->timer, on_closed);
    loop_defer(f->loop, &f->b);
    loop_stop(f->loop);
    loop_destroy(f->loop);
    f->loop = NULL;
    assert_int_equal(f->n_calls, 3);
    assert_non_null(strchr(f->calls, 'b'));
    assert_non_null(strstr(strchr(f->calls, 'x'), "a"));
}

static void call_that_stops(void *arg)
{
    struct fixture *f = arg;

    note(f, 's');
    loop_defer(f->loop, &f->a);
    loop_stop(f->loop);
}

static void stop_keeps_what_waits(void **state)
{
    struct fixture *f = *state;

    f->b.fn = call_that_stops;
    loop_defer(f->loop, &f->b);
    loop_run(f->loop);
    assert_string_equal(f->calls, "s");
    assert_true(deferred_waiting(&f->a));
    loop_run(f->loop);
    assert_string_equal(f->calls, "sa");
}

static void now_is_the_time_of_the_turn(void **state)
{
    struct fixture *f = *state;
    int64_t before_ms = loop_now_ms(f->loop);

    uv_update_time(loop_uv(f->loop));
    assert_true(loop_now_ms(f->loop) >= before_ms);
    assert_int_equal(loop_now_ms(f->loop), (int64_t)uv_now(loop_uv(f->loop)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* How many turns were busy for longer than about this. */
static uint64_t n_busy_turns(const struct loop *loop, uint64_t above_us)
{
    uint64_t n = 0;

    for (size_t i = 0; i < HISTOGRAM_N_BUCKETS; i++) {
        n += histogram_bound(i) > above_us ? histogram_count(loop_lag(loop), i) : 0;
    }
    return n;
}

static void be_busy(void *arg)
{
    uint64_t until_ns = uv_hrtime() + 30 * UINT64_C(1000000);

    (void)arg;
    while (uv_hrtime() < until_ns) {
    }
}

static void on_timer_busy(uv_timer_t *timer)
{
    be_busy(timer);
    uv_close((uv_handle_t *)timer, NULL);
}

/* The turn that waits for 50 ms and is then busy for 30 has a lag of 30 or a little more, whatever
 * else the machine does: there is no upper bound to check here. */
static void lag_counts_work_and_not_waiting(void **state)
{
    struct fixture *f = *state;

    uv_timer_init(loop_uv(f->loop), &f->timer);
    uv_timer_start(&f->timer, on_timer_busy, 50, 0);
    loop_run(f->loop);
    assert_true(histogram_n(loop_lag(f->loop)) > 0);
    assert_true(histogram_sum(loop_lag(f->loop)) >= 30000);
    assert_true(n_busy_turns(f->loop, 20000) >= 1);
}

static void on_timer_idle(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
}

static void waiting_is_no_lag(void **state)
{
    struct fixture *f = *state;

    uv_timer_init(loop_uv(f->loop), &f->timer);
    uv_timer_start(&f->timer, on_timer_idle, 2000, 0);
    loop_run(f->loop);
    /* Not even a machine that stops for a second makes it two. */
    assert_true(histogram_sum(loop_lag(f->loop)) < 2000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(empty_loop_ends),
        TEST(in_order_and_once),
        TEST(undefer),
        TEST(undefer_inside_the_batch),
        TEST(deferred_inside_goes_to_the_next_turn),
        TEST(late_comes_behind_all_of_its_tail),
        TEST(late_inside_late_goes_to_the_next_turn),
        TEST(late_can_be_undeferred),
        TEST(call_may_free_its_memory),
        TEST(tail_of_the_turn),
        TEST(destroy_makes_the_last_calls),
        TEST(stop_keeps_what_waits),
        TEST(now_is_the_time_of_the_turn),
        TEST(lag_counts_work_and_not_waiting),
        TEST(waiting_is_no_lag),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
