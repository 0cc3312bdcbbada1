/* SPDX-License-Identifier: MIT */
/* The wheel: never early, later rounds, moving, and what may be done from inside fire(). */
#include "base/deadlines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"

enum { TICK_MS = 2, N_SLOTS = 4, N_NODES = 200 };

struct node {
    struct deadline deadline;
    struct fixture *fixture;
    int64_t armed_us;
    int64_t delay_ms;
    unsigned n_fired;
};

struct fixture {
    struct loop *loop;
    struct deadlines *wheel; /* a short one: most deadlines are rounds away */
    struct node nodes[N_NODES];
    unsigned n_fired;
};

static struct node *node_of(struct deadline *deadline)
{
    return container_of(deadline, struct node, deadline);
}

static void fire(struct deadline *deadline)
{
    struct node *node = node_of(deadline);

    assert_false(deadline_armed(deadline));
    assert_true(clock_monotonic_us() - node->armed_us >= node->delay_ms * 1000);
    node->n_fired++;
    node->fixture->n_fired++;
}

static void arm(struct node *node, int64_t delay_ms, deadline_fn fn)
{
    node->armed_us = clock_monotonic_us();
    node->delay_ms = delay_ms;
    deadline_arm(node->fixture->wheel, &node->deadline, delay_ms, fn);
    assert_true(deadline_armed(&node->deadline));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(loop_create(&f->loop), STATUS_OK);
    assert_int_equal(deadlines_create(f->loop, TICK_MS, N_SLOTS, &f->wheel), STATUS_OK);
    for (int i = 0; i < N_NODES; i++) {
        f->nodes[i].fixture = f;
    }
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

static void unused_wheel_holds_nothing(void **state)
{
    struct fixture *f = *state;

    loop_run(f->loop);
    deadlines_destroy(NULL);
}

static void each_fires_once_and_never_early(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < N_NODES; i++) {
        arm(&f->nodes[i], (i * 37) % 60, fire);
    }
    loop_run(f->loop); /* ends because the timer stops with the last one */
    for (int i = 0; i < N_NODES; i++) {
        assert_int_equal(f->nodes[i].n_fired, 1);
    }
}

static void disarmed_never_fires(void **state)
{
    struct fixture *f = *state;

    deadline_disarm(f->wheel, &f->nodes[0].deadline); /* not armed */
    arm(&f->nodes[0], 4, fire);
    arm(&f->nodes[1], 4, fire);
    deadline_disarm(f->wheel, &f->nodes[0].deadline);
    assert_false(deadline_armed(&f->nodes[0].deadline));
    loop_run(f->loop);
    assert_int_equal(f->nodes[0].n_fired, 0);
    assert_int_equal(f->nodes[1].n_fired, 1);

    arm(&f->nodes[0], 1000000, fire);
    deadline_disarm(f->wheel, &f->nodes[0].deadline);
    loop_run(f->loop); /* ends at once: nothing is armed */
    assert_int_equal(f->nodes[0].n_fired, 0);
}

static void arming_again_moves(void **state)
{
    struct fixture *f = *state;

    arm(&f->nodes[0], 1000000, fire);
    arm(&f->nodes[1], 2, fire);
    arm(&f->nodes[0], 10, fire); /* nearer; fire() checks that it is not too near */
    arm(&f->nodes[1], 30, fire); /* further */
    assert_true(f->nodes[0].deadline.due_ms < f->nodes[1].deadline.due_ms);
    loop_run(f->loop);
    assert_int_equal(f->nodes[0].n_fired, 1);
    assert_int_equal(f->nodes[1].n_fired, 1);
}

static void negative_and_huge_delays(void **state)
{
    struct fixture *f = *state;

    arm(&f->nodes[0], INT64_MAX, fire);
    assert_true(f->nodes[0].deadline.due_ms > loop_now_ms(f->loop));
    arm(&f->nodes[1], INT64_MIN, fire);
    f->nodes[1].delay_ms = 0;
    arm(&f->nodes[2], 0, fire);
    assert_int_equal(f->n_fired, 0); /* never from inside deadline_arm() */
    (void)uv_run(loop_uv(f->loop), UV_RUN_ONCE);
    while (f->n_fired < 2) {
        (void)uv_run(loop_uv(f->loop), UV_RUN_ONCE);
    }
    assert_int_equal(f->nodes[0].n_fired, 0);
    deadline_disarm(f->wheel, &f->nodes[0].deadline);
}

/* Everything in the same slot is due at once; the first to fire disarms or frees the others. */
static void fire_and_disarm_others(struct deadline *deadline)
{
    struct fixture *f = node_of(deadline)->fixture;

    fire(deadline);
    for (int i = 0; i < N_NODES; i++) {
        deadline_disarm(f->wheel, &f->nodes[i].deadline);
    }
}

