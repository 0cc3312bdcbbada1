/* SPDX-License-Identifier: MIT */
/* Unit url_proxy is one operation per request: may the client ask, the upstream's head, its body.
 * Nothing moves without room: pieces go from the fetch to the client while it takes them, and the
 * fetch rests while too much waits. An operation ends in finish(), once, whoever goes first. */
#include "protocols/url_proxy.h"

#include <stdlib.h>

#include "base/log.h"
#include "hub/trace.h"
#include "protocols/api_reply.h"
#include "protocols/client_head.h"
#include "upstreams/fetch.h"

#define MAX_REDIRECTS       5
#define HEADERS_MAX_BYTES   8192
#define CONDITION_MAX_BYTES 8192

enum passing_state {
    PASSING_CHECKING, /* may the client? */
    PASSING_ASKING,   /* the upstream's head is waited for */
    PASSING_FLOWING,  /* its body goes on to the client */
    PASSING_EMPTYING, /* the body is complete: what is left of it goes on */
    PASSING_OVER,     /* only the access check still knows of it */
};

struct passing {
    struct url_proxy *proxy;
    enum passing_state state;
    struct http_request *request; /* NULL: it has ended */
    struct fetch *fetch;          /* NULL: not begun, or over */
    struct buf rest;              /* PASSING_EMPTYING */
    uint64_t n_bytes;             /* of the body, passed on */
    struct deadline deadline;     /* until the head, then of standing still */
};

/* --- the end --- */

/* What the client is told, if anything, has been told. */
static void finish(struct passing *p, enum url_proxy_outcome outcome)
{
    struct url_proxy *proxy = p->proxy;
    bool is_checking = p->state == PASSING_CHECKING;
    proxy->stats.n_outcomes[outcome]++;
    proxy->stats.n_active--;
    deadline_disarm(proxy->deadlines, &p->deadline);
    if (p->fetch) {
        fetch_cancel(p->fetch);
        p->fetch = NULL;
    }
    p->request = NULL;
    p->state = PASSING_OVER;
    if (!is_checking) {
        buf_release(&p->rest);
        free(p);
    }
}

/* Before the head. */
static void refuse(struct passing *p, enum url_proxy_outcome outcome, int http_status,
                   enum status status, const char *detail)
{
    api_reply_error_as(p->request, http_status, status, detail);
    finish(p, outcome);
}

/* Behind the head. */
static void break_off(struct passing *p, const char *why)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_info("url_proxy", "broken_off", log_s("why", why), log_i("bytes", (int64_t)p->n_bytes),
                 log_i("left_out", limit.n_left_out));
    }
    http_break_reply(p->request);
    finish(p, URL_PROXY_BROKEN);
}

static void client_gone(void *arg)
{
    finish(arg, URL_PROXY_CLIENT_GONE);
}

/* --- the body --- */

static void stood_still(struct deadline *deadline)
{
    break_off(container_of(deadline, struct passing, deadline),
              "nothing moved for url_proxy.idle_timeout");
}

static void touch(struct passing *p)
{
    deadline_arm(p->proxy->deadlines, &p->deadline, p->proxy->options->idle_timeout_ms,
                 stood_still);
}

static bool is_too_large(const struct passing *p, uint64_t n_bytes)
{
    uint64_t max = (uint64_t)p->proxy->options->max_size;
    return max > 0 && n_bytes > max;
}

static struct str next_piece(const struct passing *p)
{
    struct str waiting = p->fetch ? fetch_waiting(p->fetch) : buf_str(&p->rest);
    return str_head(waiting, HTTP_PIECE_MAX_BYTES);
}

static void took(struct passing *p, size_t n)
{
    p->n_bytes += n;
    p->proxy->stats.n_bytes += n;
    touch(p);
    if (p->fetch) {
        fetch_read(p->fetch, n);
    } else {
        buf_consume(&p->rest, n);
    }
}

