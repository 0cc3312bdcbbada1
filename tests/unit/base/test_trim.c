/* SPDX-License-Identifier: MIT */
/* When memory is given back; that it is, tests/e2e/memory.test.mjs shows. */
#include "base/trim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct loop *loop;
    struct deadlines *deadlines;
    struct trim trim;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(loop_create(&f->loop), STATUS_OK);
    assert_int_equal(deadlines_create(f->loop, 10, 1024, &f->deadlines), STATUS_OK);
    trim_init(&f->trim, f->deadlines);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    trim_stop(&f->trim);
    deadlines_destroy(f->deadlines);
    loop_destroy(f->loop);
    free(f);
    return 0;
}

static void waits(struct fixture *f, bool is_expected)
{
    assert_int_equal(deadline_armed(&f->trim.due), is_expected);
}

static void few_do_not_matter(void **state)
{
    struct fixture *f = *state;

    trim_count(&f->trim, 1000);
    trim_count(&f->trim, 0);
    waits(f, false);
}

static void nor_do_those_that_come(void **state)
{
    struct fixture *f = *state;

    trim_count(&f->trim, 100000);
    trim_count(&f->trim, 50000); /* just half */
    waits(f, false);
    trim_count(&f->trim, 50001);
    waits(f, false);
}

static void when_most_have_gone_it_is_time_once(void **state)
{
    struct fixture *f = *state;

    trim_count(&f->trim, 3000);
    trim_count(&f->trim, 1499);
    waits(f, true);
    trim_count(&f->trim, 1600); /* who comes does not put it off */
    waits(f, true);
    loop_run(f->loop); /* until the deadline has fired */
    waits(f, false);
    trim_count(&f->trim, 1599); /* few, of the 1600 that were left */
    waits(f, false);
}

struct leaving {
    struct deadline deadline;
    struct fixture *fixture;
    size_t n_left;
    unsigned n_rounds;
};

/* In less time than the waiting takes. */
static void one_more_goes(struct deadline *deadline)
{
    struct leaving *l = container_of(deadline, struct leaving, deadline);

    trim_count(&l->fixture->trim, --l->n_left);
    if (deadline_armed(&l->fixture->trim.due) && ++l->n_rounds < 20) {
        deadline_arm(l->fixture->deadlines, deadline, 300, one_more_goes);
    }
}

static void a_crowd_is_waited_for(void **state)
{
    struct fixture *f = *state;

    trim_count(&f->trim, 10000);
    trim_count(&f->trim, 4999);
    trim_count(&f->trim, 10);
    f->trim.due.fire(&f->trim.due); /* before its time */
    assert_int_equal(f->trim.n_most, 10000);
    waits(f, true);
    loop_run(f->loop);
    assert_int_equal(f->trim.n_most, 10);
}

static void who_goes_meanwhile_does_not_put_it_off(void **state)
{
    struct leaving l = {.fixture = *state, .n_left = 1499};

    trim_count(&l.fixture->trim, 3000);
    trim_count(&l.fixture->trim, l.n_left);
    deadline_arm(l.fixture->deadlines, &l.deadline, 300, one_more_goes);
    loop_run(l.fixture->loop);
    assert_in_range(l.n_rounds, 1, 19);
}

static void stopped_it_is_not_done(void **state)
{
    struct fixture *f = *state;

    trim_count(&f->trim, 3000);
    trim_count(&f->trim, 0);
    trim_stop(&f->trim);
    waits(f, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(few_do_not_matter),
        TEST(nor_do_those_that_come),
        TEST(when_most_have_gone_it_is_time_once),
        TEST(a_crowd_is_waited_for),
        TEST(who_goes_meanwhile_does_not_put_it_off),
        TEST(stopped_it_is_not_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
