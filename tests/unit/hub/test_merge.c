/* SPDX-License-Identifier: MIT */
/* Merging: one document on one line, every value's text as its upstream wrote it. */
#include "hub/merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json_span.h"

#define PART(as_, value_)                                                                          \
    {                                                                                              \
        .as = STR(as_), .value = STR(value_), .name = STR("n"), .outcome = "fresh"                 \
    }
#define OMITTED(as_)                                                                               \
    {                                                                                              \
        .as = STR(as_), .is_omitted = true, .name = STR("n"), .outcome = "timeout"                 \
    }
#define N(parts) (sizeof(parts) / sizeof((parts)[0]))

static void check_merge(const struct merge_options *options, const struct merge_part *parts,
                        size_t n, const char *expected)
{
    struct buf out;
    buf_init(&out, 10000);
    buf_append_char(&out, '#'); /* it appends */
    assert_int_equal(merge_parts(options, parts, n, &out), STATUS_OK);
    buf_append_char(&out, '\0');
    assert_string_equal(out.ptr + 1, expected);
    assert_int_equal(json_check(str_of(out.ptr + 1), NULL), STATUS_OK);
    buf_release(&out);
}

static const struct merge_options object = {.how = FEED_MERGE_OBJECT};
static const struct merge_options flat = {.how = FEED_MERGE_FLAT};
static const struct merge_options array = {.how = FEED_MERGE_ARRAY};

static void values_keep_their_bytes_and_order(void **state)
{
    (void)state;
    const struct merge_part parts[] = {
        PART("z", "{\"price\": 1.10, \"id\":12345678901234567890,\"price\":2E+0}"),
        PART("a", "\"\\u00e9 \xc3\xa9 \\/\""),
        PART("m", "-0.0"),
    };
    check_merge(&object, parts, N(parts),
                "{\"z\":{\"price\": 1.10, \"id\":12345678901234567890,\"price\":2E+0},"
                "\"a\":\"\\u00e9 \xc3\xa9 \\/\",\"m\":-0.0}");
    check_merge(&flat, parts, N(parts),
                "{\"price\":2E+0,\"id\":12345678901234567890,"
                "\"a\":\"\\u00e9 \xc3\xa9 \\/\",\"m\":-0.0}");
    check_merge(&array, parts, N(parts),
                "[{\"price\": 1.10, \"id\":12345678901234567890,\"price\":2E+0},"
                "\"\\u00e9 \xc3\xa9 \\/\",-0.0]");
}

static void line_ends_go_and_missing_ones_are_null(void **state)
{
    (void)state;
    const struct merge_part parts[] = {
        PART("gone", ""),
        PART("lines", "[\n 1,\r\n\t2\n]"),
        PART("null", "null"),
        PART("object", "{\n\"a\" : [ 1,\n2 ]\r}"),
    };
    check_merge(&object, parts, N(parts),
                "{\"gone\":null,\"lines\":[ 1,\t2],\"null\":null,\"object\":{\"a\" : [ 1,2 ]}}");
    check_merge(&flat, parts, N(parts),
                "{\"gone\":null,\"lines\":[ 1,\t2],\"null\":null,\"a\":[ 1,2 ]}");
    check_merge(&array, parts, N(parts), "[null,1,\t2,null,{\"a\" : [ 1,2 ]}]");
    check_merge(&object, parts, 0, "{}");
    check_merge(&flat, parts, 0, "{}");
    check_merge(&array, parts, 0, "[]");
}

static void names_are_escaped(void **state)
{
    (void)state;
    const struct merge_part parts[] = {PART("a\"b\\", "1")};
    check_merge(&object, parts, 1, "{\"a\\\"b\\\\\":1}");
    check_merge(&flat, parts, 1, "{\"a\\\"b\\\\\":1}");
}

