/* SPDX-License-Identifier: MIT */
/* Arguments behind the path, as libwebsockets has decoded them. Reading them is in
 * e2e/streams_raw.test.mjs. */
#include "protocols/client_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void check_found(struct str arguments, struct str name, struct str expected)
{
    struct str value = client_head_find(arguments, name);
    if (!str_eq(value, expected)) {
        fail_msg("%.*s instead of %.*s", STR_ARG(value), STR_ARG(expected));
    }
}

static void an_argument_is_found_by_its_whole_name(void **state)
{
    (void)state;
    static const struct str arguments = STR("cf=1\0cf_connect={\"a\":\"b=c&d\"}\0cf_=2\0");
    check_found(arguments, STR("cf_connect"), STR("{\"a\":\"b=c&d\"}"));
    check_found(arguments, STR("cf"), STR("1"));
    check_found(arguments, STR("cf_"), STR("2"));
    check_found(arguments, STR("cf_c"), STR_EMPTY);
    check_found(arguments, STR("connect"), STR_EMPTY);
}

static void the_first_of_a_name_counts(void **state)
{
    (void)state;
    check_found(STR("a=1\0a=2\0"), STR("a"), STR("1"));
}

static void an_argument_may_have_no_value(void **state)
{
    (void)state;
    check_found(STR("a\0b=\0"), STR("a"), STR_EMPTY);
    check_found(STR("a\0b=\0"), STR("b"), STR_EMPTY);
    check_found(STR_EMPTY, STR("a"), STR_EMPTY);
}

static void protobuf_is_asked_for_in_two_ways(void **state)
{
    (void)state;
    const struct {
        struct str arguments;
        bool expected;
    } cases[] = {
        {STR("format=protobuf\0"), true},      {STR("x=1\0cf_protocol=protobuf\0"), true},
        {STR("format=json\0"), false},         {STR("cf_protocol=protobuff\0"), false},
        {STR("cf_connect=protobuf\0"), false}, {STR_EMPTY, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client_head head = {.is_binary = false};
        buf_init(&head.arguments, 100);
        buf_append(&head.arguments, cases[i].arguments);
        assert_int_equal(client_head_wants_protobuf(&head), cases[i].expected);
        buf_release(&head.arguments);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_argument_is_found_by_its_whole_name),
        cmocka_unit_test(the_first_of_a_name_counts),
        cmocka_unit_test(an_argument_may_have_no_value),
        cmocka_unit_test(protobuf_is_asked_for_in_two_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
