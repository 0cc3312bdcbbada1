/* SPDX-License-Identifier: MIT */
/* Filters by tags: every comparison and operation, numbers of any length, and what is refused. */
#include "hub/tags_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json_span.h"

static enum status create(const char *json, struct tags_filter **ret_filter)
{
    assert_int_equal(json_check(str_of(json), NULL), STATUS_OK);
    return tags_filter_create(str_of(json), ret_filter);
}

static bool matches(const char *json, const char *tags)
{
    struct tags_filter *filter = NULL;
    assert_int_equal(create(json, &filter), STATUS_OK);
    assert_non_null(filter);
    bool is_match = tags_filter_matches(filter, str_of(tags));
    tags_filter_destroy(filter);
    return is_match;
}

static void refused(const char *json)
{
    struct tags_filter *filter = NULL;
    assert_int_equal(create(json, &filter), STATUS_INVALID);
    assert_null(filter);
}

static void equal_or_not(void **state)
{
    (void)state;
    const char *eq = "{\"key\":\"city\",\"cmp\":\"eq\",\"val\":\"Ulm\"}";
    assert_true(matches(eq, "{\"city\":\"Ulm\"}"));
    assert_true(matches(eq, "{\"a\":\"b\", \"city\" : \"Ulm\"}"));
    assert_false(matches(eq, "{\"city\":\"Ulmen\"}"));
    assert_false(matches(eq, "{\"city\":\"\"}"));
    assert_false(matches(eq, "{\"town\":\"Ulm\"}"));
    assert_false(matches(eq, "{}"));
    assert_false(matches(eq, ""));
    const char *neq = "{\"op\":\"\",\"key\":\"city\",\"cmp\":\"neq\",\"val\":\"Ulm\"}";
    assert_false(matches(neq, "{\"city\":\"Ulm\"}"));
    assert_true(matches(neq, "{\"city\":\"Bonn\"}"));
    assert_true(matches(neq, "{}"));
    assert_true(matches(neq, ""));
    const char *empty = "{\"key\":\"city\",\"cmp\":\"eq\"}";
    assert_true(matches(empty, "{\"city\":\"\"}"));
    assert_false(matches(empty, "{\"city\":\"Ulm\"}"));
    assert_false(matches(empty, "{}"));
}

static void one_of_several(void **state)
{
    (void)state;
    const char *in = "{\"key\":\"city\",\"cmp\":\"in\",\"vals\":[\"Ulm\",\"Bonn\"]}";
    assert_true(matches(in, "{\"city\":\"Ulm\"}"));
    assert_true(matches(in, "{\"city\":\"Bonn\"}"));
    assert_false(matches(in, "{\"city\":\"Hof\"}"));
    assert_false(matches(in, "{}"));
    const char *nin = "{\"key\":\"city\",\"cmp\":\"nin\",\"vals\":[\"Ulm\",\"Bonn\"]}";
    assert_false(matches(nin, "{\"city\":\"Ulm\"}"));
    assert_true(matches(nin, "{\"city\":\"Hof\"}"));
    assert_true(matches(nin, "{}"));
}

static void there_or_not(void **state)
{
    (void)state;
    assert_true(matches("{\"key\":\"city\",\"cmp\":\"ex\"}", "{\"city\":\"\"}"));
    assert_false(matches("{\"key\":\"city\",\"cmp\":\"ex\"}", "{\"a\":\"city\"}"));
    assert_false(matches("{\"key\":\"city\",\"cmp\":\"nex\"}", "{\"city\":\"\"}"));
    assert_true(matches("{\"key\":\"city\",\"cmp\":\"nex\"}", ""));
}

