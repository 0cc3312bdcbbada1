/* SPDX-License-Identifier: MIT */
/* Shapes: what allow and deny keep, new names, and that no byte of what is kept changes. */
#include "hub/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json_span.h"

/* Lists as texts with blanks between their words; rename: old and new in turn. */
struct given {
    const char *allow, *deny, *rename, *group;
};

static size_t split(const char *text, char **words)
{
    size_t n = 0;
    while (text && *text) {
        size_t len = strcspn(text, " ");
        words[n++] = str_dup((struct str){text, len});
        text += len + (text[len] == ' ');
    }
    return n;
}

static void free_words(char **words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(words[i]);
    }
}

/* The words are gone before the shape is used: it has its own. */
static struct shape *make_shape(struct given given)
{
    char *allow[SHAPE_ITEMS_MAX], *deny[SHAPE_ITEMS_MAX], *names[2 * SHAPE_ITEMS_MAX];
    struct config_pair pairs[SHAPE_ITEMS_MAX];
    size_t n_allow = split(given.allow, allow);
    size_t n_deny = split(given.deny, deny);
    size_t n_names = split(given.rename, names);
    for (size_t i = 0; i < n_names / 2; i++) {
        pairs[i] = (struct config_pair){names[2 * i], names[2 * i + 1]};
    }
    struct shape *shape =
        shape_create(&(struct shape_options){.allow = &(struct config_list){allow, n_allow},
                                             .deny = &(struct config_list){deny, n_deny},
                                             .rename = &(struct config_list){pairs, n_names / 2},
                                             .group = given.group});
    free_words(allow, n_allow);
    free_words(deny, n_deny);
    free_words(names, n_names);
    return shape;
}

static void check_shape(struct given given, const char *value, const char *expected)
{
    struct shape *shape = make_shape(given);
    struct buf out;
    assert_non_null(shape);
    assert_int_equal(json_check(str_of(value), NULL), STATUS_OK);
    buf_init(&out, 1 << 20);
    buf_append_char(&out, '#'); /* it appends */
    assert_int_equal(shape_apply(shape, str_of(value), &out), STATUS_OK);
    buf_append_char(&out, '\0');
    assert_string_equal(out.ptr + 1, expected);
    buf_release(&out);
    shape_destroy(shape);
}

static void nothing_to_do_is_no_shape(void **state)
{
    (void)state;
    assert_null(make_shape((struct given){0}));
    assert_null(make_shape((struct given){.group = ""}));
    shape_destroy(NULL);
}

static void pointers(void **state)
{
    (void)state;
    char text[2 * SHAPE_TOKENS_MAX + 3];
    assert_true(shape_pointer_valid(STR("/a")));
    assert_true(shape_pointer_valid(STR("/")));
    assert_true(shape_pointer_valid(STR("/items/*/id")));
    assert_true(shape_pointer_valid(STR("/a~0b/c~1d/")));
    assert_false(shape_pointer_valid(STR("")));
    assert_false(shape_pointer_valid(STR("a")));
    assert_false(shape_pointer_valid(STR("*")));
    assert_false(shape_pointer_valid(STR("/a~")));
    assert_false(shape_pointer_valid(STR("/a~2")));
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = i % 2 ? 'a' : '/';
    }
    assert_true(shape_pointer_valid((struct str){text, 2 * SHAPE_TOKENS_MAX}));
    assert_false(shape_pointer_valid((struct str){text, 2 * SHAPE_TOKENS_MAX + 2}));
}

