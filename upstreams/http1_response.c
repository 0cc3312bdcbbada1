/* SPDX-License-Identifier: MIT */
/* Unit http1_response reads the answers of the direct client: one state, moved by next(). It looks
 * only at the header lines that say where the answer ends and whether its connection goes on; what
 * else they say is response_head's. Loop's thread only, without any state of its own. */
#include "upstreams/http1_response.h"

#define MAX_CHUNK_LINE ((size_t)4096) /* with extensions, which nobody uses */
#define MAX_CHUNK      (UINT64_C(1) << 48)

static enum http1_event broken(struct http1_response *r, const char *error)
{
    r->state = HTTP1_FAILED;
    r->error = error;
    return HTTP1_BROKEN;
}

static enum http1_event head_too_large(struct http1_response *r)
{
    r->is_head_too_large = true;
    return broken(r, "its head has more than 64 KiB");
}

void http1_response_init(struct http1_response *r)
{
    *r = (struct http1_response){.state = HTTP1_AT_STATUS, .error = ""};
}

/* --- lines --- */

static struct str take(struct str *input, size_t n)
{
    struct str piece = str_head(*input, n);
    *input = str_tail(*input, n);
    return piece;
}

/* Up to and with its LF; empty: its end has not come. */
static struct str take_line(struct str *input)
{
    const char *end = input->len > 0 ? memchr(input->ptr, '\n', input->len) : NULL;
    return end ? take(input, (size_t)(end - input->ptr) + 1) : STR_EMPTY;
}

/* A LF alone ends a line, too (RFC 9112, 2.2). */
static struct str without_end(struct str line)
{
    size_t len = line.len - 1;
    return str_head(line, len > 0 && line.ptr[len - 1] == '\r' ? len - 1 : len);
}

/* A CR that ends no line, or a NUL: two readers could see different lines there. */
static bool has_control(struct str text)
{
    return text.len > 0 &&
           (memchr(text.ptr, '\r', text.len) != NULL || memchr(text.ptr, '\0', text.len) != NULL);
}

/* --- the status line --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK"; the reason may be missing, with or without its blank. */
static enum http1_event read_status(struct http1_response *r, struct str text)
{
    bool is_status = str_starts_with(text, STR("HTTP/1.")) && text.len >= 12 &&
                     (text.ptr[7] == '0' || text.ptr[7] == '1') && text.ptr[8] == ' ' &&
                     text.ptr[9] >= '1' && text.ptr[9] <= '9' && is_digit(text.ptr[10]) &&
                     is_digit(text.ptr[11]) && (text.len == 12 || text.ptr[12] == ' ');
    if (!is_status) {
        return broken(r, "it does not begin with a status line of HTTP/1.1 or 1.0");
    }
    r->status = (text.ptr[9] - '0') * 100 + (text.ptr[10] - '0') * 10 + (text.ptr[11] - '0');
    r->has_length = false;
    r->has_coding = false;
    r->is_last = text.ptr[7] == '0';
    r->state = HTTP1_IN_HEAD;
    return HTTP1_LINE;
}

/* --- header lines --- */

static enum http1_event read_length(struct http1_response *r, struct str value)
{
    uint64_t length;
    if (!str_to_u64(value, &length) || length > INT64_MAX) {
        return broken(r, "its Content-Length is no number of bytes");
    }
    if (r->has_length && length != r->left) {
        return broken(r, "it has two different Content-Length");
    }
    r->has_length = true;
    r->left = length;
    return HTTP1_LINE;
}

/* Others than chunked are asked for by a header that is not sent. */
static enum http1_event read_coding(struct http1_response *r, struct str value)
{
    if (r->has_coding || !str_eq_nocase(value, STR("chunked"))) {
        return broken(r, "its Transfer-Encoding is another than chunked");
    }
    r->has_coding = true;
    return HTTP1_LINE;
}

static void read_connection(struct http1_response *r, struct str value)
{
    while (value.len > 0) {
        ptrdiff_t comma = str_find(value, ',');
        size_t len = comma < 0 ? value.len : (size_t)comma;
        r->is_last |= str_eq_nocase(str_trim(str_head(value, len)), STR("close"));
        value = str_tail(value, len + 1);
    }
}

