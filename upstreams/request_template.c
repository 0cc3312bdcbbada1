/* SPDX-License-Identifier: MIT */
/* A request with places. The URL and its query are one url_template; each header line and the body
 * are cut into pieces at creation, and there it is decided what becomes of a value in each place,
 * so that expanding only strings pieces together. Immutable once made. */
#include "upstreams/request_template.h"

#include <assert.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "upstreams/template_text.h"
#include "upstreams/url_template.h"

#define URL_MAX_BYTES     ((size_t)16 << 10)
#define HEADERS_MAX_BYTES ((size_t)64 << 10)
#define BODY_MAX_BYTES    ((size_t)1 << 20)
#define NO_LIMIT          (SIZE_MAX / 2) /* a text of the operator's, copied */

enum form {
    FORM_PLAIN,
    FORM_HEADER, /* without control characters */
    FORM_URLENCODED,
    FORM_JSON,        /* only before the text is cut: one of the two below */
    FORM_JSON_STRING, /* what stands between quotes */
    FORM_JSON_VALUE,  /* a number, true, false or null */
};

/* A literal, and the value behind it. */
struct piece {
    struct str literal;
    size_t name; /* its index; NO_NAME in the last piece */
    enum form form;
};
#define NO_NAME SIZE_MAX

struct part {
    char *text;
    struct piece *pieces;
    size_t n_pieces;
};

struct request_template {
    enum fetch_method method;
    struct url_template *url; /* with the query */
    struct part *headers;     /* "Name: value" */
    size_t n_headers;
    struct part body;
    size_t n_names;
    struct str names[TEMPLATE_MAX_NAMES]; /* views into the texts */
};

static const char too_many_names[] = "at most 100 different names in all";

/* --- places --- */

/* NO_NAME: there are too many. */
static size_t index_of_name(struct request_template *t, struct str name)
{
    size_t i = template_find_name(t->names, t->n_names, name);
    if (i == TEMPLATE_MAX_NAMES) {
        return NO_NAME;
    }
    if (i == t->n_names) {
        t->names[t->n_names++] = name;
    }
    return i;
}

/* Where in JSON text one is. */
struct json_place {
    bool is_in_string;
    bool is_escaped; /* by the backslash before */
};

static void go_past(struct json_place *at, struct str literal)
{
    for (size_t i = 0; i < literal.len; i++) {
        if (at->is_escaped) {
            at->is_escaped = false;
        } else if (literal.ptr[i] == '"') {
            at->is_in_string = !at->is_in_string;
        } else {
            at->is_escaped = at->is_in_string && literal.ptr[i] == '\\';
        }
    }
}

static enum form form_at(enum form form, const struct json_place *at)
{
    if (form != FORM_JSON) {
        return form;
    }
    return at->is_in_string ? FORM_JSON_STRING : FORM_JSON_VALUE;
}

static size_t count_pieces(struct str text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == '{';
    }
    return n;
}

/* STATUS_LIMIT: too many names. Takes the text over, also then. */
static enum status cut(struct request_template *t, char *text, enum form form,
                       struct part *ret_part)
{
    struct json_place at = {0};
    struct str rest = str_of(text);
    *ret_part =
        (struct part){.text = text, .pieces = calloc(count_pieces(rest), sizeof(struct piece))};
    if (!text || !ret_part->pieces) {
        return STATUS_NO_MEMORY;
    }
    bool has_more;
    do {
        struct piece *piece = &ret_part->pieces[ret_part->n_pieces++];
        struct str name;
        has_more = template_next_place(&rest, &piece->literal, &name);
        go_past(&at, piece->literal);
        piece->form = form_at(form, &at);
        piece->name = has_more ? index_of_name(t, name) : NO_NAME;
        if (has_more && piece->name == NO_NAME) {
            return STATUS_LIMIT;
        }
    } while (has_more);
    return STATUS_OK;
}

static enum status invalid(const char *expected, const char **ret_expected)
{
    *ret_expected = expected;
    return STATUS_INVALID;
}

static enum status cut_or_say(struct request_template *t, char *text, enum form form,
                              struct part *ret_part, const char **ret_expected)
{
    enum status status = cut(t, text, form, ret_part);
    return status == STATUS_LIMIT ? invalid(too_many_names, ret_expected) : status;
}

static void release_part(struct part *part)
{
    free(part->text);
    free(part->pieces);
}