static void allow_keeps_only_what_it_names(void **state)
{
    (void)state;
    static const char user[] = "{ \"id\": 7, \"name\": {\"first\": \"A\", \"last\": \"B\"},\n"
                               " \"mails\": [ {\"at\": 1.10, \"ok\": true}, {\"at\": 2e0} ] }";
    check_shape((struct given){.allow = "/id"}, user, "{\"id\":7}");
    check_shape((struct given){.allow = "/name/last /id"}, user,
                "{\"id\":7,\"name\":{\"last\":\"B\"}}");
    check_shape((struct given){.allow = "/name"}, user,
                "{\"name\":{\"first\": \"A\", \"last\": \"B\"}}");
    check_shape((struct given){.allow = "/name /name/last"}, user,
                "{\"name\":{\"first\": \"A\", \"last\": \"B\"}}");
    check_shape((struct given){.allow = "/mails/*/at"}, user,
                "{\"mails\":[{\"at\":1.10},{\"at\":2e0}]}");
    check_shape((struct given){.allow = "/mails/1"}, user, "{\"mails\":[{\"at\": 2e0}]}");
    check_shape((struct given){.allow = "/*/first"}, user,
                "{\"name\":{\"first\":\"A\"},\"mails\":[]}");
    check_shape((struct given){.allow = "/*"}, user,
                "{\"id\":7,\"name\":{\"first\": \"A\", \"last\": \"B\"},"
                "\"mails\":[ {\"at\": 1.10, \"ok\": true}, {\"at\": 2e0} ]}");
    check_shape((struct given){.allow = "/nothing"}, user, "{}");
}

static void what_leads_to_something_allowed_stays(void **state)
{
    (void)state;
    struct given given = {.allow = "/a/b"};
    check_shape(given, "{\"a\":{\"c\":1}}", "{\"a\":{}}");
    check_shape(given, "{\"a\":[1,2]}", "{\"a\":[]}");
    check_shape(given, "{\"a\":5,\"b\":{}}", "{}");
    check_shape(given, "{\"a\":\"[text]\"}", "{}");
    check_shape(given, "[{\"b\":1}]", "[]");
    check_shape(given, " 5 ", "5");
    check_shape(given, "\"text\"", "\"text\"");
    check_shape(given, "null", "null");
}

static void deny_drops(void **state)
{
    (void)state;
    check_shape((struct given){.deny = "/b"}, "{\"a\":1,\"b\":2,\"c\":[3]}", "{\"a\":1,\"c\":[3]}");
    check_shape((struct given){.deny = "/a"}, "{\"a\":1}", "{}");
    check_shape((struct given){.deny = "/*/x"}, "{\"a\":{\"x\":1,\"y\":2},\"b\":[1],\"c\":1}",
                "{\"a\":{\"y\":2},\"b\":[1],\"c\":1}");
    check_shape((struct given){.deny = "/0 /2"}, "[10, 11, 12, {\"13\": 13}]", "[11,{\"13\": 13}]");
    check_shape((struct given){.deny = "/12"}, "[0,1,2,3,4,5,6,7,8,9,10,11,12,13]",
                "[0,1,2,3,4,5,6,7,8,9,10,11,13]");
    check_shape((struct given){.deny = "/a/b"}, "\"text\"", "\"text\"");
}

static void deny_goes_before_allow(void **state)
{
    (void)state;
    check_shape((struct given){.allow = "/a", .deny = "/a/x"}, "{\"a\":{\"x\":1,\"y\":2},\"b\":3}",
                "{\"a\":{\"y\":2}}");
    check_shape((struct given){.allow = "/a /b", .deny = "/a"}, "{\"a\":1,\"b\":2}", "{\"b\":2}");
    check_shape((struct given){.allow = "/a/x", .deny = "/a"}, "{\"a\":{\"x\":1}}", "{}");
    check_shape((struct given){.allow = "/*/id", .deny = "/b/*"},
                "{\"a\":{\"id\":1},\"b\":{\"id\":2}}", "{\"a\":{\"id\":1},\"b\":{}}");
    check_shape((struct given){.allow = "/a /*/y", .deny = "/*/x"},
                "{\"a\":{\"x\":1,\"y\":2,\"z\":3},\"b\":{\"x\":1,\"y\":2,\"z\":3}}",
                "{\"a\":{\"y\":2,\"z\":3},\"b\":{\"y\":2}}");
}

