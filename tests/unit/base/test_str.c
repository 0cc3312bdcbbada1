/* SPDX-License-Identifier: MIT */
/* Views of bytes: the edges (empty, NULL, beyond the end) and the glob patterns. */
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void comparison(void **state)
{
    (void)state;
    assert_true(str_eq(STR_EMPTY, STR("")));
    assert_true(str_eq(STR("abc"), STR("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_eq_nocase(STR("Sec-WebSocket-Key"), STR("sec-websocket-KEY")));
    assert_false(str_eq_nocase(STR("@"), STR("`"))); /* 32 apart, but no letters */
    assert_false(str_eq_nocase(STR("abc"), STR("ab")));
    assert_true(str_starts_with(STR("abc"), STR("ab")));
    assert_true(str_starts_with(STR_EMPTY, STR_EMPTY));
    assert_false(str_starts_with(STR("ab"), STR("abc")));
}

static void secrets(void **state)
{
    (void)state;
    assert_true(str_eq_secret(STR(""), STR_EMPTY));
    assert_true(str_eq_secret(STR("k3y"), STR("k3y")));
    assert_false(str_eq_secret(STR("k3y"), STR("k3z")));
    assert_false(str_eq_secret(STR("k3"), STR("k3y")));
    assert_false(str_eq_secret(STR("k3y!"), STR("k3y")));
    assert_false(str_eq_secret(STR("k\0"), STR("k")));
}

static void parts(void **state)
{
    (void)state;
    assert_true(str_eq(str_head(STR("abc"), 2), STR("ab")));
    assert_true(str_eq(str_head(STR("abc"), 9), STR("abc")));
    assert_true(str_eq(str_tail(STR("abc"), 1), STR("bc")));
    assert_true(str_eq(str_tail(STR("abc"), 9), STR_EMPTY));
    assert_true(str_eq(str_tail(STR_EMPTY, 1), STR_EMPTY));
    assert_true(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
    assert_true(str_eq(str_trim(STR(" \t ")), STR_EMPTY));
    assert_int_equal(str_find(STR("a:b:c"), ':'), 1);
    assert_int_equal(str_find(STR("abc"), ':'), -1);
    assert_int_equal(str_find(STR_EMPTY, ':'), -1);
}

static void numbers(void **state)
{
    uint64_t number = 7;

    (void)state;
    assert_true(str_to_u64(STR("18446744073709551615"), &number));
    assert_true(number == UINT64_MAX);
    assert_true(str_to_u64(STR("007"), &number));
    assert_int_equal(number, 7);
    assert_false(str_to_u64(STR("18446744073709551616"), &number));
    assert_false(str_to_u64(STR("99999999999999999999"), &number));
    assert_false(str_to_u64(STR(""), &number));
    assert_false(str_to_u64(STR("+1"), &number));
    assert_false(str_to_u64(STR("1 "), &number));
    assert_int_equal(number, 7); /* untouched by failures */
}

static void copies(void **state)
{
    char *copy = str_dup(str_head(STR("abcdef"), 3));
    char *empty = str_dup(STR_EMPTY);

    (void)state;
    assert_string_equal(copy, "abc");
    assert_string_equal(empty, "");
    free(copy);
    free(empty);
}

static void glob_matches(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},         {"*", ""},           {"*", "anything"},    {"a?c", "abc"},
        {"a*", "a"},      {"*.c", "str.c"},    {"a*b*c", "a-b-b-c"}, {"[abc]", "b"},
        {"[a-z]x", "qx"}, {"[^a]", "b"},       {"[z-a]", "m"},       {"\\*", "*"},
        {"[\\]]", "]"},   {"[a-]", "-"},       {"[", "["},           {"a\\", "a\\"},
        {"**a", "bca"},   {"news:*", "news:"}, {"[ab", "[ab"},       {"*[0-9]", "ab12"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (!str_glob(str_of(pairs[i][0]), str_of(pairs[i][1]))) {
            fail_msg("%s should match %s", pairs[i][0], pairs[i][1]);
        }
    }
}

static void glob_refuses(void **state)
{
    static const char *const pairs[][2] = {
        {"", "a"},      {"a", ""},     {"?", ""},         {"a?c", "ac"}, {"*.c", "str.h"},
        {"[abc]", "d"}, {"[^a]", "a"}, {"[a-c]", "d"},    {"\\*", "x"},  {"abc", "abcd"},
        {"a*b", "ac"},  {"[]", "]"},   {"news:*", "new"}, {"[ab", "a"},  {"a*b*c", "a-c-b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (str_glob(str_of(pairs[i][0]), str_of(pairs[i][1]))) {
            fail_msg("%s should not match %s", pairs[i][0], pairs[i][1]);
        }
    }
}

/* With backtracking into every star this would take longer than the universe has existed. */
static void glob_is_not_exponential(void **state)
{
    char pattern[201];
    char text[2001];

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    }
    pattern[200] = 'b';
    memset(text, 'a', sizeof(text));
    assert_false(
        str_glob((struct str){pattern, sizeof(pattern)}, (struct str){text, sizeof(text)}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparison),   cmocka_unit_test(secrets),
        cmocka_unit_test(parts),        cmocka_unit_test(numbers),
        cmocka_unit_test(copies),       cmocka_unit_test(glob_matches),
        cmocka_unit_test(glob_refuses), cmocka_unit_test(glob_is_not_exponential),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
