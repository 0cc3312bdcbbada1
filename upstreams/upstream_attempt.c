/* SPDX-License-Identifier: MIT */
/* Unit upstream_attempt: one request of a call, what is learned from it for the breaker and for
 * second copies, and these. Loop's thread. */
#include "upstreams/upstream_internal.h"

#include "base/clock.h"

#define HEDGE_MIN_MEASURED 20 /* fewer say nothing about a percentile */

/* --- what attempts teach --- */

static bool was_sent(const struct fetch_result *fetched)
{
    return fetched->outcome != FETCH_TIMEOUT || fetched->queue_us < fetched->duration_us;
}

static enum breaker_verdict verdict_of(const struct fetch_result *fetched)
{
    int http_status = fetched->head.http_status;
    switch (fetched->outcome) {
    case FETCH_OK:
    case FETCH_TOO_LARGE: return BREAKER_GOOD;
    case FETCH_HTTP_ERROR:
        return http_status >= 500 || http_status == 429 ? BREAKER_BAD : BREAKER_GOOD;
    case FETCH_REFUSED: return BREAKER_NO_VERDICT;
    case FETCH_TIMEOUT: return was_sent(fetched) ? BREAKER_BAD : BREAKER_NO_VERDICT;
    case FETCH_DNS_ERROR:
    case FETCH_CONNECT_ERROR:
    case FETCH_TLS_ERROR:
    case N_FETCH_OUTCOMES: break;
    }
    return BREAKER_BAD;
}

static void log_breaker(struct upstream *u, int64_t now_ms)
{
    if (u->breaker.state == BREAKER_OPEN) {
        if (log_permits(&u->opened_log)) {
            log_warn("upstream", "breaker_opened", log_s("upstream", u->name),
                     log_i("for_ms", u->breaker.until_ms - now_ms),
                     log_i("left_out", u->opened_log.n_left_out));
        }
    } else if (log_permits(&u->closed_log)) {
        log_info("upstream", "breaker_closed", log_s("upstream", u->name),
                 log_i("left_out", u->closed_log.n_left_out));
    }
}

static void end_attempt(struct attempt *a, enum breaker_verdict verdict)
{
    struct upstream *u = a->call->upstream;
    int64_t now_ms = clock_monotonic_ms();
    a->fetch = NULL;
    u->stats.n_active--;
    if (breaker_leave(&u->breaker, now_ms, a->is_probe, verdict)) {
        log_breaker(u, now_ms);
    }
}

void attempt_give_up(struct attempt *a, enum breaker_verdict verdict)
{
    if (a->fetch) {
        fetch_cancel(a->fetch);
        end_attempt(a, verdict);
    }
}

/* --- attempts --- */

static void on_fetched(void *arg, const struct fetch_result *fetched);

enum status attempt_start(struct upstream_call *c, struct attempt *a)
{
    struct upstream *u = c->upstream;
    const struct upstream_request *r = c->request;
    int64_t now_us = clock_monotonic_us();
    int64_t left_us = c->deadline_us - now_us;
    struct fetch_spec spec = {.url = r->url,
                              .timeout_ms = left_us > 0 ? upstream_ms_of(left_us) : 1,
                              .connect_timeout_ms = u->options->connect_timeout_ms,
                              .max_bytes = r->max_bytes,
                              .method = r->method,
                              .body = r->body,
                              .headers = r->headers,
                              .n_headers = r->n_headers,
                              .transport = &u->options->transport,
                              .max_redirects = u->options->max_redirects,
                              .redirect_guard = u->redirect_guard};
    *a = (struct attempt){
        .call = c, .started_us = now_us, .is_probe = breaker_enter(&u->breaker, now_us / 1000)};
    c->status = fetch_start(u->pool, &spec, on_fetched, a, &a->fetch);
    if (c->status != STATUS_OK) {
        a->fetch = NULL;
        (void)breaker_leave(&u->breaker, now_us / 1000, a->is_probe, BREAKER_NO_VERDICT);
        return c->status;
    }
    u->stats.n_active++;
    u->stats.n_attempts++;
    c->result.n_attempts++;
    return STATUS_OK;
}

