/* SPDX-License-Identifier: MIT */
/* JSON where it lies: what is JSON and what is not, and that views show exactly the bytes that
 * came. */
#include "base/json_span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static bool is_json(struct str text)
{
    /* In memory of exactly its size: a read beyond the end is then found by the sanitizer. */
    char *exact = malloc(text.len + (text.len == 0));

    assert_non_null(exact);
    if (text.len > 0) {
        memcpy(exact, text.ptr, text.len);
    }
    enum status status = json_check((struct str){exact, text.len}, NULL);
    free(exact);
    return status == STATUS_OK;
}

static void accepts(void **state)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "12",
        "-1.5e+10",
        "1E5",
        "0.0",
        "10e-3",
        "true",
        "false",
        "null",
        "\"\"",
        " \t\r\n[ ] \n",
        "{}",
        "{ }",
        "[[],{}]",
        "{\"a\":1,\"a\":2}",
        "[1 , 2]",
        "{\"a\" : {\"b\" : [null]} }",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u0000\"",
        "\"\\uD83D\\ude00\"",
        "\"\xc3\xa9\xf0\x9f\x98\x80\"",
        "\"\x7f\"",
        "[1.10]",
        "12345678901234567890",
        "{\"\":0}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!is_json(str_of(texts[i]))) {
            fail_msg("refused: %s", texts[i]);
        }
    }
}

static void refuses(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "tru",
        "truex",
        "nul",
        "True",
        "01",
        "-",
        "-a",
        "+1",
        ".5",
        "1.",
        "1.e5",
        "1e",
        "1e+",
        "0x10",
        "NaN",
        "Infinity",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\",1}",
        "{\"a\"1}",
        "{,}",
        "[}",
        "{]",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "{} {}",
        "[] x",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\\ud83d\\u\"",
        "\"\n\"",
        "\"\t\"",
        "\"\x01\"",
        "\"\x80\"",
        "\"\xc3\"",
        "\"\xed\xa0\x80\"",
        "\xc3\xa9",
        "\xef\xbb\xbf{}",
        "'a'",
        "// x\n1",
        "[1,/**/2]",
        "\f1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (is_json(str_of(texts[i]))) {
            fail_msg("accepted: %s", texts[i]);
        }
    }
    assert_false(is_json(STR("\"\0\"")));
    assert_false(is_json(STR("1\0")));
    assert_int_equal(json_check(STR_EMPTY, NULL), STATUS_INVALID);
}

/* Every prefix of a text that ends with a bracket is no JSON text. */
static void every_prefix_is_refused(void **state)
{
    struct str text = STR("{\"k\\u00e9y\":[1.5e3,-2,true,false,null,\"\\ud83d\\ude00 \xc3\xa9\"],"
                          "\"b\":{\"c\":{}}}");

    (void)state;
    assert_true(is_json(text));
    for (size_t len = 0; len < text.len; len++) {
        assert_false(is_json(str_head(text, len)));
    }
}

/* The byte that may not be in a string is found wherever it lies in the words passed over. */
static void bad_bytes_at_every_offset(void **state)
{
    static const char bad[] = {'"', '\\', '\n', '\0', '\x1f', '\x80', '\xff'};
    char text[40];

    (void)state;
    for (size_t at = 1; at < sizeof(text) - 1; at++) {
        for (size_t i = 0; i < sizeof(bad); i++) {
            memset(text, 'a', sizeof(text));
            text[0] = text[sizeof(text) - 1] = '"';
            assert_true(is_json((struct str){text, sizeof(text)}));
            text[at] = bad[i];
            assert_false(is_json((struct str){text, sizeof(text)}));
        }
    }
}

static void depth(void **state)
{
    char text[2 * (JSON_DEPTH_MAX + 1)];

    (void)state;
    for (size_t depth_max = JSON_DEPTH_MAX; depth_max <= JSON_DEPTH_MAX + 1; depth_max++) {
        memset(text, '[', depth_max);
        memset(text + depth_max, ']', depth_max);
        assert_int_equal(is_json((struct str){text, 2 * depth_max}), depth_max == JSON_DEPTH_MAX);
    }
    struct json_error wrong;
    assert_int_equal(json_check_depth(STR("[[1]]"), 2, &wrong), STATUS_OK);
    assert_int_equal(json_check_depth(STR("[[[]]]"), 2, &wrong), STATUS_INVALID);
    assert_int_equal(wrong.offset, 2);
}

