/* SPDX-License-Identifier: MIT */
/* Grants: every member, every wrong type, texts kept byte for byte, and names that come twice. */
#include "hub/subscription_grant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json_span.h"

static struct subscription_grant read_good(const char *json)
{
    struct subscription_grant grant = {0};
    const struct subscription_fault *wrong = NULL;
    assert_int_equal(json_check(str_of(json), NULL), STATUS_OK);
    if (subscription_grant_read(str_of(json), &grant, &wrong) != STATUS_OK) {
        fail_msg("%s: %s", json, wrong ? wrong->in_words : "");
    }
    return grant;
}

static void check_wrong(const char *json, const char *member)
{
    struct subscription_grant grant = {.expires_at = 77};
    const struct subscription_fault *wrong = NULL;
    assert_int_equal(json_check(str_of(json), NULL), STATUS_OK);
    assert_int_equal(subscription_grant_read(str_of(json), &grant, &wrong), STATUS_INVALID);
    assert_string_equal(wrong->member, member);
    assert_true(strlen(wrong->expected) > 3 && strlen(wrong->in_words) > 3);
    assert_string_equal(wrong->in_result + (*member ? 7 : 6), member);
    assert_int_equal(grant.expires_at, 77);
    assert_int_equal(subscription_grant_read(str_of(json), &grant, NULL), STATUS_INVALID);
}

static void check_texts(const char *json, const char *info, const char *data)
{
    struct subscription_grant grant = read_good(json);
    if (info) {
        assert_string_equal(grant.info, info);
    } else {
        assert_null(grant.info);
    }
    if (data) {
        assert_string_equal(grant.data, data);
    } else {
        assert_null(grant.data);
    }
    subscription_grant_release(&grant);
}

static void texts_are_kept(void **state)
{
    (void)state;
    check_texts("{}", NULL, NULL);
    check_texts(" {\"info\":{\"n\": 1.10, \"id\":1234567890123456789}}",
                "{\"n\": 1.10, \"id\":1234567890123456789}", NULL);
    check_texts("{\"data\":[\n1,\r\n1e999]}", NULL, "[1,1e999]");
    check_texts("{\"info\":null,\"data\":false}", "null", "false");
    check_texts("{\"in\\u0066o\":\"x\\ny\"}", "\"x\\ny\"", NULL);
    check_texts("{\"other\":{\"info\":1}}", NULL, NULL);
}

static void base64_is_of_json(void **state)
{
    (void)state;
    check_texts("{\"b64info\":\"eyJhIjogMS4xMH0=\"}", "{\"a\": 1.10}", NULL);
    check_texts("{\"b64data\":\"WwoxCl0=\",\"b64info\":\"\"}", NULL, "[1]");
    check_texts("{\"info\":1,\"b64info\":\"Mg==\"}", "2", NULL);
    check_texts("{\"info\":1,\"b64info\":\"\"}", "1", NULL);
    check_texts("{\"info\":1,\"b64info\":null,\"b64data\":null}", "1", NULL);
    check_wrong("{\"b64info\":\"eyJhIjo=\"}", "b64info"); /* {"a": */
    check_wrong("{\"b64data\":\"/w==\"}", "b64data");     /* no UTF-8 */
    check_wrong("{\"b64info\":\"Mg\"}", "b64info");       /* no padding */
    check_wrong("{\"b64info\":\"M!==\"}", "b64info");     /* no base64 */
    check_wrong("{\"b64info\":{}}", "b64info");
    check_wrong("{\"b64data\":12}", "b64data");
    check_wrong("{\"info\":1,\"b64info\":\"????\"}", "b64info");
}

static void times(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int64_t expires_at;
    } good[] = {{"{\"expire_at\":0}", 0},
                {"{\"expire_at\":null}", 0},
                {"{\"expire_at\":1700000000}", 1700000000},
                {"{\"expire_at\":9223372036854775807}", INT64_MAX}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct subscription_grant grant = read_good(good[i].json);
        assert_int_equal(grant.expires_at, good[i].expires_at);
        subscription_grant_release(&grant);
    }
    check_wrong("{\"expire_at\":-1}", "expire_at");
    check_wrong("{\"expire_at\":1.5}", "expire_at");
    check_wrong("{\"expire_at\":\"1\"}", "expire_at");
    check_wrong("{\"expire_at\":9223372036854775808}", "expire_at");
}

