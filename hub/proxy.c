/* SPDX-License-Identifier: MIT */
/* Unit proxy asks a backend: one HTTP POST per question, and whatever comes back, or does not,
 * becomes one of three verdicts. All state belongs to the loop's thread. */
#include "hub/proxy.h"

#include <assert.h>
#include <stdlib.h>

#include <utlist.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "hub/proxy_decode.h"
#include "hub/proxy_encode.h"

#define MAX_BODY_BYTES   ((size_t)16 * 1024 * 1024) /* more than any message and token make */
#define MAX_HEADER_BYTES ((size_t)64 * 1024)        /* as upstreams/ has it */

struct proxy {
    struct fetch_pool *fetch_pool;
    const struct proxy_options *options;
    struct str shown_endpoint; /* without the query, which may hold a secret */
    struct log_limit log_limit;
    struct proxy_call *calls; /* under way */
    bool is_stopped;
    struct proxy_stats stats;
    struct histogram durations[PROXY_N_EVENTS];
};

struct proxy_call {
    struct proxy_call *next;
    struct proxy_call *prev;
    struct proxy *proxy;
    struct fetch *fetch;
    enum proxy_event event;
    int64_t begun_us;
    proxy_done_fn done;
    void *arg;
};

const char *proxy_event_name(enum proxy_event event)
{
    switch (event) {
    case PROXY_CONNECT: return "connect";
    case PROXY_REFRESH: return "refresh";
    case PROXY_SUBSCRIBE: return "subscribe";
    case PROXY_PUBLISH: return "publish";
    case PROXY_RPC: return "rpc";
    case PROXY_SUB_REFRESH: return "sub_refresh";
    case PROXY_N_EVENTS: break;
    }
    return "unknown";
}

/* --- answers --- */

/* What is known about an answer that is none. */
struct problem {
    const char *what;     /* a member, or libcurl's words */
    const char *expected; /* NULL: does not apply */
    int http_status;
};

static void log_problem(struct proxy *proxy, enum proxy_event event, const struct problem *problem)
{
    if (log_permits(&proxy->log_limit)) {
        log_warn("proxy", "failed", log_s("proxy", proxy_name(proxy)),
                 log_s("event", proxy_event_name(event)),
                 log_str("endpoint", proxy->shown_endpoint), log_s("problem", problem->what),
                 log_s("expected", problem->expected ? problem->expected : ""),
                 log_i("http_status", problem->http_status),
                 log_i("left_out", proxy->log_limit.n_left_out));
    }
}

static const struct proxy_answer failure = {.verdict = PROXY_ERROR,
                                            .code = 100,
                                            .message = "internal server error",
                                            .is_temporary = true,
                                            .is_failure = true};

static struct proxy_answer fail(struct proxy *proxy, enum proxy_event event,
                                const struct problem *problem)
{
    proxy->stats.n_failed[event]++;
    log_problem(proxy, event, problem);
    return failure;
}

static const struct proxy_transform *find_transform(const struct proxy_options *options,
                                                    int http_status)
{
    const struct proxy_transform *transforms = options->http.transforms.items;
    for (size_t i = 0; i < options->http.transforms.n_items; i++) {
        if (transforms[i].status_code == http_status) {
            return &transforms[i];
        }
    }
    return NULL;
}

static struct proxy_answer transform_answer(const struct proxy_transform *transform)
{
    if (transform->to_error.code > 0) {
        return (struct proxy_answer){.verdict = PROXY_ERROR,
                                     .code = (uint32_t)transform->to_error.code,
                                     .message = transform->to_error.message,
                                     .is_temporary = transform->to_error.temporary};
    }
    return (struct proxy_answer){.verdict = PROXY_DISCONNECT,
                                 .code = (uint32_t)transform->to_disconnect.code,
                                 .message = transform->to_disconnect.reason};
}

/* Of an answer that came, but not with status 200. */
static struct proxy_answer answer_of_status(struct proxy *proxy, enum proxy_event event,
                                            int http_status)
{
    const struct proxy_transform *transform = find_transform(proxy->options, http_status);
    if (transform) {
        return transform_answer(transform);
    }
    struct problem problem = {
        .what = "the HTTP status", .expected = "200", .http_status = http_status};
    return fail(proxy, event, &problem);
}

static struct proxy_answer answer_of_body(struct proxy *proxy, enum proxy_event event,
                                          struct str body, struct proxy_reading *reading)
{
    struct problem problem = {.http_status = 200};
    switch (proxy_decode(event, body, reading)) {
    case STATUS_OK: return reading->answer;
    case STATUS_INVALID:
        problem.what = reading->wrong;
        problem.expected = reading->expected;
        break;
    default: problem.what = "memory is short";
    }
    return fail(proxy, event, &problem);
}

static struct proxy_answer answer_of(struct proxy *proxy, enum proxy_event event,
                                     const struct fetch_result *result,
                                     struct proxy_reading *reading)
{
    bool is_whole = result->outcome == FETCH_OK || result->outcome == FETCH_HTTP_ERROR;
    if (!is_whole) {
        struct problem problem = {.what = result->error, .http_status = result->head.http_status};
        return fail(proxy, event, &problem);
    }
    if (result->head.http_status != 200) {
        return answer_of_status(proxy, event, result->head.http_status);
    }
    return answer_of_body(proxy, event, result->body, reading);
}

static void call_free(struct proxy_call *call)
{
    DL_DELETE(call->proxy->calls, call);
    call->proxy->stats.n_under_way--;
    call->proxy->stats.n_inflight[call->event]--;
    free(call);
}

