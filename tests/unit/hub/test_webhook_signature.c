/* SPDX-License-Identifier: MIT */
/* Signatures of requests: what is made is taken, and nothing else. */
#include "hub/webhook_signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW_S INT64_C(1767225600)

static const struct str key = STR("It's a Secret to Everybody");
static const struct str body = STR("Hello, World!");
/* The example of GitHub's documentation. */
static const struct str of_body =
    STR("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");

static struct str sign(int64_t time_s, char text[WEBHOOK_SIGNATURE_SIZE])
{
    assert_int_equal(webhook_sign(key, time_s, body, text), STATUS_OK);
    return str_of(text);
}

static void what_is_signed_is_verified(void **state)
{
    (void)state;
    char text[WEBHOOK_SIGNATURE_SIZE];
    struct str signature = sign(NOW_S, text);
    assert_int_equal(webhook_verify(key, NOW_S, body, signature), STATUS_OK);
    assert_int_equal(webhook_verify(key, NOW_S, STR("Hello, World?"), signature),
                     STATUS_UNAUTHORIZED);
    assert_int_equal(webhook_verify(key, NOW_S, STR_EMPTY, signature), STATUS_UNAUTHORIZED);
    assert_int_equal(webhook_verify(STR("another"), NOW_S, body, signature), STATUS_UNAUTHORIZED);
}

static void the_time_counts(void **state)
{
    (void)state;
    static const struct {
        int64_t distance_s;
        enum status status;
    } expected[] = {
        {-WEBHOOK_TOLERANCE_S, STATUS_OK},
        {WEBHOOK_TOLERANCE_S, STATUS_OK},
        {-WEBHOOK_TOLERANCE_S - 1, STATUS_EXPIRED},
        {WEBHOOK_TOLERANCE_S + 1, STATUS_EXPIRED},
    };
    char text[WEBHOOK_SIGNATURE_SIZE];
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct str signature = sign(NOW_S, text);
        assert_int_equal(webhook_verify(key, NOW_S + expected[i].distance_s, body, signature),
                         expected[i].status);
    }
}

/* Who changes the time has to sign again. */
static void the_time_is_signed(void **state)
{
    (void)state;
    char text[WEBHOOK_SIGNATURE_SIZE];
    char other[2 * WEBHOOK_SIGNATURE_SIZE];
    sign(NOW_S, text);
    snprintf(other, sizeof(other), "t=%lld%s", (long long)NOW_S + 1, text + 12);
    assert_int_equal(webhook_verify(key, NOW_S, body, str_of(other)), STATUS_UNAUTHORIZED);
    snprintf(other, sizeof(other), "t=0%s", text + 2);
    assert_int_equal(webhook_verify(key, NOW_S, body, str_of(other)), STATUS_UNAUTHORIZED);
}

static void malformed_ones_are_told_apart(void **state)
{
    (void)state;
    static const char digest[] = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    static const char *const formats[] = {
        "",
        "%s",
        "t=1",
        "t=1,v1=",
        "t=,v1=%s",
        "t=-1,v1=%s",
        "t=1,v0=%s",
        "t=1,v1=%s0",
        "t=1,v1=%sg",
        "v1=%s,t=1",
        "t=1v1=%s",
        "t=1 ,v1=%s",
        "t=1,v1=x%s",
        "t=1;v1=%s",
        "T=1,v1=%s",
        "t=18446744073709551615,v1=%s",
        "t=99999999999999999999,v1=%s",
        "t=00000000000000000000000000000000000001,v1=%s",
    };
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        char text[160];
        snprintf(text, sizeof(text), formats[i], digest);
        assert_int_equal(webhook_verify(key, 1, body, str_of(text)), STATUS_INVALID);
    }
}

static void the_form_of_github_is_taken(void **state)
{
    (void)state;
    assert_int_equal(webhook_verify_body(key, body, of_body), STATUS_OK);
    assert_int_equal(webhook_verify_body(key, STR("Hello, World"), of_body), STATUS_UNAUTHORIZED);
    assert_int_equal(webhook_verify_body(STR("x"), body, of_body), STATUS_UNAUTHORIZED);
    assert_int_equal(webhook_verify_body(key, body, str_tail(of_body, 7)), STATUS_INVALID);
    assert_int_equal(webhook_verify_body(key, body, str_head(of_body, of_body.len - 1)),
                     STATUS_INVALID);
    assert_int_equal(webhook_verify_body(key, body, STR("sha1=757107ea")), STATUS_INVALID);
    assert_int_equal(webhook_verify_body(key, body, STR_EMPTY), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_verified),
        cmocka_unit_test(the_time_counts),
        cmocka_unit_test(the_time_is_signed),
        cmocka_unit_test(malformed_ones_are_told_apart),
        cmocka_unit_test(the_form_of_github_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
