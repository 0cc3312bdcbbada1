/* SPDX-License-Identifier: MIT */
/* Unit refresh_request is what an upstream is asked in a run: the values in its request, and the
 * condition that came with its last answer. A condition is remembered with a hash of the request
 * that it belongs to: entity tags say nothing about the answers of other URLs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_span.h"
#include "hub/hub_internal.h"
#include "hub/refresh_internal.h"

#define HASH_TEXT_SIZE      18 /* sixteen digits, a newline and a NUL */
#define VALUES_MAX_BYTES    ((size_t)16 << 10)
#define CONDITION_MAX_BYTES ((size_t)4 << 10)

/* What stands in the request for a value of another upstream: texts without quotes, numbers and
 * truths as they are. */
static bool append_scalar(struct str value, struct buf *out)
{
    switch (json_kind(value)) {
    case JSON_KIND_STRING: return json_decode_string(value, out) == STATUS_OK;
    case JSON_KIND_NUMBER:
    case JSON_KIND_TRUE:
    case JSON_KIND_FALSE: buf_append(out, value); return !buf_failed(out);
    default: return false;
    }
}

/* "address.city" is the pointer /address/city. */
static bool find_member(struct str text, struct str path, struct str *ret_value)
{
    while (path.len > 0) {
        ptrdiff_t dot = str_find(path, '.');
        struct str name = dot < 0 ? path : str_head(path, (size_t)dot);
        char pointer[300];
        int len = snprintf(pointer, sizeof(pointer), "/%.*s", STR_ARG(name));
        if (len >= (int)sizeof(pointer) ||
            !json_pointer(text, (struct str){pointer, (size_t)len}, &text)) {
            return false;
        }
        path = dot < 0 ? STR_EMPTY : str_tail(path, (size_t)dot + 1);
    }
    *ret_value = text;
    return true;
}

/* False: error says why not. */
static bool find_value(const struct refresh_part *p, const struct feed_source *source,
                       struct buf *out, char *error, size_t size)
{
    const struct refresh_part *from = &p->refresh->parts[source->index];
    struct str value;
    if (!from->text) {
        snprintf(error, size, "%s, which it needs, has no value", from->upstream->options->name);
        return false;
    }
    if (!find_member((struct str){from->text->bytes, from->text->len}, source->member, &value) ||
        !append_scalar(value, out)) {
        snprintf(error, size, "%s.%.*s is no text, number or truth%s",
                 from->upstream->options->name,
                 (int)(source->member.len < 60 ? source->member.len : 60), source->member.ptr,
                 buf_failed(out) ? " of at most 16 KiB" : "");
        return false;
    }
    return true;
}

/* The texts of other upstreams' values are in `texts`, which does not move. */
static bool find_values(const struct refresh_part *p, struct str *values, struct buf *texts,
                        char *error, size_t size)
{
    const struct feed_upstream *u = p->upstream;
    for (size_t i = 0; i < request_template_n_names(u->request); i++) {
        const struct feed_source *source = &u->sources[i];
        if (source->is_param) {
            values[i] = p->refresh->instance->params.values[source->index];
            continue;
        }
        size_t start = texts->len;
        if (!find_value(p, source, texts, error, size)) {
            return false;
        }
        values[i] = (struct str){texts->ptr + start, texts->len - start};
    }
    return true;
}

/* 64-bit FNV-1a. */
static uint64_t hash_more(uint64_t hash, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        hash = (hash ^ (unsigned char)text.ptr[i]) * UINT64_C(0x100000001b3);
    }
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

static uint64_t hash_of(const struct request_text *text, enum fetch_method method,
                        const char *select)
{
    uint64_t hash = hash_more(UINT64_C(0xcbf29ce484222325), str_of(fetch_method_name(method)));
    hash = hash_more(hash, buf_str(&text->url));
    hash = hash_more(hash, buf_str(&text->body));
    for (size_t i = 0; i < text->n_headers; i++) {
        hash = hash_more(hash, text->headers[i]);
    }
    return hash_more(hash, str_of(select)); /* what is remembered is the selected part */
}

struct condition_lines {
    struct buf text;
    struct str lines[2];
    size_t n;
};

/* What is read back from a damaged file may be anything. */
static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

static void add_line(struct condition_lines *c, struct str name, struct str value)
{
    size_t start = c->text.len;
    if (value.len > 0 && !has_control(value)) {
        buf_append(&c->text, name);
        buf_append(&c->text, value);
        c->lines[c->n++] = (struct str){c->text.ptr + start, c->text.len - start};
    }
}

static void write_hash(const struct refresh_part *p, char text[HASH_TEXT_SIZE])
{
    snprintf(text, HASH_TEXT_SIZE, "%016llx\n", (unsigned long long)p->request_hash);
}

