/* SPDX-License-Identifier: MIT */
/* Members of API requests: absent, right, and of a wrong type with words for it. */
#include "protocols/api_params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void begin(struct api_params *p, const char *body)
{
    assert_int_equal(json_check(str_of(body), NULL), STATUS_OK);
    api_params_init(p, str_of(body));
}

static void check_str(struct str found, const char *expected)
{
    assert_int_equal(found.len, strlen(expected));
    assert_memory_equal(found.len > 0 ? found.ptr : "", expected, found.len);
}

static void absent_members_are_empty(void **state)
{
    (void)state;
    struct api_params p;
    struct str text = STR("x");
    bool truth = true;
    int64_t whole = 7;
    uint64_t natural = 7;
    begin(&p, " { } ");
    assert_true(api_text(&p, "a", &text));
    check_str(text, "");
    assert_true(api_bool(&p, "a", &truth));
    assert_false(truth);
    assert_true(api_i64(&p, "a", &whole));
    assert_int_equal(whole, 0);
    assert_true(api_u64(&p, p.object, "a", &natural));
    assert_int_equal(natural, 0);
    assert_true(api_object(&p, "a", &text));
    check_str(text, "");
    assert_true(api_string_map(&p, "a", &text));
    check_str(api_value(&p, "a"), "");
    assert_string_equal(p.wrong, "");
    api_params_release(&p);
}

static void members_are_read(void **state)
{
    (void)state;
    struct api_params p;
    struct str text;
    bool truth;
    int64_t whole;
    uint64_t natural;
    begin(&p,
          "{\"text\":\"news\",\"yes\":true,\"no\":false,\"minus\":-5,\"big\":18446744073709551615,"
          "\"object\":{\"a\": 1.0},\"map\":{\"k\":\"v\"},\"data\": [1.10, 2] }");
    assert_true(api_text(&p, "text", &text));
    check_str(text, "news");
    assert_true(api_bool(&p, "yes", &truth) && truth);
    assert_true(api_bool(&p, "no", &truth) && !truth);
    assert_true(api_i64(&p, "minus", &whole));
    assert_int_equal(whole, -5);
    assert_true(api_u64(&p, p.object, "big", &natural));
    assert_true(natural == UINT64_MAX);
    assert_true(api_object(&p, "object", &text));
    check_str(text, "{\"a\": 1.0}");
    assert_true(api_string_map(&p, "map", &text));
    check_str(text, "{\"k\":\"v\"}");
    check_str(api_value(&p, "data"), "[1.10, 2]");
    api_params_release(&p);
}

/* Views into the decoded texts must stay true while more are decoded. */
static void several_texts_with_escapes(void **state)
{
    (void)state;
    struct api_params p;
    struct str a;
    struct str b;
    struct str c;
    begin(&p, "{\"a\":\"\\u0061\\n\",\"b\":\"\\\\\\\\\\\\\",\"c\":\"x\\u00e9\"}");
    assert_true(api_text(&p, "a", &a));
    assert_true(api_text(&p, "b", &b));
    assert_true(api_text(&p, "c", &c));
    check_str(a, "a\n");
    check_str(b, "\\\\\\");
    check_str(c, "x\xc3\xa9");
    assert_true(api_decode(&p, "channels", STR("\"plain\""), &a));
    check_str(a, "plain");
    check_str(b, "\\\\\\");
    api_params_release(&p);
}

static void wrong_types_are_named(void **state)
{
    (void)state;
    struct api_params p;
    struct str text;
    bool truth;
    int64_t whole;
    uint64_t natural;
    begin(&p, "{\"n\":1.5,\"s\":\"1\",\"null\":null,\"map\":{\"a\":\"b\",\"c\":1},\"list\":[]}");
    assert_false(api_text(&p, "n", &text));
    assert_string_equal(p.wrong, "n: expected a string");
    assert_true(api_text(&p, "null", &text)); /* as if it were absent */
    assert_int_equal(text.len, 0);
    assert_true(api_object(&p, "null", &text));
    assert_int_equal(text.len, 0);
    assert_true(api_i64(&p, "null", &whole));
    assert_int_equal(whole, 0);
    assert_false(api_bool(&p, "s", &truth));
    assert_string_equal(p.wrong, "s: expected true or false");
    assert_false(api_i64(&p, "n", &whole));
    assert_string_equal(p.wrong, "n: expected a whole number");
    assert_false(api_i64(&p, "s", &whole));
    assert_false(api_u64(&p, p.object, "s", &natural));
    assert_string_equal(p.wrong, "s: expected a whole number, not negative");
    assert_false(api_object(&p, "list", &text));
    assert_string_equal(p.wrong, "list: expected an object");
    assert_false(api_string_map(&p, "map", &text));
    assert_string_equal(p.wrong, "map: expected an object of strings");
    assert_false(api_string_map(&p, "list", &text));
    assert_false(api_decode(&p, "channels", STR("7"), &text));
    assert_string_equal(p.wrong, "channels: expected a string");
    api_params_release(&p);
}