bool attempt_pool_has_room(const struct upstream *u)
{
    struct fetch_stats stats;
    fetch_pool_stats(u->pool, &stats);
    return stats.n_waiting == 0;
}

/* Whether it would have to wait there is known only now. */
static void start_second(struct upstream_call *c)
{
    struct upstream *u = c->upstream;
    if (attempt_start(c, &c->second) != STATUS_OK) {
        return;
    }
    if (attempt_pool_has_room(u)) {
        u->stats.n_hedges++;
        return;
    }
    attempt_give_up(&c->second, BREAKER_NO_VERDICT);
    u->stats.n_attempts--;
    c->result.n_attempts--;
}

/* A second copy never waits, and never stands in anybody's way. */
static bool has_room_for_second(const struct upstream *u, int64_t now_us)
{
    return !u->waiting && line_has_place(u) && u->breaker.state == BREAKER_CLOSED &&
           attempt_pool_has_room(u) && rate_limit_wait_us(&u->rate_limit, now_us, 1) == 0;
}

static void on_second_due(struct deadline *deadline)
{
    struct upstream_call *c = container_of(deadline, struct upstream_call, deadline);
    struct upstream *u = c->upstream;
    int64_t now_us = clock_monotonic_us();
    if (now_us >= c->deadline_us || !has_room_for_second(u, now_us)) {
        return;
    }
    if (!budget_take(&u->hedge_budget, now_us)) {
        u->stats.n_budget_spent++;
        return;
    }
    if (rate_limit_take(&u->rate_limit, now_us)) {
        start_second(c);
    }
}

void attempt_plan_second(struct upstream_call *c)
{
    struct upstream *u = c->upstream;
    const struct hedge_options *hedge = &u->options->hedge;
    int64_t now_ms = c->first.started_us / 1000;
    if (hedge->percentile == 0 || !c->may_send_twice || c->first.is_probe ||
        latency_n(&u->latency, now_ms) < HEDGE_MIN_MEASURED) {
        return;
    }
    int64_t delay_ms = upstream_ms_of(latency_quantile(&u->latency, now_ms, hedge->percentile));
    delay_ms = delay_ms > hedge->min_delay_ms ? delay_ms : hedge->min_delay_ms;
    if (c->first.started_us + delay_ms * 1000 < c->deadline_us) {
        deadline_arm(u->deadlines, &c->deadline, delay_ms, on_second_due);
    }
}

/* --- the end --- */

static void add_latency(struct upstream *u, int64_t now_ms, int64_t duration_us)
{
    latency_add(&u->latency, now_ms, duration_us);
    histogram_add(&u->latencies, duration_us > 0 ? (uint64_t)duration_us : 0);
}

static void learn_latency(struct upstream *u, const struct fetch_result *fetched)
{
    if (fetched->outcome == FETCH_OK || fetched->outcome == FETCH_HTTP_ERROR) {
        add_latency(u, clock_monotonic_ms(), fetched->duration_us - fetched->queue_us);
    }
}

/* The one that is overtaken took at least so long: without it, the slow ones would be missing from
 * what the next second copy waits for. */
static void overtake(struct attempt *a, bool is_first)
{
    if (a->fetch && is_first) {
        int64_t now_us = clock_monotonic_us();
        add_latency(a->call->upstream, now_us / 1000, now_us - a->started_us);
    }
    attempt_give_up(a, BREAKER_NO_VERDICT);
}

static void on_fetched(void *arg, const struct fetch_result *fetched)
{
    struct attempt *a = arg;
    struct upstream_call *c = a->call;
    struct upstream *u = c->upstream;
    bool is_second = a == &c->second;
    struct attempt *other = is_second ? &c->first : &c->second;
    end_attempt(a, verdict_of(fetched));
    learn_latency(u, fetched);
    c->result.n_attempts -= was_sent(fetched) ? 0 : 1;
    if (fetched->outcome == FETCH_OK || !other->fetch) { /* otherwise the other may do better */
        call_take_result(c, is_second, fetched);
        overtake(other, is_second);
        call_step(c);
    }
    line_let_in(u);
}
