/* SPDX-License-Identifier: MIT */
/* The life of one fetch: waiting, active, finished, free. Fetches are reused with their easy handle
 * and their body buffer, so that a plain GET in the steady state sets three options and
 * allocates nothing here. */
#include "upstreams/pool.h"

#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"

#define MAX_KEPT_BODY_BYTES ((size_t)256 * 1024) /* a larger buffer is not kept for the next */

const char *fetch_outcome_name(enum fetch_outcome outcome)
{
    switch (outcome) {
    case FETCH_OK: return "ok";
    case FETCH_TIMEOUT: return "timeout";
    case FETCH_HTTP_ERROR: return "http_error";
    case FETCH_DNS_ERROR: return "dns_error";
    case FETCH_CONNECT_ERROR: return "connect_error";
    case FETCH_TLS_ERROR: return "tls_error";
    case FETCH_TOO_LARGE: return "too_large";
    case FETCH_REFUSED: return "refused";
    case N_FETCH_OUTCOMES: break;
    }
    return "unknown";
}

/* --- the easy handle --- */

static bool set_safety(CURL *easy)
{
    return !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
           !curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
           !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) &&
           /* Otherwise ending a transfer that still looks up a name waits for the lookup. */
           !curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
}

static bool set_http(struct fetch *f)
{
    return !curl_easy_setopt(f->easy, CURLOPT_PRIVATE, f) &&
           !curl_easy_setopt(f->easy, CURLOPT_USERAGENT, f->pool->user_agent) &&
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
    direct_fetch_release(f);
    free(f);
}

