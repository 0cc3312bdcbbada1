/* SPDX-License-Identifier: MIT */
/* Unit centrifuge_members writes the members of JSON objects, without the zeros. No state. */
#include "protocols/centrifuge_members.h"

#include "base/json_span.h"

size_t centrifuge_open_object(struct buf *out)
{
    buf_append_char(out, '{');
    return out->len;
}

void centrifuge_close_object(struct buf *out, size_t start)
{
    if (out->len > start && !buf_failed(out) && out->ptr[start] == ',') {
        memmove(out->ptr + start, out->ptr + start + 1, out->len - start - 1);
        out->len--;
    }
    buf_append_char(out, '}');
}

static void append_key(struct buf *out, const char *key)
{
    buf_literal(out, ",\"");
    buf_append(out, str_of(key));
    buf_literal(out, "\":");
}

void centrifuge_append_bool(struct buf *out, const char *key, bool truth)
{
    if (truth) {
        append_key(out, key);
        buf_literal(out, "true");
    }
}

void centrifuge_append_number(struct buf *out, const char *key, uint64_t number)
{
    if (number > 0) {
        append_key(out, key);
        buf_append_u64(out, number);
    }
}

void centrifuge_append_text(struct buf *out, const char *key, struct str text)
{
    if (text.len > 0) {
        append_key(out, key);
        json_append_string(out, text);
    }
}

void centrifuge_append_json(struct buf *out, const char *key, struct str value)
{
    if (value.len > 0) {
        append_key(out, key);
        buf_append(out, value);
    }
}
