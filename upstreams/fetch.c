/* SPDX-License-Identifier: MIT */
/* The life of one fetch: waiting, active, finished, free. Fetches are reused with their easy handle
 * and their body buffer, so that a plain GET in the steady state sets three options and
 * allocates nothing here. */
#include "upstreams/pool.h"

#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"

#define MAX_HEAD_BYTES      ((size_t)64 * 1024)
#define MAX_KEPT_BODY_BYTES ((size_t)256 * 1024) /* a larger buffer is not kept for the next */

const char *fetch_outcome_name(enum fetch_outcome outcome)
{
    switch (outcome) {
    case FETCH_OK: return "ok";
    case FETCH_TIMEOUT: return "timeout";
    case FETCH_HTTP_ERROR: return "http_error";
    case FETCH_CONNECT_ERROR: return "connect_error";
    case FETCH_TOO_LARGE: return "too_large";
    }
    return "unknown";
}

/* --- what libcurl calls --- */

/* Sees inflated bytes, so this is also what stops a small answer that unpacks to a huge one. A
 * short count ends the transfer. */
static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct fetch *f = arg;
    (void)size; /* always 1 */
    size_t room = f->max_bytes - f->body.len;
    f->is_too_large = n > room;
    buf_append(&f->body, (struct str){bytes, n > room ? room : n});
    return f->is_too_large || buf_failed(&f->body) ? CURL_WRITEFUNC_ERROR : n;
}

static size_t on_head(char *bytes, size_t size, size_t n, void *arg)
{
    struct fetch *f = arg;
    (void)bytes;
    (void)size;
    f->head_bytes += n;
    f->is_too_large = f->head_bytes > MAX_HEAD_BYTES;
    return f->is_too_large ? CURL_WRITEFUNC_ERROR : n;
}

/* --- the easy handle --- */

static bool set_safety(CURL *easy)
{
    return !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
           !curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
           !curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) &&
           /* Otherwise http_proxy in the environment decides where requests go. */
           !curl_easy_setopt(easy, CURLOPT_PROXY, "") &&
           !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) &&
           /* Otherwise ending a transfer that still looks up a name waits for the lookup. */
           !curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
}

static bool set_callbacks(struct fetch *f)
{
    return !curl_easy_setopt(f->easy, CURLOPT_PRIVATE, f) &&
           !curl_easy_setopt(f->easy, CURLOPT_ERRORBUFFER, f->error_text) &&
           !curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, on_body) &&
           !curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f) &&
           !curl_easy_setopt(f->easy, CURLOPT_HEADERFUNCTION, on_head) &&
           !curl_easy_setopt(f->easy, CURLOPT_HEADERDATA, f) &&
           !curl_easy_setopt(f->easy, CURLOPT_CLOSESOCKETFUNCTION, pool_close_socket) &&
           !curl_easy_setopt(f->easy, CURLOPT_CLOSESOCKETDATA, f->pool);
}

static bool set_http(struct fetch *f)
{
    return !curl_easy_setopt(f->easy, CURLOPT_USERAGENT, f->pool->user_agent) &&
           !curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->pool->headers) &&
           !curl_easy_setopt(f->easy, CURLOPT_ACCEPT_ENCODING, "") &&
           !curl_easy_setopt(f->easy, CURLOPT_BUFFERSIZE, 16L * 1024) &&
           !curl_easy_setopt(f->easy, CURLOPT_TCP_NODELAY, 1L) &&
           !curl_easy_setopt(f->easy, CURLOPT_TCP_KEEPALIVE, 1L);
}

static void fetch_free(struct fetch *f)
{
    curl_easy_cleanup(f->easy);
    buf_release(&f->body);
    free(f);
}

static struct fetch *fetch_new(struct fetch_pool *pool)
{
    struct fetch *f = calloc(1, sizeof(*f));
    if (!f) {
        return NULL;
    }
    f->pool = pool;
    f->easy = curl_easy_init();
    if (!f->easy || !set_safety(f->easy) || !set_callbacks(f) || !set_http(f)) {
        fetch_free(f);
        return NULL;
    }
    return f;
}