static void names_are_compared_decoded(void **state)
{
    (void)state;
    check_shape((struct given){.allow = "/a~1b /c~0d /\xc3\xa9"},
                "{\"a/b\":1,\"a\\/b\":2,\"c~d\":3,\"\\u00e9\":4,\"\\u0063~d\":5,\"a~1b\":6}",
                "{\"a/b\":1,\"a\\/b\":2,\"c~d\":3,\"\\u00e9\":4,\"\\u0063~d\":5}");
    check_shape((struct given){.deny = "/"}, "{\"\":1,\"a\":2}", "{\"a\":2}");
    check_shape((struct given){.allow = "/*/a"}, "{\"*\":{\"a\":1,\"b\":2},\"c\":{\"a\":3}}",
                "{\"*\":{\"a\":1},\"c\":{\"a\":3}}");
    check_shape((struct given){.deny = "/\\u0061"}, "{\"a\":1,\"\\\\u0061\":2}", "{\"a\":1}");
}

/* Its name and the star are one way, not two: they would be very many at the bottom. */
static void members_called_star(void **state)
{
    (void)state;
    struct buf pointer, value;
    buf_init(&pointer, 1000);
    buf_init(&value, 1000);
    for (int i = 1; i < SHAPE_TOKENS_MAX; i++) {
        buf_literal(&pointer, "/*");
        buf_literal(&value, "{\"*\":");
    }
    buf_append(&pointer, (struct str){"/a", 3});
    buf_literal(&value, "{\"a\":1}");
    for (int i = 1; i < SHAPE_TOKENS_MAX; i++) {
        buf_append_char(&value, '}');
    }
    buf_append_char(&value, '\0');
    check_shape((struct given){.allow = pointer.ptr}, value.ptr, value.ptr);
    buf_release(&pointer);
    buf_release(&value);
}

static void repeated_names_stay(void **state)
{
    (void)state;
    check_shape((struct given){.allow = "/a"}, "{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":1,\"a\":3}");
}

static void no_byte_changes(void **state)
{
    (void)state;
    check_shape(
        (struct given){.deny = "/x"},
        "{\"x\":0,\"n\":12345678901234567890, \"m\" : -0.0E+0 ,\"s\":\"\\u0041\\/ \xc3\xa9\"}",
        "{\"n\":12345678901234567890,\"m\":-0.0E+0,\"s\":\"\\u0041\\/ \xc3\xa9\"}");
}

static void renames_at_the_top(void **state)
{
    (void)state;
    check_shape((struct given){.rename = "a b"}, "{\"a\":{\"a\":1},\"c\":2}",
                "{\"b\":{\"a\":1},\"c\":2}");
    check_shape((struct given){.rename = "a b b a"}, "{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}");
    check_shape((struct given){.rename = "c z b x a y aa w"}, "{\"a\":1,\"aa\":2,\"b\":3,\"c\":4}",
                "{\"y\":1,\"w\":2,\"x\":3,\"z\":4}");
    check_shape((struct given){.rename = "\xc3\xa9 \"\\"}, "{\"\\u00e9\":1}", "{\"\\\"\\\\\":1}");
    check_shape((struct given){.rename = "a b"}, "[{\"a\":1}]", "[{\"a\":1}]");
    check_shape((struct given){.rename = "a b"}, "\"a\"", "\"a\"");
    check_shape((struct given){.rename = "a b"}, "{}", "{}");
}