/* As much as the client takes now. */
static void pump(struct passing *p)
{
    struct str piece;
    while (http_can_write(p->request) && (piece = next_piece(p)).len > 0) {
        if (is_too_large(p, p->n_bytes + piece.len)) {
            break_off(p, "the answer is larger than url_proxy.max_size");
            return;
        }
        http_write(p->request, piece);
        took(p, piece.len);
    }
    if (p->state == PASSING_EMPTYING && p->rest.len == 0) {
        http_end_reply(p->request);
        finish(p, URL_PROXY_OK);
    }
}

static void may_write(void *arg)
{
    pump(arg);
}

/* --- the head --- */

static bool is_clean(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return value.len > 0;
}

static void append_header(struct buf *out, const char *name, struct str value)
{
    if (is_clean(value)) {
        buf_append(out, str_of(name));
        buf_literal(out, ": ");
        buf_append(out, value);
        buf_literal(out, "\r\n");
    }
}

/* Of what was compressed on its way, these are other bytes: a strong tag would promise the same. */
static void append_etag(struct buf *out, const struct fetch_head *head)
{
    if (head->is_encoded && str_starts_with(head->etag, STR("\""))) {
        buf_append(out, is_clean(head->etag) ? STR("ETag: W/") : STR_EMPTY);
        buf_append(out, is_clean(head->etag) ? head->etag : STR_EMPTY);
        buf_append(out, is_clean(head->etag) ? STR("\r\n") : STR_EMPTY);
    } else {
        append_header(out, "ETag", head->etag);
    }
}

/* A page from elsewhere shall not act as one of the hub's: sandbox takes its origin away. */
static void append_headers(struct buf *out, const struct fetch_head *head)
{
    append_header(out, "Content-Type", head->content_type);
    append_etag(out, head);
    append_header(out, "Last-Modified", head->last_modified);
    append_header(out, "Cache-Control", head->cache_control);
    if (head->age_s > 0) {
        buf_printf(out, "Age: %lld\r\n", (long long)head->age_s);
    }
    buf_literal(out, "X-Content-Type-Options: nosniff\r\n"
                     "Content-Security-Policy: sandbox\r\n");
    buf_append_char(out, '\0');
}

/* False: the answer is refused for its size. */
static bool begin(struct passing *p, const struct fetch_head *head)
{
    int64_t length = head->is_encoded ? HTTP_LENGTH_UNKNOWN : head->content_length;
    bool is_head = http_request_method(p->request) == HTTP_HEAD;
    if (!is_head && length > 0 && is_too_large(p, (uint64_t)length)) {
        refuse(p, URL_PROXY_FAILED, 502, STATUS_UPSTREAM_FAILED,
               "the answer is larger than url_proxy.max_size");
        return false;
    }
    struct buf headers;
    buf_init(&headers, HEADERS_MAX_BYTES);
    append_headers(&headers, head);
    struct http_reply reply = {.status = head->http_status, .headers = headers.ptr};
    http_begin_reply(p->request, &reply, length);
    buf_release(&headers);
    p->state = PASSING_FLOWING;
    touch(p);
    return true;
}

/* --- the upstream --- */

static void on_data(void *arg, struct fetch *fetch)
{
    struct passing *p = arg;
    const struct fetch_head *head = fetch_head(fetch);
    if (p->state == PASSING_ASKING && head && !begin(p, head)) {
        return;
    }
    if (p->state == PASSING_FLOWING) {
        touch(p);
        pump(p);
    }
}

static void refuse_outcome(struct passing *p, const struct fetch_result *result)
{
    char detail[400];
    snprintf(detail, sizeof(detail), "%s%s%s", fetch_outcome_name(result->outcome),
             result->error[0] ? ": " : "", result->error);
    switch (result->outcome) {
    case FETCH_REFUSED: refuse(p, URL_PROXY_REFUSED, 403, STATUS_DENIED, result->error); return;
    case FETCH_TIMEOUT:
        refuse(p, URL_PROXY_TIMEOUT, 504, STATUS_UPSTREAM_TIMEOUT, result->error);
        return;
    default: refuse(p, URL_PROXY_FAILED, 502, STATUS_UPSTREAM_FAILED, detail); return;
    }
}

static bool is_complete(const struct fetch_result *result)
{
    return result->outcome == FETCH_OK ||
           (result->outcome == FETCH_HTTP_ERROR && result->error[0] == '\0');
}