static void short_texts(void **state)
{
    (void)state;
    struct api_params p;
    struct str text;
    begin(&p, "{\"a\":\"12345\",\"b\":\"\\u00e9\",\"n\":1}");
    assert_true(api_short_text(&p, "a", 5, &text));
    check_str(text, "12345");
    assert_true(api_short_text(&p, "absent", 5, &text));
    check_str(text, "");
    assert_false(api_short_text(&p, "a", 4, &text));
    assert_string_equal(p.wrong, "a: expected at most 4 bytes of text");
    assert_true(api_short_text(&p, "b", 2, &text)); /* what it stands for is counted */
    assert_false(api_short_text(&p, "b", 1, &text));
    assert_false(api_short_text(&p, "n", 5, &text));
    assert_string_equal(p.wrong, "n: expected a string");
    api_params_release(&p);
}

static void bytes_in_base64(void **state)
{
    (void)state;
    struct api_params p;
    struct str before;
    struct str bytes;
    begin(&p, "{\"a\":\"e30=\",\"b\":\"e3\\u0030=\",\"c\":\"e30\",\"d\":\"\",\"n\":1}");
    assert_true(api_base64(&p, "b", &before));
    check_str(before, "{}");
    assert_true(api_base64(&p, "a", &bytes));
    check_str(bytes, "{}");
    check_str(before, "{}");
    assert_true(api_base64(&p, "d", &bytes));
    check_str(bytes, "");
    assert_true(api_base64(&p, "absent", &bytes));
    check_str(bytes, "");
    assert_false(api_base64(&p, "c", &bytes));
    assert_string_equal(p.wrong, "c: expected base64 with padding");
    assert_false(api_base64(&p, "n", &bytes));
    assert_string_equal(p.wrong, "n: expected a string");
    api_params_release(&p);
}

static void what_is_no_object_has_no_members(void **state)
{
    (void)state;
    static const char *const bodies[] = {"[]", "\"a\"", "1", "null", "[{\"a\":\"x\"}]"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct api_params p;
        struct str text;
        begin(&p, bodies[i]);
        assert_true(api_text(&p, "a", &text));
        check_str(text, "");
        api_params_release(&p);
    }
}

static void the_last_of_a_repeated_name_counts(void **state)
{
    (void)state;
    struct api_params p;
    begin(&p, "{\"a\":1,\"b\":2,\"\\u0061\":3,\"b\":4}");
    check_str(api_value(&p, "a"), "3");
    check_str(api_value(&p, "b"), "4");
    api_params_release(&p);
}

static void members_beyond_those_at_hand(void **state)
{
    (void)state;
    for (int n = API_MEMBERS_AT_HAND - 2; n <= API_MEMBERS_AT_HAND + 2; n++) {
        struct api_params p;
        struct buf body;
        uint64_t number;
        buf_init(&body, 4096);
        buf_literal(&body, "{\"first\":1");
        for (int i = 2; i < n; i++) {
            buf_printf(&body, ",\"m%d\":%d", i, i);
        }
        buf_literal(&body, ",\"last\":2}");
        buf_append(&body, (struct str){"", 1});
        begin(&p, body.ptr);
        check_str(api_value(&p, "first"), "1");
        assert_true(api_u64(&p, p.object, "last", &number));
        assert_int_equal(number, 2);
        check_str(api_value(&p, "absent"), "");
        api_params_release(&p);
        buf_release(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_members_are_empty),
        cmocka_unit_test(members_are_read),
        cmocka_unit_test(several_texts_with_escapes),
        cmocka_unit_test(wrong_types_are_named),
        cmocka_unit_test(what_is_no_object_has_no_members),
        cmocka_unit_test(short_texts),
        cmocka_unit_test(the_last_of_a_repeated_name_counts),
        cmocka_unit_test(members_beyond_those_at_hand),
        cmocka_unit_test(bytes_in_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
