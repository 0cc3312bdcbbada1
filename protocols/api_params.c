/* SPDX-License-Identifier: MIT */
#include "protocols/api_params.h"

#include <stdio.h>

#include "base/base64.h"

/* base64_decode() reserves up to three bytes more than it writes. */
#define BASE64_SLACK 4

/* Once for all the reads: the text of a publication would be walked over at each. */
static void find_members(struct api_params *p)
{
    struct json_walk walk = json_walk(p->object);
    struct api_member member;
    p->n_members = 0;
    while (json_next_member(&walk, &member.key, &member.value)) {
        if (p->n_members < API_MEMBERS_AT_HAND) {
            p->members[p->n_members] = member;
        }
        p->n_members++;
    }
}

void api_params_init(struct api_params *p, struct str body)
{
    p->object = json_trim(body);
    find_members(p);
    buf_init(&p->decoded, 2 * body.len + BASE64_SLACK);
    p->wrong[0] = '\0';
}

void api_params_release(struct api_params *p)
{
    buf_release(&p->decoded);
}

void api_params_take(struct api_params *p, struct api_params *ret_taken)
{
    *ret_taken = *p;
    buf_init(&p->decoded, 0);
}

bool api_complain(struct api_params *p, const char *name, const char *expected)
{
    snprintf(p->wrong, sizeof(p->wrong), "%s: expected %s", name, expected);
    return false;
}

struct str api_value(const struct api_params *p, const char *name)
{
    struct str value = STR_EMPTY;
    if (p->n_members > API_MEMBERS_AT_HAND) {
        return json_member(p->object, str_of(name), &value) ? value : STR_EMPTY;
    }
    for (size_t i = p->n_members; i > 0; i--) { /* the last one counts, as in json_member() */
        if (json_key_is(p->members[i - 1].key, str_of(name))) {
            return p->members[i - 1].value;
        }
    }
    return STR_EMPTY;
}

/* Many libraries send null for what they leave out. */
static bool is_absent(struct str value)
{
    return value.len == 0 || value.ptr[0] == 'n';
}

bool api_has(const struct api_params *p, const char *name)
{
    return !is_absent(api_value(p, name));
}

/* The buffer is reserved whole at the first use: views into it stay true. */
bool api_decode(struct api_params *p, const char *name, struct str value, struct str *ret_text)
{
    if (json_kind(value) != JSON_KIND_STRING) {
        return api_complain(p, name, "a string");
    }
    struct str content = {value.ptr + 1, value.len - 2};
    if (str_find(content, '\\') < 0) {
        *ret_text = content;
        return true;
    }
    size_t start = p->decoded.len;
    if (buf_reserve(&p->decoded, p->decoded.max - start) != STATUS_OK ||
        json_decode_string(value, &p->decoded) != STATUS_OK) {
        return api_complain(p, name, "a string");
    }
    *ret_text = (struct str){p->decoded.ptr + start, p->decoded.len - start};
    return true;
}

bool api_text(struct api_params *p, const char *name, struct str *ret_text)
{
    struct str value = api_value(p, name);
    *ret_text = STR_EMPTY;
    return is_absent(value) || api_decode(p, name, value, ret_text);
}

bool api_inner_text(struct api_params *p, struct str object, const char *path, struct str *ret_text)
{
    struct str name = str_of(path);
    struct str value = STR_EMPTY;
    name = str_tail(name, (size_t)(str_find(name, '.') + 1));
    *ret_text = STR_EMPTY;
    return !json_member(object, name, &value) || is_absent(value) ||
           api_decode(p, path, value, ret_text);
}

bool api_short_text(struct api_params *p, const char *name, size_t max_bytes, struct str *ret_text)
{
    if (!api_text(p, name, ret_text)) {
        return false;
    }
    if (ret_text->len <= max_bytes) {
        return true;
    }
    char expected[64];
    snprintf(expected, sizeof(expected), "at most %zu bytes of text", max_bytes);
    return api_complain(p, name, expected);
}

bool api_base64(struct api_params *p, const char *name, struct str *ret_bytes)
{
    struct str text;
    *ret_bytes = STR_EMPTY;
    if (!api_text(p, name, &text)) {
        return false;
    }
    size_t start = p->decoded.len;
    if (buf_reserve(&p->decoded, p->decoded.max - start) != STATUS_OK ||
        !base64_decode(text, &p->decoded)) {
        return api_complain(p, name, "base64 with padding");
    }
    *ret_bytes = (struct str){p->decoded.ptr + start, p->decoded.len - start};
    return true;
}

bool api_bool(struct api_params *p, const char *name, bool *ret_truth)
{
    struct str value = api_value(p, name);
    *ret_truth = false;
    return is_absent(value) || json_to_bool(value, ret_truth) ||
           api_complain(p, name, "true or false");
}

bool api_i64(struct api_params *p, const char *name, int64_t *ret_number)
{
    struct str value = api_value(p, name);
    *ret_number = 0;
    return is_absent(value) || json_to_i64(value, ret_number) ||
           api_complain(p, name, "a whole number");
}

bool api_u64(struct api_params *p, struct str object, const char *name, uint64_t *ret_number)
{
    struct str value = STR_EMPTY;
    if (object.ptr == p->object.ptr) {
        value = api_value(p, name);
    } else {
        (void)json_member(object, str_of(name), &value);
    }
    *ret_number = 0;
    return is_absent(value) || json_to_u64(value, ret_number) ||
           api_complain(p, name, "a whole number, not negative");
}

bool api_object(struct api_params *p, const char *name, struct str *ret_object)
{
    struct str value = api_value(p, name);
    *ret_object = is_absent(value) ? STR_EMPTY : value;
    return ret_object->len == 0 || json_kind(value) == JSON_KIND_OBJECT ||
           api_complain(p, name, "an object");
}

bool api_string_map(struct api_params *p, const char *name, struct str *ret_object)
{
    if (!api_object(p, name, ret_object)) {
        return false;
    }
    struct json_walk walk = json_walk(*ret_object);
    struct str key;
    struct str item;
    while (ret_object->len > 0 && json_next_member(&walk, &key, &item)) {
        if (json_kind(item) != JSON_KIND_STRING) {
            return api_complain(p, name, "an object of strings");
        }
    }
    return true;
}
