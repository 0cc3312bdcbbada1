/* SPDX-License-Identifier: MIT */
/* What a fetch sends: its URL, method, body and header lines. A plain GET shares the pool's list of
 * headers and allocates nothing; whatever else a fetch had is taken off its easy handle before the
 * handle is used again. Loop's thread only. */
#include "upstreams/pool.h"

#include <stdlib.h>

#include "base/clock.h"

#define MAX_HEADERS_BYTES ((size_t)64 * 1024)
#define ACCEPT            "Accept: application/json"
#define JSON_TYPE         "Content-Type: application/json"

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

bool request_has_header(const struct fetch_spec *spec, struct str name)
{
    for (size_t i = 0; i < spec->n_headers; i++) {
        if (str_eq_nocase(name_of(spec->headers[i]), name)) {
            return true;
        }
    }
    return false;
}

static bool add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer) {
        *list = longer;
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
    bool added = !buf_failed(&text) && add_line(&f->headers, text.ptr);
    buf_release(&text);
    return added;
}

static bool add_usual(struct fetch *f, const struct fetch_spec *spec, struct str name,
                      const char *line)
{
    if (request_has_header(spec, name)) {
        return true;
    }
    f->n_usual_headers++;
    return add_line(&f->headers, line);
}

static bool is_condition(struct str line)
{
    struct str name = name_of(line);
    return str_eq_nocase(name, STR("If-None-Match")) ||
           str_eq_nocase(name, STR("If-Modified-Since"));
}

bool request_is_conditional(const struct fetch_spec *spec)
{
    for (size_t i = 0; i < spec->n_headers; i++) {
        if (is_condition(spec->headers[i])) {
            return true;
        }
    }
    return false;
}

void request_write_header(struct str line, struct buf *to)
{
    struct str value = value_of(line);
    buf_append(to, name_of(line));
    buf_append(to, value.len > 0 ? STR(": ") : STR(":"));
    buf_append(to, value);
}

static bool add_usual_of_body(struct fetch *f, const struct fetch_spec *spec)
{
    bool has_type = spec->body.len > 0 || spec->method != FETCH_DELETE;
    return add_usual(f, spec, STR("Content-Type"),
                     has_type ? JSON_TYPE : "Content-Type:" /* libcurl knows one, too */) &&
           /* Otherwise libcurl waits for a 100 Continue before a larger body. */
           add_usual(f, spec, STR("Expect"), "Expect:");
}

static bool set_headers(struct fetch *f, const struct fetch_spec *spec)
{
    f->n_usual_headers = 0;
    if (!add_usual(f, spec, STR("Accept"), ACCEPT) ||
        (f->has_body && !add_usual_of_body(f, spec))) {
        return false;
    }
    for (size_t i = 0; i < spec->n_headers; i++) {
        f->is_conditional |= is_condition(spec->headers[i]);
        if (!add_header(f, spec->headers[i])) {
            return false;
        }
    }
    return !curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
}

/* --- methods and bodies --- */

const char *fetch_method_name(enum fetch_method method)
{
    switch (method) {
    case FETCH_GET: return "GET";
    case FETCH_HEAD: return "HEAD";
    case FETCH_POST: return "POST";
    case FETCH_PUT: return "PUT";
    case FETCH_PATCH: return "PATCH";
    case FETCH_DELETE: return "DELETE";
    }
    return "GET";
}

bool fetch_method_is_idempotent(enum fetch_method method)
{
    return method != FETCH_POST && method != FETCH_PATCH;
}

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

/* libcurl calls it before every request that it makes: an empty body has no other sign of having
 * been sent. And it is when waiting for the answer begins: libcurl takes the sending of a body for
 * the beginning of the transfer. */
static int on_request(void *arg, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    struct fetch *f = arg;
    (void)peer_ip;
    (void)own_ip;
    (void)peer_port;
    (void)own_port;
    bool is_second = f->was_sent && f->sending.len == 0;
    f->was_sent = true;
    f->requested_us = clock_monotonic_us();
    return is_second ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static bool set_body(struct fetch *f, struct str body)
{
    f->n_sent = 0;
    f->was_sent = false;
    buf_init(&f->sending, body.len);
    buf_append(&f->sending, body);
    return !buf_failed(&f->sending) && !curl_easy_setopt(f->easy, CURLOPT_POST, 1L) &&
           !curl_easy_setopt(f->easy, CURLOPT_READFUNCTION, on_send) &&
           !curl_easy_setopt(f->easy, CURLOPT_READDATA, f) &&
           !curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len) &&
           !curl_easy_setopt(f->easy, CURLOPT_PREREQFUNCTION, on_request) &&
           !curl_easy_setopt(f->easy, CURLOPT_PREREQDATA, f);
}

