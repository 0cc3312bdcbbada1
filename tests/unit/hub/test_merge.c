/* SPDX-License-Identifier: MIT */
/* Merging: one object on one line, every value's text as its upstream wrote it. */
#include "hub/merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json_span.h"

static void check_merge(const struct merge_part *parts, size_t n, const char *expected)
{
    struct buf out;
    buf_init(&out, 10000);
    assert_int_equal(merge_object(parts, n, &out), STATUS_OK);
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(out.ptr, expected, out.len);
    assert_int_equal(json_check(buf_str(&out), NULL), STATUS_OK);
    buf_release(&out);
}

static void values_keep_their_bytes_and_order(void **state)
{
    (void)state;
    const struct merge_part parts[] = {
        {STR("z"), STR("{\"price\": 1.10, \"id\":12345678901234567890,\"price\":2E+0}")},
        {STR("a"), STR("\"\\u00e9 \xc3\xa9 \\/\"")},
        {STR("m"), STR("-0.0")},
    };
    check_merge(parts, 3,
                "{\"z\":{\"price\": 1.10, \"id\":12345678901234567890,\"price\":2E+0},"
                "\"a\":\"\\u00e9 \xc3\xa9 \\/\",\"m\":-0.0}");
}

static void line_ends_go_and_missing_ones_are_null(void **state)
{
    (void)state;
    const struct merge_part parts[] = {
        {STR("gone"), STR_EMPTY},
        {STR("lines"), STR("[\n 1,\r\n\t2\n]")},
        {STR("null"), STR("null")},
    };
    check_merge(parts, 3, "{\"gone\":null,\"lines\":[ 1,\t2],\"null\":null}");
    check_merge(parts, 0, "{}");
}

static void names_are_escaped(void **state)
{
    (void)state;
    const struct merge_part parts[] = {{STR("a\"b\\"), STR("1")}};
    check_merge(parts, 1, "{\"a\\\"b\\\\\":1}");
}

static void a_full_text_is_told(void **state)
{
    (void)state;
    const struct merge_part parts[] = {{STR("a"), STR("12345")}};
    struct buf out;
    buf_init(&out, 10); /* {"a":12345} has 11 */
    assert_int_equal(merge_object(parts, 1, &out), STATUS_TOO_LARGE);
    buf_release(&out);
    buf_init(&out, 11);
    assert_int_equal(merge_object(parts, 1, &out), STATUS_OK);
    buf_release(&out);
}

static void check_select(const char *pointer, const char *expected)
{
    struct str value;
    enum status status = merge_select(STR(" {\"items\": [ 1.0, {\"a/b\":true} ],\"n\":null} "),
                                      str_of(pointer), &value);
    assert_int_equal(status, expected ? STATUS_OK : STATUS_NOT_FOUND);
    if (expected) {
        assert_int_equal(value.len, strlen(expected));
        assert_memory_equal(value.ptr, expected, value.len);
    }
}

static void selects_by_pointer(void **state)
{
    (void)state;
    check_select("", "{\"items\": [ 1.0, {\"a/b\":true} ],\"n\":null}");
    check_select("/items", "[ 1.0, {\"a/b\":true} ]");
    check_select("/items/0", "1.0");
    check_select("/items/1/a~1b", "true");
    check_select("/n", "null");
    check_select("/items/2", NULL);
    check_select("/nothing", NULL);
    check_select("/n/x", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_their_bytes_and_order),
        cmocka_unit_test(line_ends_go_and_missing_ones_are_null),
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(a_full_text_is_told),
        cmocka_unit_test(selects_by_pointer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
