/* SPDX-License-Identifier: MIT */
/* Random values: the forms of identifiers, the bounds of jitter, no repetition. */
#include "base/rng.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void below_stays_below(void **state)
{
    unsigned seen[7] = {0};

    (void)state;
    for (int i = 0; i < 7000; i++) {
        uint64_t number = rng_below(7);
        assert_true(number < 7);
        seen[number]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(seen[i], 700, 1300); /* ten standard deviations around 1000 */
    }
    assert_int_equal(rng_below(1), 0);
}

static void below_reaches_the_top(void **state)
{
    uint64_t all = 0;

    (void)state;
    for (int i = 0; i < 64; i++) {
        all |= rng_below(UINT64_MAX);
    }
    assert_true(all > UINT64_MAX / 2);
}

static void bytes_fill_exactly(void **state)
{
    unsigned char bytes[66] = {0};
    unsigned char again[64];

    (void)state;
    rng_bytes(bytes + 1, 64);
    rng_bytes(again, 64);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[65], 0);
    assert_memory_not_equal(bytes + 1, again, 64);
}

static void epochs_are_letters(void **state)
{
    char epoch[RNG_EPOCH_SIZE];
    char other[RNG_EPOCH_SIZE];

    (void)state;
    for (int round = 0; round < 100; round++) {
        rng_epoch(epoch);
        assert_int_equal(strlen(epoch), 8);
        for (int i = 0; i < 8; i++) {
            assert_true(isalpha((unsigned char)epoch[i]));
        }
    }
    rng_epoch(other);
    assert_string_not_equal(epoch, other);
}

static void uuids_are_version_4(void **state)
{
    char uuid[RNG_UUID_SIZE];
    char other[RNG_UUID_SIZE];

    (void)state;
    for (int round = 0; round < 100; round++) {
        rng_uuid(uuid);
        assert_int_equal(strlen(uuid), 36);
        assert_int_equal(strspn(uuid, "0123456789abcdef-"), 36);
        assert_true(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-');
        assert_int_equal(uuid[14], '4');
        assert_non_null(strchr("89ab", uuid[19]));
    }
    rng_uuid(other);
    assert_string_not_equal(uuid, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(below_stays_below),   cmocka_unit_test(below_reaches_the_top),
        cmocka_unit_test(bytes_fill_exactly),  cmocka_unit_test(epochs_are_letters),
        cmocka_unit_test(uuids_are_version_4),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