static void the_last_of_one_name_counts(void **state)
{
    (void)state;
    check_shape((struct given){.rename = "a b"}, "{\"a\":1,\"c\":2,\"b\":3}", "{\"b\":3,\"c\":2}");
    check_shape((struct given){.rename = "a b"}, "{\"b\":1,\"c\":2,\"\\u0061\":3}",
                "{\"b\":3,\"c\":2}");
    check_shape((struct given){.rename = "a x b x c x"}, "{\"c\":1,\"b\":2,\"a\":3}", "{\"x\":3}");
    check_shape((struct given){.rename = "a b", .deny = "/b"}, "{\"a\":1,\"b\":2}", "{\"b\":1}");
    check_shape((struct given){.rename = "a b", .deny = "/a"}, "{\"a\":1,\"b\":2}", "{\"b\":2}");
    check_shape((struct given){.rename = "a b", .allow = "/a/x /b/y"},
                "{\"b\":{\"x\":1,\"y\":2},\"a\":{\"x\":3,\"y\":4}}", "{\"b\":{\"x\":3}}");
}

static void groups(void **state)
{
    (void)state;
    check_shape((struct given){.group = "g"}, " {\"a\": 1} ", "{\"g\":{\"a\": 1}}");
    check_shape((struct given){.group = "\""}, "[]", "{\"\\\"\":[]}");
    check_shape((struct given){.group = "g", .allow = "/a", .rename = "a b"}, "{\"a\":1,\"c\":2}",
                "{\"g\":{\"b\":1}}");
    check_shape((struct given){.group = "g", .allow = "/a"}, "1", "{\"g\":1}");
}

static void a_full_text_is_told(void **state)
{
    (void)state;
    static const char expected[] = "{\"g\":{\"b\":[1,2]}}";
    struct shape *shape = make_shape((struct given){.group = "g", .deny = "/a"});
    for (size_t max = 0; max < sizeof(expected); max++) {
        struct buf out;
        buf_init(&out, max);
        assert_int_equal(shape_apply(shape, STR("{\"a\":0,\"b\":[1,2]}"), &out),
                         max < sizeof(expected) - 1 ? STATUS_TOO_LARGE : STATUS_OK);
        buf_release(&out);
    }
    shape_destroy(shape);
}

/* All pointers that there may be, each as long as it may be, and a text as deep as it may be. */
static void limits(void **state)
{
    (void)state;
    struct buf words, value, expected, out;
    buf_init(&words, 1 << 20);
    buf_init(&value, 1 << 20);
    buf_init(&expected, 1 << 20);
    buf_init(&out, 1 << 20);
    for (int i = 0; i < SHAPE_ITEMS_MAX; i++) {
        for (int k = 1; k < SHAPE_TOKENS_MAX; k++) {
            buf_literal(&words, "/*");
        }
        buf_printf(&words, "/%d ", i);
    }
    buf_append_char(&words, '\0');
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        buf_append_char(&value, '[');
        buf_append_char(&expected, '[');
    }
    buf_literal(&value, "1.0");
    buf_literal(&expected, "1.0");
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        buf_append_char(&value, ']');
        buf_append_char(&expected, ']');
    }
    struct shape *shape = make_shape((struct given){.allow = words.ptr});
    assert_int_equal(json_check(buf_str(&value), NULL), STATUS_OK);
    assert_int_equal(shape_apply(shape, buf_str(&value), &out), STATUS_OK);
    assert_true(str_eq(buf_str(&out), buf_str(&expected)));
    shape_destroy(shape);
    buf_release(&words);
    buf_release(&value);
    buf_release(&expected);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_do_is_no_shape),
        cmocka_unit_test(pointers),
        cmocka_unit_test(allow_keeps_only_what_it_names),
        cmocka_unit_test(what_leads_to_something_allowed_stays),
        cmocka_unit_test(deny_drops),
        cmocka_unit_test(deny_goes_before_allow),
        cmocka_unit_test(names_are_compared_decoded),
        cmocka_unit_test(members_called_star),
        cmocka_unit_test(repeated_names_stay),
        cmocka_unit_test(no_byte_changes),
        cmocka_unit_test(renames_at_the_top),
        cmocka_unit_test(the_last_of_one_name_counts),
        cmocka_unit_test(groups),
        cmocka_unit_test(a_full_text_is_told),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