static void parts_of_a_tag(void **state)
{
    (void)state;
    const char *sw = "{\"key\":\"k\",\"cmp\":\"sw\",\"val\":\"ab\"}";
    assert_true(matches(sw, "{\"k\":\"abc\"}"));
    assert_true(matches(sw, "{\"k\":\"ab\"}"));
    assert_false(matches(sw, "{\"k\":\"a\"}"));
    assert_false(matches(sw, "{\"k\":\"cab\"}"));
    const char *ew = "{\"key\":\"k\",\"cmp\":\"ew\",\"val\":\"ab\"}";
    assert_true(matches(ew, "{\"k\":\"cab\"}"));
    assert_false(matches(ew, "{\"k\":\"abc\"}"));
    assert_false(matches(ew, "{\"k\":\"b\"}"));
    const char *ct = "{\"key\":\"k\",\"cmp\":\"ct\",\"val\":\"ab\"}";
    assert_true(matches(ct, "{\"k\":\"cabc\"}"));
    assert_false(matches(ct, "{\"k\":\"acb\"}"));
    assert_false(matches(ct, "{\"k\":\"\"}"));
    assert_true(matches("{\"key\":\"k\",\"cmp\":\"ct\"}", "{\"k\":\"\"}"));
}

static void escapes_are_decoded(void **state)
{
    (void)state;
    assert_true(matches("{\"key\":\"k\\u0031\",\"cmp\":\"eq\",\"val\":\"a\\\"\\u00e9\"}",
                        "{\"\\u006b1\":\"\\u0061\\\"\xc3\xa9\"}"));
    assert_false(
        matches("{\"key\":\"k\",\"cmp\":\"eq\",\"val\":\"\\\\u0061\"}", "{\"k\":\"\\u0061\"}"));
    assert_true(
        matches("{\"\\u006bey\":\"k\",\"cmp\":\"e\\u0071\",\"val\":\"a\"}", "{\"k\":\"a\"}"));
}

/* --- numbers --- */

/* -1, 0, 1: how a stands to b; 2: they do not compare. */
static void compared(const char *a, const char *b, int order)
{
    static const struct {
        const char *cmp;
        bool is_true[4]; /* less, equal, greater, neither */
    } comparisons[] = {{"lt", {true, false, false, false}},
                       {"lte", {true, true, false, false}},
                       {"gt", {false, false, true, false}},
                       {"gte", {false, true, true, false}}};
    for (size_t i = 0; i < 4; i++) {
        char json[500];
        char tags[500];
        snprintf(json, sizeof(json), "{\"key\":\"k\",\"cmp\":\"%s\",\"val\":\"%s\"}",
                 comparisons[i].cmp, b);
        snprintf(tags, sizeof(tags), "{\"k\":\"%s\"}", a);
        assert_int_equal(matches(json, tags), comparisons[i].is_true[order + 1]);
    }
}

static void numbers(void **state)
{
    (void)state;
    static const char *const ascending[] = {
        "-100000000000000000000000000000000000000001",
        "-100000000000000000000000000000000000000000.5",
        "-100000000000000000000000000000000000000000",
        "-10",
        "-9.5",
        "-9.49",
        "-0.001",
        "0",
        "0.0000000000000000000000000000000000001",
        "0.3",
        "0.30000000000000000000000000000000000001",
        "9.5",
        "10",
        "9007199254740992",
        "9007199254740993",
        "9007199254740993.1",
    };
    enum { N = sizeof(ascending) / sizeof(ascending[0]) };
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            compared(ascending[i], ascending[j], (i > j) - (i < j));
        }
    }
}

static void equal_numbers_in_other_words(void **state)
{
    (void)state;
    compared("1", "1.0", 0);
    compared("+1", "001.00", 0);
    compared("-0", "0.000", 0);
    compared("-1.50", "-01.5", 0);
}

static void what_is_no_number(void **state)
{
    (void)state;
    static const char *const texts[] = {"",      "a",   "1a",  "1e3", ".5", "5.",
                                        "--1",   "+-1", "+",   " 1",  "1 ", "0x1",
                                        "1.2.3", "NaN", "1,5", "-",   ".",  "inf"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        compared(texts[i], "1", 2);
        compared("1", texts[i], 2);
    }
    assert_false(matches("{\"key\":\"k\",\"cmp\":\"lt\",\"val\":\"1\"}", "{}"));
}

/* --- operations --- */