/* The bits of the levels do not get mixed up: each of 128 levels is closed by the right bracket. */
static void kinds_of_all_levels(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10000);
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++) {
        buf_append(&b, i * 7 % 3 ? STR("[") : STR("{\"a\":"));
    }
    buf_literal(&b, "1");
    size_t first_close = b.len;
    for (unsigned i = JSON_DEPTH_MAX; i-- > 0;) {
        buf_append(&b, i * 7 % 3 ? STR("]") : STR("}"));
    }
    assert_true(is_json(buf_str(&b)));
    for (size_t i = first_close; i < b.len; i++) {
        char right = b.ptr[i];
        b.ptr[i] = right == ']' ? '}' : ']';
        assert_false(is_json(buf_str(&b)));
        b.ptr[i] = right;
    }
    buf_release(&b);
}

static void assert_error(const char *text, size_t offset, const char *expected)
{
    struct json_error error = {0};

    assert_int_equal(json_check(str_of(text), &error), STATUS_INVALID);
    assert_string_equal(error.expected, expected);
    assert_int_equal(error.offset, offset);
}

static void errors_say_where(void **state)
{
    (void)state;
    assert_error("", 0, "a value");
    assert_error("[1 x]", 3, "a comma or ]");
    assert_error("{\"a\":1 ]", 7, "a comma or }");
    assert_error("{\"a\" 1}", 5, "a colon");
    assert_error("{x}", 1, "a name in quotes");
    assert_error("[1,2", 4, "a comma or ]");
    assert_error("12 13", 3, "the end of the text");
    assert_error("[-x]", 2, "a digit");
    assert_error("tru!", 3, "true");
    assert_error("\"ab\\x\"", 3, "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    assert_error("\"a\xff\"", 2, "valid UTF-8");
    assert_error("\"\\ud800\"", 1, "a low surrogate after this high one");
}

static void kinds(void **state)
{
    (void)state;
    assert_int_equal(json_kind(STR(" {}")), JSON_KIND_OBJECT);
    assert_int_equal(json_kind(STR("[]")), JSON_KIND_ARRAY);
    assert_int_equal(json_kind(STR("\"\"")), JSON_KIND_STRING);
    assert_int_equal(json_kind(STR("-1")), JSON_KIND_NUMBER);
    assert_int_equal(json_kind(STR("0")), JSON_KIND_NUMBER);
    assert_int_equal(json_kind(STR("true")), JSON_KIND_TRUE);
    assert_int_equal(json_kind(STR("false")), JSON_KIND_FALSE);
    assert_int_equal(json_kind(STR("\nnull")), JSON_KIND_NULL);
    assert_true(str_eq(json_trim(STR("\r\n\t 1 \n")), STR("1")));
    assert_true(str_eq(json_trim(STR(" ")), STR("")));
}

static void walks_objects(void **state)
{
    struct json_walk w =
        json_walk(STR(" { \"a\" : 1.10 ,\"b\\n\":[1,{\"x\":\"}\"}] , \"c\":\"\\\"]\" } "));
    struct str key;
    struct str item;

    (void)state;
    assert_true(json_next_member(&w, &key, &item));
    assert_true(str_eq(key, STR("a")) && str_eq(item, STR("1.10")));
    assert_true(json_next_member(&w, &key, &item));
    assert_true(str_eq(key, STR("b\\n")) && str_eq(item, STR("[1,{\"x\":\"}\"}]")));
    assert_true(json_next_member(&w, &key, &item));
    assert_true(str_eq(key, STR("c")) && str_eq(item, STR("\"\\\"]\"")));
    assert_false(json_next_member(&w, &key, &item));
    assert_false(json_next_member(&w, &key, &item));
}

