/* SPDX-License-Identifier: MIT */
/* Histograms: a figure falls into the first bucket whose bound is not below it. */
#include "base/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void empty_when_zeroed(void **state)
{
    struct histogram h = {0};

    (void)state;
    assert_int_equal(histogram_n(&h), 0);
    assert_int_equal(histogram_sum(&h), 0);
}

static void bounds_rise_to_everything(void **state)
{
    (void)state;
    assert_int_equal(histogram_bound(0), 1);
    for (size_t i = 1; i < HISTOGRAM_N_BUCKETS; i++) {
        assert_true(histogram_bound(i) > histogram_bound(i - 1));
    }
    assert_true(histogram_bound(HISTOGRAM_N_BUCKETS - 1) == UINT64_MAX);
}

/* Each bound belongs to its own bucket, and what is above it to the next. */
static void bound_is_inclusive(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < HISTOGRAM_N_BUCKETS; i++) {
        struct histogram h = {0};
        histogram_add(&h, histogram_bound(i));
        histogram_add(&h, histogram_bound(i) + 1);
        assert_int_equal(histogram_count(&h, i), 1);
        assert_int_equal(histogram_count(&h, i + 1), 1);
    }
}

static void sum_and_number(void **state)
{
    struct histogram h = {0};

    (void)state;
    histogram_add(&h, 0);
    histogram_add(&h, 7);
    histogram_add(&h, 20000000);
    assert_int_equal(histogram_n(&h), 3);
    assert_int_equal(histogram_sum(&h), 20000007);
    assert_int_equal(histogram_count(&h, 0), 1);
    assert_int_equal(histogram_count(&h, HISTOGRAM_N_BUCKETS - 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_when_zeroed),
        cmocka_unit_test(bounds_rise_to_everything),
        cmocka_unit_test(bound_is_inclusive),
        cmocka_unit_test(sum_and_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
