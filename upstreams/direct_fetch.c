/* SPDX-License-Identifier: MIT */
/* Between fetches and the direct client: which fetches it makes, and what becomes of them. To a
 * name, libcurl makes the connections. One that is redirected elsewhere is libcurl's from then on.
 * Loop's thread only. */
#include "upstreams/pool.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "upstreams/direct_url.h"

#define SCHEME_LEN           strlen("http://")
#define MAX_REQUEST_BYTES    ((size_t)256 * 1024)
#define MAX_KEPT_BYTES       ((size_t)16 * 1024) /* a larger buffer is not kept for the next */
#define MAX_LOCATION_BYTES   ((size_t)64 * 1024)
#define CONNECTION_KEPT_MS   INT64_C(60000)
#define ACCEPT_LINE          "Accept: application/json\r\n"
#define ACCEPT_ENCODING_LINE "Accept-Encoding: gzip, deflate\r\n"

_Static_assert(CURL_ERROR_SIZE >= DIRECT_ERROR_SIZE, "both write to a fetch's error_text");

/* --- the pool --- */

bool direct_fetch_open(struct fetch_pool *pool)
{
    struct direct_options options = {.loop = pool->loop,
                                     .deadlines = pool->deadlines,
                                     .guard = pool->guard,
                                     .max_kept = (size_t)pool->max_concurrent,
                                     .kept_ms = CONNECTION_KEPT_MS};
    return direct_create(&options, &pool->direct) == STATUS_OK;
}

void direct_fetch_init(struct fetch *f)
{
    buf_init(&f->request, MAX_REQUEST_BYTES);
    buf_init(&f->location, MAX_LOCATION_BYTES);
}

void direct_fetch_release(struct fetch *f)
{
    buf_release(&f->request);
    buf_release(&f->location);
}

void direct_fetch_clear(struct fetch *f)
{
    f->is_direct = false;
    if (f->request.capacity > MAX_KEPT_BYTES) {
        buf_release(&f->request);
    }
    buf_clear(&f->request);
    if (f->location.capacity > 0) {
        buf_release(&f->location);
    }
}

/* --- requests --- */

/* What an Accept-Encoding of the spec's asks for may be unknown here. */
static bool is_for_libcurl(const struct fetch_pool *pool, const struct fetch_spec *spec)
{
    const struct transport_options *transport = spec->transport;
    return !pool->direct || spec->method != FETCH_GET || spec->on_data ||
           (transport && (transport->proxy[0] || transport->http_version == HTTP_VERSION_2)) ||
           request_has_header(spec, STR("Accept-Encoding"));
}

static void write_usual(const struct fetch *f, const struct fetch_spec *spec, struct buf *to)
{
    if (!request_has_header(spec, STR("User-Agent"))) {
        buf_append(to, STR("User-Agent: "));
        buf_append(to, str_of(f->pool->user_agent));
        buf_append(to, STR("\r\n"));
    }
    if (!request_has_header(spec, STR("Accept"))) {
        buf_append(to, STR(ACCEPT_LINE));
    }
    buf_append(to, STR(ACCEPT_ENCODING_LINE));
}

/* The URL with a NUL, then the head up to the Host line. Both, and the lines of the spec, are also
 * what libcurl would be given. */
static void write_target(struct fetch *f, struct str text, const struct direct_url *url)
{
    buf_append(&f->request, text);
    buf_append_char(&f->request, '\0');
    f->authority_len = url->authority.text.len;
    f->request_at = f->request.len;
    direct_url_write_get(url, &f->request);
    f->lines_at = f->request.len;
}

static void write_lines(struct fetch *f, const struct fetch_spec *spec)
{
    struct buf *to = &f->request;
    write_usual(f, spec, to);
    f->headers_at = to->len;
    for (size_t i = 0; i < spec->n_headers; i++) {
        request_write_header(spec->headers[i], to);
        buf_append(to, STR("\r\n"));
    }
    buf_append(to, STR("\r\n"));
}

