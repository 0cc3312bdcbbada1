/* SPDX-License-Identifier: MIT */
/* Comparing two configurations: what is told of every type, by which path, and what a running
 * program keeps. */
#include "base/config_diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

struct part {
    int64_t wait_ms;
    char *secret;
    bool is_on;
};

struct item {
    char *name;
    struct config_list pairs;
    struct config_list inner; /* of struct item */
};

struct nameless {
    int64_t n;
};

struct all {
    char *address;
    int64_t port;
    struct config_list words;
    struct part part;
    int choice;
    struct config_list items;
    struct config_list nameless;
    struct config_list fixed_items;
};

#define FIELD(struct_, key_, member, type_)                                                        \
    .key = key_, .offset = offsetof(struct struct_, member), .type = type_
#define SHAPE(type, fields_)                                                                       \
    {                                                                                              \
        .size = sizeof(struct type), .fields = fields_,                                            \
        .n_fields = sizeof(fields_) / sizeof((fields_)[0])                                         \
    }

static const struct config_field part_fields[] = {
    {FIELD(part, "wait", wait_ms, CONFIG_DURATION), .fallback = "1s"},
    {FIELD(part, "secret", secret, CONFIG_STRING), .fallback = "", .secret = true},
    {FIELD(part, "is_on", is_on, CONFIG_BOOL), .fallback = "false",
     .change = CONFIG_CHANGE_AT_START},
};
static const struct config_shape part_shape = SHAPE(part, part_fields);

static const struct config_field inner_fields[] = {
    {FIELD(item, "name", name, CONFIG_STRING)},
    {FIELD(item, "pairs", pairs, CONFIG_PAIRS)},
};
static const struct config_shape inner_shape = SHAPE(item, inner_fields);

static const struct config_field item_fields[] = {
    {FIELD(item, "name", name, CONFIG_STRING)},
    {FIELD(item, "pairs", pairs, CONFIG_PAIRS)},
    {FIELD(item, "inner", inner, CONFIG_LIST), .shape = &inner_shape},
};
static const struct config_shape item_shape = SHAPE(item, item_fields);

static const struct config_field nameless_fields[] = {
    {FIELD(nameless, "n", n, CONFIG_INT), .fallback = "0"},
};
static const struct config_shape nameless_shape = SHAPE(nameless, nameless_fields);

static const char *const choices[] = {"a", "b", NULL};
static const struct config_field all_fields[] = {
    {FIELD(all, "address", address, CONFIG_STRING), .fallback = "x"},
    {FIELD(all, "port", port, CONFIG_INT), .fallback = "1", .change = CONFIG_CHANGE_ON_RELOAD},
    {FIELD(all, "words", words, CONFIG_STRINGS), .change = CONFIG_CHANGE_ON_RELOAD},
    {FIELD(all, "part", part, CONFIG_OBJECT), .shape = &part_shape,
     .change = CONFIG_CHANGE_ON_RELOAD},
    {FIELD(all, "choice", choice, CONFIG_CHOICE), .fallback = "a", .choices = choices,
     .change = CONFIG_CHANGE_ON_RELOAD},
    {FIELD(all, "items", items, CONFIG_LIST), .shape = &item_shape,
     .change = CONFIG_CHANGE_ON_RELOAD},
    {FIELD(all, "nameless", nameless, CONFIG_LIST), .shape = &nameless_shape,
     .change = CONFIG_CHANGE_ON_RELOAD},
    {FIELD(all, "fixed_items", fixed_items, CONFIG_LIST), .shape = &item_shape},
};
static const struct config_shape all_shape = SHAPE(all, all_fields);

static struct all read_all(const char *text)
{
    struct all all;
    struct config_errors errors;
    assert_int_equal(config_read_request(str_of(text), &all_shape, &all, &errors), STATUS_OK);
    config_errors_release(&errors);
    return all;
}

static void add_line(void *arg, const char *path, enum config_difference what, bool needs_restart)
{
    buf_printf(arg, "%c%s%s ", "~+-"[what], path, needs_restart ? "!" : "");
}

/* "~" changed, "+" added, "-" removed; "!" only at a start. */
static void assert_differs(const char *before, const char *after, const char *expected)
{
    struct all a = read_all(before);
    struct all b = read_all(after);
    struct buf text;
    buf_init(&text, 4096);
    config_diff(&all_shape, &a, &b, add_line, &text);
    assert_int_equal(config_is_same(&all_shape, &a, &b), text.len == 0);
    char *lines = buf_take(&text);
    assert_string_equal(lines, expected);
    free(lines);
    config_release(&all_shape, &a);
    config_release(&all_shape, &b);
}

static void equal_ones_differ_in_nothing(void **state)
{
    (void)state;
    const char *text = "{\"address\":\"a\",\"words\":[\"x\",\"y\"],\"part\":{\"wait\":\"2s\"},"
                       "\"items\":[{\"name\":\"i\",\"pairs\":{\"k\":\"v\"}}],\"nameless\":[{}]}";
    assert_differs("{}", "{}", "");
    assert_differs(text, text, "");
}

