/* SPDX-License-Identifier: MIT */
/* The breaker's states, with a clock of the test's. */
#include "upstreams/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct breaker_options usual = {.failures = 3, .open_ms = 1000, .max_open_ms = 5000};

/* One request, of which comes what the verdict says. True: it was the one that tries. */
static bool ask(struct breaker *b, int64_t now_ms, enum breaker_verdict verdict)
{
    assert_true(breaker_allows(b, now_ms));
    bool is_probe = breaker_enter(b, now_ms);
    (void)breaker_leave(b, now_ms, is_probe, verdict);
    return is_probe;
}

static struct breaker opened(int64_t now_ms)
{
    struct breaker b;
    breaker_init(&b, &usual);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(b.state, BREAKER_CLOSED);
        assert_false(ask(&b, now_ms, BREAKER_BAD));
    }
    assert_int_equal(b.state, BREAKER_OPEN);
    return b;
}

/* It has opened at `now_ms`: equal jitter. */
static void assert_open_for(const struct breaker *b, int64_t now_ms, int64_t wait_ms)
{
    assert_int_equal(b->state, BREAKER_OPEN);
    assert_in_range(b->until_ms - now_ms, wait_ms - wait_ms / 2, wait_ms);
    assert_false(breaker_allows(b, b->until_ms - 1));
    assert_true(breaker_allows(b, b->until_ms));
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
    assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
    assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
}

static void test_failures_in_a_row_open(void **state)
{
    (void)state;
    struct breaker b = opened(7000);
    assert_open_for(&b, 7000, 1000);
    assert_int_equal(b.n_opened, 1);
}

static void test_a_success_begins_the_row_anew(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, &usual);
    for (int i = 0; i < 20; i++) {
        (void)ask(&b, 0, i % 3 == 2 ? BREAKER_GOOD : BREAKER_BAD);
        assert_int_equal(b.state, BREAKER_CLOSED);
    }
}

static void test_cancelled_requests_do_not_count(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, &usual);
    (void)ask(&b, 0, BREAKER_BAD);
    (void)ask(&b, 0, BREAKER_BAD);
    (void)ask(&b, 0, BREAKER_NO_VERDICT);
    assert_int_equal(b.state, BREAKER_CLOSED);
    (void)ask(&b, 0, BREAKER_BAD); /* nor did it end the row */
    assert_int_equal(b.state, BREAKER_OPEN);
}

static void test_no_failures_allowed_means_no_breaker(void **state)
{
    (void)state;
    struct breaker_options options = usual;
    struct breaker b;
    options.failures = 0;
    breaker_init(&b, &options);
    for (int i = 0; i < 1000; i++) {
        (void)ask(&b, 0, BREAKER_BAD);
    }
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void test_exactly_one_tries(void **state)
{
    (void)state;
    struct breaker b = opened(0);
    int64_t now_ms = b.until_ms;
    assert_true(breaker_enter(&b, now_ms));
    assert_int_equal(b.state, BREAKER_HALF_OPEN);
    assert_false(breaker_allows(&b, now_ms));
    assert_false(breaker_allows(&b, now_ms + 1000000)); /* however long it takes */
    assert_true(breaker_leave(&b, now_ms, true, BREAKER_GOOD));
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_false(ask(&b, now_ms, BREAKER_BAD)); /* a row begins with nothing */
    assert_false(ask(&b, now_ms, BREAKER_BAD));
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void test_who_tries_and_fails_opens_for_longer(void **state)
{
    (void)state;
    struct breaker b = opened(0);
    const int64_t waits_ms[] = {2000, 4000, 5000, 5000};
    for (size_t i = 0; i < 4; i++) {
        int64_t now_ms = b.until_ms;
        assert_true(ask(&b, now_ms, BREAKER_BAD));
        assert_open_for(&b, now_ms, waits_ms[i]);
        assert_int_equal(b.n_opened, 2 + i);
    }
    assert_true(ask(&b, b.until_ms, BREAKER_GOOD));
    for (int i = 0; i < 3; i++) {
        (void)ask(&b, 100000, BREAKER_BAD);
    }
    assert_open_for(&b, 100000, 1000); /* from the beginning again */
}

static void test_when_the_one_is_cancelled_the_next_tries(void **state)
{
    (void)state;
    struct breaker b = opened(0);
    int64_t now_ms = b.until_ms;
    for (int i = 0; i < 3; i++) {
        assert_true(ask(&b, now_ms, BREAKER_NO_VERDICT));
        assert_int_equal(b.state, BREAKER_HALF_OPEN);
    }
    assert_true(ask(&b, now_ms, BREAKER_GOOD));
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void test_requests_from_before_teach_nothing(void **state)
{
    (void)state;
    struct breaker b = opened(0);
    int64_t until_ms = b.until_ms;
    assert_false(breaker_leave(&b, 10, false, BREAKER_GOOD));
    assert_false(breaker_leave(&b, 10, false, BREAKER_BAD));
    assert_int_equal(b.state, BREAKER_OPEN);
    assert_int_equal(b.until_ms, until_ms);
    assert_true(breaker_enter(&b, until_ms));
    assert_false(breaker_leave(&b, until_ms, false, BREAKER_GOOD));
    assert_false(breaker_leave(&b, until_ms, false, BREAKER_BAD));
    assert_int_equal(b.state, BREAKER_HALF_OPEN);
    assert_false(breaker_allows(&b, until_ms));
}

static void test_the_jitter_differs(void **state)
{
    (void)state;
    struct breaker b = opened(0);
    int64_t first_ms = b.until_ms;
    int n_same = 0;
    for (int i = 0; i < 50; i++) {
        b = opened(0);
        n_same += b.until_ms == first_ms;
    }
    assert_true(n_same < 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_failures_in_a_row_open),
        cmocka_unit_test(test_a_success_begins_the_row_anew),
        cmocka_unit_test(test_cancelled_requests_do_not_count),
        cmocka_unit_test(test_no_failures_allowed_means_no_breaker),
        cmocka_unit_test(test_exactly_one_tries),
        cmocka_unit_test(test_who_tries_and_fails_opens_for_longer),
        cmocka_unit_test(test_when_the_one_is_cancelled_the_next_tries),
        cmocka_unit_test(test_requests_from_before_teach_nothing),
        cmocka_unit_test(test_the_jitter_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
