/* SPDX-License-Identifier: MIT */
/* Which of the two signatures of a hook's request counts, and what a stranger is told. */
#include "protocols/feed_hooks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hub/webhook_signature.h"

#define NOW_S INT64_C(1767225600)

static const struct str key = STR("It's a Secret to Everybody");
static const struct str body = STR("Hello, World!");
static const struct str of_body =
    STR("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");

static enum status verify(struct str text, struct str signature, struct str hub_signature,
                          const char *expected_why)
{
    const char *why = "";
    enum status status = feed_hooks_verify(key, NOW_S, text, signature, hub_signature, &why);
    if (status == STATUS_OK) {
        assert_string_equal(why, "");
    } else {
        assert_non_null(strstr(why, expected_why));
    }
    return status;
}

static void either_signature_is_good(void **state)
{
    (void)state;
    char text[WEBHOOK_SIGNATURE_SIZE];
    assert_int_equal(webhook_sign(key, NOW_S - 10, body, text), STATUS_OK);
    assert_int_equal(verify(body, str_of(text), STR_EMPTY, ""), STATUS_OK);
    assert_int_equal(verify(body, STR_EMPTY, of_body, ""), STATUS_OK);
    /* Ours is the better one: where it is there, it counts. */
    assert_int_equal(verify(body, str_of(text), STR("sha256=00"), ""), STATUS_OK);
    assert_int_equal(verify(body, STR("t=1"), of_body, "expected X-Belfry-Signature"),
                     STATUS_INVALID);
}

static void a_stranger_is_told_why(void **state)
{
    (void)state;
    char text[WEBHOOK_SIGNATURE_SIZE];
    assert_int_equal(verify(body, STR_EMPTY, STR_EMPTY, "expected X-Belfry-Signature"),
                     STATUS_INVALID);
    assert_int_equal(verify(STR("other"), STR_EMPTY, of_body, "not that of this body"),
                     STATUS_UNAUTHORIZED);
    assert_int_equal(webhook_sign(key, NOW_S - 301, body, text), STATUS_OK);
    assert_int_equal(verify(body, str_of(text), STR_EMPTY, "300 s"), STATUS_EXPIRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(either_signature_is_good),
        cmocka_unit_test(a_stranger_is_told_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