bool direct_fetch_set(struct fetch *f, const struct fetch_spec *spec)
{
    struct direct_url url;
    if (is_for_libcurl(f->pool, spec) || !direct_url_read(str_of(spec->url), &url)) {
        return false;
    }
    write_target(f, str_of(spec->url), &url);
    write_lines(f, spec);
    if (buf_failed(&f->request)) {
        buf_clear(&f->request);
        return false;
    }
    f->method = FETCH_GET;
    f->has_body = false;
    f->is_conditional = request_is_conditional(spec);
    f->wanted_transport = spec->transport;
    f->connect_timeout_ms = spec->connect_timeout_ms;
    f->is_direct = true;
    return true;
}

/* --- libcurl instead --- */

/* The header lines of the spec, as they were written. */
static struct str *read_headers(const struct fetch *f, size_t *ret_n)
{
    struct str rest = str_tail(buf_str(&f->request), f->headers_at);
    size_t n = 0;
    for (size_t i = 0; i < rest.len; i++) {
        n += rest.ptr[i] == '\n';
    }
    struct str *headers = calloc(n, sizeof(*headers)); /* one too many: the empty line */
    for (size_t i = 0; headers && i + 1 < n; i++) {
        size_t len = (size_t)str_find(rest, '\n');
        headers[i] = str_head(rest, len - 1);
        rest = str_tail(rest, len + 1);
    }
    *ret_n = n - 1;
    return headers;
}

bool direct_fetch_hand_over(struct fetch *f)
{
    if (buf_failed(&f->request)) { /* by a redirect */
        return false;
    }
    struct fetch_spec spec = {.url = f->request.ptr,
                              .method = FETCH_GET,
                              .transport = f->wanted_transport,
                              .connect_timeout_ms = f->connect_timeout_ms,
                              .max_bytes = f->max_bytes};
    struct str *headers = read_headers(f, &spec.n_headers);
    spec.headers = headers;
    f->is_direct = false;
    bool is_set = headers && request_set(f, &spec);
    free(headers);
    return is_set;
}

static struct str authority_of(const struct fetch *f)
{
    return (struct str){f->request.ptr + SCHEME_LEN, f->authority_len};
}

/* libcurl looks up the name, tries its addresses, and leaves it at that. */
static bool connect_by_libcurl(struct fetch *f)
{
    struct fetch_spec spec = {.url = f->request.ptr,
                              .method = FETCH_GET,
                              .transport = f->wanted_transport,
                              .connect_timeout_ms = f->connect_timeout_ms};
    bool is_conditional = f->is_conditional;
    bool is_set = request_set(f, &spec);
    f->is_conditional = is_conditional; /* of the request that is still to be sent */
    f->is_connecting = true;
    return is_set && !curl_easy_setopt(f->easy, CURLOPT_CONNECT_ONLY, 1L) && fetch_perform(f);
}

static void connect_no_more(struct fetch *f)
{
    if (f->is_connecting) {
        f->is_connecting = false;
        (void)curl_multi_remove_handle(f->pool->multi, f->easy);
        (void)curl_easy_setopt(f->easy, CURLOPT_CONNECT_ONLY, 0L);
    }
}

static int64_t time_of(const struct fetch *f, CURLINFO info)
{
    curl_off_t us = 0;
    (void)curl_easy_getinfo(f->easy, info, &us);
    return (int64_t)us;
}

/* libcurl closes its socket with the transfer; a copy of it is the same connection. */
void direct_fetch_connected(struct fetch *f)
{
    curl_socket_t theirs = CURL_SOCKET_BAD;
    f->dns_us = time_of(f, CURLINFO_NAMELOOKUP_TIME_T);
    f->connect_us = time_of(f, CURLINFO_CONNECT_TIME_T) - f->dns_us;
    (void)curl_easy_getinfo(f->easy, CURLINFO_ACTIVESOCKET, &theirs);
    int ours = theirs == CURL_SOCKET_BAD ? -1 : fcntl(theirs, F_DUPFD_CLOEXEC, 0);
    connect_no_more(f);
    if (ours < 0) {
        fetch_finish(f, FETCH_CONNECT_ERROR, "no descriptor is left for the connection");
    } else {
        direct_start_over(f->pool->direct, &f->direct, ours);
    }
}

void direct_fetch_leave(struct fetch *f)
{
    direct_cancel(f->pool->direct, &f->direct);
    connect_no_more(f);
}

/* --- the call --- */

