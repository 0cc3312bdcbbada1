/* SPDX-License-Identifier: MIT */
/* What a fetch sends: its URL, method, body and header lines. A plain GET shares the pool's list of
 * headers and allocates nothing; whatever else a fetch had is taken off its easy handle before the
 * handle is used again. Loop's thread only. */
#include "upstreams/pool.h"

#include <stdlib.h>

#define MAX_HEADERS_BYTES ((size_t)64 * 1024)

/* --- header lines --- */

/* RFC 9110, 5.6.2. */
static bool is_token(struct str text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_digit = c >= '0' && c <= '9';
        if (!is_letter && !is_digit && (c == '\0' || !strchr(others, c))) {
            return false;
        }
    }
    return text.len > 0;
}

bool fetch_header_allowed(struct str name)
{
    static const char *const own[] = {
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Proxy-Connection",
        "HTTP2-Settings",
    };
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (str_eq_nocase(name, str_of(own[i]))) {
            return false;
        }
    }
    return is_token(name);
}

static struct str name_of(struct str line)
{
    ptrdiff_t colon = str_find(line, ':');
    return colon < 0 ? STR_EMPTY : str_head(line, (size_t)colon);
}

static struct str value_of(struct str line)
{
    return str_trim(str_tail(line, name_of(line).len + 1));
}

bool fetch_header_valid(struct str line)
{
    struct str value = value_of(line);
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return fetch_header_allowed(name_of(line));
}

bool request_is_valid(const struct fetch_spec *spec)
{
    size_t n_bytes = 0;
    for (size_t i = 0; i < spec->n_headers; i++) {
        n_bytes += spec->headers[i].len;
        if (!fetch_header_valid(spec->headers[i])) {
            return false;
        }
    }
    return n_bytes <= MAX_HEADERS_BYTES;
}

static bool has_header(const struct fetch_spec *spec, struct str name)
{
    for (size_t i = 0; i < spec->n_headers; i++) {
        if (str_eq_nocase(name_of(spec->headers[i]), name)) {
            return true;
        }
    }
    return false;
}

static bool add_line(struct fetch *f, const char *line)
{
    struct curl_slist *longer = curl_slist_append(f->headers, line);
    if (longer) {
        f->headers = longer;
    }
    return longer != NULL;
}

/* libcurl takes "Name:" for "leave this one out", and "Name;" for a header without a value. */
static bool add_header(struct fetch *f, struct str line)
{
    struct buf text;
    struct str name = name_of(line);
    struct str value = value_of(line);
    buf_init(&text, line.len + 3);
    buf_append(&text, name);
    buf_append(&text, value.len > 0 ? STR(": ") : STR(";"));
    buf_append(&text, value);
    buf_append_char(&text, '\0');
    bool added = !buf_failed(&text) && add_line(f, text.ptr);
    buf_release(&text);
    return added;
}

static bool add_default(struct fetch *f, const struct fetch_spec *spec, struct str name,
                        const char *line)
{
    return has_header(spec, name) || add_line(f, line);
}

static bool set_headers(struct fetch *f, const struct fetch_spec *spec)
{
    if (!add_default(f, spec, STR("Accept"), "Accept: application/json") ||
        (spec->is_post &&
         (!add_default(f, spec, STR("Content-Type"), "Content-Type: application/json") ||
          /* Otherwise libcurl waits for a 100 Continue before a larger body. */
          !add_line(f, "Expect:")))) {
        return false;
    }
    for (size_t i = 0; i < spec->n_headers; i++) {
        if (!add_header(f, spec->headers[i])) {
            return false;
        }
    }
    return !curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
}

/* --- the whole --- */

/* A callback, and none to rewind it: otherwise libcurl repeats a request over a new connection when
 * a kept one breaks before the first byte of the answer, and the server has handled it twice. So a
 * request is repeated only where none of its body was sent. */
static size_t on_send(char *place, size_t size, size_t n, void *arg)
{
    struct fetch *f = arg;
    struct str rest = str_tail(buf_str(&f->sending), f->n_sent);
    if (rest.len == 0 && f->sending.len > 0) {
        return CURL_READFUNC_ABORT; /* it was taken, but did not get out */
    }
    rest = str_head(rest, size * n);
    if (rest.len > 0) {
        memcpy(place, rest.ptr, rest.len);
        f->n_sent += rest.len;
    }
    return rest.len;
}

static bool set_post(struct fetch *f, struct str body)
{
    f->is_post = true;
    f->n_sent = 0;
    buf_init(&f->sending, body.len);
    buf_append(&f->sending, body);
    return !buf_failed(&f->sending) && !curl_easy_setopt(f->easy, CURLOPT_POST, 1L) &&
           !curl_easy_setopt(f->easy, CURLOPT_READFUNCTION, on_send) &&
           !curl_easy_setopt(f->easy, CURLOPT_READDATA, f) &&
           !curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
}

bool request_set(struct fetch *f, const struct fetch_spec *spec)
{
    return !curl_easy_setopt(f->easy, CURLOPT_URL, spec->url) &&
           /* Ends at once what announces too much; on_body() sees to the rest. */
           !curl_easy_setopt(f->easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)spec->max_bytes) &&
           ((!spec->is_post && spec->n_headers == 0) || set_headers(f, spec)) &&
           (!spec->is_post || set_post(f, spec->body));
}

void request_clear(struct fetch *f)
{
    if (f->headers) {
        (void)curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->pool->headers);
        curl_slist_free_all(f->headers);
        f->headers = NULL;
    }
    if (f->is_post) {
        (void)curl_easy_setopt(f->easy, CURLOPT_HTTPGET, 1L);
        buf_release(&f->sending);
        f->is_post = false;
    }
}
