/* SPDX-License-Identifier: MIT */
/* What the arguments of GET /feeds/NAME say. */
#include "protocols/feed_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/json_span.h"

static void assert_text(struct str text, const char *expected)
{
    char shown[512];
    snprintf(shown, sizeof(shown), "%.*s", STR_ARG(text));
    assert_string_equal(shown, expected);
}

static void parameters_become_an_object(void **state)
{
    (void)state;
    static const struct {
        struct str arguments;
        const char *params;
    } expected[] = {
        {STR(""), "{}"},
        {STR("city=bilbao\0"), "{\"city\":\"bilbao\"}"},
        {STR("a=1\0b=\0c\0"), "{\"a\":\"1\",\"b\":\"\",\"c\":\"\"}"},
        {STR("\0a=1\0\0\0b=2"), "{\"a\":\"1\",\"b\":\"2\"}"},
        {STR("a=b=c\0"), "{\"a\":\"b=c\"}"},
        {STR("=x\0"), "{\"\":\"x\"}"},
        {STR("a=\"\\\t\0"), "{\"a\":\"\\\"\\\\\\t\"}"},
        {STR("Fresh=1\0tokens=2\0"), "{\"Fresh\":\"1\",\"tokens\":\"2\"}"},
        {STR("a=\xc3\xa9\0"), "{\"a\":\"\xc3\xa9\"}"},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct feed_query query;
        struct buf why;
        buf_init(&why, 512);
        assert_int_equal(feed_query_read(expected[i].arguments, &query, &why), STATUS_OK);
        assert_text(buf_str(&query.params), expected[i].params);
        assert_int_equal(json_check(buf_str(&query.params), NULL), STATUS_OK);
        assert_false(query.is_fresh);
        assert_int_equal(query.token.len, 0);
        assert_int_equal(why.len, 0);
        feed_query_release(&query);
        buf_release(&why);
    }
}

static void what_is_for_the_hub_is_no_parameter(void **state)
{
    (void)state;
    static const struct {
        struct str arguments;
        bool is_fresh;
        const char *token;
    } expected[] = {
        {STR("fresh=1\0a=1\0"), true, ""},      {STR("a=1\0fresh\0"), true, ""},
        {STR("fresh=true\0a=1\0"), true, ""},   {STR("a=1\0fresh=0\0"), false, ""},
        {STR("fresh=false\0a=1\0"), false, ""}, {STR("token=x.y=\0a=1\0fresh=\0"), true, "x.y="},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct feed_query query;
        struct buf why;
        buf_init(&why, 512);
        assert_int_equal(feed_query_read(expected[i].arguments, &query, &why), STATUS_OK);
        assert_text(buf_str(&query.params), "{\"a\":\"1\"}");
        assert_int_equal(query.is_fresh, expected[i].is_fresh);
        assert_text(query.token, expected[i].token);
        feed_query_release(&query);
        buf_release(&why);
    }
}

static void what_is_not_clear_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct str arguments;
        const char *why;
    } expected[] = {
        {STR("a=1\0b=2\0a=1\0"), "\"a\" is there twice"},
        {STR("fresh=1\0fresh=1\0"), "\"fresh\" is there twice"},
        {STR("token=1\0x=\0token=2\0"), "\"token\" is there twice"},
        {STR("fresh=yes\0"), "\"fresh\" is 1 or 0"},
        {STR("a=\xff\0"), "\"a\" is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct feed_query query;
        struct buf why;
        buf_init(&why, 512);
        assert_int_equal(feed_query_read(expected[i].arguments, &query, &why), STATUS_INVALID);
        assert_text(buf_str(&why), expected[i].why);
        buf_release(&why);
    }
}

static void too_many_are_refused(void **state)
{
    (void)state;
    struct feed_query query;
    struct buf why;
    struct buf arguments;
    buf_init(&why, 512);
    buf_init(&arguments, 100000);
    for (int i = 0; i < 300; i++) {
        buf_printf(&arguments, "%d=%0300d", i, i);
        buf_append_char(&arguments, '\0');
    }
    assert_int_equal(feed_query_read(buf_str(&arguments), &query, &why), STATUS_INVALID);
    assert_text(buf_str(&why), "the arguments are too long");
    buf_release(&arguments);
    buf_release(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_become_an_object),
        cmocka_unit_test(what_is_for_the_hub_is_no_parameter),
        cmocka_unit_test(what_is_not_clear_is_refused),
        cmocka_unit_test(too_many_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