static const char *leaf(const char *key, char text[100])
{
    snprintf(text, 100, "{\"key\":\"%s\",\"cmp\":\"ex\"}", key);
    return text;
}

static bool operation_matches(const char *op, const char *tags)
{
    char json[500];
    char a[100];
    char b[100];
    snprintf(json, sizeof(json), "{\"op\":\"%s\",\"nodes\":[%s,%s]}", op, leaf("a", a),
             leaf("b", b));
    return matches(json, tags);
}

static void and_or_not(void **state)
{
    (void)state;
    assert_true(operation_matches("and", "{\"a\":\"\",\"b\":\"\"}"));
    assert_false(operation_matches("and", "{\"a\":\"\"}"));
    assert_false(operation_matches("and", "{\"b\":\"\"}"));
    assert_false(operation_matches("and", "{}"));
    assert_true(operation_matches("or", "{\"a\":\"\",\"b\":\"\"}"));
    assert_true(operation_matches("or", "{\"a\":\"\"}"));
    assert_true(operation_matches("or", "{\"b\":\"\"}"));
    assert_false(operation_matches("or", "{}"));
    const char *not = "{\"op\":\"not\",\"nodes\":[{\"key\":\"a\",\"cmp\":\"ex\"}]}";
    assert_true(matches(not, "{\"b\":\"\"}"));
    assert_false(matches(not, "{\"a\":\"\"}"));
}

/* (a and (b or not c)) or d */
static void nodes_in_nodes(void **state)
{
    (void)state;
    const char *json =
        "{\"op\":\"or\",\"nodes\":[{\"op\":\"and\",\"nodes\":[{\"key\":\"a\",\"cmp\":\"ex\"},"
        "{\"op\":\"or\",\"nodes\":[{\"key\":\"b\",\"cmp\":\"ex\"},{\"op\":\"not\",\"nodes\":["
        "{\"key\":\"c\",\"cmp\":\"ex\"}]}]}]},{\"key\":\"d\",\"cmp\":\"ex\"}]}";
    for (unsigned i = 0; i < 16; i++) {
        bool a = i & 1;
        bool b = i & 2;
        bool c = i & 4;
        bool d = i & 8;
        char tags[100];
        snprintf(tags, sizeof(tags), "{%s%s%s%s\"z\":\"\"}", a ? "\"a\":\"\"," : "",
                 b ? "\"b\":\"\"," : "", c ? "\"c\":\"\"," : "", d ? "\"d\":\"\"," : "");
        assert_int_equal(matches(json, tags), (a && (b || !c)) || d);
    }
}

static void empty_members_are_as_none(void **state)
{
    (void)state;
    assert_true(matches("{\"op\":\"\",\"key\":\"k\",\"cmp\":\"eq\",\"val\":\"a\",\"vals\":[],"
                        "\"nodes\":[],\"what\":{}}",
                        "{\"k\":\"a\"}"));
    assert_false(matches("{\"op\":\"not\",\"key\":\"\",\"cmp\":\"\",\"val\":\"\",\"vals\":[],"
                         "\"nodes\":[{\"key\":\"k\",\"cmp\":\"ex\"}]}",
                         "{\"k\":\"a\"}"));
}

/* --- refused --- */

