/* SPDX-License-Identifier: MIT */
/* Unit api_stream has no state. It looks for braces outside of texts only: whether an object is one
 * json_check() says. */
#include "protocols/api_stream.h"

#include "base/json_span.h"

/* Where an object at the beginning ends, as far as it can be told without looking at it closely. */
static size_t object_length(struct str text)
{
    size_t depth = 0;
    bool is_text = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_text) {
            i += c == '\\';
            is_text = c != '"';
        } else if (c == '"') {
            is_text = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth <= 1) {
                return i + 1;
            }
            depth--;
        }
    }
    return text.len;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool api_stream_next(struct str *rest, struct str *ret_object)
{
    while (rest->len > 0 && is_blank(rest->ptr[0])) {
        *rest = str_tail(*rest, 1);
    }
    size_t len = object_length(*rest);
    *ret_object = str_head(*rest, len);
    *rest = str_tail(*rest, len);
    return len > 0;
}

enum status api_stream_check(struct str stream, size_t max, size_t *ret_n,
                             struct api_stream_fault *ret_fault)
{
    struct str rest = stream;
    struct str object;
    struct json_error wrong;
    size_t n = 0;
    while (api_stream_next(&rest, &object)) {
        size_t offset = (size_t)(object.ptr - stream.ptr);
        if (object.ptr[0] != '{') {
            *ret_fault = (struct api_stream_fault){offset, "an object"};
            return STATUS_INVALID;
        }
        if (json_check(object, &wrong) != STATUS_OK) {
            *ret_fault = (struct api_stream_fault){offset + wrong.offset, wrong.expected};
            return STATUS_INVALID;
        }
        if (++n > max) { /* the rest may be long */
            return STATUS_LIMIT;
        }
    }
    if (n == 0) {
        return STATUS_LIMIT;
    }
    *ret_n = n;
    return STATUS_OK;
}
