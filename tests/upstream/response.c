/* SPDX-License-Identifier: MIT */
/* Answers: bodies are built in one buffer that all requests share, then encoded behind their head
 * into the buffer of the connection. */
#include "tests/upstream/response.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "tests/upstream/gzip.h"

/* How much more than it sends a truncated answer announces. */
#define TRUNCATED_BYTES 100
#define ETAG_SIZE       20
#define DATE_SIZE       40

void response_init(struct response *res)
{
    *res = (struct response){0};
    buf_init(&res->body, RESPONSE_MAX_BODY);
    buf_init(&res->packed, RESPONSE_MAX_BODY);
    buf_init(&res->location, HTTP_MAX_HEAD);
}

void response_release(struct response *res)
{
    buf_release(&res->body);
    buf_release(&res->packed);
    buf_release(&res->location);
}

void response_clear(struct response *res)
{
    res->status = 200;
    res->content_type = STR("application/json");
    res->with_etag = false;
    res->is_gzip = false;
    res->modified_s = 0;
    buf_clear(&res->body);
    buf_clear(&res->location);
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
        buf_clear(&res->location);
        buf_append(&res->location, b->redirect);
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
    if (b->bomb_mib > 0) {
        buf_clear(&res->body);
        res->is_gzip = true;
        res->body.failed |= !gzip_bomb((uint64_t)b->bomb_mib, &res->body);
    }
    res->with_etag |= b->etag;
}

/* FNV-1a. */
uint64_t response_hash(const struct response *res)
{
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < res->body.len; i++) {
        hash = (hash ^ (unsigned char)res->body.ptr[i]) * 0x100000001b3U;
    }
    return hash;
}

/* What an answer says about its body's version; empty texts: nothing. */
struct version {
    char etag[ETAG_SIZE];
    char modified[DATE_SIZE];
};

static void make_version(const struct response *res, struct version *v)
{
    v->etag[0] = '\0';
    v->modified[0] = '\0';
    if (res->with_etag) {
        (void)snprintf(v->etag, ETAG_SIZE, "\"%016llx\"", (unsigned long long)response_hash(res));
    }
    if (res->modified_s > 0) {
        time_t seconds = (time_t)res->modified_s;
        struct tm parts;
        (void)strftime(v->modified, DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT",
                       gmtime_r(&seconds, &parts));
    }
}

/* If-None-Match overrides If-Modified-Since (RFC 9110, 13.2.2); a date has to be the very one that
 * was said. */
static bool has_version(const struct request *req, const struct version *v)
{
    struct str asked = req->if_none_match;
    struct str etag = str_of(v->etag);
    if (asked.len > 0 && etag.len > 0) {
        return str_eq(asked, STR("*")) || str_find_text(asked, etag) >= 0;
    }
    return v->modified[0] &&
           str_eq(http_find_header(req, STR("if-modified-since")), str_of(v->modified));
}

static void append_header(struct buf *out, struct str name, struct str value)
{
    buf_append(out, name);
    buf_append(out, value);
    buf_literal(out, "\r\n");
}

static void append_asked_headers(const struct behaviour *b, struct buf *out)
{
    if (b->max_age_s >= 0) {
        buf_printf(out, "Cache-Control: max-age=%lld\r\n", (long long)b->max_age_s);
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
    if (res->is_gzip) {
        append_header(out, STR("Content-Encoding: gzip"), STR_EMPTY);
    }
    if (b->endless) {
        buf_literal(out, "Transfer-Encoding: chunked\r\n");
        return;
    }
    buf_literal(out, "Content-Length: ");
    buf_append_u64(out, res->body.len + (b->truncate ? TRUNCATED_BYTES : 0));
    buf_literal(out, "\r\n");
}

static void append_state_headers(const struct response *res, const struct behaviour *b,
                                 const struct version *v, struct buf *out)
{
    if (v->etag[0]) {
        append_header(out, STR("ETag: "), str_of(v->etag));
    }
    if (v->modified[0]) {
        append_header(out, STR("Last-Modified: "), str_of(v->modified));
    }
    if (res->location.len > 0) {
        append_header(out, STR("Location: "), buf_str(&res->location));
    }
    if (b->retry_after_s >= 0 && res->status >= 300) {
        buf_printf(out, "Retry-After: %lld\r\n", (long long)b->retry_after_s);
    }
}

/* Lines of a kilobyte, and a last one for what is left. */
static void pad_head(struct buf *out, size_t start, int64_t size)
{
    static char line[1024];
    memset(line, 'x', sizeof(line));
    struct str open = STR("X-Padding: ");
    size_t around = open.len + 2;
    size_t wanted = start + (size_t)size;
    while (out->len + around + 2 < wanted && !buf_failed(out)) {
        size_t rest = wanted - out->len - around - 2;
        append_header(out, open, str_head((struct str){line, sizeof(line)}, rest));
    }
}

/* Only of what a client can read, and not of what comes without an end. */
static void compress(struct response *res, const struct behaviour *b, const struct request *req)
{
    if (!b->gzip || b->endless || res->is_gzip ||
        str_find_text(http_find_header(req, STR("accept-encoding")), STR("gzip")) < 0) {
        return;
    }
    buf_clear(&res->packed);
    if (gzip_text(buf_str(&res->body), &res->packed)) {
        struct buf plain = res->body;
        res->body = res->packed;
        res->packed = plain;
        res->is_gzip = true;
    }
}

void response_encode(struct response *res, const struct behaviour *b, const struct request *req,
                     struct buf *out, size_t *ret_head_len)
{
    struct version version;
    make_version(res, &version);
    if (res->status == 200 && has_version(req, &version)) {
        res->status = 304;
    }
    bool has_body = res->status != 204 && res->status != 304;
    size_t start = out->len;
    append_status_line(res->status, out);
    if (has_body) {
        compress(res, b, req);
        append_body_headers(res, b, out);
    }
    append_state_headers(res, b, &version, out);
    append_asked_headers(b, out);
    if (!req->keep_alive) {
        buf_literal(out, "Connection: close\r\n");
    }
    pad_head(out, start, b->head_size);
    buf_literal(out, "\r\n");
    *ret_head_len = out->len - start;
    if (has_body && !b->endless && !str_eq(req->method, STR("HEAD"))) {
        buf_append(out, buf_str(&res->body));
    }
}