/* The call is gone before its owner hears of it, who may start another, or end the proxy. */
static void on_fetched(void *arg, const struct fetch_result *result)
{
    struct proxy_call call = *(struct proxy_call *)arg;
    struct proxy_reading reading = {.n_texts = 0};
    call_free(arg);
    histogram_add(&call.proxy->durations[call.event],
                  (uint64_t)(clock_monotonic_us() - call.begun_us));
    struct proxy_answer answer = answer_of(call.proxy, call.event, result, &reading);
    call.done(call.arg, &answer);
    proxy_reading_release(&reading);
}

/* --- questions --- */

/* lines: as proxy_encode_headers() writes them. The array is to be freed. */
static struct str *split_lines(struct str text, size_t *ret_n_lines)
{
    size_t n_lines = 0;
    for (size_t i = 0; i < text.len; i++) {
        n_lines += text.ptr[i] == '\n';
    }
    struct str *lines = calloc(n_lines + 1, sizeof(*lines));
    for (size_t i = 0; lines && i < n_lines; i++) {
        lines[i] = str_head(text, (size_t)str_find(text, '\n'));
        text = str_tail(text, lines[i].len + 1);
    }
    *ret_n_lines = n_lines;
    return lines;
}

static enum status start_fetch(struct proxy_call *call, struct str body, struct str header_lines)
{
    const struct proxy_options *options = call->proxy->options;
    size_t n_headers;
    struct str *headers = split_lines(header_lines, &n_headers);
    if (!headers) {
        return STATUS_NO_MEMORY;
    }
    struct fetch_spec spec = {.url = options->endpoint,
                              .timeout_ms = options->timeout_ms,
                              .max_bytes = (size_t)options->max_reply_size,
                              .method = FETCH_POST,
                              .body = body,
                              .headers = headers,
                              .n_headers = n_headers};
    enum status status =
        fetch_start(call->proxy->fetch_pool, &spec, on_fetched, call, &call->fetch);
    free(headers);
    return status;
}

static enum status encode_and_start(struct proxy_call *call, const struct proxy_request *request)
{
    struct buf body;
    struct buf headers;
    buf_init(&body, MAX_BODY_BYTES);
    buf_init(&headers, MAX_HEADER_BYTES);
    proxy_encode_body(call->proxy->options, request, &body);
    proxy_encode_headers(call->proxy->options, request, &headers);
    enum status status = buf_failed(&body) || buf_failed(&headers)
                             ? STATUS_TOO_LARGE
                             : start_fetch(call, buf_str(&body), buf_str(&headers));
    buf_release(&body);
    buf_release(&headers);
    return status;
}

static bool is_full(const struct proxy *proxy)
{
    return proxy->stats.n_under_way >= (size_t)proxy->options->max_concurrent;
}

enum status proxy_ask(struct proxy *proxy, const struct proxy_request *request, proxy_done_fn done,
                      void *arg, struct proxy_call **ret_call)
{
    if (proxy->is_stopped) {
        return STATUS_CLOSED;
    }
    if (is_full(proxy)) {
        proxy->stats.n_overloaded++;
        return STATUS_OVERLOADED;
    }
    struct proxy_call *call = malloc(sizeof(*call));
    if (!call) {
        return STATUS_NO_MEMORY;
    }
    *call = (struct proxy_call){.proxy = proxy,
                                .event = request->event,
                                .begun_us = clock_monotonic_us(),
                                .done = done,
                                .arg = arg};
    enum status status = encode_and_start(call, request);
    if (status != STATUS_OK) {
        proxy->stats.n_overloaded += status == STATUS_OVERLOADED;
        free(call);
        return status;
    }
    proxy->stats.n_asked[request->event]++;
    proxy->stats.n_under_way++;
    proxy->stats.n_inflight[request->event]++;
    DL_APPEND(proxy->calls, call);
    *ret_call = call;
    return STATUS_OK;
}

void proxy_cancel(struct proxy_call *call)
{
    fetch_cancel(call->fetch);
    call_free(call);
}

void proxy_stop(struct proxy *proxy)
{
    proxy->is_stopped = true;
    while (proxy->calls) {
        struct proxy_call call = *proxy->calls;
        proxy_cancel(proxy->calls);
        call.done(call.arg, &failure);
    }
}

/* --- the whole --- */

enum status proxy_create(struct fetch_pool *fetch_pool, const struct proxy_options *options,
                         struct proxy **ret_proxy)
{
    struct proxy *proxy = malloc(sizeof(*proxy));
    if (!proxy) {
        return STATUS_NO_MEMORY;
    }
    *proxy = (struct proxy){.fetch_pool = fetch_pool, .options = options};
    proxy->shown_endpoint = str_head(str_of(options->endpoint), strcspn(options->endpoint, "?"));
    *ret_proxy = proxy;
    return STATUS_OK;
}

void proxy_destroy(struct proxy *proxy)
{
    assert(!proxy || proxy->stats.n_under_way == 0);
    free(proxy);
}

void proxy_inherit(struct proxy *proxy, const struct proxy *from)
{
    size_t n_under_way = proxy->stats.n_under_way;
    proxy->stats = from->stats;
    proxy->stats.n_under_way = n_under_way;
    memset(proxy->stats.n_inflight, 0, sizeof(proxy->stats.n_inflight));
    memcpy(proxy->durations, from->durations, sizeof(proxy->durations));
}

const char *proxy_name(const struct proxy *proxy)
{
    return proxy->options->name ? proxy->options->name : "default";
}

void proxy_stats(const struct proxy *proxy, struct proxy_stats *ret_stats)
{
    *ret_stats = proxy->stats;
    ret_stats->durations = proxy->durations;
}