static void walks_arrays(void **state)
{
    struct json_walk w = json_walk(STR("[ 12345678901234567890 , [ ],\"a,b\"\n,{}]"));
    static const char *const items[] = {"12345678901234567890", "[ ]", "\"a,b\"", "{}"};
    struct str item;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_true(json_next_element(&w, &item));
        assert_true(str_eq(item, str_of(items[i])));
    }
    assert_false(json_next_element(&w, &item));
    assert_false(json_next_element(&w, &item));
}

static void walks_over_other_things(void **state)
{
    static const char *const others[] = {"1", "\"[1]\"", "null", "[]", "[ ]", "[1]", "[{\"a\":1}]"};
    static const char *const no_arrays[] = {"1", "\"[1]\"", "{}", "{\"a\":1}", "[]"};
    struct str key;
    struct str item;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct json_walk w = json_walk(str_of(others[i]));
        assert_false(json_next_member(&w, &key, &item));
    }
    for (size_t i = 0; i < sizeof(no_arrays) / sizeof(no_arrays[0]); i++) {
        struct json_walk w = json_walk(str_of(no_arrays[i]));
        assert_false(json_next_element(&w, &item));
    }
    struct json_walk w = json_walk(STR_EMPTY);
    assert_false(json_next_member(&w, &key, &item));
}

static void keys(void **state)
{
    (void)state;
    assert_true(json_key_is(STR("abc"), STR("abc")));
    assert_true(json_key_is(STR("\\u0061b\\u0063"), STR("abc")));
    assert_true(json_key_is(STR("\\ud83d\\ude00"), STR("\xf0\x9f\x98\x80")));
    assert_true(json_key_is(STR("\\n\\/"), STR("\n/")));
    assert_true(json_key_is(STR("\\u0000"), STR("\0")));
    assert_false(json_key_is(STR("\\u0061b"), STR("abc")));
    assert_false(json_key_is(STR("\\u0061bc"), STR("ab")));
    assert_false(json_key_is(STR("\\\\n"), STR("\n")));
    assert_true(json_key_is(STR(""), STR_EMPTY));
}

static void members(void **state)
{
    struct str object = STR("{\"a\":1,\"b\":{\"a\":9},\"a\":2,\"\\u0062b\":3}");
    struct str item = STR("untouched");

    (void)state;
    assert_true(json_member(object, STR("a"), &item));
    assert_true(str_eq(item, STR("2"))); /* the last one */
    assert_true(json_member(object, STR("bb"), &item));
    assert_true(str_eq(item, STR("3")));
    assert_false(json_member(object, STR("c"), &item));
    assert_false(json_member(STR("[\"c\",1]"), STR("c"), &item));
    assert_true(str_eq(item, STR("3")));
}

static void reads_several_members(void **state)
{
    struct json_field fields[] = {{.name = STR("id"), .value = STR("stale")},
                                  {.name = STR("method"), .value = STR("stale")},
                                  {.name = STR("params"), .value = STR("stale")}};
    const struct json_field *repeated = NULL;

    (void)state;
    assert_int_equal(json_read_object(STR("{\"x\":0,\"params\":{ },\"\\u0069d\":7,\"x\":1}"),
                                      fields, 3, &repeated),
                     STATUS_OK);
    assert_true(str_eq(fields[0].value, STR("7")));
    assert_null(fields[1].value.ptr);
    assert_true(str_eq(fields[2].value, STR("{ }")));
    assert_null(repeated);

    assert_int_equal(json_read_object(STR("{\"id\":1,\"id\":1}"), fields, 3, &repeated),
                     STATUS_INVALID);
    assert_ptr_equal(repeated, &fields[0]);
    assert_int_equal(json_read_object(STR("[1]"), fields, 3, &repeated), STATUS_INVALID);
    assert_null(repeated);
    assert_int_equal(json_read_object(STR("{\"id\":1,\"id\":1}"), fields, 3, NULL), STATUS_INVALID);
}

