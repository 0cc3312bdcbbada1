/* SPDX-License-Identifier: MIT */
/* The first line of an input is a JSON Pointer, the rest a JSON text. jansson is the second opinion
 * on what is JSON; whatever is accepted must then walk, decode and encode without contradiction. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/json_span.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void same_opinion(struct str text, enum status status, const struct json_error *ours)
{
    json_error_t error;
    bool nul = str_find(text, '\0') >= 0; /* jansson takes one for the end of the text */
    json_t *tree = json_loadb(text.len > 0 ? text.ptr : "", text.len,
                              JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

    if (status == STATUS_OK) {
        /* Numbers that fit no machine type and names with NUL are JSON all the same. */
        enum json_error_code code = tree ? json_error_unknown : json_error_code(&error);
        REQUIRE(tree || code == json_error_numeric_overflow || code == json_error_null_byte_in_key);
    } else {
        REQUIRE(!tree || nul || str_eq(str_of(ours->expected), STR("no deeper nesting")));
        REQUIRE(ours->offset <= text.len);
    }
    json_decref(tree);
}

static void check_string(struct str value)
{
    struct buf decoded;
    struct buf encoded;
    struct buf again;

    buf_init(&decoded, value.len);
    buf_init(&encoded, 8 * value.len);
    buf_init(&again, value.len);
    REQUIRE(json_decode_string(value, &decoded) == STATUS_OK);
    json_append_string(&encoded, buf_str(&decoded));
    REQUIRE(json_check(buf_str(&encoded), NULL) == STATUS_OK);
    REQUIRE(json_decode_string(buf_str(&encoded), &again) == STATUS_OK);
    REQUIRE(str_eq(buf_str(&decoded), buf_str(&again)));
    buf_release(&decoded);
    buf_release(&encoded);
    buf_release(&again);
}

static void check_number(struct str value)
{
    uint64_t natural = 0;
    int64_t whole = 0;

    if (json_to_u64(value, &natural) && json_to_i64(value, &whole)) {
        REQUIRE((uint64_t)whole == natural);
    }
}

static void check_value(struct str value);

static void check_children(struct str value)
{
    struct json_walk members = json_walk(value);
    struct json_walk elements = json_walk(value);
    struct str key;
    struct str item;

    while (json_next_member(&members, &key, &item)) {
        check_string((struct str){key.ptr - 1, key.len + 2});
        check_value(item);
    }
    while (json_next_element(&elements, &item)) {
        check_value(item);
    }
}

static void check_value(struct str value)
{
    REQUIRE(value.len > 0);
    REQUIRE(str_eq(json_trim(value), value));
    switch (json_kind(value)) {
    case JSON_KIND_OBJECT:
    case JSON_KIND_ARRAY: check_children(value); break;
    case JSON_KIND_STRING: check_string(value); break;
    case JSON_KIND_NUMBER: check_number(value); break;
    case JSON_KIND_TRUE:
    case JSON_KIND_FALSE:
    case JSON_KIND_NULL: break;
    }
}

static void check_one_line(struct str text)
{
    struct buf line;

    buf_init(&line, text.len);
    json_append_one_line(&line, text);
    REQUIRE(!buf_failed(&line));
    REQUIRE(json_check(buf_str(&line), NULL) == STATUS_OK);
    REQUIRE(str_find(buf_str(&line), '\n') < 0 && str_find(buf_str(&line), '\r') < 0);
    buf_release(&line);
}

static void check_finding(struct str text, struct str pointer)
{
    struct json_field fields[] = {{.name = STR("a")}, {.name = pointer}};
    struct str item;

    if (json_pointer(text, pointer, &item)) {
        REQUIRE(json_pointer_valid(pointer));
        REQUIRE(item.ptr >= text.ptr && item.ptr + item.len <= text.ptr + text.len);
        REQUIRE(json_check(item, NULL) == STATUS_OK);
    }
    if (json_read_object(text, fields, 2, NULL) == STATUS_OK) {
        bool found = json_member(text, STR("a"), &item);
        REQUIRE(found == (fields[0].value.ptr != NULL));
        REQUIRE(!found || item.ptr == fields[0].value.ptr);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    ptrdiff_t line_end = str_find(input, '\n');
    struct str pointer = line_end < 0 ? STR_EMPTY : str_head(input, (size_t)line_end);
    struct str text = str_tail(input, (size_t)(line_end + 1));
    struct json_error error = {0, NULL};
    enum status status = json_check(text, &error);

    same_opinion(text, status, &error);
    json_append_string(&(struct buf){.max = 0}, text);
    if (status == STATUS_OK) {
        check_value(json_trim(text));
        check_one_line(text);
        check_finding(text, pointer);
    }
    return 0;
}
