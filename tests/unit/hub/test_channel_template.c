/* SPDX-License-Identifier: MIT */
/* Channel templates: text and names in turn, and braces that are not closed. */
#include "hub/channel_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Pieces as "text;" and "{name};", and what could not be read behind "!". */
static void check(const char *template, const char *expected)
{
    struct str rest = str_of(template);
    struct str piece;
    bool is_name;
    struct buf found;
    buf_init(&found, 1000);
    while (channel_template_next(&rest, &piece, &is_name)) {
        buf_append(&found, is_name ? STR("{") : STR_EMPTY);
        buf_append(&found, piece);
        buf_append(&found, is_name ? STR("};") : STR(";"));
    }
    if (rest.len > 0) {
        buf_append_char(&found, '!');
        buf_append(&found, rest);
    }
    assert_int_equal(found.len, strlen(expected));
    assert_memory_equal(found.len > 0 ? found.ptr : "", expected, found.len);
    buf_release(&found);
}

static void pieces_come_in_order(void **state)
{
    (void)state;
    check("", "");
    check("news", "news;");
    check("city:{city}", "city:;{city};");
    check("{a}{b}", "{a};{b};");
    check("{a}:{b}/x", "{a};:;{b};/x;");
    check("a}b", "a}b;");
    check("{a{b}", "{a{b};");
}

static void what_is_not_closed_stays(void **state)
{
    (void)state;
    check("{", "!{");
    check("city:{city", "city:;!{city");
    check("{}", "!{}");
    check("a{}b", "a;!{}b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_come_in_order),
        cmocka_unit_test(what_is_not_closed_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
