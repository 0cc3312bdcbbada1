/* SPDX-License-Identifier: MIT */
/* The clocks run forward and tell the same time as the C library. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static void monotonic_never_goes_back(void **state)
{
    int64_t last_us = clock_monotonic_us();
    int64_t start_us = last_us;

    (void)state;
    while (last_us - start_us < 2000) { /* ends only when it also goes forward */
        int64_t now_us = clock_monotonic_us();
        assert_true(now_us >= last_us);
        last_us = now_us;
    }
    assert_true(clock_monotonic_ms() >= last_us / 1000);
    assert_true(clock_monotonic_ms() <= clock_monotonic_us() / 1000);
}

static void wall_is_unix_time(void **state)
{
    struct timespec before;
    struct timespec after;

    (void)state;
    (void)clock_gettime(CLOCK_REALTIME, &before);
    int64_t now_ms = clock_wall_ms();
    (void)clock_gettime(CLOCK_REALTIME, &after);
    assert_true(now_ms / 1000 >= before.tv_sec);
    assert_true(now_ms / 1000 <= after.tv_sec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_never_goes_back),
        cmocka_unit_test(wall_is_unix_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
