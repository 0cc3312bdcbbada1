/* SPDX-License-Identifier: MIT */
/* Unit feed_query has no state. A misspelt or repeated parameter must not pass for another request,
 * so all that is not clear is refused. */
#include "protocols/feed_query.h"

#include "base/json_span.h"
#include "base/utf8.h"

/* A head holds 8 KiB; a byte takes six at most as JSON. */
#define PARAMS_MAX_BYTES 65536
#define SHOWN_BYTES      64

struct argument {
    struct str name;
    struct str value;
};

/* False: there is no further one. Empty ones ("a=1&&b=2") are passed over. */
static bool next_argument(struct str *rest, struct argument *ret_argument)
{
    while (rest->len > 0) {
        ptrdiff_t end = str_find(*rest, '\0');
        struct str text = end < 0 ? *rest : str_head(*rest, (size_t)end);
        *rest = end < 0 ? STR_EMPTY : str_tail(*rest, (size_t)end + 1);
        if (text.len > 0) {
            ptrdiff_t equal = str_find(text, '=');
            ret_argument->name = equal < 0 ? text : str_head(text, (size_t)equal);
            ret_argument->value = equal < 0 ? STR_EMPTY : str_tail(text, (size_t)equal + 1);
            return true;
        }
    }
    return false;
}

static bool complain(struct buf *why, struct str name, const char *what)
{
    json_append_string(why, str_head(name, SHOWN_BYTES));
    buf_append(why, str_of(what));
    return false;
}

/* rest: what stands behind it. */
static bool is_repeated(struct str rest, struct str name)
{
    struct argument other;
    while (next_argument(&rest, &other)) {
        if (str_eq(other.name, name)) {
            return true;
        }
    }
    return false;
}

static bool read_truth(const struct argument *a, bool *ret_truth, struct buf *why)
{
    *ret_truth = a->value.len == 0 || str_eq(a->value, STR("1")) || str_eq(a->value, STR("true"));
    return *ret_truth || str_eq(a->value, STR("0")) || str_eq(a->value, STR("false")) ||
           complain(why, a->name, " is 1 or 0");
}

static void append_param(struct buf *out, const struct argument *a)
{
    buf_append_char(out, out->len == 0 ? '{' : ',');
    json_append_string(out, a->name);
    buf_append_char(out, ':');
    json_append_string(out, a->value);
}

static bool read_argument(struct feed_query *q, const struct argument *a, struct str rest,
                          struct buf *why)
{
    if (!utf8_valid(a->name) || !utf8_valid(a->value)) {
        return complain(why, a->name, " is not UTF-8");
    }
    if (is_repeated(rest, a->name)) {
        return complain(why, a->name, " is there twice");
    }
    if (str_eq(a->name, STR("fresh"))) {
        return read_truth(a, &q->is_fresh, why);
    }
    if (str_eq(a->name, STR("token"))) {
        q->token = a->value;
        return true;
    }
    append_param(&q->params, a);
    return true;
}

enum status feed_query_read(struct str arguments, struct feed_query *ret_query, struct buf *why)
{
    struct feed_query q = {.token = STR_EMPTY};
    struct argument argument;
    bool is_good = true;
    buf_init(&q.params, PARAMS_MAX_BYTES);
    while (is_good && !buf_failed(&q.params) && next_argument(&arguments, &argument)) {
        is_good = read_argument(&q, &argument, arguments, why);
    }
    buf_append(&q.params, q.params.len == 0 ? STR("{}") : STR("}"));
    if (is_good && !buf_failed(&q.params)) {
        *ret_query = q;
        return STATUS_OK;
    }
    if (is_good) {
        buf_literal(why, "the arguments are too long");
    }
    buf_release(&q.params);
    return STATUS_INVALID;
}

void feed_query_release(struct feed_query *q)
{
    buf_release(&q->params);
}