static void on_done(void *arg, const struct fetch_result *result)
{
    struct passing *p = arg;
    bool complete = is_complete(result);
    p->fetch = NULL;
    if (p->state == PASSING_ASKING && !complete) {
        refuse_outcome(p, result);
        return;
    }
    if (p->state == PASSING_ASKING && !begin(p, &result->head)) {
        return;
    }
    if (complete) {
        buf_init(&p->rest, result->body.len);
        buf_append(&p->rest, result->body);
    }
    if (!complete || buf_failed(&p->rest)) {
        break_off(p, complete ? "no memory" : result->error);
        return;
    }
    p->state = PASSING_EMPTYING;
    pump(p);
}

static void head_overdue(struct deadline *deadline)
{
    refuse(container_of(deadline, struct passing, deadline), URL_PROXY_TIMEOUT, 504,
           STATUS_UPSTREAM_TIMEOUT, "no answer within url_proxy.timeout");
}

static struct str requested_url(const struct passing *p)
{
    return client_head_argument(http_request_client_head(p->request), STR("url"));
}

/* The condition goes with it, so that what the client has is not sent again. */
static enum status start_fetch(struct passing *p)
{
    const struct url_proxy_options *options = p->proxy->options;
    struct str tag = http_request_header(p->request, HTTP_HEADER_IF_NONE_MATCH);
    char *url = str_dup(requested_url(p));
    struct buf line;
    buf_init(&line, CONDITION_MAX_BYTES);
    buf_literal(&line, "If-None-Match: ");
    buf_append(&line, tag);
    struct trace trace;
    char trace_text[TRACE_LINES_SIZE];
    struct str headers[3];
    size_t n_headers = 0;
    (void)trace_read(http_request_header(p->request, HTTP_HEADER_TRACEPARENT),
                     http_request_header(p->request, HTTP_HEADER_TRACESTATE), &trace);
    enum status status = STATUS_NO_MEMORY;
    if (url && !buf_failed(&line)) {
        n_headers = trace_lines(&trace, trace_text, headers);
        if (tag.len > 0) {
            headers[n_headers++] = buf_str(&line);
        }
        struct fetch_spec spec = {
            .url = url,
            .timeout_ms = options->max_duration_ms,
            .connect_timeout_ms = options->connect_timeout_ms,
            .max_bytes = (size_t)options->buffer_size,
            .method = http_request_method(p->request) == HTTP_HEAD ? FETCH_HEAD : FETCH_GET,
            .headers = headers,
            .n_headers = n_headers,
            .max_redirects = MAX_REDIRECTS,
            .on_data = on_data,
        };
        status = fetch_start(hub_guarded_pool(p->proxy->hub), &spec, on_done, p, &p->fetch);
    }
    buf_release(&line);
    free(url);
    return status;
}

static void ask(struct passing *p)
{
    p->state = PASSING_ASKING;
    switch (start_fetch(p)) {
    case STATUS_OK:
        deadline_arm(p->proxy->deadlines, &p->deadline, p->proxy->options->timeout_ms,
                     head_overdue);
        return;
    case STATUS_INVALID:
        refuse(p, URL_PROXY_BAD_REQUEST, 400, STATUS_INVALID,
               "If-None-Match: expected a value without control characters");
        return;
    case STATUS_OVERLOADED:
        refuse(p, URL_PROXY_OVERLOADED, 503, STATUS_OVERLOADED, "upstreams.max_waiting");
        return;
    case STATUS_CLOSED:
        refuse(p, URL_PROXY_OVERLOADED, 503, STATUS_CLOSED, "shutting down");
        return;
    default: refuse(p, URL_PROXY_FAILED, 500, STATUS_NO_MEMORY, ""); return;
    }
}

static void checked(void *arg, enum status status, int64_t expires_at)
{
    struct passing *p = arg;
    (void)expires_at;               /* the answer began in time */
    if (p->state == PASSING_OVER) { /* the client has gone meanwhile */
        free(p);
        return;
    }
    if (status != STATUS_OK) {
        p->state = PASSING_ASKING; /* the check is over */
        access_refuse(p->request, (enum feed_access)p->proxy->options->access, status);
        finish(p, URL_PROXY_UNAUTHORIZED);
        return;
    }
    ask(p);
}

