/* SPDX-License-Identifier: MIT */
/* Every outcome has a name of its own; the names are an interface (logs, metrics). */
#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names_are_stable(void **state)
{
    (void)state;
    assert_string_equal(status_name(STATUS_OK), "ok");
    assert_string_equal(status_name(STATUS_TOO_LARGE), "too_large");
    assert_string_equal(status_name(STATUS_UNRECOVERABLE), "unrecoverable");
    assert_string_equal(status_name((enum status)1), "unknown");
    assert_string_equal(status_name((enum status)(STATUS_UPSTREAM_TIMEOUT - 1)), "unknown");
}

static void names_are_distinct(void **state)
{
    (void)state;
    for (int a = STATUS_UPSTREAM_TIMEOUT; a <= STATUS_OK; a++) {
        assert_string_not_equal(status_name((enum status)a), "unknown");
        for (int b = STATUS_UPSTREAM_TIMEOUT; b < a; b++) {
            assert_string_not_equal(status_name((enum status)a), status_name((enum status)b));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_stable),
        cmocka_unit_test(names_are_distinct),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