static enum http1_event read_field(struct http1_response *r, struct str name, struct str value)
{
    switch (name.ptr[0] | 0x20) { /* in lower case */
    case 'c':
        if (str_eq_nocase(name, STR("Content-Length"))) {
            return read_length(r, value);
        }
        if (str_eq_nocase(name, STR("Connection"))) {
            read_connection(r, value);
        }
        break;
    case 't':
        if (str_eq_nocase(name, STR("Transfer-Encoding"))) {
            return read_coding(r, value);
        }
        break;
    default: break;
    }
    return HTTP1_LINE;
}

/* A blank before the colon hides a name from some readers, and a line that begins with one belongs
 * to the line before: both are refused. */
static enum http1_event split_field(struct http1_response *r, struct str text, struct str *ret_name)
{
    ptrdiff_t colon = str_find(text, ':');
    if (text.ptr[0] == ' ' || text.ptr[0] == '\t') {
        return broken(r, "it has a header line that goes on in the next one");
    }
    if (colon <= 0) {
        return broken(r, "it has a header line without a name");
    }
    struct str name = str_head(text, (size_t)colon);
    if (str_find(name, ' ') >= 0 || str_find(name, '\t') >= 0) {
        return broken(r, "it has a header line whose name has a blank in it");
    }
    if (str_starts_with(name, STR("HTTP/"))) {
        return broken(r, "it has a status line within its head");
    }
    *ret_name = name;
    return HTTP1_LINE;
}

/* --- where the body ends --- */

static void begin_body(struct http1_response *r)
{
    if (r->status < 200) {
        r->state = HTTP1_AT_STATUS;
    } else if (r->status == 204 || r->status == 304) {
        r->state = HTTP1_COMPLETE;
    } else if (r->has_coding) {
        r->state = HTTP1_AT_CHUNK_SIZE;
    } else if (r->has_length) {
        r->state = r->left > 0 ? HTTP1_IN_BODY : HTTP1_COMPLETE;
    } else {
        r->is_last = true;
        r->state = HTTP1_IN_ENDLESS_BODY;
    }
}

/* RFC 9112, 6.3: of two lengths, one is somebody's lie. And 101 was not asked for. */
static enum http1_event end_head(struct http1_response *r)
{
    if (r->status == 101) {
        return broken(r, "it changes to another protocol");
    }
    if (r->has_coding && r->has_length) {
        return broken(r, "it has both Transfer-Encoding and Content-Length");
    }
    begin_body(r);
    return HTTP1_LINE;
}

static enum http1_event read_head_line(struct http1_response *r, struct str text)
{
    struct str name;
    if (has_control(text)) {
        return broken(r, "its head has a CR or a NUL within a line");
    }
    if (r->state == HTTP1_AT_STATUS) {
        return read_status(r, text);
    }
    if (text.len == 0) {
        return end_head(r);
    }
    if (split_field(r, text, &name) == HTTP1_BROKEN) {
        return HTTP1_BROKEN;
    }
    return read_field(r, name, str_trim(str_tail(text, name.len + 1)));
}

static enum http1_event next_head_line(struct http1_response *r, struct str *input,
                                       struct str *ret_piece)
{
    struct str line = take_line(input);
    size_t n = line.len > 0 ? line.len : input->len;
    if (n > HTTP1_HEAD_BYTES_MAX - r->head_bytes) {
        return head_too_large(r);
    }
    if (line.len == 0) {
        return HTTP1_NEEDS_MORE;
    }
    r->head_bytes += n;
    *ret_piece = line;
    return read_head_line(r, without_end(line));
}

/* --- bodies --- */

static enum http1_event next_of_body(struct http1_response *r, struct str *input,
                                     struct str *ret_piece)
{
    if (input->len == 0) {
        return HTTP1_NEEDS_MORE;
    }
    *ret_piece = take(input, r->left < input->len ? (size_t)r->left : input->len);
    r->left -= ret_piece->len;
    if (r->left == 0) {
        r->state = r->state == HTTP1_IN_CHUNK ? HTTP1_AFTER_CHUNK : HTTP1_COMPLETE;
    }
    return HTTP1_BODY;
}

static enum http1_event next_of_endless(struct str *input, struct str *ret_piece)
{
    if (input->len == 0) {
        return HTTP1_NEEDS_MORE;
    }
    *ret_piece = take(input, input->len);
    return HTTP1_BODY;
}