static void fire_may_disarm_its_neighbours(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < N_NODES; i++) {
        arm(&f->nodes[i], 5, fire_and_disarm_others);
    }
    loop_run(f->loop);
    assert_int_equal(f->n_fired, 1);
}

static struct node *pair[2];

static void fire_and_free_both(struct deadline *deadline)
{
    struct deadlines *wheel = node_of(deadline)->fixture->wheel;

    for (int i = 0; i < 2; i++) {
        deadline_disarm(wheel, &pair[i]->deadline);
        free(pair[i]);
    }
}

static void fire_may_free_itself_and_others(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 2; i++) {
        pair[i] = calloc(1, sizeof(*pair[i]));
        assert_non_null(pair[i]);
        pair[i]->fixture = f;
        arm(pair[i], 3, fire_and_free_both);
    }
    arm(&f->nodes[0], 3, fire);
    loop_run(f->loop);
    assert_int_equal(f->nodes[0].n_fired, 1);
}

static void fire_again(struct deadline *deadline)
{
    struct node *node = node_of(deadline);

    fire(deadline);
    if (node->n_fired < 5) {
        arm(node, node->n_fired % 2 ? 0 : N_SLOTS * TICK_MS, fire_again);
    }
}

static void fire_may_arm_again(void **state)
{
    struct fixture *f = *state;

    arm(&f->nodes[0], 1, fire_again);
    arm(&f->nodes[1], 1, fire_again);
    loop_run(f->loop);
    assert_int_equal(f->nodes[0].n_fired, 5);
    assert_int_equal(f->nodes[1].n_fired, 5);
}

static void hold_up(int64_t for_ms)
{
    int64_t end_us = clock_monotonic_us() + for_ms * 1000;

    while (clock_monotonic_us() < end_us) {
    }
}

/* The loop's idea of now is old when a callback ran long: a delay must count from the true now. */
static void stale_clock_does_not_fire_early(void **state)
{
    struct fixture *f = *state;

    hold_up(30);
    arm(&f->nodes[0], 10, fire);
    loop_run(f->loop);
    assert_int_equal(f->nodes[0].n_fired, 1);
}

/* A loop that was held up for many rounds visits every slot once and forgets nothing. */
static void held_up_for_rounds(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < N_NODES; i++) {
        arm(&f->nodes[i], i % 20, fire);
    }
    arm(&f->nodes[0], 100, fire);
    hold_up(60);
    (void)uv_run(loop_uv(f->loop), UV_RUN_ONCE);
    assert_true(f->n_fired >= N_NODES - 1); /* all that is overdue, at once */
    loop_run(f->loop);
    assert_int_equal(f->n_fired, N_NODES);
}

static unsigned run_until_fired(struct fixture *f, unsigned n_fired)
{
    unsigned n_turns = 0;

    for (; f->n_fired < n_fired; n_turns++) {
        (void)uv_run(loop_uv(f->loop), UV_RUN_ONCE);
    }
    return n_turns;
}

/* A round of it lasts longer than the tests. */
static void take_long_wheel(struct fixture *f)
{
    deadlines_destroy(f->wheel);
    assert_int_equal(deadlines_create(f->loop, TICK_MS, 4096, &f->wheel), STATUS_OK);
}

/* Waking at each tick would take 50 turns; libuv may take one turn more for its own clock. */
static void sleeps_until_the_next(void **state)
{
    struct fixture *f = *state;

    take_long_wheel(f);
    arm(&f->nodes[0], 100, fire);
    assert_true(run_until_fired(f, 1) < 5);
}

static void a_nearer_one_wakes_it_earlier(void **state)
{
    struct fixture *f = *state;

    take_long_wheel(f);
    arm(&f->nodes[0], 5000, fire);
    arm(&f->nodes[1], 4, fire);
    (void)run_until_fired(f, 1);
    assert_int_equal(f->nodes[0].n_fired, 0);
    deadline_disarm(f->wheel, &f->nodes[0].deadline);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unused_wheel_holds_nothing),
        TEST(each_fires_once_and_never_early),
        TEST(disarmed_never_fires),
        TEST(arming_again_moves),
        TEST(negative_and_huge_delays),
        TEST(fire_may_disarm_its_neighbours),
        TEST(fire_may_free_itself_and_others),
        TEST(fire_may_arm_again),
        TEST(stale_clock_does_not_fire_early),
        TEST(held_up_for_rounds),
        TEST(sleeps_until_the_next),
        TEST(a_nearer_one_wakes_it_earlier),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