/* --- the URL and its query --- */

static enum status take_url(struct request_template *t,
                            const struct request_template_source *source, const char **ret_expected)
{
    return url_template_create(str_of(source->url), &t->url, ret_expected);
}

/* The operator writes values, not encoded text: what has a meaning in a query, or may not stand
 * there, is encoded. */
static void append_query_text(struct buf *out, struct str text)
{
    struct str literal;
    struct str name;
    bool has_more;
    do {
        has_more = template_next_place(&text, &literal, &name);
        template_append_encoded(out, literal, "!$()*,/:?@");
        if (has_more) {
            buf_append_char(out, '{');
            buf_append(out, name);
            buf_append_char(out, '}');
        }
    } while (has_more);
}

static const char *check_query(const struct config_list *query)
{
    const struct config_pair *pairs = query->items;
    for (size_t i = 0; i < query->n_items; i++) {
        if (!template_braces_are_good(str_of(pairs[i].name)) ||
            !template_braces_are_good(str_of(pairs[i].text))) {
            return TEMPLATE_BRACES_EXPECTED;
        }
    }
    return NULL;
}

static void join_query(struct buf *out, const char *url, const struct config_list *query)
{
    const struct config_pair *pairs = query->items;
    buf_append(out, str_of(url));
    char separator = strchr(url, '?') ? '&' : '?';
    bool is_separated = separator == '&' && strchr("?&", url[strlen(url) - 1]);
    for (size_t i = 0; i < query->n_items; i++) {
        if (!is_separated) {
            buf_append_char(out, separator);
        }
        append_query_text(out, str_of(pairs[i].name));
        buf_append_char(out, '=');
        append_query_text(out, str_of(pairs[i].text));
        is_separated = false;
        separator = '&';
    }
}

static enum status replace_url(struct request_template *t, const char *url,
                               const struct config_list *query, const char **ret_expected)
{
    struct buf joined;
    buf_init(&joined, NO_LIMIT);
    join_query(&joined, url, query);
    url_template_destroy(t->url);
    t->url = NULL;
    enum status status = buf_failed(&joined)
                             ? STATUS_NO_MEMORY
                             : url_template_create(buf_str(&joined), &t->url, ret_expected);
    buf_release(&joined);
    return status;
}

/* The URL's names are the first. */
static enum status take_query(struct request_template *t,
                              const struct request_template_source *source,
                              const char **ret_expected)
{
    if (source->query && source->query->n_items > 0) {
        const char *expected = check_query(source->query);
        if (expected) {
            return invalid(expected, ret_expected);
        }
        enum status status = replace_url(t, source->url, source->query, ret_expected);
        if (status != STATUS_OK) {
            return status == STATUS_INVALID ? invalid(too_many_names, ret_expected) : status;
        }
    }
    for (size_t i = 0; i < url_template_n_names(t->url); i++) {
        t->names[t->n_names++] = url_template_name(t->url, i);
    }
    return STATUS_OK;
}

/* --- headers --- */

static bool has_place(struct str text)
{
    struct str literal;
    struct str name;
    return template_next_place(&text, &literal, &name);
}

static bool is_content_type(const struct config_pair *header)
{
    return str_eq_nocase(str_of(header->name), STR("Content-Type"));
}

static const char *check_header(const struct config_pair *headers, size_t index)
{
    const struct config_pair *header = &headers[index];
    if (!fetch_header_allowed(str_of(header->name))) {
        return "names of headers, without those of the connection (Host, Content-Length, "
               "Connection ...)";
    }
    if (template_has_control(str_of(header->text))) {
        return "values without control characters";
    }
    if (is_content_type(header) && has_place(str_of(header->text))) {
        return "a Content-Type without {names}: it decides how values are written in the body";
    }
    for (size_t i = 0; i < index; i++) {
        if (str_eq_nocase(str_of(headers[i].name), str_of(header->name))) {
            return "each header once";
        }
    }
    return NULL;
}

static char *line_of(const struct config_pair *header)
{
    struct buf line;
    buf_init(&line, NO_LIMIT);
    buf_append(&line, str_of(header->name));
    buf_literal(&line, ": ");
    buf_append(&line, str_of(header->text));
    return buf_take(&line);
}

