/* SPDX-License-Identifier: MIT */
/* Samples as they stand in the text format, whole. */
#include "protocols/metrics_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define MAX_BYTES 65536

static void expect(struct buf *out, const char *expected)
{
    assert_false(buf_failed(out));
    buf_append_char(out, '\0');
    assert_string_equal(out->ptr, expected);
    buf_release(out);
}

static void heads_and_samples(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, MAX_BYTES);
    metrics_write_head(&out, "a_total", "counter", "Some.");
    metrics_write_u64(&out, "a_total", STR_EMPTY, UINT64_MAX);
    metrics_write_u64(&out, "a_total", STR("b=\"c\""), 0);
    metrics_write_double(&out, "d", STR("b=\"c\""), 0.25);
    metrics_write_double(&out, "d", STR_EMPTY, 1e9);
    expect(&out,
           "# HELP a_total Some.\n# TYPE a_total counter\n"
           "a_total 18446744073709551615\na_total{b=\"c\"} 0\nd{b=\"c\"} 0.25\nd 1000000000\n");
}

static void labels_have_commas_between(void **state)
{
    (void)state;
    struct buf labels;
    buf_init(&labels, MAX_BYTES);
    metrics_label(&labels, "a", "b");
    metrics_label(&labels, "c", "");
    expect(&labels, "a=\"b\",c=\"\"");
}

static void a_histogram_of_numbers(void **state)
{
    (void)state;
    struct histogram h = {0};
    struct buf out;
    buf_init(&out, MAX_BYTES);
    histogram_add(&h, 1);
    histogram_add(&h, 3);
    histogram_add(&h, 20000000);
    metrics_write_histogram(&out, "n", STR_EMPTY, METRICS_NUMBERS, &h);
    expect(
        &out,
        "n_bucket{le=\"1\"} 1\nn_bucket{le=\"2\"} 1\nn_bucket{le=\"5\"} 2\nn_bucket{le=\"10\"} 2\n"
        "n_bucket{le=\"20\"} 2\nn_bucket{le=\"50\"} 2\nn_bucket{le=\"100\"} 2\n"
        "n_bucket{le=\"200\"} 2\nn_bucket{le=\"500\"} 2\nn_bucket{le=\"1000\"} 2\n"
        "n_bucket{le=\"2000\"} 2\nn_bucket{le=\"5000\"} 2\nn_bucket{le=\"10000\"} 2\n"
        "n_bucket{le=\"20000\"} 2\nn_bucket{le=\"50000\"} 2\nn_bucket{le=\"100000\"} 2\n"
        "n_bucket{le=\"200000\"} 2\nn_bucket{le=\"500000\"} 2\nn_bucket{le=\"1000000\"} 2\n"
        "n_bucket{le=\"2000000\"} 2\nn_bucket{le=\"5000000\"} 2\nn_bucket{le=\"10000000\"} 2\n"
        "n_bucket{le=\"+Inf\"} 3\nn_sum 20000004\nn_count 3\n");
}

/* What is below the first bound that is told is in it. */
static void a_histogram_from_milliseconds_on(void **state)
{
    (void)state;
    struct histogram h = {0};
    struct buf out;
    buf_init(&out, MAX_BYTES);
    histogram_add(&h, 7);
    histogram_add(&h, 1500);
    metrics_write_histogram(&out, "s", STR("a=\"b\""), METRICS_FROM_MILLISECONDS, &h);
    expect(&out, "s_bucket{a=\"b\",le=\"0.001\"} 1\ns_bucket{a=\"b\",le=\"0.002\"} 2\n"
                 "s_bucket{a=\"b\",le=\"0.005\"} 2\ns_bucket{a=\"b\",le=\"0.01\"} 2\n"
                 "s_bucket{a=\"b\",le=\"0.02\"} 2\ns_bucket{a=\"b\",le=\"0.05\"} 2\n"
                 "s_bucket{a=\"b\",le=\"0.1\"} 2\ns_bucket{a=\"b\",le=\"0.2\"} 2\n"
                 "s_bucket{a=\"b\",le=\"0.5\"} 2\ns_bucket{a=\"b\",le=\"1\"} 2\n"
                 "s_bucket{a=\"b\",le=\"2\"} 2\ns_bucket{a=\"b\",le=\"5\"} 2\n"
                 "s_bucket{a=\"b\",le=\"10\"} 2\ns_bucket{a=\"b\",le=\"+Inf\"} 2\n"
                 "s_sum{a=\"b\"} 0.001507\ns_count{a=\"b\"} 2\n");
}

/* The texts of the bounds are the bounds of base/histogram.h, in seconds. */
static void bounds_are_those_of_the_histogram(void **state)
{
    (void)state;
    struct histogram h = {0};
    struct buf out;
    buf_init(&out, MAX_BYTES);
    metrics_write_histogram(&out, "s", STR_EMPTY, METRICS_MICROSECONDS, &h);
    struct str rest = buf_str(&out);
    for (size_t i = 0; i + 1 < HISTOGRAM_N_BUCKETS; i++) {
        ptrdiff_t end = str_find(rest, '\n');
        char expected[64];
        snprintf(expected, sizeof(expected), "s_bucket{le=\"%.15g\"} 0",
                 (double)histogram_bound(i) / 1e6);
        assert_true(str_eq(str_head(rest, (size_t)end), str_of(expected)));
        rest = str_tail(rest, (size_t)end + 1);
    }
    assert_true(str_eq(rest, STR("s_bucket{le=\"+Inf\"} 0\ns_sum 0\ns_count 0\n")));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_and_samples),
        cmocka_unit_test(labels_have_commas_between),
        cmocka_unit_test(a_histogram_of_numbers),
        cmocka_unit_test(a_histogram_from_milliseconds_on),
        cmocka_unit_test(bounds_are_those_of_the_histogram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