/* The example document of RFC 6901 section 5, and what must not be found. */
static void pointers(void **state)
{
    struct str text =
        STR("{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,"
            "\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8,\"\\u007e\\u002f\":9,"
            "\"~1\":10,\"o\":{\"o\":11,\"o\":12}}");
    static const char *const found[][2] = {
        {"/foo", "[\"bar\",\"baz\"]"},
        {"/foo/0", "\"bar\""},
        {"/foo/1", "\"baz\""},
        {"/", "0"},
        {"/a~1b", "1"},
        {"/c%d", "2"},
        {"/e^f", "3"},
        {"/g|h", "4"},
        {"/i\\j", "5"},
        {"/k\"l", "6"},
        {"/ ", "7"},
        {"/m~0n", "8"},
        {"/~0~1", "9"},
        {"/~01", "10"},
        {"/o/o", "12"},
    };
    static const char *const absent[] = {
        "/foo/2", "/foo/-",   "/foo/01", "/foo/00", "/foo/", "/foo/1x", "/foo/18446744073709551616",
        "/bar",   "/foo/0/0", "/a",      "foo",     "/m~n",  "/~",      "/~2",
        "/o/o/"};
    struct str item = STR_EMPTY;

    (void)state;
    assert_true(json_pointer(text, STR_EMPTY, &item));
    assert_true(str_eq(item, text));
    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        if (!json_pointer(text, str_of(found[i][0]), &item) || !str_eq(item, str_of(found[i][1]))) {
            fail_msg("%s", found[i][0]);
        }
    }
    item = STR("untouched");
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        if (json_pointer(text, str_of(absent[i]), &item)) {
            fail_msg("%s", absent[i]);
        }
    }
    assert_true(str_eq(item, STR("untouched")));
}

static void pointers_are_well_formed(void **state)
{
    (void)state;
    assert_true(json_pointer_valid(STR("")));
    assert_true(json_pointer_valid(STR("/")));
    assert_true(json_pointer_valid(STR("/a~0~1/b//")));
    assert_false(json_pointer_valid(STR("a")));
    assert_false(json_pointer_valid(STR("/~")));
    assert_false(json_pointer_valid(STR("/a~2")));
    assert_false(json_pointer_valid(STR("#/a")));
}

static void decodes_strings(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 12);
    assert_int_equal(json_decode_string(STR(" \"ab\" "), &out), STATUS_OK);
    assert_int_equal(json_decode_string(STR("\"\\u00e9\\ud83d\\ude00\\t\\\"\\/\""), &out),
                     STATUS_OK);
    assert_true(str_eq(buf_str(&out), STR("ab\xc3\xa9\xf0\x9f\x98\x80\t\"/")));
    buf_clear(&out);
    /* Its escapes are longer than the buffer, what they mean is not. */
    assert_int_equal(json_decode_string(STR("\"\\u0041\\u0042\\u0000\""), &out), STATUS_OK);
    assert_true(str_eq(buf_str(&out), STR("AB\0")));
    assert_int_equal(json_decode_string(STR("\"0123456789\""), &out), STATUS_TOO_LARGE);
    assert_int_equal(json_decode_string(STR("12"), &out), STATUS_INVALID);
    assert_int_equal(json_decode_string(STR("[\"a\"]"), &out), STATUS_INVALID);
    assert_int_equal(json_decode_string(STR_EMPTY, &out), STATUS_INVALID);
    assert_true(str_eq(buf_str(&out), STR("AB\0")));
    buf_release(&out);
}

static void numbers(void **state)
{
    uint64_t natural = 7;
    int64_t whole = 7;
    bool truth = false;

    (void)state;
    assert_true(json_to_u64(STR("18446744073709551615"), &natural) && natural == UINT64_MAX);
    assert_false(json_to_u64(STR("18446744073709551616"), &natural));
    assert_false(json_to_u64(STR("-1"), &natural));
    assert_false(json_to_u64(STR("1.0"), &natural));
    assert_false(json_to_u64(STR("1e2"), &natural));
    assert_false(json_to_u64(STR("\"1\""), &natural));
    assert_true(json_to_i64(STR("-9223372036854775808"), &whole) && whole == INT64_MIN);
    assert_true(json_to_i64(STR(" 9223372036854775807\n"), &whole) && whole == INT64_MAX);
    assert_false(json_to_i64(STR("9223372036854775808"), &whole));
    assert_false(json_to_i64(STR("-9223372036854775809"), &whole));
    assert_true(json_to_i64(STR("-0"), &whole) && whole == 0);
    assert_false(json_to_i64(STR("-"), &whole));
    assert_false(json_to_i64(STR("--1"), &whole));
    assert_false(json_to_i64(STR_EMPTY, &whole));
    assert_true(json_to_bool(STR(" true"), &truth) && truth);
    assert_true(json_to_bool(STR("false"), &truth) && !truth);
    assert_false(json_to_bool(STR("1"), &truth));
    assert_false(json_to_bool(STR_EMPTY, &truth));
}

