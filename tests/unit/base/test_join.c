/* SPDX-License-Identifier: MIT */
/* The join: done or expired exactly once, at the tail, and deaf to late children. */
#include "base/join.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct loop *loop;
    struct deadlines *wheel;
    struct join join;
    unsigned n_done;
    unsigned n_expired;
};

static void on_done(void *arg, enum join_outcome outcome)
{
    struct fixture *f = arg;

    if (outcome == JOIN_DONE) {
        f->n_done++;
    } else {
        f->n_expired++;
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(loop_create(&f->loop), STATUS_OK);
    assert_int_equal(deadlines_create(f->loop, 1, 16, &f->wheel), STATUS_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    deadlines_destroy(f->wheel);
    loop_destroy(f->loop);
    free(f);
    return 0;
}

static void start(struct fixture *f, unsigned expected, int64_t timeout_ms)
{
    join_start(&f->join, f->loop, f->wheel, expected, timeout_ms, on_done, f);
}

static void done_when_all_are(void **state)
{
    struct fixture *f = *state;

    start(f, 3, 1000000);
    struct join_slot slot = join_slot(&f->join);
    join_complete(slot);
    join_complete(slot);
    (void)uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    assert_int_equal(f->n_done, 0);
    join_complete(slot);
    assert_int_equal(f->n_done, 0); /* never from inside */
    loop_run(f->loop);              /* ends: the deadline is disarmed */
    assert_int_equal(f->n_done, 1);
    assert_int_equal(f->n_expired, 0);
}

static void none_expected(void **state)
{
    struct fixture *f = *state;

    start(f, 0, 1000000);
    assert_int_equal(f->n_done, 0);
    loop_run(f->loop);
    assert_int_equal(f->n_done, 1);
}

static void without_a_deadline(void **state)
{
    struct fixture *f = *state;

    join_start(&f->join, f->loop, NULL, 1, 0, on_done, f);
    loop_run(f->loop); /* nothing holds the loop */
    assert_int_equal(f->n_done, 0);
    join_complete(join_slot(&f->join));
    loop_run(f->loop);
    assert_int_equal(f->n_done, 1);
    join_start(&f->join, f->loop, NULL, 1, 0, on_done, f);
    join_cancel(&f->join);
}

static void expires_once(void **state)
{
    struct fixture *f = *state;

    start(f, 2, 3);
    struct join_slot slot = join_slot(&f->join);
    join_complete(slot);
    loop_run(f->loop);
    assert_int_equal(f->n_expired, 1);
    join_complete(slot);
    join_complete(slot);
    loop_run(f->loop);
    assert_int_equal(f->n_expired, 1);
    assert_int_equal(f->n_done, 0);
}

static void late_child_does_not_touch_the_next_run(void **state)
{
    struct fixture *f = *state;

    start(f, 1, 2);
    struct join_slot late = join_slot(&f->join);
    loop_run(f->loop);
    assert_int_equal(f->n_expired, 1);

    start(f, 1, 0);
    join_complete(late);
    loop_run(f->loop);
    assert_int_equal(f->n_done, 0);
    join_complete(join_slot(&f->join));
    loop_run(f->loop);
    assert_int_equal(f->n_done, 1);
}

static void more_completions_than_expected(void **state)
{
    struct fixture *f = *state;

    start(f, 1, 0);
    join_complete(join_slot(&f->join));
    join_complete(join_slot(&f->join)); /* "any": the others come before the tail */
    loop_run(f->loop);
    join_complete(join_slot(&f->join));
    loop_run(f->loop);
    assert_int_equal(f->n_done, 1);
}

static void cancelled_in_any_state(void **state)
{
    struct fixture *f = *state;

    join_cancel(&f->join); /* never started */
    start(f, 1, 2);
    struct join_slot slot = join_slot(&f->join);
    join_cancel(&f->join);
    join_complete(slot);
    join_cancel(&f->join);
    loop_run(f->loop);

    start(f, 1, 1000000);
    join_complete(join_slot(&f->join));
    join_cancel(&f->join); /* finishing: the call is already deferred */
    loop_run(f->loop);
    assert_int_equal(f->n_done + f->n_expired, 0);
}

static void done_and_start_again(void *arg, enum join_outcome outcome)
{
    struct fixture *f = arg;

    on_done(f, outcome);
    if (f->n_done < 3) {
        join_start(&f->join, f->loop, f->wheel, 0, 5, done_and_start_again, f);
    }
}

static void on_done_may_start_again(void **state)
{
    struct fixture *f = *state;

    join_start(&f->join, f->loop, f->wheel, 0, 5, done_and_start_again, f);
    loop_run(f->loop);
    assert_int_equal(f->n_done, 3);
}

static void free_join(void *arg, enum join_outcome outcome)
{
    assert_int_equal(outcome, JOIN_EXPIRED);
    free(arg);
}

static void on_done_may_free_the_join(void **state)
{
    struct fixture *f = *state;
    struct join *join = calloc(1, sizeof(*join));

    assert_non_null(join);
    join_start(join, f->loop, f->wheel, 1, 1, free_join, join);
    loop_run(f->loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(done_when_all_are),
        TEST(none_expected),
        TEST(without_a_deadline),
        TEST(expires_once),
        TEST(late_child_does_not_touch_the_next_run),
        TEST(more_completions_than_expected),
        TEST(cancelled_in_any_state),
        TEST(on_done_may_start_again),
        TEST(on_done_may_free_the_join),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