static void every_type_is_compared(void **state)
{
    (void)state;
    assert_differs("{}", "{\"address\":\"y\"}", "~address! ");
    assert_differs("{}", "{\"port\":2}", "~port ");
    assert_differs("{\"words\":[\"a\"]}", "{\"words\":[\"b\"]}", "~words ");
    assert_differs("{\"words\":[\"a\"]}", "{\"words\":[\"a\",\"b\"]}", "~words ");
    assert_differs("{\"words\":[\"a\",\"b\"]}", "{\"words\":[\"b\",\"a\"]}", "~words ");
    assert_differs("{}", "{\"choice\":\"b\"}", "~choice ");
    assert_differs("{}", "{\"part\":{\"wait\":\"2s\"}}", "~part.wait ");
    assert_differs("{}", "{\"part\":{\"is_on\":true}}", "~part.is_on! ");
}

static void a_secret_is_only_named(void **state)
{
    (void)state;
    assert_differs("{\"part\":{\"secret\":\"old\"}}", "{\"part\":{\"secret\":\"new\"}}",
                   "~part.secret ");
}

static void items_are_known_by_their_names(void **state)
{
    (void)state;
    assert_differs("{\"items\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
                   "{\"items\":[{\"name\":\"b\",\"pairs\":{\"k\":\"v\"}},{\"name\":\"c\"}]}",
                   "~items[b].pairs +items[c] -items[a] ");
    assert_differs(
        "{\"items\":[{\"name\":\"a\",\"inner\":[{\"name\":\"x\",\"pairs\":{\"k\":\"1\"}}]}]}",
        "{\"items\":[{\"name\":\"a\",\"inner\":[{\"name\":\"x\",\"pairs\":{\"k\":\"2\"}}]}]}",
        "~items[a].inner[x].pairs ");
}

static void another_order_is_a_change(void **state)
{
    (void)state;
    assert_differs("{\"items\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
                   "{\"items\":[{\"name\":\"b\"},{\"name\":\"a\"}]}", "~items ");
}

static void items_without_names_have_numbers(void **state)
{
    (void)state;
    assert_differs("{\"nameless\":[{\"n\":1},{\"n\":2}]}", "{\"nameless\":[{\"n\":1},{\"n\":3}]}",
                   "~nameless[1].n ");
    assert_differs("{\"nameless\":[{\"n\":1}]}", "{\"nameless\":[{\"n\":1},{\"n\":3}]}",
                   "+nameless[1] ");
    assert_differs("{\"nameless\":[{\"n\":1},{\"n\":3}]}", "{\"nameless\":[{\"n\":1}]}",
                   "-nameless[1] ");
}

static void a_list_changes_as_a_whole_at_a_start(void **state)
{
    (void)state;
    assert_differs("{}", "{\"fixed_items\":[{\"name\":\"a\"}]}", "+fixed_items[a]! ");
    assert_differs("{\"fixed_items\":[{\"name\":\"a\"}]}",
                   "{\"fixed_items\":[{\"name\":\"a\",\"pairs\":{\"k\":\"v\"}}]}",
                   "~fixed_items[a].pairs! ");
}

/* The very same texts: whoever points to them goes on doing so. */
static void what_changes_at_a_start_is_kept(void **state)
{
    (void)state;
    struct all before = read_all("{\"address\":\"old\",\"port\":1,\"part\":{\"is_on\":true},"
                                 "\"fixed_items\":[{\"name\":\"a\"}]}");
    struct all after = read_all("{\"address\":\"new\",\"port\":2,\"part\":{\"wait\":\"9s\"}}");
    const char *address = before.address;
    const void *items = before.fixed_items.items;
    config_exchange_fixed(&all_shape, &before, &after);
    assert_ptr_equal(after.address, address);
    assert_ptr_equal(after.fixed_items.items, items);
    assert_int_equal(after.fixed_items.n_items, 1);
    assert_true(after.part.is_on);
    assert_int_equal(after.part.wait_ms, 9000);
    assert_int_equal(after.port, 2);
    assert_string_equal(before.address, "new");
    config_exchange_fixed(&all_shape, &before, &after);
    assert_ptr_equal(before.address, address);
    assert_ptr_equal(before.fixed_items.items, items);
    assert_false(after.part.is_on);
    config_release(&all_shape, &before);
    config_release(&all_shape, &after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_ones_differ_in_nothing),
        cmocka_unit_test(every_type_is_compared),
        cmocka_unit_test(a_secret_is_only_named),
        cmocka_unit_test(items_are_known_by_their_names),
        cmocka_unit_test(another_order_is_a_change),
        cmocka_unit_test(items_without_names_have_numbers),
        cmocka_unit_test(a_list_changes_as_a_whole_at_a_start),
        cmocka_unit_test(what_changes_at_a_start_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