static struct fetch *fetch_take(struct fetch_pool *pool)
{
    struct fetch *f = pool->free;
    if (!f) {
        return fetch_new(pool);
    }
    LL_DELETE(pool->free, f);
    return f;
}

/* The most recently used first: its memory is warm. */
static void fetch_recycle(struct fetch *f)
{
    f->state = FETCH_FREE;
    request_clear(f);
    if (f->body.capacity > MAX_KEPT_BODY_BYTES) {
        buf_release(&f->body);
    }
    LL_PREPEND(f->pool->free, f);
}

void fetch_free_all(struct fetch_pool *pool)
{
    struct fetch *f;
    struct fetch *next;
    LL_FOREACH_SAFE (pool->free, f, next) {
        fetch_free(f);
    }
    pool->free = NULL;
}

/* --- from state to state --- */

/* Out of the list of its state. */
static void leave_state(struct fetch *f)
{
    struct fetch_pool *pool = f->pool;
    switch (f->state) {
    case FETCH_WAITING:
        deadline_disarm(pool->deadlines, &f->deadline);
        DL_DELETE(pool->waiting, f);
        pool->stats.n_waiting--;
        break;
    case FETCH_ACTIVE:
        (void)curl_multi_remove_handle(pool->multi, f->easy);
        DL_DELETE(pool->active, f);
        pool->stats.n_active--;
        break;
    case FETCH_FINISHED: DL_DELETE(pool->finished, f); break;
    case FETCH_FREE: break;
    }
}

static void finish(struct fetch *f, enum fetch_outcome outcome, const char *error)
{
    leave_state(f);
    f->outcome = outcome;
    f->error = error;
    f->state = FETCH_FINISHED;
    DL_APPEND(f->pool->finished, f);
}

static bool is_good(long http_status)
{
    return http_status >= 200 && http_status <= 299;
}

/* An error status is the more useful thing to know than that its page was too long. */
static enum fetch_outcome outcome_of(const struct fetch *f, CURLcode code)
{
    bool is_error_page = f->http_status >= 300;
    if (f->is_too_large || code == CURLE_FILESIZE_EXCEEDED) {
        return is_error_page ? FETCH_HTTP_ERROR : FETCH_TOO_LARGE;
    }
    switch (code) {
    case CURLE_OK: return is_good(f->http_status) ? FETCH_OK : FETCH_HTTP_ERROR;
    case CURLE_OPERATION_TIMEDOUT: return FETCH_TIMEOUT;
    default: return FETCH_CONNECT_ERROR;
    }
}

static const char *error_of(const struct fetch *f, CURLcode code)
{
    if (f->is_too_large) {
        return "the answer is larger than allowed";
    }
    if (code == CURLE_OK) {
        return "";
    }
    return f->error_text[0] ? f->error_text : curl_easy_strerror(code);
}

void fetch_collect(struct fetch *f, CURLcode code)
{
    f->http_status = 0;
    (void)curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &f->http_status);
    finish(f, outcome_of(f, code), error_of(f, code));
}

static void on_waited_too_long(struct deadline *deadline)
{
    struct fetch *f = container_of(deadline, struct fetch, deadline);
    finish(f, FETCH_TIMEOUT, "timed out while waiting for a free place");
    fetch_deliver(f->pool);
}

/* What is left of the timeout, at least a little: libcurl takes 0 for no limit. */
static long remaining_ms(const struct fetch *f)
{
    int64_t left = f->timeout_ms - (f->activated_us - f->started_us) / 1000;
    return left > 0 ? (long)left : 1;
}

static void activate(struct fetch *f)
{
    struct fetch_pool *pool = f->pool;
    f->activated_us = clock_monotonic_us();
    f->state = FETCH_ACTIVE;
    DL_APPEND(pool->active, f);
    pool->stats.n_active++;
    if (curl_easy_setopt(f->easy, CURLOPT_TIMEOUT_MS, remaining_ms(f)) ||
        curl_multi_add_handle(pool->multi, f->easy)) {
        finish(f, FETCH_CONNECT_ERROR, "libcurl did not take the request");
        loop_defer(pool->loop, &pool->deliver);
    }
}