static bool set_method(struct fetch *f, const struct fetch_spec *spec)
{
    switch (spec->method) {
    case FETCH_GET: return true;
    case FETCH_HEAD: return !curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
    case FETCH_POST: return set_body(f, spec->body);
    case FETCH_PUT:
    case FETCH_PATCH:
    case FETCH_DELETE:
        return set_body(f, spec->body) &&
               !curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, fetch_method_name(spec->method));
    }
    return false;
}

static void clear_method(struct fetch *f)
{
    if (f->method == FETCH_GET) {
        return;
    }
    (void)curl_easy_setopt(f->easy, CURLOPT_HTTPGET, 1L);
    (void)curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, NULL);
    (void)curl_easy_setopt(f->easy, CURLOPT_PREREQFUNCTION, NULL);
    buf_release(&f->sending);
    f->method = FETCH_GET;
    f->has_body = false;
}

/* libcurl has five minutes for 0. */
static bool set_connect_timeout(struct fetch *f, int64_t timeout_ms)
{
    int64_t ms = timeout_ms > 0 && timeout_ms < INT32_MAX ? timeout_ms : INT32_MAX;
    if (ms == f->set_connect_timeout_ms) {
        return true;
    }
    f->set_connect_timeout_ms = ms;
    return !curl_easy_setopt(f->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)ms);
}

/* --- the whole --- */

bool request_set(struct fetch *f, const struct fetch_spec *spec)
{
    f->method = spec->method;
    f->has_body = spec->method != FETCH_GET && spec->method != FETCH_HEAD;
    f->is_conditional = false;
    return !curl_easy_setopt(f->easy, CURLOPT_URL, spec->url) &&
           set_connect_timeout(f, spec->connect_timeout_ms) && transport_apply(f, spec) &&
           answer_set_codings(f, spec->on_data != NULL) &&
           ((!f->has_body && spec->n_headers == 0) || set_headers(f, spec)) &&
           (spec->method == FETCH_GET || set_method(f, spec));
}

/* --- redirects --- */

/* The spec's lines stay at home, but for what says how to read a body that goes along. */
static bool goes_along(const struct fetch *f, struct str line, bool is_usual)
{
    struct str name = name_of(line);
    bool is_of_body =
        str_eq_nocase(name, STR("Content-Type")) || str_eq_nocase(name, STR("Expect"));
    if (is_of_body) {
        return f->has_body;
    }
    return is_usual || !f->is_abroad;
}

static bool set_hop_headers(struct fetch *f)
{
    struct curl_slist *lines = NULL;
    size_t n = 0;
    bool has_accept = false;
    for (struct curl_slist *item = f->headers; item; item = item->next, n++) {
        if (goes_along(f, str_of(item->data), n < f->n_usual_headers)) {
            has_accept |= str_eq_nocase(name_of(str_of(item->data)), STR("Accept"));
            if (!add_line(&lines, item->data)) {
                curl_slist_free_all(lines);
                return false;
            }
        }
    }
    bool is_good = (has_accept || add_line(&lines, ACCEPT)) &&
                   !curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, lines);
    if (!is_good) {
        curl_slist_free_all(lines);
        return false;
    }
    curl_slist_free_all(f->hop_headers);
    f->hop_headers = lines;
    return true;
}

bool request_redirect(struct fetch *f, const char *url, bool becomes_get)
{
    if (becomes_get) {
        clear_method(f);
    }
    f->n_sent = 0;
    f->was_sent = false; /* it was answered: this is another request */
    return !curl_easy_setopt(f->easy, CURLOPT_URL, url) && (!f->headers || set_hop_headers(f));
}

static void clear_redirect(struct fetch *f)
{
    if (f->is_abroad) {
        (void)curl_easy_setopt(f->easy, CURLOPT_FRESH_CONNECT, f->is_single ? 1L : 0L);
        f->is_abroad = false;
    }
    curl_slist_free_all(f->hop_headers);
    f->hop_headers = NULL;
}

void request_clear(struct fetch *f)
{
    if (f->headers) {
        (void)curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->pool->headers);
        curl_slist_free_all(f->headers);
        f->headers = NULL;
    }
    if (f->n_redirects > 0) {
        clear_redirect(f);
    }
    clear_method(f);
}
