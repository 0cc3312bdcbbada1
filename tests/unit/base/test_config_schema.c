/* SPDX-License-Identifier: MIT */
/* The schema and the defaults of a shape with a field of every type. That the schema means what the
 * reader does is tested with the whole configuration, end to end. */
#include "base/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json_span.h"

struct leaf {
    int64_t n;
    char *name;
};

struct all {
    bool flag;
    int64_t wide, odd, open;
    char *text, *short_text;
    int64_t time_ms;
    int choice;
    struct config_list words, pairs;
    struct leaf once_only;
    struct leaf twice;
    struct config_list list;
};

static const struct config_field leaf_fields[] = {
    {.key = "n", .type = CONFIG_INT, .offset = offsetof(struct leaf, n), .fallback = "-1"},
    {.key = "name", .type = CONFIG_STRING, .offset = offsetof(struct leaf, name)},
};
static const struct config_shape once_shape = {sizeof(struct leaf), leaf_fields, 1, NULL, NULL};
static const struct config_shape leaf_shape = {sizeof(struct leaf), leaf_fields, 2, NULL, NULL};

static const char *const choices[] = {"one", "two", "three", NULL};

static const char *accept_choice(const void *place)
{
    return *(const int *)place == 1 ? "one or three" : NULL;
}

#define FIELD(key_, type_) .key = #key_, .type = type_, .offset = offsetof(struct all, key_)

static const struct config_field all_fields[] = {
    {FIELD(flag, CONFIG_BOOL), .fallback = "true", .doc = "A flag."},
    {FIELD(wide, CONFIG_INT), .fallback = "7", .min = 0, .max = INT64_C(1) << 50},
    {FIELD(odd, CONFIG_INT), .fallback = "0", .min = 50, .max = 99},
    {FIELD(open, CONFIG_INT), .fallback = "5", .min = 1, .max = INT64_MAX},
    {FIELD(text, CONFIG_STRING), .fallback = "a \"text\""},
    {FIELD(short_text, CONFIG_STRING), .fallback = "", .min = 5, .max = 9},
    {FIELD(time_ms, CONFIG_DURATION), .fallback = "25s", .min = 1000, .max = 60000},
    {FIELD(choice, CONFIG_CHOICE), .fallback = "one", .choices = choices, .accept = accept_choice},
    {FIELD(words, CONFIG_STRINGS), .fallback = "a  b"},
    {FIELD(pairs, CONFIG_PAIRS)},
    {FIELD(once_only, CONFIG_OBJECT), .shape = &once_shape, .doc = "Once."},
    {FIELD(twice, CONFIG_OBJECT), .shape = &leaf_shape, .doc = "Twice."},
    {FIELD(list, CONFIG_LIST), .shape = &leaf_shape, .max = 3},
};
static const struct config_shape all_shape = {
    sizeof(struct all), all_fields, sizeof(all_fields) / sizeof(all_fields[0]), NULL, NULL};

/* Takes the text; what lies at the pointer, without line ends, and blanks only inside texts. */
static void check_at(char *schema, const char *pointer, const char *expected)
{
    struct str item = STR_EMPTY;
    assert_int_equal(json_check(str_of(schema), NULL), STATUS_OK);
    if (!json_pointer(json_trim(str_of(schema)), str_of(pointer), &item)) {
        fail_msg("nothing at %s", pointer);
    }
    struct buf found;
    bool in_text = false;
    buf_init(&found, 65536);
    for (size_t i = 0; i < item.len; i++) {
        in_text ^= item.ptr[i] == '"' && item.ptr[i - 1] != '\\';
        if (in_text || !strchr(" \n", item.ptr[i])) {
            buf_append_char(&found, item.ptr[i]);
        }
    }
    char *text = buf_take(&found);
    assert_string_equal(text, expected);
    free(text);
    free(schema);
}

static void check(const char *pointer, const char *expected)
{
    check_at(config_schema(&all_shape, "All"), pointer, expected);
}

static void of_scalars(void **state)
{
    (void)state;
    check("/properties/flag",
          "{\"description\":\"A flag.\",\"type\":\"boolean\",\"default\":true}");
    check("/properties/wide",
          "{\"type\":\"integer\",\"minimum\":0,\"maximum\":1125899906842624,\"default\":7}");
    check("/properties/odd",
          "{\"type\":\"integer\",\"anyOf\":[{\"const\":0},{\"minimum\":50,\"maximum\":99}],"
          "\"default\":0}");
    check("/properties/open", "{\"type\":\"integer\",\"minimum\":1,\"default\":5}");
    check("/$defs/twice/properties/n", "{\"type\":\"integer\",\"default\":-1}");
    check("/properties/text", "{\"type\":\"string\",\"default\":\"a \\\"text\\\"\"}");
    check("/properties/short_text",
          "{\"type\":\"string\",\"anyOf\":[{\"minLength\":2,\"maxLength\":9},"
          "{\"pattern\":\"\\\\$\\\\{[A-Za-z_][A-Za-z0-9_]*\\\\}\"},{\"const\":\"\"}],"
          "\"default\":\"\"}");
    check("/properties/time_ms", "{\"type\":\"string\",\"pattern\":\"^(0|([0-9]+(h|ms|m|s))+)$|"
                                 "\\\\$\\\\{[A-Za-z_][A-Za-z0-9_]*\\\\}\",\"default\":\"25s\"}");
    check("/properties/choice/anyOf/0", "{\"enum\":[\"one\",\"three\"]}");
    check("/properties/choice/anyOf/1/pattern", "\"\\\\$\\\\{[A-Za-z_][A-Za-z0-9_]*\\\\}\"");
}

static void of_lists_and_objects(void **state)
{
    (void)state;
    check("/properties/words",
          "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"default\":[\"a\",\"b\"]}");
    check("/properties/pairs",
          "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}");
    check("/properties/once_only/additionalProperties", "false");
    check("/properties/once_only/description", "\"Once.\"");
    check("/additionalProperties", "false");
    check("/title", "\"All\"");
}

static void what_repeats_is_there_once(void **state)
{
    (void)state;
    check("/properties/twice", "{\"$ref\":\"#/$defs/twice\",\"description\":\"Twice.\"}");
    check("/properties/list",
          "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/twice\"},\"maxItems\":3}");
    check("/$defs/twice/required", "[\"name\"]");
    char *schema = config_schema(&all_shape, "All");
    struct str definitions;
    assert_int_equal(json_check(str_of(schema), NULL), STATUS_OK);
    assert_true(json_pointer(json_trim(str_of(schema)), STR("/$defs"), &definitions));
    assert_int_equal(json_count(definitions), 1);
    free(schema);
}

static void the_defaults(void **state)
{
    (void)state;
    check_at(config_defaults(&all_shape), "",
             "{\"flag\":true,\"wide\":7,\"odd\":0,\"open\":5,\"text\":\"a \\\"text\\\"\","
             "\"short_text\":\"\",\"time_ms\":\"25s\",\"choice\":\"one\",\"words\":[\"a\",\"b\"],"
             "\"pairs\":{},\"once_only\":{\"n\":-1},\"twice\":{\"n\":-1},\"list\":[]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_scalars),
        cmocka_unit_test(of_lists_and_objects),
        cmocka_unit_test(what_repeats_is_there_once),
        cmocka_unit_test(the_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