static enum status take_headers(struct request_template *t,
                                const struct request_template_source *source,
                                const char **ret_expected)
{
    size_t n = source->headers ? source->headers->n_items : 0;
    t->headers = calloc(n + 1, sizeof(*t->headers));
    if (!t->headers) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        const struct config_pair *headers = source->headers->items;
        const char *expected = check_header(headers, i);
        if (expected) {
            return invalid(expected, ret_expected);
        }
        enum status status = cut_or_say(t, line_of(&headers[i]), FORM_HEADER,
                                        &t->headers[t->n_headers++], ret_expected);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* --- the body --- */

/* What stands before the parameters of a Content-Type. */
static struct str media_type(struct str content_type)
{
    ptrdiff_t end = str_find(content_type, ';');
    return str_trim(end < 0 ? content_type : str_head(content_type, (size_t)end));
}

static enum form form_of_type(struct str type)
{
    if (str_eq_nocase(type, STR("application/x-www-form-urlencoded"))) {
        return FORM_URLENCODED;
    }
    struct str suffix = type.len > 5 ? str_tail(type, type.len - 5) : STR_EMPTY;
    bool is_json = str_eq_nocase(type, STR("application/json")) ||
                   str_eq_nocase(type, STR("text/json")) || str_eq_nocase(suffix, STR("+json"));
    return is_json ? FORM_JSON : FORM_PLAIN;
}

static enum form form_of_body(const struct config_list *headers)
{
    for (size_t i = 0; headers && i < headers->n_items; i++) {
        const struct config_pair *header = (const struct config_pair *)headers->items + i;
        if (is_content_type(header)) {
            return form_of_type(media_type(str_of(header->text)));
        }
    }
    return FORM_JSON;
}

/* Would any good values make it JSON? The stand-ins are such that nothing but a whole value goes
 * outside a string, and no part of an escape inside one. */
static enum status check_json(const struct part *body, const char **ret_expected)
{
    struct buf sample;
    buf_init(&sample, NO_LIMIT);
    for (size_t i = 0; i < body->n_pieces; i++) {
        const struct piece *piece = &body->pieces[i];
        buf_append(&sample, piece->literal);
        if (piece->name != NO_NAME) {
            buf_append(&sample, piece->form == FORM_JSON_STRING ? STR("x") : STR("null"));
        }
    }
    bool has_failed = buf_failed(&sample);
    bool is_json = json_check(buf_str(&sample), NULL) == STATUS_OK;
    buf_release(&sample);
    if (has_failed) {
        return STATUS_NO_MEMORY;
    }
    return is_json ? STATUS_OK
                   : invalid("JSON, with {names} inside strings or in the place of whole values; "
                             "or another Content-Type among the headers",
                             ret_expected);
}

static enum status take_body(struct request_template *t,
                             const struct request_template_source *source,
                             const char **ret_expected)
{
    struct str body = str_of(source->body);
    if (body.len == 0) {
        return STATUS_OK;
    }
    if (source->method == FETCH_GET || source->method == FETCH_HEAD) {
        return invalid("no body with method GET or HEAD", ret_expected);
    }
    enum form form = form_of_body(source->headers);
    enum status status = cut_or_say(t, str_dup(body), form, &t->body, ret_expected);
    return status == STATUS_OK && form == FORM_JSON ? check_json(&t->body, ret_expected) : status;
}

/* --- the whole --- */

enum status request_template_create(const struct request_template_source *source,
                                    struct request_template **ret_template, const char **ret_key,
                                    const char **ret_expected)
{
    static const struct {
        const char *key;
        enum status (*take)(struct request_template *t,
                            const struct request_template_source *source,
                            const char **ret_expected);
    } steps[] = {
        {"url", take_url}, {"query", take_query}, {"headers", take_headers}, {"body", take_body}};
    struct request_template *t = calloc(1, sizeof(*t));
    if (!t) {
        return STATUS_NO_MEMORY;
    }
    t->method = source->method;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        enum status status = steps[i].take(t, source, ret_expected);
        if (status != STATUS_OK) {
            request_template_destroy(t);
            if (status == STATUS_INVALID) {
                *ret_key = steps[i].key;
            }
            return status;
        }
    }
    *ret_template = t;
    return STATUS_OK;
}

void request_template_destroy(struct request_template *t)
{
    if (!t) {
        return;
    }
    url_template_destroy(t->url);
    for (size_t i = 0; i < t->n_headers; i++) {
        release_part(&t->headers[i]);
    }
    release_part(&t->body);
    free(t->headers);
    free(t);
}

