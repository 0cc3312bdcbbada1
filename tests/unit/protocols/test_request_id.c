/* SPDX-License-Identifier: MIT */
/* Names of requests: which are taken over, and what is made. */
#include "protocols/request_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void good_ones(void **state)
{
    (void)state;
    assert_true(request_id_is_good(STR("a")));
    assert_true(request_id_is_good(STR("7f3A-._~:+/=@")));
    assert_false(request_id_is_good(STR_EMPTY));
    assert_false(request_id_is_good(STR("a b")));
    assert_false(request_id_is_good(STR("a,b"))); /* two headers, joined */
    assert_false(request_id_is_good(STR("a\nb")));
    assert_false(request_id_is_good(STR("a\0")));
    assert_false(request_id_is_good(STR("\xc3\xbc")));
    char text[REQUEST_ID_MAX_BYTES + 1];
    memset(text, 'x', sizeof(text));
    assert_true(request_id_is_good((struct str){text, REQUEST_ID_MAX_BYTES}));
    assert_false(request_id_is_good((struct str){text, sizeof(text)}));
}

static void made_ones(void **state)
{
    (void)state;
    char one[REQUEST_ID_MADE_BYTES], other[REQUEST_ID_MADE_BYTES];
    request_id_make(one);
    request_id_make(other);
    assert_true(request_id_is_good((struct str){one, sizeof(one)}));
    assert_memory_not_equal(one, other, sizeof(one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),
        cmocka_unit_test(made_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