static int digit_of(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The digits of "1f4 ; name=value": false when there are none, or too many. */
static bool read_chunk_size(struct str text, uint64_t *ret_size)
{
    uint64_t size = 0;
    size_t at = 0;
    for (; at < text.len && digit_of(text.ptr[at]) >= 0; at++) {
        size = size * 16 + (uint64_t)digit_of(text.ptr[at]);
        if (size > MAX_CHUNK) {
            return false;
        }
    }
    struct str rest = str_trim(str_tail(text, at));
    *ret_size = size;
    return at > 0 && (rest.len == 0 || rest.ptr[0] == ';');
}

/* Unlike those of heads, the lines around chunks end with CRLF or are wrong. */
static enum http1_event next_chunk(struct http1_response *r, struct str *input)
{
    uint64_t size;
    struct str line = take_line(input);
    if ((line.len > 0 ? line.len : input->len) > MAX_CHUNK_LINE) {
        return broken(r, "the line before a chunk has more than 4 KiB");
    }
    if (line.len == 0) {
        return HTTP1_NEEDS_MORE;
    }
    struct str text = without_end(line);
    if (line.len - text.len != 2 || has_control(text) || !read_chunk_size(text, &size)) {
        return broken(r, "the size of a chunk is no number, or too large");
    }
    r->left = size;
    r->state = size > 0 ? HTTP1_IN_CHUNK : HTTP1_IN_TRAILER;
    return HTTP1_LINE;
}

static enum http1_event after_chunk(struct http1_response *r, struct str *input)
{
    if (input->len > 0 && input->ptr[0] != '\r') {
        return broken(r, "a chunk does not end where it should");
    }
    if (input->len < 2) {
        return HTTP1_NEEDS_MORE;
    }
    if (take(input, 2).ptr[1] != '\n') {
        return broken(r, "a chunk does not end where it should");
    }
    r->state = HTTP1_AT_CHUNK_SIZE;
    return HTTP1_LINE;
}

/* Trailers count towards the head; nothing of what they say is used. */
static enum http1_event next_trailer(struct http1_response *r, struct str *input)
{
    struct str line = take_line(input);
    struct str name;
    size_t n = line.len > 0 ? line.len : input->len;
    if (n > HTTP1_HEAD_BYTES_MAX - r->head_bytes) {
        return head_too_large(r);
    }
    if (line.len == 0) {
        return HTTP1_NEEDS_MORE;
    }
    r->head_bytes += n;
    struct str text = without_end(line);
    if (has_control(text)) {
        return broken(r, "its trailer has a CR or a NUL within a line");
    }
    if (text.len > 0) {
        return split_field(r, text, &name);
    }
    r->state = HTTP1_COMPLETE;
    return HTTP1_LINE;
}

/* --- the whole --- */

/* One step between chunks: HTTP1_LINE says that the next one can be made. */
static enum http1_event step_between(struct http1_response *r, struct str *input)
{
    switch (r->state) {
    case HTTP1_AT_CHUNK_SIZE: return next_chunk(r, input);
    case HTTP1_AFTER_CHUNK: return after_chunk(r, input);
    default: return next_trailer(r, input);
    }
}

enum http1_event http1_response_next(struct http1_response *r, struct str *input,
                                     struct str *ret_piece)
{
    for (;;) {
        switch (r->state) {
        case HTTP1_AT_STATUS:
        case HTTP1_IN_HEAD: return next_head_line(r, input, ret_piece);
        case HTTP1_IN_BODY:
        case HTTP1_IN_CHUNK: return next_of_body(r, input, ret_piece);
        case HTTP1_IN_ENDLESS_BODY: return next_of_endless(input, ret_piece);
        case HTTP1_COMPLETE: return HTTP1_END;
        case HTTP1_FAILED: return HTTP1_BROKEN;
        case HTTP1_AT_CHUNK_SIZE:
        case HTTP1_AFTER_CHUNK:
        case HTTP1_IN_TRAILER: break;
        }
        enum http1_event event = step_between(r, input);
        if (event != HTTP1_LINE) {
            return event;
        }
    }
}

enum http1_event http1_response_close(struct http1_response *r)
{
    switch (r->state) {
    case HTTP1_IN_ENDLESS_BODY: r->state = HTTP1_COMPLETE; return HTTP1_END;
    case HTTP1_COMPLETE: return HTTP1_END;
    case HTTP1_FAILED: return HTTP1_BROKEN;
    default: return broken(r, "the connection was closed before its end");
    }
}

bool http1_response_keeps(const struct http1_response *r)
{
    return r->state == HTTP1_COMPLETE && !r->is_last;
}
