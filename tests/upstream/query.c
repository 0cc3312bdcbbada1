/* SPDX-License-Identifier: MIT */
/* Query parameters: name=value pairs, percent-decoded into one fixed text. Decoding never makes a
 * text longer and a target fits a head, so the text cannot overflow. */
#include "tests/upstream/query.h"

#include <assert.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A '+' is a blank in a query and itself in a path. */
static bool decode(struct query *q, struct str raw, char plus, struct str *ret_text)
{
    assert(q->text_len + raw.len <= sizeof(q->text));
    char *start = q->text + q->text_len;
    char *out = start;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] != '%') {
            *out++ = raw.ptr[i] == '+' ? plus : raw.ptr[i];
            continue;
        }
        int high = i + 2 < raw.len ? hex_digit(raw.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(raw.ptr[i + 2]) : -1;
        if (low < 0) {
            return false;
        }
        *out++ = (char)(high * 16 + low);
        i += 2;
    }
    *ret_text = (struct str){start, (size_t)(out - start)};
    q->text_len += ret_text->len;
    return true;
}

bool query_decode_path(struct query *q, struct str raw, struct str *ret_text)
{
    return decode(q, raw, '+', ret_text);
}

static bool parse_param(struct query *q, struct str pair)
{
    if (q->n_params == QUERY_MAX_PARAMS) {
        return false;
    }
    ptrdiff_t at = str_find(pair, '=');
    size_t name_len = at < 0 ? pair.len : (size_t)at;
    struct param *p = &q->params[q->n_params++];
    return decode(q, str_head(pair, name_len), ' ', &p->name) &&
           decode(q, str_tail(pair, name_len + 1), ' ', &p->value);
}

bool query_parse(struct str raw, struct query *q)
{
    q->n_params = 0;
    q->text_len = 0;
    while (raw.len > 0) {
        ptrdiff_t at = str_find(raw, '&');
        size_t len = at < 0 ? raw.len : (size_t)at;
        if (len > 0 && !parse_param(q, str_head(raw, len))) {
            return false;
        }
        raw = str_tail(raw, len + 1);
    }
    return true;
}

struct str query_find(const struct query *q, struct str name)
{
    for (size_t i = 0; i < q->n_params; i++) {
        if (str_eq(q->params[i].name, name)) {
            return q->params[i].value;
        }
    }
    return STR_EMPTY;
}
