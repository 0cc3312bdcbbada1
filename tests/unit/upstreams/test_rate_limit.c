/* SPDX-License-Identifier: MIT */
/* The token bucket, with a clock of the test's. */
#include "upstreams/rate_limit.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define START_US INT64_C(123456789)

static struct rate_limit bucket(int64_t requests, int64_t per_ms, int64_t burst)
{
    struct rate_limit_options options = {.requests = requests, .per_ms = per_ms, .burst = burst};
    struct rate_limit r;
    rate_limit_init(&r, &options, START_US);
    return r;
}

static int take_all(struct rate_limit *r, int64_t now_us)
{
    int n = 0;
    while (n < 100000 && rate_limit_take(r, now_us)) {
        n++;
    }
    return n;
}

static void test_no_limit(void **state)
{
    (void)state;
    struct rate_limit r = bucket(0, 1000, 0);
    assert_int_equal(take_all(&r, START_US), 100000);
    assert_int_equal(rate_limit_wait_us(&r, START_US, 1000000), 0);
}

static void test_it_begins_full(void **state)
{
    (void)state;
    struct rate_limit r = bucket(10, 1000, 0);
    assert_int_equal(take_all(&r, START_US), 10); /* a burst of 0 is one of `requests` */
    r = bucket(10, 1000, 3);
    assert_int_equal(take_all(&r, START_US), 3);
    r = bucket(1, 1000, 30);
    assert_int_equal(take_all(&r, START_US), 30);
}

static void test_it_fills_evenly_and_no_further(void **state)
{
    (void)state;
    struct rate_limit r = bucket(10, 1000, 4);
    (void)take_all(&r, START_US);
    assert_int_equal(take_all(&r, START_US + 99000), 0);
    assert_int_equal(take_all(&r, START_US + 100000), 1);
    assert_int_equal(take_all(&r, START_US + 350000), 2);
    assert_int_equal(take_all(&r, START_US + 400000), 1);
    assert_int_equal(take_all(&r, START_US + 3600000000), 4);
}

static void test_the_rate_holds_in_the_long_run(void **state)
{
    (void)state;
    struct rate_limit r = bucket(7, 300, 1); /* no whole number of microseconds each */
    int n = 0;
    for (int64_t us = 0; us <= 30 * 1000000; us += 10) {
        n += rate_limit_take(&r, START_US + us);
    }
    assert_in_range(n, 700, 701);
}

static void test_waiting_in_line(void **state)
{
    (void)state;
    struct rate_limit r = bucket(10, 1000, 2);
    assert_int_equal(rate_limit_wait_us(&r, START_US, 1), 0);
    assert_int_equal(rate_limit_wait_us(&r, START_US, 2), 0);
    assert_in_range(rate_limit_wait_us(&r, START_US, 3), 100000, 100001);
    (void)take_all(&r, START_US);
    assert_in_range(rate_limit_wait_us(&r, START_US, 1), 100000, 100001);
    assert_in_range(rate_limit_wait_us(&r, START_US + 40000, 1), 60000, 60001);
    assert_in_range(rate_limit_wait_us(&r, START_US, 5), 500000, 500001); /* beyond the bucket */
    int64_t wait_us = rate_limit_wait_us(&r, START_US, 1);
    assert_true(rate_limit_take(&r, START_US + wait_us));
}

static void test_extremes(void **state)
{
    (void)state;
    struct rate_limit r = bucket(1, 24 * 3600 * 1000, 1);
    assert_true(rate_limit_take(&r, START_US));
    int64_t wait_us = rate_limit_wait_us(&r, START_US, 1);
    assert_false(rate_limit_take(&r, START_US + wait_us / 2));
    assert_true(rate_limit_take(&r, START_US + wait_us));
    assert_true(rate_limit_wait_us(&r, START_US + wait_us, 1000000) > 0);
    r = bucket(1000000, 1, 1000000);
    assert_int_equal(take_all(&r, START_US), 100000);
    assert_true(rate_limit_take(&r, START_US + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_it_begins_full),
        cmocka_unit_test(test_it_fills_evenly_and_no_further),
        cmocka_unit_test(test_the_rate_holds_in_the_long_run),
        cmocka_unit_test(test_waiting_in_line),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
