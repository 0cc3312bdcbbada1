/* SPDX-License-Identifier: MIT */
/* Which origins pass which lists. */
#include "protocols/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static bool allowed(const char *glob, struct str origin)
{
    char *globs[] = {(char *)(uintptr_t)glob};
    struct config_list list = {.items = globs, .n_items = glob ? 1 : 0};
    return origin_is_allowed(&list, origin);
}

static void no_origin_is_no_browser(void **state)
{
    (void)state;
    assert_true(allowed(NULL, STR_EMPTY));
    assert_true(allowed("https://a.example", STR_EMPTY));
}

static void an_empty_list_lets_no_browser_in(void **state)
{
    (void)state;
    assert_false(allowed(NULL, STR("https://a.example")));
    assert_false(allowed(NULL, STR("null")));
}

static void globs(void **state)
{
    (void)state;
    assert_true(allowed("*", STR("https://a.example")));
    assert_true(allowed("*", STR("null")));
    assert_true(allowed("https://a.example", STR("https://a.example")));
    assert_true(allowed("https://a.example", STR("HTTPS://A.Example")));
    assert_true(allowed("HTTPS://A.EXAMPLE", STR("https://a.example")));
    assert_true(allowed("https://*.example", STR("https://a.b.example")));
    assert_true(allowed("http://localhost:*", STR("http://localhost:8000")));
    assert_false(allowed("https://a.example", STR("http://a.example")));
    assert_false(allowed("https://a.example", STR("https://a.example:8443")));
    assert_false(allowed("https://a.example", STR("https://a.example.evil.example")));
    assert_false(allowed("https://a.example", STR("https://evil.example/https://a.example")));
    assert_false(allowed("https://*.example", STR("https://example")));
}

static void any_entry_of_a_list(void **state)
{
    (void)state;
    char first[] = "https://a.example";
    char second[] = "https://b.example";
    char *all[] = {first, second};
    struct config_list list = {.items = all, .n_items = 2};
    assert_true(origin_is_allowed(&list, STR("https://a.example")));
    assert_true(origin_is_allowed(&list, STR("https://b.example")));
    assert_false(origin_is_allowed(&list, STR("https://c.example")));
}

static void very_long_ones(void **state)
{
    (void)state;
    char text[600];
    memset(text, 'a', sizeof(text));
    assert_true(allowed("*", (struct str){text, 512}));
    assert_false(allowed("*", (struct str){text, 513}));
    text[599] = '\0';
    assert_false(allowed(text, (struct str){text, 512})); /* so long a glob fits nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_origin_is_no_browser),
        cmocka_unit_test(an_empty_list_lets_no_browser_in),
        cmocka_unit_test(globs),
        cmocka_unit_test(any_entry_of_a_list),
        cmocka_unit_test(very_long_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