static void assert_encoded(struct str text, struct str encoded)
{
    struct buf out;

    buf_init(&out, 1000);
    json_append_string(&out, text);
    assert_true(str_eq(buf_str(&out), encoded));
    assert_true(is_json(buf_str(&out)));
    buf_release(&out);
}

static void encodes_strings(void **state)
{
    (void)state;
    assert_encoded(STR_EMPTY, STR("\"\""));
    assert_encoded(STR("abcdefgh/ijkl"), STR("\"abcdefgh/ijkl\""));
    assert_encoded(STR("a\"b\\"), STR("\"a\\\"b\\\\\""));
    assert_encoded(STR("\b\f\n\r\t\0\x1f"), STR("\"\\b\\f\\n\\r\\t\\u0000\\u001f\""));
    assert_encoded(STR("\xc3\xa9\xf0\x9f\x98\x80"), STR("\"\xc3\xa9\xf0\x9f\x98\x80\""));
    assert_encoded(STR("a\xff"
                       "b\xc3"),
                   STR("\"a\xef\xbf\xbd"
                       "b\xef\xbf\xbd\""));
}

static void encoding_and_decoding_are_inverse(void **state)
{
    char all[128];
    struct buf encoded;
    struct buf decoded;

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (char)i;
    }
    buf_init(&encoded, 10000);
    buf_init(&decoded, 10000);
    json_append_string(&encoded, (struct str){all, sizeof(all)});
    assert_int_equal(json_decode_string(buf_str(&encoded), &decoded), STATUS_OK);
    assert_true(str_eq(buf_str(&decoded), (struct str){all, sizeof(all)}));
    buf_release(&encoded);
    buf_release(&decoded);
}

static void one_line(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    json_append_one_line(&out, STR("\r\n{\n  \"a\": 1.10,\r\n\n  \"b\": \"\\n\"\r}"));
    assert_true(str_eq(buf_str(&out), STR("{  \"a\": 1.10,  \"b\": \"\\n\"}")));
    buf_clear(&out);
    json_append_one_line(&out, STR("[1,2]"));
    json_append_one_line(&out, STR_EMPTY);
    assert_true(str_eq(buf_str(&out), STR("[1,2]")));
    buf_release(&out);
}

static void counts(void **state)
{
    (void)state;
    assert_int_equal(json_count(STR("[]")), 0);
    assert_int_equal(json_count(STR(" [1, [2, 3], {\"a\": 4}] ")), 3);
    assert_int_equal(json_count(STR("{}")), 0);
    assert_int_equal(json_count(STR(" {\"a\": [1, 2], \"b\": {}} ")), 2);
    assert_int_equal(json_count(STR("\"text\"")), 0);
    assert_int_equal(json_count(STR_EMPTY), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(bad_bytes_at_every_offset),
        cmocka_unit_test(depth),
        cmocka_unit_test(kinds_of_all_levels),
        cmocka_unit_test(errors_say_where),
        cmocka_unit_test(kinds),
        cmocka_unit_test(walks_objects),
        cmocka_unit_test(walks_arrays),
        cmocka_unit_test(walks_over_other_things),
        cmocka_unit_test(keys),
        cmocka_unit_test(members),
        cmocka_unit_test(reads_several_members),
        cmocka_unit_test(pointers),
        cmocka_unit_test(pointers_are_well_formed),
        cmocka_unit_test(decodes_strings),
        cmocka_unit_test(numbers),
        cmocka_unit_test(encodes_strings),
        cmocka_unit_test(encoding_and_decoding_are_inverse),
        cmocka_unit_test(one_line),
        cmocka_unit_test(counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