/* --- the request --- */

/* What is wrong with the URL, at first sight; NULL: nothing. libcurl reads it more closely. */
static const char *url_expects(struct str url)
{
    struct str scheme = STR("http://");
    if (!str_eq_nocase(str_head(url, scheme.len), scheme)) {
        scheme = STR("https://");
    }
    if (!str_eq_nocase(str_head(url, scheme.len), scheme)) {
        return "url: expected an absolute http or https URL, percent-encoded";
    }
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '\\') {
            return "url: expected ASCII without blanks, control characters and backslashes";
        }
    }
    size_t len = 0;
    struct str rest = str_tail(url, scheme.len);
    while (len < rest.len && !strchr("/?#", rest.ptr[len])) {
        len++;
    }
    struct str authority = str_head(rest, len);
    if (str_find(authority, '@') >= 0) {
        return "url: expected a host without user information";
    }
    return len == 0 || authority.ptr[0] == ':' ? "url: expected a host" : NULL;
}

/* An '&' in a URL that is not encoded would cut it: the rest comes as further arguments. */
static const char *arguments_expect(struct str arguments)
{
    struct str name = STR("url=");
    if (arguments.len == 0) {
        return "url: expected an absolute http or https URL, percent-encoded";
    }
    ptrdiff_t end = str_find(arguments, '\0');
    if (!str_starts_with(arguments, name) || (size_t)end + 1 < arguments.len) {
        return "expected one argument: url, percent-encoded ('&' as %26)";
    }
    return url_expects(str_tail(str_head(arguments, (size_t)end), name.len));
}

static void refuse_request(struct url_proxy *proxy, struct http_request *request,
                           enum url_proxy_outcome outcome, int http_status, enum status status,
                           const char *detail)
{
    proxy->stats.n_outcomes[outcome]++;
    api_reply_error_as(request, http_status, status, detail);
}

static void start(struct url_proxy *proxy, struct http_request *request)
{
    struct passing *p = calloc(1, sizeof(*p));
    if (!p) {
        refuse_request(proxy, request, URL_PROXY_FAILED, 500, STATUS_NO_MEMORY, "");
        return;
    }
    p->proxy = proxy;
    p->request = request;
    buf_init(&p->rest, 0);
    proxy->stats.n_active++;
    struct http_source source = {.may_write = may_write, .gone = client_gone, .arg = p};
    http_watch(request, &source);
    struct access_question question = {.access = (enum feed_access)proxy->options->access,
                                       .method = API_URL_PROXY};
    if (access_check(proxy->access, &question, request, checked, p) != STATUS_OK) {
        p->state = PASSING_ASKING; /* there is no check */
        refuse(p, URL_PROXY_FAILED, 500, STATUS_NO_MEMORY, "");
    }
}

#define METHODS "GET, HEAD, OPTIONS"

void url_proxy_handle(struct url_proxy *proxy, struct http_request *request)
{
    enum http_method method = http_request_method(request);
    struct str arguments = buf_str(&http_request_client_head(request)->arguments);
    const char *expected = arguments_expect(arguments);
    if (method == HTTP_OPTIONS) {
        http_reply(request, &(struct http_reply){.status = 204,
                                                 .headers = "Access-Control-Allow-Methods: " METHODS
                                                            "\r\nAccess-Control-Max-Age: 300\r\n"});
    } else if (method != HTTP_GET && method != HTTP_HEAD) {
        http_reply(request,
                   &(struct http_reply){.status = 405, .headers = "Allow: " METHODS "\r\n"});
    } else if (hub_is_stopping(proxy->hub)) {
        api_reply_error(request, STATUS_CLOSED, "");
    } else if (expected) {
        refuse_request(proxy, request, URL_PROXY_BAD_REQUEST, 400, STATUS_INVALID, expected);
    } else if (proxy->stats.n_active >= (size_t)proxy->options->max_concurrent) {
        refuse_request(proxy, request, URL_PROXY_OVERLOADED, 503, STATUS_OVERLOADED,
                       "url_proxy.max_concurrent");
    } else {
        start(proxy, request);
    }
}