size_t request_template_n_names(const struct request_template *t)
{
    return t->n_names;
}

struct str request_template_name(const struct request_template *t, size_t index)
{
    assert(index < t->n_names);
    return t->names[index];
}

enum fetch_method request_template_method(const struct request_template *t)
{
    return t->method;
}

/* --- expanding --- */

static bool is_whole_json_value(struct str value)
{
    if (value.len == 0 || json_check(value, NULL) != STATUS_OK) {
        return false;
    }
    enum json_kind kind = json_kind(value);
    bool is_plain = kind != JSON_KIND_OBJECT && kind != JSON_KIND_ARRAY && kind != JSON_KIND_STRING;
    return is_plain && json_trim(value).len == value.len;
}

/* As json_append_string(), without the quotes. */
static void append_in_json_string(struct buf *out, struct str value)
{
    size_t start = out->len;
    json_append_string(out, value);
    if (!buf_failed(out)) {
        out->len -= 2;
        memmove(out->ptr + start, out->ptr + start + 1, out->len - start);
    }
}

static enum status append_value(struct buf *out, struct str value, enum form form)
{
    switch (form) {
    case FORM_HEADER:
        if (template_has_control(value)) {
            return STATUS_INVALID;
        }
        break;
    case FORM_JSON_VALUE:
        if (!is_whole_json_value(value)) {
            return STATUS_INVALID;
        }
        break;
    case FORM_URLENCODED: template_append_encoded(out, value, ""); return STATUS_OK;
    case FORM_JSON_STRING: append_in_json_string(out, value); return STATUS_OK;
    case FORM_PLAIN:
    case FORM_JSON: break;
    }
    buf_append(out, value);
    return STATUS_OK;
}

static enum status append_part(struct buf *out, const struct part *part, const struct str *values)
{
    for (size_t i = 0; i < part->n_pieces; i++) {
        const struct piece *piece = &part->pieces[i];
        buf_append(out, piece->literal);
        enum status status = piece->name == NO_NAME
                                 ? STATUS_OK
                                 : append_value(out, values[piece->name], piece->form);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return buf_failed(out) ? STATUS_TOO_LARGE : STATUS_OK;
}

/* Lines may move while their buffer grows: views are made of them at the end. */
static enum status expand_headers(const struct request_template *t, const struct str *values,
                                  struct request_text *text)
{
    text->headers = calloc(t->n_headers + 1, sizeof(*text->headers));
    if (!text->headers) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < t->n_headers; i++) {
        size_t start = text->lines.len;
        enum status status = append_part(&text->lines, &t->headers[i], values);
        if (status != STATUS_OK) {
            return status;
        }
        text->headers[i].len = text->lines.len - start;
    }
    size_t at = 0;
    for (size_t i = 0; i < t->n_headers; i++) {
        text->headers[i].ptr = text->lines.ptr + at;
        at += text->headers[i].len;
    }
    text->n_headers = t->n_headers;
    return STATUS_OK;
}

static enum status expand_url(const struct request_template *t, const struct str *values,
                              struct buf *out)
{
    enum status status = url_template_expand(t->url, values, out);
    if (status != STATUS_OK) {
        return status;
    }
    buf_append_char(out, '\0');
    if (buf_failed(out)) {
        return STATUS_TOO_LARGE;
    }
    out->len--;
    return STATUS_OK;
}

enum status request_template_expand(const struct request_template *t, const struct str *values,
                                    struct request_text *ret_text)
{
    buf_init(&ret_text->url, URL_MAX_BYTES + 1); /* and the NUL */
    buf_init(&ret_text->lines, HEADERS_MAX_BYTES);
    buf_init(&ret_text->body, BODY_MAX_BYTES + 2); /* and quotes that are taken away again */
    enum status status = expand_url(t, values, &ret_text->url);
    if (status == STATUS_OK && t->n_headers > 0) {
        status = expand_headers(t, values, ret_text);
    }
    if (status == STATUS_OK) {
        status = append_part(&ret_text->body, &t->body, values);
    }
    return status == STATUS_OK && ret_text->body.len > BODY_MAX_BYTES ? STATUS_TOO_LARGE : status;
}

void request_text_release(struct request_text *text)
{
    buf_release(&text->url);
    buf_release(&text->lines);
    buf_release(&text->body);
    free(text->headers);
    *text = (struct request_text){0};
}
