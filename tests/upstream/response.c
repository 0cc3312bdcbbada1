/* SPDX-License-Identifier: MIT */
/* Answers: bodies are built in one buffer that all requests share, then encoded behind their head
 * into the buffer of the connection. */
#include "tests/upstream/response.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"

/* How much more than it sends a truncated answer announces. */
#define TRUNCATED_BYTES 100
#define ETAG_SIZE       20

void response_clear(struct response *res)
{
    res->status = 200;
    res->content_type = STR("application/json");
    res->with_etag = false;
    buf_clear(&res->body);
}

void response_text(struct response *res, struct str text)
{
    buf_append_char(&res->body, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if ((unsigned char)c < ' ') {
            buf_printf(&res->body, "\\u%04x", (unsigned)c);
            continue;
        }
        if (c == '"' || c == '\\') {
            buf_append_char(&res->body, '\\');
        }
        buf_append_char(&res->body, c);
    }
    buf_append_char(&res->body, '"');
}

void response_error(struct response *res, int status, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    response_clear(res);
    res->status = status;
    buf_literal(&res->body, "{\"error\":");
    response_text(res, str_of(text));
    buf_append_char(&res->body, '}');
}

/* Takes the closing brace off an object and leaves it ready for one more member. */
static bool reopen_object(struct buf *body)
{
    if (body->len < 2 || body->ptr[0] != '{' || body->ptr[body->len - 1] != '}') {
        return false;
    }
    body->len--;
    if (body->len > 1) {
        buf_append_char(body, ',');
    }
    return true;
}

void response_add_number(struct response *res, struct str name, int64_t number)
{
    if (reopen_object(&res->body)) {
        response_text(res, name);
        buf_append_char(&res->body, ':');
        buf_append_i64(&res->body, number);
        buf_append_char(&res->body, '}');
    }
}

void response_pad(struct response *res, size_t size)
{
    struct str open = STR("\"padding\":\"");
    struct str close = STR("\"}");
    /* The closing brace goes, a comma comes. */
    if (size < res->body.len + open.len + close.len ||
        buf_reserve(&res->body, size - res->body.len) || !reopen_object(&res->body)) {
        return;
    }
    buf_append(&res->body, open);
    size_t n = size - res->body.len - close.len;
    memset(res->body.ptr + res->body.len, 'x', n);
    res->body.len += n;
    buf_append(&res->body, close);
}

static void break_json(struct buf *body)
{
    if (body->len > 1 && body->ptr[body->len - 1] == '}') {
        body->len--;
    } else {
        buf_append_char(body, '}');
    }
}

void response_apply(struct response *res, const struct behaviour *b)
{
    if (b->redirect.len > 0) {
        res->status = 302;
    }
    if (b->status > 0) {
        res->status = (int)b->status;
    }
    if (b->content_type.len > 0) {
        res->content_type = b->content_type;
    }
    if (b->change_ms > 0) {
        response_add_number(res, STR("changed_at"), clock_wall_ms() / b->change_ms);
    }
    if (b->size > 0) {
        response_pad(res, (size_t)b->size);
    }
    if (b->invalid) {
        break_json(&res->body);
    }
    res->with_etag |= b->etag;
}

/* FNV-1a: an ETag has to tell apart what differs, not to withstand anybody. */
static void make_etag(struct str body, char etag[ETAG_SIZE])
{
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < body.len; i++) {
        hash = (hash ^ (unsigned char)body.ptr[i]) * 0x100000001b3U;
    }
    (void)snprintf(etag, ETAG_SIZE, "\"%016llx\"", (unsigned long long)hash);
}

static bool etag_matches(const struct request *req, struct str etag)
{
    struct str asked = req->if_none_match;
    return str_eq(asked, STR("*")) ||
           (asked.len > 0 && memmem(asked.ptr, asked.len, etag.ptr, etag.len) != NULL);
}

static void append_header(struct buf *out, struct str name, struct str value)
{
    buf_append(out, name);
    buf_append(out, value);
    buf_literal(out, "\r\n");
}

static void append_asked_headers(const struct behaviour *b, struct buf *out)
{
    if (b->redirect.len > 0) {
        append_header(out, STR("Location: "), b->redirect);
    }
    for (size_t i = 0; i < b->n_headers; i++) {
        append_header(out, STR_EMPTY, b->headers[i]);
    }
}

static void append_status_line(int status, struct buf *out)
{
    buf_literal(out, "HTTP/1.1 ");
    buf_append_u64(out, (uint64_t)status);
    buf_append_char(out, ' ');
    append_header(out, http_status_text(status), STR_EMPTY);
}

static void append_body_headers(const struct response *res, const struct behaviour *b,
                                struct buf *out)
{
    append_header(out, STR("Content-Type: "), res->content_type);
    if (b->endless) {
        buf_literal(out, "Transfer-Encoding: chunked\r\n");
        return;
    }
    buf_literal(out, "Content-Length: ");
    buf_append_u64(out, res->body.len + (b->truncate ? TRUNCATED_BYTES : 0));
    buf_literal(out, "\r\n");
}

void response_encode(struct response *res, const struct behaviour *b, const struct request *req,
                     struct buf *out, size_t *ret_head_len)
{
    char etag[ETAG_SIZE] = "";
    if (res->with_etag) {
        make_etag(buf_str(&res->body), etag);
        if (res->status == 200 && etag_matches(req, str_of(etag))) {
            res->status = 304;
        }
    }
    bool has_body = res->status != 204 && res->status != 304;
    size_t start = out->len;
    append_status_line(res->status, out);
    if (has_body) {
        append_body_headers(res, b, out);
    }
    if (res->with_etag) {
        append_header(out, STR("ETag: "), str_of(etag));
    }
    append_asked_headers(b, out);
    if (!req->keep_alive) {
        buf_literal(out, "Connection: close\r\n");
    }
    buf_literal(out, "\r\n");
    *ret_head_len = out->len - start;
    if (has_body && !b->endless && !str_eq(req->method, STR("HEAD"))) {
        buf_append(out, buf_str(&res->body));
    }
}
