/* SPDX-License-Identifier: MIT */
/* Comments in a configuration: what is one, what is none, and that all places stay where they are.
 */
#include "base/config_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static size_t blank(const char *text, struct buf *out)
{
    *out = config_text_buf();
    return config_blank_comments(str_of(text), out);
}

static void check(const char *text, const char *expected)
{
    struct buf out;
    assert_true(blank(text, &out) == SIZE_MAX);
    char *found = config_text_take(&out);
    assert_string_equal(found, expected);
    free(found);
}

static void check_open(const char *text, const char *expected, size_t place)
{
    struct buf out;
    assert_int_equal(blank(text, &out), place);
    char *found = config_text_take(&out);
    assert_string_equal(found, expected);
    free(found);
}

static void comments_become_blanks(void **state)
{
    (void)state;
    check("", "");
    check("{}", "{}");
    check("{} // end", "{}       ");
    check("// one\n{}\n//", "      \n{}\n  ");
    check("{/* a */}", "{       }");
    check("{/**/}", "{    }");
    check("{/***/}/* **/", "{     }      ");
    check("/* two\n\tlines\r\n*/{}", "      \n\t     \r\n  {}");
    check("// a /* b\n{} /* c // d */ 1", "         \n{}              1");
    check("{} /* /* */", "{}         ");
    check("\n//\n//\n", "\n  \n  \n");
}

static void texts_are_left_alone(void **state)
{
    (void)state;
    check("{\"a\":\"http://b/*\"}", "{\"a\":\"http://b/*\"}");
    check("{\"a\\\"//\":\"\\\\\"}//\"", "{\"a\\\"//\":\"\\\\\"}   ");
    check("\"/*\" /*\"*/ \"*/\"", "\"/*\"       \"*/\"");
    check("\"\xc3\xa4//\"", "\"\xc3\xa4//\"");
}

static void what_is_no_comment_stays(void **state)
{
    (void)state;
    check("/", "/");
    check("{ / }", "{ / }");
    check("{} */", "{} */");
    check("# no", "# no");
    check("\"open\n// comment", "\"open\n          ");
    check("\"open\\\n// comment", "\"open\\\n          ");
    check("\"\\", "\"\\");
}

static void a_character_is_one_blank(void **state)
{
    (void)state;
    check("/* \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 */1", "         1");
    check("//\xff\x80\n1", "   \n1");
}

static void a_comment_without_an_end_stays(void **state)
{
    (void)state;
    check_open("{} /* x", "{} /* x", 3);
    check_open("/*/", "/*/", 0);
    check_open("/*\xc3\xa4*/ /* y *", "      /* y *", 6);
    check_open("// a\n/* b */ /*", "    \n        /*", 13);
}

/* --- in a document --- */

struct object {
    int64_t n;
};
static const struct config_field fields[] = {
    {.key = "n", .type = CONFIG_INT, .offset = offsetof(struct object, n), .fallback = "1"},
};
static const struct config_shape shape = {sizeof(struct object), fields, 1, NULL, NULL};

/* NULL: there is none. */
static void check_error(const char *text, const char *error)
{
    struct object object;
    struct config_errors errors;
    enum status status = config_read(str_of(text), &shape, &object, &errors);
    assert_int_equal(status, error ? STATUS_INVALID : STATUS_OK);
    assert_int_equal(errors.n_texts, error ? 1 : 0);
    if (error) {
        assert_string_equal(errors.texts[0], error);
    }
    config_errors_release(&errors);
    config_release(&shape, &object);
}

static void documents_have_comments(void **state)
{
    struct object object;
    struct config_errors errors;
    (void)state;
    struct str text = STR("// n\n{ /* n */ \"n\": 5 // n\n}");
    assert_int_equal(config_read(text, &shape, &object, &errors), STATUS_OK);
    assert_int_equal(object.n, 5);
    check_error("/* nothing */", "line 1, column 13: '[' or '{' expected");
    check_error("{}/* a */\n  x", "line 2, column 3: end of file expected");
    check_error("{\n/* \xc3\xa4 */ x}", "line 2, column 9: string or '}' expected");
}

static void a_comment_without_an_end_is_an_error(void **state)
{
    (void)state;
    check_error("{\n  \"n\": 5 /* five\n}\n",
                "line 2, column 10: a comment that begins here with /* has no */");
    check_error("{\"n\": 5} /*", "line 1, column 10: a comment that begins here with /* has no */");
    check_error("/*", "line 1, column 1: a comment that begins here with /* has no */");
    /* What is wrong before it is said first. */
    check_error("{\n  x /* five\n}", "line 2, column 3: string or '}' expected");
    check_error("{ / }", "line 1, column 3: string or '}' expected");
}

static void requests_have_none(void **state)
{
    struct object object;
    struct config_errors errors;
    (void)state;
    assert_int_equal(config_read_request(STR("{} // end"), &shape, &object, &errors),
                     STATUS_INVALID);
    assert_string_equal(errors.texts[0], "line 1, column 4: end of file expected");
    config_errors_release(&errors);
    config_release(&shape, &object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comments_become_blanks),
        cmocka_unit_test(texts_are_left_alone),
        cmocka_unit_test(what_is_no_comment_stays),
        cmocka_unit_test(a_character_is_one_blank),
        cmocka_unit_test(a_comment_without_an_end_stays),
        cmocka_unit_test(documents_have_comments),
        cmocka_unit_test(a_comment_without_an_end_is_an_error),
        cmocka_unit_test(requests_have_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
