/* SPDX-License-Identifier: MIT */
#include "protocols/http_head.h"

#include <time.h>

const char *http_status_line(int status)
{
    switch (status) {
    case 200: return "200 OK";
    case 202: return "202 Accepted";
    case 204: return "204 No Content";
    case 304: return "304 Not Modified";
    case 400: return "400 Bad Request";
    case 401: return "401 Unauthorized";
    case 403: return "403 Forbidden";
    case 404: return "404 Not Found";
    case 405: return "405 Method Not Allowed";
    case 408: return "408 Request Timeout";
    case 409: return "409 Conflict";
    case 411: return "411 Length Required";
    case 413: return "413 Content Too Large";
    case 415: return "415 Unsupported Media Type";
    case 416: return "416 Range Not Satisfiable";
    case 426: return "426 Upgrade Required";
    case 431: return "431 Request Header Fields Too Large";
    case 500: return "500 Internal Server Error";
    case 501: return "501 Not Implemented";
    case 502: return "502 Bad Gateway";
    case 503: return "503 Service Unavailable";
    case 504: return "504 Gateway Timeout";
    default: return "500 Internal Server Error";
    }
}

static void write_date(struct buf *out)
{
    static time_t of_text;
    static char text[40];
    time_t now = time(NULL);
    if (now != of_text) {
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        of_text = now;
    }
    buf_literal(out, "Date: ");
    buf_append(out, str_of(text));
    buf_literal(out, "\r\n");
}

static void write_headers(struct buf *out, const struct http_reply *reply)
{
    write_date(out);
    if (reply->request_id.len > 0) {
        buf_literal(out, "X-Request-Id: ");
        buf_append(out, reply->request_id);
        buf_literal(out, "\r\n");
    }
    if (reply->content_type) {
        buf_literal(out, "Content-Type: ");
        buf_append(out, str_of(reply->content_type));
        buf_literal(out, "\r\n");
    }
}

static void begin_head(struct buf *out, const struct http_reply *reply)
{
    buf_literal(out, "HTTP/1.1 ");
    buf_append(out, str_of(http_status_line(reply->status)));
    buf_literal(out, "\r\n");
    write_headers(out, reply);
}

/* Chunks would tell where the body ends without an end of the connection: but these bodies end with
 * their clients, who have been told why in the protocol's own words, and the connection of an
 * endless reply is not used again. So each message goes out as it is shared by all, and HTTP/1.0
 * understands it too. */
void http_write_endless_head(struct buf *out, const struct http_reply *reply)
{
    begin_head(out, reply);
    buf_append(out, str_of(reply->headers));
    buf_literal(out, "Connection: close\r\n\r\n");
}

void http_write_reply(struct buf *out, const struct http_reply *reply, bool is_head, bool closes)
{
    begin_head(out, reply);
    if (reply->status != 204 && reply->status != 304) { /* these have no content at all */
        buf_literal(out, "Content-Length: ");
        buf_append_u64(out, reply->body.len);
        buf_literal(out, "\r\n");
    }
    buf_append(out, str_of(reply->headers));
    if (closes) {
        buf_literal(out, "Connection: close\r\n");
    }
    buf_literal(out, "\r\n");
    if (!is_head) {
        buf_append(out, reply->body);
    }
}

/* RFC 9112 section 6.3. The words behind the status say nothing, and may be left out. */
void http_write_flow_head(struct buf *out, const struct http_reply *reply, struct http_flow *flow)
{
    bool has_content = reply->status != 204 && reply->status != 304;
    bool has_body = has_content && !flow->is_head;
    flow->is_chunked = has_body && flow->length < 0 && flow->knows_chunks;
    flow->closes = has_body && flow->length < 0 && !flow->knows_chunks;
    buf_printf(out, "HTTP/1.1 %d \r\n", reply->status);
    write_headers(out, reply);
    if (has_content && flow->length >= 0) {
        buf_literal(out, "Content-Length: ");
        buf_append_i64(out, flow->length);
        buf_literal(out, "\r\n");
    }
    buf_append(out, flow->is_chunked ? STR("Transfer-Encoding: chunked\r\n") : STR_EMPTY);
    buf_append(out, str_of(reply->headers));
    buf_append(out, flow->closes ? STR("Connection: close\r\n") : STR_EMPTY);
    buf_literal(out, "\r\n");
}

bool http_content_length(struct str value, uint64_t *ret_length)
{
    return str_to_u64(str_trim(value), ret_length);
}