static void omitted_ones_leave_no_trace(void **state)
{
    (void)state;
    const struct merge_part parts[] = {OMITTED("a"), PART("b", "[1]"), OMITTED("b"),
                                       PART("a", "[2]"), OMITTED("c")};
    check_merge(&object, parts, N(parts), "{\"b\":[1],\"a\":[2]}");
    check_merge(&flat, parts, N(parts), "{\"b\":[1],\"a\":[2]}");
    check_merge(&array, parts, N(parts), "[1,2]");
    check_merge(&object, parts, 1, "{}");
    check_merge(&array, parts, 1, "[]");
}

static void the_later_value_stands_in_the_place_of_the_first(void **state)
{
    (void)state;
    const struct merge_part parts[] = {PART("a", "1"), PART("b", "2"), PART("a", "3"),
                                       PART("c", "4"), PART("a", "5"), PART("b", "")};
    check_merge(&object, parts, N(parts), "{\"a\":5,\"b\":null,\"c\":4}");
    check_merge(&flat, parts, N(parts), "{\"a\":5,\"b\":null,\"c\":4}");
    const struct merge_part gone[] = {PART("a", "1"), PART("a", "2"), OMITTED("a")};
    check_merge(&object, gone, N(gone), "{\"a\":2}");
}

/* More names than there are bits to know them by. */
static void many_parts_in_order(void **state)
{
    (void)state;
    enum { MANY = 300 };
    struct merge_part parts[MANY + 1];
    char names[MANY][8];
    struct buf expected, twice;
    buf_init(&expected, 10000);
    buf_init(&twice, 10000);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "n%d", MANY - i);
        parts[i] = (struct merge_part){.as = str_of(names[i]), .value = STR("1"), .name = STR("n")};
        buf_printf(&expected, "%s\"%s\":1", i > 0 ? "," : "{", names[i]);
        buf_printf(&twice, "%s\"%s\":%d", i > 0 ? "," : "{", names[i], i == 7 ? 2 : 1);
    }
    parts[MANY] = (struct merge_part){.as = str_of(names[7]), .value = STR("2"), .name = STR("n")};
    buf_append(&expected, (struct str){"}", 2});
    buf_append(&twice, (struct str){"}", 2});
    check_merge(&object, parts, MANY, expected.ptr);
    check_merge(&flat, parts, MANY, expected.ptr);
    check_merge(&object, parts, MANY + 1, twice.ptr);
    check_merge(&flat, parts, MANY + 1, twice.ptr);
    buf_release(&expected);
    buf_release(&twice);
}

static void flat_takes_the_last_of_one_name(void **state)
{
    (void)state;
    const struct merge_part parts[] = {
        PART("x", "{\"a\": 1, \"b\":{\"c\":1}, \"\":0}"),
        PART("y", "{}"),
        PART("b", "[2]"),
        PART("z", "{\"d\":3,\"\\u0061\":1.0,\"aa\":4,\"\":\"\"}"),
    };
    check_merge(&flat, parts, N(parts), "{\"a\":1.0,\"b\":[2],\"\":\"\",\"d\":3,\"aa\":4}");
    /* The name stays as its first object wrote it. */
    const struct merge_part escaped[] = {PART("x", "{\"\\u00e9\":1,\"\\n\":2}"),
                                         PART("y", "{\"\xc3\xa9\":3}"), PART("\n", "4")};
    check_merge(&flat, escaped, N(escaped), "{\"\\u00e9\":3,\"\\n\":4}");
}

/* Quadratic behaviour would take minutes. */
static void flat_takes_very_many_members(void **state)
{
    (void)state;
    enum { MEMBERS = 200000 };
    struct buf text, out;
    buf_init(&text, 1 << 24);
    buf_init(&out, 1 << 24);
    for (int i = 0; i < MEMBERS; i++) {
        buf_printf(&text, "%s\"%s%d\":%d", i > 0 ? "," : "{", i % 2 ? "m" : "\\u006d", i, i);
    }
    buf_append_char(&text, '}');
    const struct merge_part parts[] = {{.as = STR("a"), .value = buf_str(&text)},
                                       {.as = STR("b"), .value = buf_str(&text)}};
    assert_int_equal(merge_parts(&flat, parts, 2, &out), STATUS_OK);
    assert_true(str_eq(buf_str(&out), buf_str(&text)));
    buf_release(&text);
    buf_release(&out);
}

