/* SPDX-License-Identifier: MIT */
/* Patterns: a search as Go's regexp does it, errors with words, and expressions made to explode. */
#include "base/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"

static struct pattern *pattern_of(const char *text)
{
    struct pattern *pattern = NULL;
    assert_int_equal(pattern_create(str_of(text), &pattern, NULL), STATUS_OK);
    return pattern;
}

static bool finds(const char *text, struct str in)
{
    struct pattern *pattern = pattern_of(text);
    bool found = pattern_matches(pattern, in);
    assert_int_equal(pattern_matches(pattern, in), found); /* and again with the same one */
    pattern_destroy(pattern);
    return found;
}

static void searches_anywhere(void **state)
{
    (void)state;
    assert_true(finds("b", STR("abc")));
    assert_false(finds("^b", STR("abc")));
    assert_true(finds("^a.c$", STR("abc")));
    assert_false(finds("d", STR("abc")));
    assert_true(finds("", STR_EMPTY));
    assert_true(finds("^$", STR_EMPTY));
    assert_false(finds(".", STR_EMPTY));
}

static void means_what_re2_means(void **state)
{
    (void)state;
    assert_false(finds("^admin$", STR("admin\n")));
    assert_true(finds("(?m)^admin$", STR("x\nadmin\ny")));
    assert_false(finds("^a.b$", STR("a\nb")));
    assert_true(finds("(?s)^a.b$", STR("a\nb")));
    assert_true(finds("^a.b$", STR("a\rb")));
    assert_true(finds("(?i)NEWS", STR("news")));
    assert_true(finds("^(?P<tenant>t1|t2)$", STR("t2")));
    assert_true(finds("^.$", STR("\xc3\xa9")));
    assert_true(finds("^\\pL+$", STR("\xc3\xa9t\xc3\xa9")));
    assert_false(finds("^\\d$", STR("\xd9\xa3"))); /* an Arabic digit */
    assert_true(finds("\\z", STR("a")));
    assert_true(finds("a\\x00b", STR("a\0b")));
}

static void bytes_that_are_not_utf8_match_nothing(void **state)
{
    (void)state;
    assert_false(finds("^.*$", STR("a\xff")));
    assert_false(finds("\xc3\xbf", STR("\xff")));
    assert_true(finds("a", STR("\xff\xfe"
                               "a\xc3")));
}

static void check_refused(const char *text)
{
    struct pattern *pattern = NULL;
    struct pattern_error error = {0};
    assert_int_equal(pattern_create(str_of(text), &pattern, &error), STATUS_INVALID);
    assert_null(pattern);
    assert_true(strlen(error.words) > 5);
    assert_int_equal(pattern_create(str_of(text), &pattern, NULL), STATUS_INVALID);
}

static void what_is_no_pattern(void **state)
{
    (void)state;
    check_refused("(");
    check_refused("[a");
    check_refused("*");
    check_refused("a{2,1}");
    check_refused("\xff");
    check_refused("\\C");
    char *huge = malloc(20001);
    assert_non_null(huge);
    memset(huge, 'a', 20000);
    huge[20000] = '\0';
    check_refused(huge);
    free(huge);
}

static void says_where(void **state)
{
    (void)state;
    struct pattern *pattern = NULL;
    struct pattern_error error = {0};
    assert_int_equal(pattern_create(STR("abc)d"), &pattern, &error), STATUS_INVALID);
    assert_int_equal(error.offset, 3);
    assert_string_equal(error.words, "unmatched closing parenthesis");
}

/* Without bounds each of them takes longer than the universe has. */
static void explosions_are_given_up(void **state)
{
    (void)state;
    static const char *const bombs[] = {"^(a+)+$", "^(a|aa)+$", "^(a*)*b$", "(x+x+)+y",
                                        "^(([a-z])+.)+[A-Z]([a-z])+$"};
    char text[PATTERN_TEXT_MAX];
    memset(text, 'a', sizeof(text));
    memset(text, 'x', 2000);
    text[sizeof(text) - 1] = '!';
    log_set_level(LOG_NONE);
    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
        assert_false(finds(bombs[i], (struct str){text, sizeof(text)}));
        assert_false(finds(bombs[i], (struct str){text + 2000, sizeof(text) - 2000}));
    }
    log_set_level(LOG_INFO);
}

static void honest_ones_are_not(void **state)
{
    (void)state;
    char text[PATTERN_TEXT_MAX];
    memset(text, 'a', sizeof(text));
    struct str all = {text, sizeof(text)};
    assert_true(finds("^[a-z]+$", all));
    assert_true(finds("^([a-z]|-)+$", all));
    assert_true(finds("([a-z]|-)+$", str_head(all, 255)));
    assert_true(finds("^(?:(?:[a-z]+|[0-9]+)[-_.]?){1,64}$", str_head(all, 255)));
    text[sizeof(text) - 1] = 'z';
    assert_true(finds("^.*z$", all));
    assert_true(finds("az$", all));
}

static void too_long_a_text_matches_nothing(void **state)
{
    (void)state;
    char text[PATTERN_TEXT_MAX + 1];
    memset(text, 'a', sizeof(text));
    log_set_level(LOG_NONE);
    assert_true(finds("a", (struct str){text, sizeof(text) - 1}));
    assert_false(finds("a", (struct str){text, sizeof(text)}));
    log_set_level(LOG_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(searches_anywhere),
        cmocka_unit_test(means_what_re2_means),
        cmocka_unit_test(bytes_that_are_not_utf8_match_nothing),
        cmocka_unit_test(what_is_no_pattern),
        cmocka_unit_test(says_where),
        cmocka_unit_test(explosions_are_given_up),
        cmocka_unit_test(honest_ones_are_not),
        cmocka_unit_test(too_long_a_text_matches_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
