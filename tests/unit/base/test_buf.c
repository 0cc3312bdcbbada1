/* SPDX-License-Identifier: MIT */
/* The buffer: growth, its maximum, what a failure leaves behind. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_content(const struct buf *b, const char *text)
{
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->ptr, text, b->len);
}

static void appends(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    buf_append(&b, STR("a"));
    buf_append(&b, STR_EMPTY);
    buf_append_char(&b, ':');
    buf_append_u64(&b, 0);
    buf_append_char(&b, ' ');
    buf_append_u64(&b, UINT64_MAX);
    buf_append_char(&b, ' ');
    buf_append_i64(&b, INT64_MIN);
    buf_literal(&b, " end");
    assert_false(buf_failed(&b));
    assert_content(&b, "a:0 18446744073709551615 -9223372036854775808 end");
    buf_release(&b);
    assert_null(b.ptr);
    assert_int_equal(b.max, 1000);
}

static void formats(void **state)
{
    struct buf b;
    char long_text[1000];

    (void)state;
    memset(long_text, 'x', sizeof(long_text));
    long_text[999] = '\0';
    buf_init(&b, 2000);
    buf_printf(&b, "%s=%d;", "n", 42);
    assert_content(&b, "n=42;");
    buf_printf(&b, "%s|", long_text); /* longer than any stack space it may use */
    assert_int_equal(b.len, 5 + 999 + 1);
    assert_int_equal(b.ptr[b.len - 1], '|');
    buf_release(&b);
}

static void maximum_is_exact(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5);
    buf_append(&b, STR("12345"));
    assert_false(buf_failed(&b));
    assert_int_equal(buf_reserve(&b, 1), STATUS_TOO_LARGE);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), STATUS_TOO_LARGE);
    assert_false(buf_failed(&b)); /* reserving reports, and fails nothing */
    buf_append_char(&b, '6');
    assert_true(buf_failed(&b));
    assert_content(&b, "12345");
    buf_release(&b);
}

static void grows_up_to_a_crooked_maximum(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    for (int i = 0; i < 100; i++) {
        buf_append_char(&b, 'x');
    }
    assert_false(buf_failed(&b));
    assert_int_equal(b.capacity, 100);
    buf_append_char(&b, 'x');
    assert_true(buf_failed(&b));
    buf_release(&b);
}

static void failure_has_no_holes(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 8);
    buf_literal(&b, "abc");
    buf_literal(&b, "too long to fit");
    buf_literal(&b, "de"); /* would fit, but something is missing before it */
    assert_true(buf_failed(&b));
    assert_content(&b, "abc");
    assert_null(buf_take(&b));
    assert_false(buf_failed(&b));
    buf_literal(&b, "again");
    assert_content(&b, "again");
    buf_release(&b);
}

static void clear_keeps_memory(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    buf_literal(&b, "abc");
    char *memory = b.ptr;
    buf_literal(&b, "0123456789");
    assert_true(buf_failed(&b));
    buf_clear(&b);
    assert_false(buf_failed(&b));
    assert_int_equal(b.len, 0);
    assert_ptr_equal(b.ptr, memory);
    buf_release(&b);
}

static void consumes(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_consume(&b, 1);
    buf_literal(&b, "abcdef");
    buf_consume(&b, 2);
    assert_content(&b, "cdef");
    buf_consume(&b, 0);
    assert_content(&b, "cdef");
    buf_consume(&b, 99);
    assert_int_equal(b.len, 0);
    buf_release(&b);
}

static void take_terminates(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 3);
    buf_literal(&b, "abc"); /* full: the NUL does not count */
    char *text = buf_take(&b);
    assert_string_equal(text, "abc");
    free(text);
    assert_null(b.ptr);
    text = buf_take(&b);
    assert_string_equal(text, "");
    free(text);
}

static void grows_far(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1 << 20; i++) {
        buf_append_char(&b, (char)('a' + i % 26));
    }
    assert_false(buf_failed(&b));
    assert_int_equal(b.len, 1 << 20);
    assert_int_equal(b.ptr[26 * 1000 + 3], 'd');
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),
        cmocka_unit_test(formats),
        cmocka_unit_test(maximum_is_exact),
        cmocka_unit_test(grows_up_to_a_crooked_maximum),
        cmocka_unit_test(failure_has_no_holes),
        cmocka_unit_test(clear_keeps_memory),
        cmocka_unit_test(consumes),
        cmocka_unit_test(take_terminates),
        cmocka_unit_test(grows_far),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