static void what_does_not_go_together(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "\"eq\"",
        "null",
        "{\"key\":\"k\"}",
        "{\"cmp\":\"eq\",\"val\":\"a\"}",
        "{\"key\":\"k\",\"cmp\":\"\"}",
        "{\"key\":\"k\",\"cmp\":\"is\",\"val\":\"a\"}",
        "{\"key\":\"k\",\"cmp\":7}",
        "{\"key\":7,\"cmp\":\"eq\",\"val\":\"a\"}",
        "{\"key\":\"k\",\"cmp\":\"eq\",\"val\":7}",
        "{\"key\":\"k\",\"cmp\":\"eq\",\"vals\":[\"a\"]}",
        "{\"key\":\"k\",\"cmp\":\"in\"}",
        "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[]}",
        "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[1]}",
        "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":\"a\"}",
        "{\"key\":\"k\",\"cmp\":\"in\",\"val\":\"a\",\"vals\":[\"a\"]}",
        "{\"key\":\"k\",\"cmp\":\"ex\",\"val\":\"a\"}",
        "{\"key\":\"k\",\"cmp\":\"ex\",\"cmp\":\"ex\"}",
        "{\"key\":\"k\",\"cmp\":\"ex\",\"nodes\":[{\"key\":\"k\",\"cmp\":\"ex\"}]}",
        "{\"op\":\"xor\",\"nodes\":[{\"key\":\"k\",\"cmp\":\"ex\"}]}",
        "{\"op\":7,\"nodes\":[{\"key\":\"k\",\"cmp\":\"ex\"}]}",
        "{\"op\":\"and\"}",
        "{\"op\":\"or\",\"nodes\":[]}",
        "{\"op\":\"and\",\"nodes\":{}}",
        "{\"op\":\"and\",\"nodes\":[7]}",
        "{\"op\":\"and\",\"nodes\":[{}]}",
        "{\"op\":\"and\",\"key\":\"k\",\"nodes\":[{\"key\":\"k\",\"cmp\":\"ex\"}]}",
        "{\"op\":\"and\",\"cmp\":\"ex\",\"nodes\":[{\"key\":\"k\",\"cmp\":\"ex\"}]}",
        "{\"op\":\"not\",\"nodes\":[]}",
        "{\"op\":\"not\",\"nodes\":[{\"key\":\"k\",\"cmp\":\"ex\"},{\"key\":\"l\","
        "\"cmp\":\"ex\"}]}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        refused(texts[i]);
    }
}

/* before, n times item, separated by commas, after. */
static char *series(const char *before, size_t n, const char *item, const char *after)
{
    struct buf text;
    buf_init(&text, 1000000);
    buf_append(&text, str_of(before));
    for (size_t i = 0; i < n; i++) {
        buf_append(&text, i > 0 && item[0] == '{' ? STR(",") : STR_EMPTY);
        buf_append(&text, i > 0 && item[0] == '"' ? STR(",") : STR_EMPTY);
        buf_append(&text, str_of(item));
    }
    buf_append(&text, str_of(after));
    return buf_take(&text);
}

static void limited(char *good, char *bad)
{
    assert_true(matches(good, "{\"k\":\"a\"}"));
    refused(bad);
    free(good);
    free(bad);
}

static char *deep(size_t depth)
{
    struct buf text;
    buf_init(&text, 10000);
    for (size_t i = 1; i < depth; i++) {
        buf_literal(&text, "{\"op\":\"and\",\"nodes\":[");
    }
    buf_literal(&text, "{\"key\":\"k\",\"cmp\":\"ex\"}");
    for (size_t i = 1; i < depth; i++) {
        buf_literal(&text, "]}");
    }
    return buf_take(&text);
}

static void too_much(void **state)
{
    (void)state;
    const char *node = "{\"key\":\"k\",\"cmp\":\"ex\"}";
    const char *list = "{\"op\":\"and\",\"nodes\":[";
    limited(series(list, 63, node, "]}"), series(list, 64, node, "]}"));
    limited(deep(16), deep(17));
    const char *in = "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[";
    limited(series(in, 100, "\"a\"", "]}"), series(in, 101, "\"a\"", "]}"));
    const char *neq = "{\"key\":\"k\",\"cmp\":\"neq\",\"val\":\"";
    limited(series(neq, 8191, "x", "\"}"), series(neq, 8192, "x", "\"}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_or_not),
        cmocka_unit_test(one_of_several),
        cmocka_unit_test(there_or_not),
        cmocka_unit_test(parts_of_a_tag),
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(numbers),
        cmocka_unit_test(equal_numbers_in_other_words),
        cmocka_unit_test(what_is_no_number),
        cmocka_unit_test(and_or_not),
        cmocka_unit_test(nodes_in_nodes),
        cmocka_unit_test(empty_members_are_as_none),
        cmocka_unit_test(what_does_not_go_together),
        cmocka_unit_test(too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
