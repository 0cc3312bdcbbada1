/* SPDX-License-Identifier: MIT */
/* Parser of request heads: a request line, header lines, and the few headers that decide about the
 * connection. Nothing is copied. */
#include "tests/upstream/http.h"

enum { HEAD_INCOMPLETE = 0, HEAD_OK = 200 };

/* Takes the text up to `end` from the front of *rest, and end itself. */
static bool take_until(struct str *rest, char end, struct str *ret_text)
{
    ptrdiff_t at = str_find(*rest, end);
    if (at < 0) {
        return false;
    }
    *ret_text = str_head(*rest, (size_t)at);
    *rest = str_tail(*rest, (size_t)at + 1);
    return true;
}

/* A line without its CR LF. A bare LF is not an end of line here. */
static bool take_line(struct str *rest, struct str *ret_line)
{
    struct str line;
    if (!take_until(rest, '\n', &line) || line.len == 0 || line.ptr[line.len - 1] != '\r') {
        return false;
    }
    *ret_line = str_head(line, line.len - 1);
    return true;
}

static bool is_visible(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f) {
            return false;
        }
    }
    return s.len > 0;
}

static int parse_request_line(struct str line, struct request *req)
{
    struct str target;
    if (!take_until(&line, ' ', &req->method) || !take_until(&line, ' ', &target) ||
        !is_visible(req->method) || !is_visible(target) || target.ptr[0] != '/') {
        return 400;
    }
    req->keep_alive = str_eq(line, STR("HTTP/1.1"));
    if (!req->keep_alive && !str_eq(line, STR("HTTP/1.0"))) {
        return 505;
    }
    req->target = target;
    if (take_until(&target, '?', &req->path)) {
        req->query = target;
    } else {
        req->path = target;
        req->query = STR_EMPTY;
    }
    return HEAD_OK;
}

static int note_content_length(struct request *req, struct str value)
{
    uint64_t length;
    if (!str_to_u64(value, &length)) {
        return 400;
    }
    if (length > HTTP_MAX_BODY) {
        return 413;
    }
    req->content_length = (size_t)length;
    return HEAD_OK;
}

/* The headers that this server itself acts on; told apart by length first, since every header of
 * every request comes through here. */
static int note_header(struct request *req, const struct header *h)
{
    switch (h->name.len) {
    case 6:
        if (str_eq_nocase(h->name, STR("expect"))) {
            req->expects_continue = str_eq_nocase(h->value, STR("100-continue"));
        }
        break;
    case 10:
        if (str_eq_nocase(h->name, STR("connection"))) {
            if (str_eq_nocase(h->value, STR("close"))) {
                req->keep_alive = false;
            } else if (str_eq_nocase(h->value, STR("keep-alive"))) {
                req->keep_alive = true;
            }
        }
        break;
    case 13:
        if (str_eq_nocase(h->name, STR("if-none-match"))) {
            req->if_none_match = h->value;
        }
        break;
    case 14:
        if (str_eq_nocase(h->name, STR("content-length"))) {
            return note_content_length(req, h->value);
        }
        break;
    case 17:
        if (str_eq_nocase(h->name, STR("transfer-encoding"))) {
            return 411;
        }
        break;
    default: break;
    }
    return HEAD_OK;
}

static int parse_header(struct str line, struct request *req)
{
    if (req->n_headers == HTTP_MAX_HEADERS) {
        return 431;
    }
    struct header *h = &req->headers[req->n_headers];
    if (!take_until(&line, ':', &h->name) || !is_visible(h->name)) {
        return 400;
    }
    h->value = str_trim(line);
    req->n_headers++;
    return note_header(req, h);
}

static void request_clear(struct request *req)
{
    /* Not the header array: it is large and n_headers says what of it is valid. */
    req->body = STR_EMPTY;
    req->if_none_match = STR_EMPTY;
    req->n_headers = 0;
    req->content_length = 0;
    req->expects_continue = false;
}

/* The length of the head with its empty line, 0 when that has not come yet. */
static size_t find_head_end(struct str input)
{
    const char *end = input.len >= 4 ? memmem(input.ptr, input.len, "\r\n\r\n", 4) : NULL;
    return end ? (size_t)(end - input.ptr) + 4 : 0;
}

int http_parse_head(struct str input, struct request *req)
{
    size_t head_len = find_head_end(str_head(input, HTTP_MAX_HEAD));
    if (head_len == 0) {
        return input.len >= HTTP_MAX_HEAD ? 431 : HEAD_INCOMPLETE;
    }
    request_clear(req);
    req->head_len = head_len;

    struct str rest = str_head(input, head_len - 2);
    struct str line;
    if (!take_line(&rest, &line)) {
        return 400;
    }
    int status = parse_request_line(line, req);
    while (status == HEAD_OK && rest.len > 0) {
        status = take_line(&rest, &line) ? parse_header(line, req) : 400;
    }
    return status;
}

struct str http_find_header(const struct request *req, struct str name)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (str_eq_nocase(req->headers[i].name, name)) {
            return req->headers[i].value;
        }
    }
    return STR_EMPTY;
}

/* STR() is no constant expression. */
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct {
    int status;
    struct str text;
} status_texts[] = {
    {200, STR_INIT("OK")},
    {201, STR_INIT("Created")},
    {204, STR_INIT("No Content")},
    {301, STR_INIT("Moved Permanently")},
    {302, STR_INIT("Found")},
    {303, STR_INIT("See Other")},
    {304, STR_INIT("Not Modified")},
    {307, STR_INIT("Temporary Redirect")},
    {308, STR_INIT("Permanent Redirect")},
    {400, STR_INIT("Bad Request")},
    {401, STR_INIT("Unauthorized")},
    {403, STR_INIT("Forbidden")},
    {404, STR_INIT("Not Found")},
    {405, STR_INIT("Method Not Allowed")},
    {411, STR_INIT("Length Required")},
    {413, STR_INIT("Content Too Large")},
    {429, STR_INIT("Too Many Requests")},
    {431, STR_INIT("Request Header Fields Too Large")},
    {500, STR_INIT("Internal Server Error")},
    {502, STR_INIT("Bad Gateway")},
    {503, STR_INIT("Service Unavailable")},
    {504, STR_INIT("Gateway Timeout")},
    {505, STR_INIT("HTTP Version Not Supported")},
    {507, STR_INIT("Insufficient Storage")},
};

struct str http_status_text(int status)
{
    for (size_t i = 0; i < sizeof(status_texts) / sizeof(status_texts[0]); i++) {
        if (status_texts[i].status == status) {
            return status_texts[i].text;
        }
    }
    return STR("Status"); /* a reason phrase has no meaning, but a place */
}
