/* SPDX-License-Identifier: MIT */
/* Which lines pages of other origins get. */
#include "protocols/cors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void check_lines(struct str origin, struct str requested, const char *expected)
{
    char glob[] = "https://*.example";
    char *globs[] = {glob};
    struct config_list list = {.items = globs, .n_items = 1};
    struct buf out;
    buf_init(&out, 4096);
    cors_append(&out, &list, origin, requested);
    buf_append_char(&out, '\0');
    assert_false(buf_failed(&out));
    assert_string_equal(out.ptr, expected);
    buf_release(&out);
}

#define ALLOWED                                                                                    \
    "Vary: Origin\r\nAccess-Control-Allow-Origin: https://a.example\r\n"                           \
    "Access-Control-Allow-Credentials: true\r\n"

static void an_allowed_origin_is_echoed(void **state)
{
    (void)state;
    check_lines(STR("https://a.example"), STR_EMPTY, ALLOWED);
}

static void others_get_nothing(void **state)
{
    (void)state;
    check_lines(STR_EMPTY, STR("x-a"), "Vary: Origin\r\n");
    check_lines(STR("https://a.other"), STR("x-a"), "Vary: Origin\r\n");
    check_lines(STR("null"), STR_EMPTY, "Vary: Origin\r\n");
}

static void asked_headers_are_echoed(void **state)
{
    (void)state;
    check_lines(STR("https://a.example"), STR("content-type, X-More"),
                ALLOWED "Access-Control-Allow-Headers: content-type, X-More\r\n");
}

static void nothing_that_could_end_a_line_is_echoed(void **state)
{
    (void)state;
    check_lines(STR("https://a\r\nSet-Cookie: b.example"), STR_EMPTY, "Vary: Origin\r\n");
    check_lines(STR("https://a b.example"), STR_EMPTY, "Vary: Origin\r\n");
    check_lines(STR("https://\x80.example"), STR_EMPTY, "Vary: Origin\r\n");
    check_lines(STR("https://a.example"), STR("x\r\nSet-Cookie: b"), ALLOWED);
    check_lines(STR("https://a.example"), STR("x: y"), ALLOWED);
    check_lines(STR("https://a.example"), STR("x\0y"), ALLOWED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allowed_origin_is_echoed),
        cmocka_unit_test(others_get_nothing),
        cmocka_unit_test(asked_headers_are_echoed),
        cmocka_unit_test(nothing_that_could_end_a_line_is_echoed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
