/* SPDX-License-Identifier: MIT */
/* Unit upstream is the whole, and what others call; upstream_internal.h says what is where. State
 * belongs to the upstream; loop's thread. */
#include "upstreams/upstream_internal.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "upstreams/request_copy.h"

#define HEADERS_MAX_BYTES  ((size_t)64 << 10)
#define RETRIES_PER_SECOND 10 /* beside their share of the calls */

const char *upstream_outcome_name(enum upstream_outcome outcome)
{
    static const char *const names[N_UPSTREAM_OUTCOMES] = {
        [UPSTREAM_OK] = "ok",
        [UPSTREAM_NOT_MODIFIED] = "not_modified",
        [UPSTREAM_TIMEOUT] = "timeout",
        [UPSTREAM_HTTP_ERROR] = "http_error",
        [UPSTREAM_DNS_ERROR] = "dns_error",
        [UPSTREAM_CONNECT_ERROR] = "connect_error",
        [UPSTREAM_TLS_ERROR] = "tls_error",
        [UPSTREAM_TOO_LARGE] = "too_large",
        [UPSTREAM_REFUSED] = "refused",
        [UPSTREAM_OVERLOADED] = "overloaded",
        [UPSTREAM_RATE_LIMITED] = "rate_limited",
        [UPSTREAM_BREAKER_OPEN] = "breaker_open",
    };
    return names[outcome];
}

/* --- calls of others --- */

static bool headers_are_valid(const struct upstream_request *request)
{
    size_t n_bytes = 0;
    for (size_t i = 0; i < request->n_headers; i++) {
        n_bytes += request->headers[i].len;
        if (!fetch_header_valid(request->headers[i])) {
            return false;
        }
    }
    return n_bytes <= HEADERS_MAX_BYTES;
}

static struct upstream_call *call_create(struct upstream *u, const struct upstream_request *request,
                                         upstream_done_fn done, void *arg)
{
    struct upstream_call *c = calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    int64_t own_ms = u->options->timeout_ms;
    int64_t timeout_ms = own_ms > 0 && own_ms < request->timeout_ms ? own_ms : request->timeout_ms;
    c->upstream = u;
    c->done = done;
    c->arg = arg;
    c->request = request;
    c->may_send_twice = u->options->retry.idempotent || fetch_method_is_idempotent(request->method);
    c->started_us = clock_monotonic_us();
    c->deadline_us = c->started_us + timeout_ms * 1000;
    c->result.error = "";
    c->result.head.max_age_s = c->result.head.retry_after_s = -1;
    c->result.head.content_length = -1;
    DL_APPEND(u->busy, c);
    return c;
}

/* Will it need its request after upstream_ask()? */
static bool may_be_sent_later(const struct upstream_call *c)
{
    bool may_be_retried = c->may_send_twice && c->upstream->options->retry.attempts > 0;
    bool may_be_hedged = deadline_armed(&c->deadline);
    return c->state == CALL_WAITING ||
           (c->state == CALL_ASKING && (may_be_retried || may_be_hedged));
}

static enum status keep_request(struct upstream_call *c)
{
    if (may_be_sent_later(c)) {
        c->copy = request_copy(c->request);
        c->request = c->copy;
        return c->copy ? STATUS_OK : STATUS_NO_MEMORY;
    }
    c->request = NULL;
    return STATUS_OK;
}

enum status upstream_ask(struct upstream *u, const struct upstream_request *request,
                         upstream_done_fn done, void *arg, struct upstream_call **ret_call)
{
    if (!headers_are_valid(request)) {
        return STATUS_INVALID;
    }
    struct upstream_call *c = call_create(u, request, done, arg);
    if (!c) {
        return STATUS_NO_MEMORY;
    }
    call_step(c);
    enum status status = c->status == STATUS_OVERLOADED ? STATUS_OK : c->status;
    status = status == STATUS_OK ? keep_request(c) : status;
    if (status != STATUS_OK) {
        upstream_cancel(c);
        return status;
    }
    u->stats.n_calls++;
    budget_earn(&u->retry_budget);
    budget_earn(&u->hedge_budget);
    *ret_call = c;
    return STATUS_OK;
}

/* While others wait in the pool, this one may have waited there all its time. */
static enum breaker_verdict verdict_of_cancelled(const struct upstream_call *c)
{
    bool is_late = clock_monotonic_us() >= c->deadline_us;
    return is_late && attempt_pool_has_room(c->upstream) ? BREAKER_BAD : BREAKER_NO_VERDICT;
}

static void cancel(struct upstream_call *c)
{
    enum breaker_verdict verdict = verdict_of_cancelled(c);
    attempt_give_up(&c->first, verdict);
    attempt_give_up(&c->second, verdict);
    call_leave_state(c);
    call_free(c);
}

unsigned upstream_n_attempts(const struct upstream_call *c)
{
    return c->result.n_attempts;
}

void upstream_cancel(struct upstream_call *c)
{
    struct upstream *u = c->upstream;
    cancel(c);
    line_let_in(u);
}

/* --- the whole --- */

struct upstream *upstream_create(const struct upstream_setting *setting)
{
    struct upstream *u = calloc(1, sizeof(*u));
    if (!u) {
        return NULL;
    }
    const struct upstream_options *options = setting->options;
    int64_t now_us = clock_monotonic_us();
    u->name = setting->name;
    u->loop = setting->loop;
    u->deadlines = setting->deadlines;
    u->pool = setting->pool;
    u->options = options;
    u->redirect_guard = setting->redirect_guard;
    u->deliver = (struct deferred){.fn = calls_deliver, .arg = u};
    breaker_init(&u->breaker, &options->breaker);
    rate_limit_init(&u->rate_limit, &options->rate_limit, now_us);
    budget_init(&u->retry_budget, options->retry.budget, RETRIES_PER_SECOND, now_us);
    budget_init(&u->hedge_budget, options->hedge.budget, 0, now_us);
    return u;
}

static void cancel_list(struct upstream_call **list)
{
    while (*list) {
        cancel(*list);
    }
}

void upstream_destroy(struct upstream *u)
{
    if (!u) {
        return;
    }
    cancel_list(&u->waiting);
    cancel_list(&u->busy);
    cancel_list(&u->finished);
    deadline_disarm(u->deadlines, &u->token_due);
    loop_undefer(u->loop, &u->deliver);
    free(u);
}

void upstream_stats(const struct upstream *u, struct upstream_stats *ret_stats)
{
    *ret_stats = u->stats;
    ret_stats->breaker = u->breaker.state;
    ret_stats->n_opened = u->breaker.n_opened;
    ret_stats->latencies = &u->latencies;
    ret_stats->upstream = u;
}

int64_t upstream_quantile(const struct upstream *u, int64_t percent)
{
    return latency_quantile(&u->latency, clock_monotonic_ms(), percent);
}