void fetch_start_waiting(struct fetch_pool *pool)
{
    while (pool->waiting && pool->stats.n_active < pool->max_concurrent) {
        struct fetch *f = pool->waiting;
        leave_state(f);
        activate(f);
    }
}

static void wait_for_place(struct fetch *f)
{
    struct fetch_pool *pool = f->pool;
    f->state = FETCH_WAITING;
    DL_APPEND(pool->waiting, f);
    pool->stats.n_waiting++;
    deadline_arm(pool->deadlines, &f->deadline, f->timeout_ms, on_waited_too_long);
}

/* --- results --- */

static void call_done(struct fetch *f)
{
    int64_t now_us = clock_monotonic_us();
    int64_t waited_until_us = f->activated_us ? f->activated_us : now_us;
    bool has_body = f->outcome == FETCH_OK || f->outcome == FETCH_HTTP_ERROR;
    struct fetch_result result = {.outcome = f->outcome,
                                  .http_status = (int)f->http_status,
                                  .body = has_body ? buf_str(&f->body) : STR_EMPTY,
                                  .duration_us = now_us - f->started_us,
                                  .queue_us = waited_until_us - f->started_us,
                                  .error = f->error};
    f->pool->stats.n_outcomes[f->outcome]++;
    f->done(f->arg, &result);
}

/* done() may start and cancel others and destroy the pool, whose memory lives on until the next
 * turns of the loop. */
void fetch_deliver(struct fetch_pool *pool)
{
    while (pool->finished) {
        struct fetch *f = pool->finished;
        leave_state(f);
        f->state = FETCH_FREE;
        call_done(f);
        fetch_recycle(f);
    }
}

/* --- the calls of others --- */

static void prepare(struct fetch *f, const struct fetch_spec *spec, fetch_done_fn done, void *arg)
{
    f->done = done;
    f->arg = arg;
    f->started_us = clock_monotonic_us();
    f->activated_us = 0;
    f->timeout_ms = spec->timeout_ms;
    f->max_bytes = spec->max_bytes;
    f->head_bytes = 0;
    f->is_too_large = false;
    f->http_status = 0;
    f->error_text[0] = '\0';
    buf_clear(&f->body);
    f->body.max = spec->max_bytes;
}

enum status fetch_start(struct fetch_pool *pool, const struct fetch_spec *spec, fetch_done_fn done,
                        void *arg, struct fetch **ret_fetch)
{
    if (pool->is_closing) {
        return STATUS_CLOSED;
    }
    if (!request_is_valid(spec)) {
        return STATUS_INVALID;
    }
    bool must_wait = pool->stats.n_active >= pool->max_concurrent;
    if (must_wait && pool->stats.n_waiting >= pool->max_waiting) {
        pool->stats.n_overloaded++;
        return STATUS_OVERLOADED;
    }
    struct fetch *f = fetch_take(pool);
    if (!f) {
        return STATUS_NO_MEMORY;
    }
    if (!request_set(f, spec)) {
        fetch_recycle(f);
        return STATUS_NO_MEMORY;
    }
    prepare(f, spec, done, arg);
    pool->stats.n_started++;
    *ret_fetch = f; /* before anything can go wrong with it */
    if (must_wait) {
        wait_for_place(f);
    } else {
        activate(f);
    }
    return STATUS_OK;
}

void fetch_cancel(struct fetch *f)
{
    struct fetch_pool *pool = f->pool;
    leave_state(f);
    fetch_recycle(f);
    if (!pool->is_closing) {
        fetch_start_waiting(pool);
    }
}

static void cancel_list(struct fetch **list)
{
    while (*list) {
        fetch_cancel(*list);
    }
}

void fetch_cancel_all(struct fetch_pool *pool)
{
    cancel_list(&pool->waiting);
    cancel_list(&pool->active);
    cancel_list(&pool->finished);
}