static void overrides(void **state)
{
    (void)state;
    struct subscription_grant grant =
        read_good("{\"override\":{\"presence\":{\"value\":true},\"join_leave\":{\"value\":false},"
                  "\"force_push_join_leave\":{},\"force_recovery\":null}}");
    assert_int_equal(grant.override.presence, OVERRIDE_TRUE);
    assert_int_equal(grant.override.join_leave, OVERRIDE_FALSE);
    assert_int_equal(grant.override.force_push_join_leave, OVERRIDE_FALSE);
    assert_int_equal(grant.override.force_recovery, OVERRIDE_NONE);
    assert_int_equal(grant.override.force_positioning, OVERRIDE_NONE);
    subscription_grant_release(&grant);
    grant = read_good("{\"override\":{\"force_push_join_leave\":{\"value\":true},"
                      "\"force_recovery\":{\"value\":true},"
                      "\"force_positioning\":{\"value\":null}}}");
    assert_int_equal(grant.override.presence, OVERRIDE_NONE);
    assert_int_equal(grant.override.force_push_join_leave, OVERRIDE_TRUE);
    assert_int_equal(grant.override.force_recovery, OVERRIDE_TRUE);
    assert_int_equal(grant.override.force_positioning, OVERRIDE_FALSE);
    subscription_grant_release(&grant);
    grant = read_good("{\"override\":null}");
    subscription_grant_release(&grant);
    check_wrong("{\"override\":[]}", "override");
    check_wrong("{\"override\":{\"presence\":true}}", "override.presence");
    check_wrong("{\"override\":{\"force_recovery\":{\"value\":1}}}", "override.force_recovery");
    check_wrong("{\"override\":{\"force_positioning\":{\"value\":\"true\"}}}",
                "override.force_positioning");
    check_wrong("{\"override\":{\"join_leave\":{},\"join_leave\":{}}}", "override");
    check_wrong("{\"override\":{\"presense\":{\"value\":false}}}", "override");
    check_wrong("{\"override\":{\"presense\":null}}", "override");
    check_wrong("{\"override\":{\"presence\":{\"vaule\":true}}}", "override.presence");
    check_wrong("{\"override\":{\"join_leave\":1}}", "override.join_leave");
    check_wrong("{\"override\":{\"force_push_join_leave\":[]}}", "override.force_push_join_leave");
}

static void what_is_no_grant(void **state)
{
    (void)state;
    check_wrong("[]", "");
    check_wrong("null", "");
    check_wrong("\"info\"", "");
    check_wrong("{\"info\":1,\"info\":2}", "info");
    check_wrong("{\"data\":1,\"d\\u0061ta\":2}", "data");
}

/* --- several --- */

/* "name=info;" of each, in their order. */
static char *summary(const struct subscription_grants *grants)
{
    struct buf text;
    buf_init(&text, 10000);
    for (size_t i = 0; i < grants->n_items; i++) {
        const char *info = grants->items[i].info;
        buf_printf(&text, "%s=%s;", grants->items[i].channel, info ? info : "");
    }
    return buf_take(&text);
}

static void check_many(const char *json, const char *expected)
{
    struct subscription_grants grants = {0};
    const struct subscription_fault *wrong = NULL;
    assert_int_equal(json_check(str_of(json), NULL), STATUS_OK);
    if (subscription_grants_read(str_of(json), &grants, &wrong) != STATUS_OK) {
        fail_msg("%s: %s", json, wrong ? wrong->in_words : "");
    }
    char *text = summary(&grants);
    assert_string_equal(text, expected);
    free(text);
    subscription_grants_release(&grants);
}

static void check_many_wrong(const char *json, const char *member)
{
    struct subscription_grants grants = {NULL, 77};
    const struct subscription_fault *wrong = NULL;
    assert_int_equal(json_check(str_of(json), NULL), STATUS_OK);
    assert_int_equal(subscription_grants_read(str_of(json), &grants, &wrong), STATUS_INVALID);
    assert_string_equal(wrong->member, member);
    assert_true(strlen(wrong->expected) > 3 && strlen(wrong->in_words) > 3);
    assert_string_equal(wrong->in_result + (*member ? 7 : 6), member);
    assert_int_equal(grants.n_items, 77);
    assert_int_equal(subscription_grants_read(str_of(json), &grants, NULL), STATUS_INVALID);
}