static struct fetch *fetch_new(struct fetch_pool *pool)
{
    struct fetch *f = calloc(1, sizeof(*f));
    if (!f) {
        return NULL;
    }
    f->pool = pool;
    direct_fetch_init(f);
    f->easy = curl_easy_init();
    if (!f->easy || !set_safety(f->easy) || !answer_set(f) || !guarding_set(f) ||
        !transport_set(f) || !set_http(f)) {
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
    stream_forget(f);
    request_clear(f);
    direct_fetch_clear(f);
    transport_reset(f);
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

static void leave_queue(struct fetch *f)
{
    struct fetch_pool *pool = f->pool;
    deadline_disarm(pool->deadlines, &f->deadline);
    if (f->host) {
        host_wait_no_more(&pool->hosts, f->host, f);
    } else {
        DL_DELETE(pool->waiting, f);
    }
    pool->stats.n_waiting--;
}

static void leave_place(struct fetch *f)
{
    struct fetch_pool *pool = f->pool;
    if (f->is_direct) {
        direct_fetch_leave(f);
    } else {
        (void)curl_multi_remove_handle(pool->multi, f->easy);
    }
    DL_DELETE(pool->active, f);
    pool->stats.n_active--;
    if (f->host) {
        host_leave(&pool->hosts, f->host);
    }
}

/* Out of the list of its state. */
static void leave_state(struct fetch *f)
{
    switch (f->state) {
    case FETCH_WAITING: leave_queue(f); break;
    case FETCH_ACTIVE: leave_place(f); break;
    case FETCH_FINISHED: DL_DELETE(f->pool->finished, f); break;
    case FETCH_FREE: break;
    }
}

void fetch_finish(struct fetch *f, enum fetch_outcome outcome, const char *error)
{
    leave_state(f);
    f->outcome = outcome;
    f->error = error;
    f->state = FETCH_FINISHED;
    DL_APPEND(f->pool->finished, f);
}

void fetch_collect(struct fetch *f, CURLcode code, long n_connects)
{
    if (f->is_connecting && code == CURLE_OK) {
        direct_fetch_connected(f);
        return;
    }
    answer_measure(f, n_connects);
    if (code == CURLE_OK && redirect_is_due(f)) {
        redirect_follow(f);
    } else {
        fetch_finish(f, answer_outcome(f, code), answer_error(f, code));
    }
}

static void on_waited_too_long(struct deadline *deadline)
{
    struct fetch *f = container_of(deadline, struct fetch, deadline);
    fetch_finish(f, FETCH_TIMEOUT, "timed out while waiting for a free place");
    fetch_deliver(f->pool);
}

/* What is left of the timeout, at least a little: libcurl takes 0 for no limit. */
static int64_t remaining_ms(const struct fetch *f, int64_t now_us)
{
    int64_t left = f->timeout_ms - (now_us - f->started_us) / 1000;
    return left > 0 ? left : 1;
}

bool fetch_perform(struct fetch *f)
{
    if (f->is_direct && !f->is_connecting) {
        direct_fetch_perform(f);
        return true;
    }
    int64_t left_ms = remaining_ms(f, clock_monotonic_us());
    if (left_ms != f->set_timeout_ms) {
        f->set_timeout_ms = left_ms;
        if (curl_easy_setopt(f->easy, CURLOPT_TIMEOUT_MS, (long)left_ms)) {
            return false;
        }
    }
    return !curl_multi_add_handle(f->pool->multi, f->easy);
}

static void activate(struct fetch *f)
{
    struct fetch_pool *pool = f->pool;
    f->activated_us = clock_monotonic_us();
    f->state = FETCH_ACTIVE;
    DL_APPEND(pool->active, f);
    pool->stats.n_active++;
    if (f->host) {
        host_enter(&pool->hosts, f->host);
    }
    if (!fetch_perform(f)) {
        fetch_finish(f, FETCH_CONNECT_ERROR, "libcurl did not take the request");
        loop_defer(pool->loop, &pool->deliver);
    }
}

static struct fetch *next_waiting(struct fetch_pool *pool)
{
    return pool->hosts.max_active > 0 ? hosts_next(&pool->hosts) : pool->waiting;
}

void fetch_start_waiting(struct fetch_pool *pool)
{
    struct fetch *f;
    while (pool->stats.n_waiting > 0 && pool->stats.n_active < pool->max_concurrent &&
           (f = next_waiting(pool))) {
        leave_state(f);
        activate(f);
    }
}

static void wait_for_place(struct fetch *f)
{
    struct fetch_pool *pool = f->pool;
    f->state = FETCH_WAITING;
    if (f->host) {
        host_wait(&pool->hosts, f->host, f);
    } else {
        DL_APPEND(pool->waiting, f);
    }
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
                                  .head = f->head.head,
                                  .body = has_body ? buf_str(&f->body) : STR_EMPTY,
                                  .duration_us = now_us - f->started_us,
                                  .queue_us = waited_until_us - f->started_us,
                                  .dns_us = f->dns_us,
                                  .connect_us = f->connect_us,
                                  .first_byte_us = f->first_byte_us,
                                  .n_bytes = f->n_bytes,
                                  .is_reused = f->is_reused,
                                  .error = f->error};
    f->pool->stats.n_outcomes[f->outcome]++;
    f->done(f->arg, &result);
}

static void deliver_finished(struct fetch_pool *pool)
{
    struct fetch *f = pool->finished;
    leave_state(f);
    f->state = FETCH_FREE;
    call_done(f);
    fetch_recycle(f);
}

/* Whoever is called may start and cancel others and destroy the pool, whose memory lives on until
 * the next turns of the loop. Who reads piece by piece hears of the last one before the end. */
void fetch_deliver(struct fetch_pool *pool)
{
    stream_deliver(pool);
    while (pool->finished) {
        deliver_finished(pool);
        stream_deliver(pool);
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
    f->max_redirects = spec->max_redirects;
    f->redirect_guard = spec->redirect_guard;
    f->address_guard = f->pool->guard;
    f->n_redirects = 0;
    answer_prepare(f, spec);
}

static enum status make(struct fetch_pool *pool, const struct fetch_spec *spec, fetch_done_fn done,
                        void *arg, struct fetch **ret_fetch)
{
    struct fetch *f = fetch_take(pool);
    if (!f) {
        return STATUS_NO_MEMORY;
    }
    f->host = NULL;
    if (pool->hosts.max_active > 0) {
        f->host = hosts_find(&pool->hosts, spec->url);
    }
    bool is_set = direct_fetch_set(f, spec) || request_set(f, spec);
    if (!is_set || (pool->hosts.max_active > 0 && !f->host)) {
        /* Not kept: nobody knows what is set on its easy handle by now. */
        request_clear(f);
        fetch_free(f);
        return STATUS_NO_MEMORY;
    }
    prepare(f, spec, done, arg);
    *ret_fetch = f;
    return STATUS_OK;
}

static bool has_place(const struct fetch_pool *pool, const struct fetch *f)
{
    return pool->stats.n_active < pool->max_concurrent &&
           (!f->host || host_has_place(&pool->hosts, f->host));
}

static bool is_queue_full(struct fetch_pool *pool)
{
    bool is_full = pool->stats.n_waiting >= pool->max_waiting;
    pool->stats.n_overloaded += is_full;
    return is_full;
}

/* Nothing is sent; done() hears of it. */
static void refuse(struct fetch *f)
{
    fetch_finish(f, FETCH_REFUSED, f->error_text);
    loop_defer(f->pool->loop, &f->pool->deliver);
}

enum status fetch_start(struct fetch_pool *pool, const struct fetch_spec *spec, fetch_done_fn done,
                        void *arg, struct fetch **ret_fetch)
{
    struct fetch *f;
    if (pool->is_closing) {
        return STATUS_CLOSED;
    }
    if (!request_is_valid(spec)) {
        return STATUS_INVALID;
    }
    if (pool->stats.n_active >= pool->max_concurrent && is_queue_full(pool)) {
        return STATUS_OVERLOADED;
    }
    enum status status = make(pool, spec, done, arg, &f);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_allowed = !pool->guard || guarding_allows(f, pool->guard, spec->url);
    bool must_wait = is_allowed && !has_place(pool, f);
    if (must_wait && is_queue_full(pool)) {
        fetch_recycle(f);
        return STATUS_OVERLOADED;
    }
    pool->stats.n_started++;
    *ret_fetch = f; /* before anything can go wrong with it */
    if (!is_allowed) {
        refuse(f);
    } else if (must_wait) {
        wait_for_place(f);
    } else {
        activate(f);
    }
    return STATUS_OK;
}

void fetch_cancel(struct fetch *f)
{
    struct fetch_pool *pool = f->pool;
    if (f->state == FETCH_ACTIVE && f->is_direct && !f->is_connecting) {
        pool->stats.n_connections += f->direct.n_connections;
    } else if (f->state == FETCH_ACTIVE) {
        answer_count_connection(f);
    }
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
    struct fetch *f;
    while ((f = hosts_any_waiting(&pool->hosts))) {
        fetch_cancel(f);
    }
    cancel_list(&pool->waiting);
    cancel_list(&pool->active);
    cancel_list(&pool->finished);
}
