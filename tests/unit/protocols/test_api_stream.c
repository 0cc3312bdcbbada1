/* SPDX-License-Identifier: MIT */
/* The body of POST /api: where its objects begin and end, and what is none. */
#include "protocols/api_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_next(struct str *rest, const char *expected)
{
    struct str object;
    assert_true(api_stream_next(rest, &object));
    assert_int_equal(object.len, strlen(expected));
    assert_memory_equal(object.ptr, expected, object.len);
}

static void objects_come_in_order(void **state)
{
    struct str rest = STR("{\"a\":\"}{\\\"\"}{}\n\t{\"b\":[{},{\"c\":{}}]} \r\n");
    struct str object;
    struct api_stream_fault fault;
    size_t n;
    (void)state;
    assert_int_equal(api_stream_check(rest, 3, &n, &fault), STATUS_OK);
    assert_int_equal(n, 3);
    assert_next(&rest, "{\"a\":\"}{\\\"\"}");
    assert_next(&rest, "{}");
    assert_next(&rest, "{\"b\":[{},{\"c\":{}}]}");
    assert_false(api_stream_next(&rest, &object));
}

static void what_is_no_object_is_refused(void **state)
{
    static const struct {
        struct str stream;
        size_t offset;
    } cases[] = {
        {STR("{} 12"), 3},  {STR("{}]"), 2},    {STR("{}}"), 2},        {STR("[{}]"), 0},
        {STR("\"{}\""), 0}, {STR("{}\0"), 2},   {STR("{} {\"a\":"), 8}, {STR("{\"a\":\"\\"), 6},
        {STR("{}{]"), 3},   {STR("null{}"), 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct api_stream_fault fault = {.offset = SIZE_MAX};
        size_t n = 17;
        assert_int_equal(api_stream_check(cases[i].stream, 9, &n, &fault), STATUS_INVALID);
        assert_int_equal(fault.offset, cases[i].offset);
        assert_non_null(fault.expected);
        assert_int_equal(n, 17);
    }
}

static void too_many_and_none_are_refused(void **state)
{
    struct api_stream_fault fault;
    size_t n = 17;
    (void)state;
    assert_int_equal(api_stream_check(STR(""), 9, &n, &fault), STATUS_LIMIT);
    assert_int_equal(api_stream_check(STR(" \n"), 9, &n, &fault), STATUS_LIMIT);
    assert_int_equal(api_stream_check(STR("{}{}{}"), 2, &n, &fault), STATUS_LIMIT);
    /* What comes behind is not looked at any more: it may be long. */
    assert_int_equal(api_stream_check(STR("{}{}{} no object"), 2, &n, &fault), STATUS_LIMIT);
    assert_int_equal(n, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_come_in_order),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(too_many_and_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