static void many_in_their_order(void **state)
{
    (void)state;
    check_many("{}", "");
    check_many("{\"channels\":[],\"subs\":{}}", "");
    check_many("{\"channels\":null,\"subs\":null}", "");
    check_many("{\"channels\":[\"b\",\"a\",\"news:\\u00e9\"]}", "b=;a=;news:\xc3\xa9=;");
    check_many("{\"subs\":{\"z\":{\"info\":1},\"\\u0079\":{\"b64info\":\"Mg==\"},\"x\":null}}",
               "z=1;y=2;x=;");
}

static void the_last_of_a_name_stays(void **state)
{
    (void)state;
    check_many("{\"subs\":{\"a\":{\"info\":1}},\"channels\":[\"b\",\"a\",\"c\"]}", "b=;c=;a=1;");
    check_many("{\"channels\":[\"a\",\"a\",\"b\",\"a\"]}", "b=;a=;");
    check_many("{\"subs\":{\"a\":{\"info\":1},\"b\":{\"info\":2},\"\\u0061\":{\"info\":3},"
               "\"a\":{\"info\":4,\"data\":5}}}",
               "b=2;a=4;");
}

static void what_are_no_grants(void **state)
{
    (void)state;
    check_many_wrong("[]", "");
    check_many_wrong("{\"channels\":{}}", "channels");
    check_many_wrong("{\"channels\":\"a\"}", "channels");
    check_many_wrong("{\"channels\":[\"a\",1]}", "channels");
    check_many_wrong("{\"channels\":[null]}", "channels");
    check_many_wrong("{\"channels\":[\"\"]}", "channels");
    check_many_wrong("{\"channels\":[\"a\\u0000b\"]}", "channels");
    check_many_wrong("{\"subs\":[]}", "subs");
    check_many_wrong("{\"subs\":{\"a\":{\"info\":1},\"\":{}}}", "subs");
    check_many_wrong("{\"subs\":{\"a\":{\"info\":1},\"b\":[]}}", "subs");
    check_many_wrong("{\"subs\":{\"a\":{\"info\":1},\"b\":{\"expire_at\":\"\"}}}",
                     "subs.*.expire_at");
    check_many_wrong("{\"subs\":{\"a\":{\"override\":{\"presense\":{}}}}}", "subs.*.override");
    check_many_wrong("{\"subs\":{\"a\":{\"override\":{\"presence\":1}}}}",
                     "subs.*.override.presence");
    check_many_wrong("{\"subs\":{\"a\":{\"data\":1,\"data\":1}}}", "subs.*.data");
    check_many_wrong("{\"channels\":[],\"channels\":[]}", "channels");
}

/* A hundred thousand names, all with one beginning, each twice. */
static void very_many(void **state)
{
    (void)state;
    struct buf json;
    struct subscription_grants grants;
    buf_init(&json, 1 << 24);
    buf_literal(&json, "{\"channels\":[\"first\"");
    for (int i = 0; i < 200000; i++) {
        buf_printf(&json, ",\"a-long-beginning-that-all-have:%d\"", i % 100000);
    }
    buf_literal(&json, "]}");
    assert_false(buf_failed(&json));
    assert_int_equal(subscription_grants_read(buf_str(&json), &grants, NULL), STATUS_OK);
    assert_int_equal(grants.n_items, 100001);
    assert_string_equal(grants.items[0].channel, "first");
    assert_string_equal(grants.items[1].channel, "a-long-beginning-that-all-have:0");
    assert_string_equal(grants.items[100000].channel, "a-long-beginning-that-all-have:99999");
    subscription_grants_release(&grants);
    buf_release(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_kept),
        cmocka_unit_test(base64_is_of_json),
        cmocka_unit_test(times),
        cmocka_unit_test(overrides),
        cmocka_unit_test(what_is_no_grant),
        cmocka_unit_test(many_in_their_order),
        cmocka_unit_test(the_last_of_a_name_stays),
        cmocka_unit_test(what_are_no_grants),
        cmocka_unit_test(very_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