static void arrays_are_joined(void **state)
{
    (void)state;
    const struct merge_part parts[] = {
        PART("a", " [1, [2] ,3 ] "), PART("b", "[ ]"), PART("c", "[]"),
        PART("d", "{\"e\":[1]}"),    PART("f", ""),    PART("g", "[null]"),
    };
    check_merge(&array, parts, N(parts), "[1, [2] ,3,{\"e\":[1]},null,null]");
}

/* --- _meta --- */

static const struct merge_part measured[] = {
    {.as = STR("a"), .value = STR("{\"_meta\":1,\"b\":2}"), .name = STR("air"), .outcome = "fresh"},
    {.as = STR("_meta"), .value = STR("3"), .name = STR("own"), .outcome = "stale", .age_ms = 1200},
    {.as = STR("c"), .name = STR("re\"d"), .outcome = "timeout", .age_ms = -1},
    {.as = STR("d"), .is_omitted = true, .name = STR("none"), .outcome = "skipped", .age_ms = -1},
};
#define UPSTREAMS                                                                                  \
    "\"upstreams\":{\"air\":{\"outcome\":\"fresh\",\"age_ms\":0},"                                 \
    "\"own\":{\"outcome\":\"stale\",\"age_ms\":1200},"                                             \
    "\"re\\\"d\":{\"outcome\":\"timeout\",\"age_ms\":null},"                                       \
    "\"none\":{\"outcome\":\"skipped\",\"age_ms\":null}}}}"

static void meta_is_the_last_member(void **state)
{
    (void)state;
    struct merge_options options = {.how = FEED_MERGE_OBJECT, .meta = true};
    check_merge(&options, measured, N(measured),
                "{\"a\":{\"_meta\":1,\"b\":2},\"c\":null,"
                "\"_meta\":{\"completed\":false," UPSTREAMS);
    options = (struct merge_options){.how = FEED_MERGE_FLAT, .meta = true, .is_completed = true};
    check_merge(&options, measured, N(measured),
                "{\"b\":2,\"c\":null,\"_meta\":{\"completed\":true," UPSTREAMS);
    check_merge(&options, measured, 0, "{\"_meta\":{\"completed\":true,\"upstreams\":{}}}");
    options.how = FEED_MERGE_ARRAY;
    check_merge(&options, measured, N(measured), "[{\"_meta\":1,\"b\":2},3,null]");
}

static void without_meta_its_name_is_a_name(void **state)
{
    (void)state;
    check_merge(&object, measured, N(measured),
                "{\"a\":{\"_meta\":1,\"b\":2},\"_meta\":3,\"c\":null}");
    check_merge(&flat, measured, N(measured), "{\"_meta\":3,\"b\":2,\"c\":null}");
}

static void check_same(const char *a, const char *b, bool is_same)
{
    if (merge_is_same(str_of(a), str_of(b)) != is_same ||
        merge_is_same(str_of(b), str_of(a)) != is_same) {
        fail_msg("%s and %s", a, b);
    }
}

#define META(completed, age) "\"_meta\":{\"completed\":" completed ",\"age_ms\":" age "}}"

static void the_same_beside_meta(void **state)
{
    (void)state;
    check_same("{\"a\":1," META("true", "1"), "{\"a\":1," META("true", "2"), true);
    check_same("{\"a\":1," META("true", "1"), "{\"a\":1," META("false", "1"), false);
    check_same("{\"a\":1," META("false", "1"), "{\"a\":1," META("false", "2"), true);
    check_same("{\"a\":1," META("true", "1"), "{\"a\":1.0," META("true", "1"), false);
    check_same("{\"a\":1," META("true", "1"), "{\"b\":1," META("true", "1"), false);
    check_same("{\"a\":1," META("true", "1"), "{" META("true", "1"), false);
    check_same("{" META("true", "1"), "{" META("true", "2"), true);
    check_same("{\"a\":1,\"b\":2," META("true", "1"), "{\"b\":2,\"a\":1," META("true", "1"), false);
}