static void measure(struct fetch *f)
{
    const struct direct_call *call = &f->direct;
    f->connect_us += call->connect_us;
    f->first_byte_us = call->first_byte_us;
    f->n_bytes = call->n_body_bytes;
    f->is_reused = call->is_reused;
    f->pool->stats.n_connections += call->n_connections;
}

/* f ends, or goes on with libcurl. */
static void settle(struct fetch *f, enum direct_end end)
{
    switch (end) {
    case DIRECT_COMPLETE:
        if (redirect_is_due(f)) {
            redirect_follow(f);
        } else {
            fetch_finish(f, answer_outcome(f, CURLE_OK), "");
        }
        return;
    case DIRECT_NAME:
        if (!connect_by_libcurl(f)) {
            fetch_finish(f, FETCH_CONNECT_ERROR, "libcurl did not take the request");
        }
        return;
    case DIRECT_TOO_LARGE:
        f->is_too_large = true;
        fetch_finish(f, answer_outcome(f, CURLE_OK), answer_error(f, CURLE_OK));
        return;
    case DIRECT_REFUSED: fetch_finish(f, FETCH_REFUSED, f->error_text); return;
    case DIRECT_TIMEOUT: fetch_finish(f, FETCH_TIMEOUT, f->error_text); return;
    case DIRECT_NOT_CONNECTED:
    case DIRECT_BROKEN: fetch_finish(f, FETCH_CONNECT_ERROR, f->error_text); return;
    }
}

static void on_end(struct direct_call *call, enum direct_end end)
{
    struct fetch *f = container_of(call, struct fetch, direct);
    struct fetch_pool *pool = f->pool;
    measure(f);
    settle(f, end);
    fetch_start_waiting(pool);
    fetch_deliver(pool);
}

static bool on_head(const struct direct_call *call)
{
    return !redirect_is_due(container_of(call, struct fetch, direct));
}

void direct_fetch_perform(struct fetch *f)
{
    struct direct_call *call = &f->direct;
    call->authority = authority_of(f);
    call->request = str_tail(buf_str(&f->request), f->request_at);
    f->dns_us = 0;
    f->connect_us = 0;
    call->ends_us = f->started_us + f->timeout_ms * 1000;
    call->timeout_ms = f->timeout_ms;
    call->connect_timeout_ms = f->connect_timeout_ms;
    call->on_head = on_head;
    call->on_end = on_end;
    call->head = &f->head;
    call->body = &f->body;
    call->error = f->error_text;
    call->location = f->max_redirects > 0 ? &f->location : NULL;
    direct_start(f->pool->direct, call);
}

/* --- redirects --- */

/* To the same host: what was sent but for the target. */
bool direct_fetch_redirect(struct fetch *f, const char *text)
{
    struct direct_url url;
    if (!f->is_direct || f->is_abroad || !direct_url_read(str_of(text), &url)) {
        return false;
    }
    struct str lines = str_tail(buf_str(&f->request), f->lines_at);
    size_t to_headers = f->headers_at - f->lines_at;
    size_t n_target = 2 * strlen(text) + strlen("GET / HTTP/1.1\r\nHost: \r\n") + 1;
    if (lines.len + n_target > MAX_REQUEST_BYTES) {
        return false;
    }
    struct buf old = f->request;
    buf_init(&f->request, MAX_REQUEST_BYTES);
    write_target(f, str_of(text), &url);
    f->headers_at = f->lines_at + to_headers;
    buf_append(&f->request, lines);
    buf_release(&old);
    return !buf_failed(&f->request);
}

static bool resolve(CURLU *parts, const char *base, const char *location, char **ret_url)
{
    unsigned flags = CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE | CURLU_ALLOW_SPACE;
    return !curl_url_set(parts, CURLUPART_URL, base, 0) &&
           !curl_url_set(parts, CURLUPART_URL, location, flags) &&
           !curl_url_get(parts, CURLUPART_URL, ret_url, 0);
}

/* As libcurl resolves it, which leaves what is no URL as it is. */
char *direct_fetch_location(const struct fetch *f)
{
    char *url = NULL;
    CURLU *parts = curl_url();
    char *location = str_dup(buf_str(&f->location));
    if (parts && location && resolve(parts, f->request.ptr, location, &url)) {
        free(location);
        location = str_dup(str_of(url));
        curl_free(url);
    }
    curl_url_cleanup(parts);
    return location;
}
