/* SPDX-License-Identifier: MIT */
/* The budget, with a clock of the test's. */
#include "upstreams/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define START_US INT64_C(123456789)

static void earn(struct budget *b, int n_calls)
{
    for (int i = 0; i < n_calls; i++) {
        budget_earn(b);
    }
}

static int take_all(struct budget *b, int64_t now_us)
{
    int n = 0;
    while (n < 100000 && budget_take(b, now_us)) {
        n++;
    }
    return n;
}

static void test_a_share_of_the_calls(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 5, 0, START_US);
    assert_int_equal(take_all(&b, START_US), 0);
    earn(&b, 19);
    assert_int_equal(take_all(&b, START_US + 1000000000), 0); /* time brings nothing */
    earn(&b, 1);
    assert_int_equal(take_all(&b, START_US), 1);
    earn(&b, 200);
    assert_int_equal(take_all(&b, START_US), 10);
    budget_init(&b, 100, 0, START_US);
    earn(&b, 3);
    assert_int_equal(take_all(&b, START_US), 3);
}

static void test_so_many_in_a_second(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 0, 10, START_US);
    earn(&b, 1000);
    assert_int_equal(take_all(&b, START_US), 10);
    assert_int_equal(take_all(&b, START_US + 500000), 5);
    assert_int_equal(take_all(&b, START_US + 1000000), 5);
    assert_int_equal(take_all(&b, START_US + 100000000), 10); /* what was not used is gone */
}

static void test_both(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 20, 10, START_US);
    earn(&b, 50);
    assert_int_equal(take_all(&b, START_US), 20);
}

static void test_what_is_saved_has_an_end(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 50, 0, START_US);
    earn(&b, 1000000);
    assert_int_equal(take_all(&b, START_US), BUDGET_MAX_EARNED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_share_of_the_calls),
        cmocka_unit_test(test_so_many_in_a_second),
        cmocka_unit_test(test_both),
        cmocka_unit_test(test_what_is_saved_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