static void the_same_as_what_others_have_made(void **state)
{
    (void)state;
    check_same("{\"a\":1}", "{\"a\":1," META("true", "1"), false);
    check_same("{\"a\":1}", "{\"a\":1," META("false", "1"), false);
    check_same("{\"a\":1}", "{\"a\":1}", true);
    check_same("{}", "{}", true);
    check_same("{}", "[]", false);
    check_same("[1]", "[1]", true);
    check_same("[1]", "[1,2]", false);
    check_same("[]", "{" META("true", "1"), false);
    check_same("null", "{\"a\":1," META("true", "1"), false);
    check_same("{\"_meta\":1,\"a\":1}", "{\"a\":1,\"_meta\":{\"completed\":\"true\"}}", true);
    check_same("{\"_meta\":[],\"a\":1}", "{\"a\":1," META("true", "1"), false);
    check_same("{\"\\u005fmeta\":{\"completed\":true},\"a\":1}", "{\"a\":1," META("true", "1"),
               true);
}

static void check_full(const struct merge_options *options)
{
    struct buf whole, out;
    buf_init(&whole, 10000);
    assert_int_equal(merge_parts(options, measured, N(measured), &whole), STATUS_OK);
    for (size_t max = 0; max < whole.len; max++) {
        buf_init(&out, max);
        assert_int_equal(merge_parts(options, measured, N(measured), &out), STATUS_TOO_LARGE);
        buf_release(&out);
    }
    buf_init(&out, whole.len);
    assert_int_equal(merge_parts(options, measured, N(measured), &out), STATUS_OK);
    buf_release(&out);
    buf_release(&whole);
}

static void a_full_text_is_told(void **state)
{
    (void)state;
    check_full(&object);
    check_full(&array);
    check_full(&(struct merge_options){.how = FEED_MERGE_FLAT, .meta = true});
}

static void check_select(const char *pointer, const char *expected)
{
    struct str value;
    enum status status = merge_select(STR(" {\"items\": [ 1.0, {\"a/b\":true} ],\"n\":null} "),
                                      str_of(pointer), &value);
    assert_int_equal(status, expected ? STATUS_OK : STATUS_NOT_FOUND);
    if (expected) {
        assert_int_equal(value.len, strlen(expected));
        assert_memory_equal(value.ptr, expected, value.len);
    }
}

static void selects_by_pointer(void **state)
{
    (void)state;
    check_select("", "{\"items\": [ 1.0, {\"a/b\":true} ],\"n\":null}");
    check_select("/items", "[ 1.0, {\"a/b\":true} ]");
    check_select("/items/0", "1.0");
    check_select("/items/1/a~1b", "true");
    check_select("/n", "null");
    check_select("/items/2", NULL);
    check_select("/nothing", NULL);
    check_select("/n/x", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_their_bytes_and_order),
        cmocka_unit_test(line_ends_go_and_missing_ones_are_null),
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(omitted_ones_leave_no_trace),
        cmocka_unit_test(the_later_value_stands_in_the_place_of_the_first),
        cmocka_unit_test(many_parts_in_order),
        cmocka_unit_test(flat_takes_the_last_of_one_name),
        cmocka_unit_test(flat_takes_very_many_members),
        cmocka_unit_test(arrays_are_joined),
        cmocka_unit_test(meta_is_the_last_member),
        cmocka_unit_test(without_meta_its_name_is_a_name),
        cmocka_unit_test(the_same_beside_meta),
        cmocka_unit_test(the_same_as_what_others_have_made),
        cmocka_unit_test(a_full_text_is_told),
        cmocka_unit_test(selects_by_pointer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