/* False: it is for another request. Else what follows the hash. */
static bool read_condition(const struct refresh_part *p, struct str *ret_rest)
{
    const struct feed_text *condition = p->refresh->instance->values[p->index].condition;
    char hash[HASH_TEXT_SIZE];
    write_hash(p, hash);
    if (!condition ||
        !str_starts_with((struct str){condition->bytes, condition->len}, str_of(hash))) {
        return false;
    }
    *ret_rest = str_tail((struct str){condition->bytes, condition->len}, strlen(hash));
    return true;
}

struct feed_text *refresh_request_condition(const struct refresh_part *p,
                                            const struct fetch_head *head)
{
    bool has_lines =
        p->upstream->options->conditional && (head->etag.len > 0 || head->last_modified.len > 0);
    if (!has_lines && p->upstream->n_needs == 0) {
        return NULL;
    }
    char hash[HASH_TEXT_SIZE];
    struct buf text;
    write_hash(p, hash);
    buf_init(&text, CONDITION_MAX_BYTES);
    buf_append(&text, str_of(hash));
    buf_append(&text, has_lines ? head->etag : STR_EMPTY);
    buf_append_char(&text, '\n');
    buf_append(&text, has_lines ? head->last_modified : STR_EMPTY);
    struct feed_text *condition =
        feed_text_create(buf_failed(&text) ? str_of(hash) : buf_str(&text));
    buf_release(&text);
    return condition;
}

bool refresh_request_has_value(const struct refresh_part *p)
{
    struct str rest;
    return p->upstream->n_needs == 0 || p->request_hash == 0 || read_condition(p, &rest);
}

static void make_lines(const struct refresh_part *p, struct condition_lines *c)
{
    struct str rest;
    buf_init(&c->text, 2 * CONDITION_MAX_BYTES);
    c->n = 0;
    if (!p->upstream->options->conditional || !p->refresh->instance->values[p->index].text ||
        !read_condition(p, &rest) || buf_reserve(&c->text, rest.len + 64) != STATUS_OK) {
        return;
    }
    ptrdiff_t end = str_find(rest, '\n');
    if (end >= 0) {
        add_line(c, STR("If-None-Match: "), str_head(rest, (size_t)end));
        add_line(c, STR("If-Modified-Since: "), str_tail(rest, (size_t)end + 1));
    }
}

static enum status expand(struct refresh_part *p, struct buf *texts, struct request_text *text,
                          char *error, size_t size)
{
    size_t n = request_template_n_names(p->upstream->request);
    struct str *values = n > 0 ? hub_allocate(n * sizeof(*values)) : NULL;
    enum status status =
        p->upstream->n_needs > 0 ? buf_reserve(texts, VALUES_MAX_BYTES) : STATUS_OK;
    if (status == STATUS_OK && !find_values(p, values, texts, error, size)) {
        status = STATUS_INVALID;
    } else if (status == STATUS_OK) {
        snprintf(error, size, "a value may not stand in its request");
        status = request_template_expand(p->upstream->request, values, text);
    }
    free(values);
    return status;
}

enum status refresh_request_make(struct refresh_part *p, struct request_text *text, char *error,
                                 size_t size)
{
    struct buf texts;
    buf_init(&texts, VALUES_MAX_BYTES);
    enum status status = expand(p, &texts, text, error, size);
    if (status == STATUS_OK) {
        p->request_hash = hash_of(text, request_template_method(p->upstream->request),
                                  p->upstream->options->select);
    } else if (status == STATUS_TOO_LARGE) {
        snprintf(error, size, "with its values its request is too large");
    }
    buf_release(&texts);
    return status;
}

enum status refresh_request_send(struct refresh_part *p, const struct request_text *text,
                                 upstream_done_fn done)
{
    struct refresh *r = p->refresh;
    int64_t spent_ms = (clock_monotonic_us() - r->started_us) / 1000;
    int64_t left_ms = r->feed->options->timeout_ms - spent_ms;
    struct condition_lines condition;
    make_lines(p, &condition);
    char trace_text[TRACE_LINES_SIZE];
    struct str trace[2];
    size_t n_trace = r->trace ? trace_lines(r->trace, trace_text, trace) : 0;
    size_t n_own = text->n_headers + condition.n;
    size_t n = n_own + n_trace;
    struct str *headers = n > 0 ? hub_allocate(n * sizeof(*headers)) : NULL;
    for (size_t i = 0; i < n_own; i++) {
        headers[i] = i < text->n_headers ? text->headers[i] : condition.lines[i - text->n_headers];
    }
    for (size_t i = 0; i < n_trace; i++) {
        headers[n_own + i] = trace[i];
    }
    const struct upstream_request request = {
        .url = text->url.ptr,
        .method = request_template_method(p->upstream->request),
        .body = buf_str(&text->body),
        .headers = headers,
        .n_headers = n,
        .timeout_ms = left_ms > 0 ? left_ms : 1,
        .max_bytes = (size_t)r->hub->upstreams_options->max_body_size,
    };
    p->is_conditional = condition.n > 0;
    enum status status = upstream_ask(p->upstream->upstream, &request, done, p, &p->call);
    free(headers);
    buf_release(&condition.text);
    return status;
}
