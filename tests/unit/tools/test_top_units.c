/* SPDX-License-Identifier: MIT */
/* Figures in a few letters. */
#include "tools/top_units.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct example {
    double number;
    const char *text;
};

#define CHECK(function, ...)                                                                       \
    do {                                                                                           \
        static const struct example examples_[] = {__VA_ARGS__};                                   \
        for (size_t i_ = 0; i_ < sizeof(examples_) / sizeof(examples_[0]); i_++) {                 \
            assert_string_equal(function(examples_[i_].number).text, examples_[i_].text);          \
        }                                                                                          \
    } while (0)

static void counts(void **state)
{
    (void)state;
    CHECK(top_count, {0, "0"}, {7, "7"}, {99999, "99999"}, {100000, "100k"}, {123456, "123k"},
          {1234567, "1.23M"}, {12.3e9, "12.3G"}, {9e15, "9000T"}, {NAN, "-"});
}

static void rates(void **state)
{
    (void)state;
    CHECK(top_rate, {0, "0"}, {0.01, "0.1"}, {0.25, "0.2"}, {9.9, "9.9"}, {9.96, "10"},
          {12.4, "12"}, {1234567, "1.23M"}, {NAN, "-"});
}

static void durations(void **state)
{
    (void)state;
    CHECK(top_duration, {0, "0us"}, {1e-6, "1us"}, {0.00045, "450us"}, {0.0009996, "1.00ms"},
          {0.001, "1.00ms"}, {0.01237, "12.4ms"}, {0.25, "250ms"}, {0.9996, "1.00s"}, {2, "2.00s"},
          {61.3, "61.3s"}, {600, "600s"}, {INFINITY, "inf"}, {NAN, "-"});
}

static void bytes(void **state)
{
    (void)state;
    CHECK(top_bytes, {0, "0B"}, {512, "512B"}, {1000, "0.98KiB"}, {1536, "1.50KiB"},
          {14.25 * 1024 * 1024, "14.2MiB"}, {64.0 * 1024 * 1024, "64.0MiB"}, {NAN, "-"});
}

static void spans(void **state)
{
    (void)state;
    CHECK(top_span, {0, "0s"}, {59.9, "59s"}, {60, "1m00s"}, {3599, "59m59s"}, {3600, "1h00m"},
          {86399, "23h59m"}, {86400, "1d00h"}, {30 * 86400.0 + 7200, "30d02h"}, {NAN, "-"},
          {-1, "-"}, {1e300, "-"}, {INFINITY, "-"});
}

static void percents(void **state)
{
    (void)state;
    CHECK(top_percent, {0, "0.0%"}, {3.44, "3.4%"}, {99.96, "100%"}, {250, "250%"}, {NAN, "-"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts), cmocka_unit_test(rates), cmocka_unit_test(durations),
        cmocka_unit_test(bytes),  cmocka_unit_test(spans), cmocka_unit_test(percents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
