/* SPDX-License-Identifier: MIT */
/* Quantiles against sorted figures, and the windows, with a clock of the test's. */
#include "upstreams/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW_MS (INT64_C(1000) * LATENCY_WINDOW_MS + 5)

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void test_empty(void **state)
{
    (void)state;
    struct latency l = {0};
    assert_int_equal(latency_n(&l, NOW_MS), 0);
    assert_int_equal(latency_quantile(&l, NOW_MS, 50), 0);
    assert_int_equal(latency_quantile(&l, 0, 99), 0);
}

static void test_single_figures(void **state)
{
    (void)state;
    for (int64_t us = 0; us < INT64_C(250) * 1000000; us = us * 5 / 4 + 1) {
        struct latency l = {0};
        latency_add(&l, NOW_MS, us);
        int64_t p50_us = latency_quantile(&l, NOW_MS, 50);
        assert_in_range(p50_us, us, us + us / 16);
        assert_int_equal(latency_quantile(&l, NOW_MS, 99), p50_us);
    }
}

static void test_figures_beyond_all_buckets(void **state)
{
    (void)state;
    struct latency l = {0};
    latency_add(&l, NOW_MS, INT64_MAX);
    latency_add(&l, NOW_MS, -1);
    assert_int_equal(latency_n(&l, NOW_MS), 2);
    assert_int_equal(latency_quantile(&l, NOW_MS, 50), 0);
    assert_int_equal(latency_quantile(&l, NOW_MS, 99), (INT64_C(1) << 28) - 1);
}

static void test_quantiles_of_many(void **state)
{
    (void)state;
    enum { N = 5000 };
    static int64_t figures[N];
    struct latency l = {0};
    uint64_t random = 42;
    for (int i = 0; i < N; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        figures[i] = 100 + (int64_t)((random >> 33) % 1000) * (1 + (int64_t)(random >> 60));
        latency_add(&l, NOW_MS, figures[i]);
    }
    qsort(figures, N, sizeof(figures[0]), compare);
    for (int64_t percent = 1; percent <= 100; percent++) {
        int64_t exact_us = figures[(N * percent + 99) / 100 - 1];
        assert_in_range(latency_quantile(&l, NOW_MS, percent), exact_us, exact_us + exact_us / 16);
    }
}

static void test_old_figures_are_forgotten(void **state)
{
    (void)state;
    struct latency l = {0};
    int64_t begin_ms = NOW_MS - NOW_MS % LATENCY_WINDOW_MS;
    latency_add(&l, begin_ms, 10);
    assert_int_equal(latency_n(&l, begin_ms + 2 * LATENCY_WINDOW_MS - 1), 1);
    assert_int_equal(latency_n(&l, begin_ms + 2 * LATENCY_WINDOW_MS), 0);
    assert_int_equal(latency_quantile(&l, begin_ms + 2 * LATENCY_WINDOW_MS, 50), 0);

    latency_add(&l, begin_ms + LATENCY_WINDOW_MS, 12);
    assert_int_equal(latency_n(&l, begin_ms + LATENCY_WINDOW_MS), 2);
    assert_int_equal(latency_quantile(&l, begin_ms + LATENCY_WINDOW_MS, 50), 10);
    assert_int_equal(latency_quantile(&l, begin_ms + LATENCY_WINDOW_MS, 99), 12);
    assert_int_equal(latency_n(&l, begin_ms + 2 * LATENCY_WINDOW_MS), 1); /* before the next add */

    latency_add(&l, begin_ms + 2 * LATENCY_WINDOW_MS, 14);
    assert_int_equal(latency_quantile(&l, begin_ms + 2 * LATENCY_WINDOW_MS, 50), 12);

    latency_add(&l, begin_ms + 9 * LATENCY_WINDOW_MS, 15); /* after a long pause */
    assert_int_equal(latency_n(&l, begin_ms + 9 * LATENCY_WINDOW_MS), 1);
    assert_int_equal(latency_quantile(&l, begin_ms + 9 * LATENCY_WINDOW_MS, 50), 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_single_figures),
        cmocka_unit_test(test_figures_beyond_all_buckets),
        cmocka_unit_test(test_quantiles_of_many),
        cmocka_unit_test(test_old_figures_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
