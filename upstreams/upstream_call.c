/* SPDX-License-Identifier: MIT */
/* Unit upstream_call: step() has the way of a call, top to bottom. A call that is answered at once,
 * by its only attempt, costs one allocation and arms no timer. Loop's thread. */
#include "upstreams/upstream_internal.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/rng.h"

/* --- from state to state --- */

static struct upstream_call **list_of(struct upstream *u, enum call_state state)
{
    switch (state) {
    case CALL_WAITING: return &u->waiting;
    case CALL_DONE: return &u->finished;
    case CALL_ENTERING:
    case CALL_ASKING:
    case CALL_BACKING_OFF: break;
    }
    return &u->busy;
}

void call_leave_state(struct upstream_call *c)
{
    struct upstream *u = c->upstream;
    struct upstream_call **list = list_of(u, c->state);
    DL_DELETE(*list, c);
    deadline_disarm(u->deadlines, &c->deadline);
    if (c->state == CALL_WAITING) {
        u->stats.n_waiting--;
        c->result.queue_us += clock_monotonic_us() - c->waiting_since_us;
    }
}

void call_go(struct upstream_call *c, enum call_state state)
{
    struct upstream_call **list = list_of(c->upstream, state);
    call_leave_state(c);
    c->state = state;
    DL_APPEND(*list, c);
}

void call_free(struct upstream_call *c)
{
    free(c->copy);
    free(c->error);
    free(c);
}

void call_end_unasked(struct upstream_call *c, enum upstream_outcome outcome, const char *error)
{
    if (!c->is_retry) {
        c->result.outcome = outcome;
        c->result.error = error;
    }
    c->delivery = c->upstream->n_deliveries;
    call_go(c, CALL_DONE);
    loop_defer(c->upstream->loop, &c->upstream->deliver);
}

static void tell(struct upstream_call *c)
{
    call_leave_state(c);
    c->result.duration_us = clock_monotonic_us() - c->started_us;
    c->upstream->stats.n_outcomes[c->result.outcome]++;
    c->done(c->arg, &c->result);
    call_free(c);
}

/* Those that end meanwhile wait for the next turn: a caller that asks again in its done(), and is
 * refused again, must not hold the loop. */
void calls_deliver(void *arg)
{
    struct upstream *u = arg;
    u->n_deliveries++;
    while (u->finished && u->finished->delivery < u->n_deliveries) {
        call_step(u->finished);
    }
}

/* --- results --- */

static enum upstream_outcome outcome_of(const struct fetch_result *fetched)
{
    static const enum upstream_outcome outcomes[N_FETCH_OUTCOMES] = {
        [FETCH_OK] = UPSTREAM_OK,
        [FETCH_TIMEOUT] = UPSTREAM_TIMEOUT,
        [FETCH_HTTP_ERROR] = UPSTREAM_HTTP_ERROR,
        [FETCH_DNS_ERROR] = UPSTREAM_DNS_ERROR,
        [FETCH_CONNECT_ERROR] = UPSTREAM_CONNECT_ERROR,
        [FETCH_TLS_ERROR] = UPSTREAM_TLS_ERROR,
        [FETCH_TOO_LARGE] = UPSTREAM_TOO_LARGE,
        [FETCH_REFUSED] = UPSTREAM_REFUSED,
    };
    bool is_unchanged = fetched->outcome == FETCH_OK && fetched->head.http_status == 304;
    return is_unchanged ? UPSTREAM_NOT_MODIFIED : outcomes[fetched->outcome];
}

void call_take_result(struct upstream_call *c, bool is_second, const struct fetch_result *fetched)
{
    struct upstream_result *r = &c->result;
    r->outcome = outcome_of(fetched);
    r->head = fetched->head;
    r->body = r->outcome == UPSTREAM_OK ? fetched->body : STR_EMPTY;
    r->queue_us += fetched->queue_us;
    r->dns_us = fetched->dns_us;
    r->connect_us = fetched->connect_us;
    r->first_byte_us = fetched->first_byte_us;
    r->n_bytes = fetched->n_bytes;
    r->is_hedged = is_second && fetched->outcome == FETCH_OK;
    r->error = fetched->error;
    c->upstream->stats.n_hedges_won += r->is_hedged;
}

/* --- retries --- */

static bool may_be_mended(const struct upstream_result *r)
{
    int http_status = r->head.http_status;
    switch (r->outcome) {
    case UPSTREAM_TIMEOUT: /* of connecting: after the other one no time is left */
    case UPSTREAM_DNS_ERROR:
    case UPSTREAM_CONNECT_ERROR: return true;
    case UPSTREAM_HTTP_ERROR:
        return http_status == 429 || (http_status >= 502 && http_status <= 504);
    default: return false;
    }
}

/* Equal jitter: half of it is at random. */
static int64_t backoff_ms(const struct upstream_call *c)
{
    const struct retry_options *retry = &c->upstream->options->retry;
    int64_t wait_ms = retry->backoff_ms;
    for (int64_t i = 0; i < c->n_retries && wait_ms < retry->max_backoff_ms; i++) {
        wait_ms *= 2;
    }
    wait_ms = wait_ms < retry->max_backoff_ms ? wait_ms : retry->max_backoff_ms;
    wait_ms -= (int64_t)rng_below((uint64_t)(wait_ms / 2) + 1);
    int64_t asked_for_ms = c->result.head.retry_after_s * 1000;
    return wait_ms > asked_for_ms ? wait_ms : asked_for_ms;
}

/* The failure stays the result where no other comes: its texts must outlive the fetch. */
static void keep_failure(struct upstream_call *c)
{
    struct fetch_head *head = &c->result.head;
    head->etag = head->last_modified = STR_EMPTY;
    head->content_type = head->cache_control = STR_EMPTY;
    free(c->error);
    c->error = str_dup(str_of(c->result.error));
    c->result.error = c->error ? c->error : "";
}

static void on_backed_off(struct deadline *deadline)
{
    call_step(container_of(deadline, struct upstream_call, deadline));
}

static bool back_off(struct upstream_call *c)
{
    struct upstream *u = c->upstream;
    if (c->n_retries >= u->options->retry.attempts || !c->may_send_twice ||
        !may_be_mended(&c->result) || u->breaker.state != BREAKER_CLOSED) {
        return false;
    }
    int64_t now_us = clock_monotonic_us();
    int64_t wait_ms = backoff_ms(c);
    if (wait_ms >= (c->deadline_us - now_us) / 1000) {
        return false;
    }
    if (!budget_take(&u->retry_budget, now_us)) {
        u->stats.n_budget_spent++;
        return false;
    }
    keep_failure(c);
    c->is_retry = true;
    call_go(c, CALL_BACKING_OFF);
    deadline_arm(u->deadlines, &c->deadline, wait_ms, on_backed_off);
    return true;
}

/* --- the story --- */

static void count_retry(struct upstream_call *c)
{
    if (c->is_retry) {
        c->n_retries++;
        c->upstream->stats.n_retries++;
    }
}

static void end_unstarted(struct upstream_call *c)
{
    if (c->status == STATUS_CLOSED) {
        call_end_unasked(c, UPSTREAM_CONNECT_ERROR, "shutting down");
    } else {
        call_end_unasked(c, UPSTREAM_OVERLOADED,
                         c->status == STATUS_OVERLOADED ? "too many requests are waiting"
                                                        : status_name(c->status));
    }
}

/* One call, top to bottom. Every state ends by going on at once, or by returning when something
 * steps again later. */
void call_step(struct upstream_call *c)
{
    struct upstream *u = c->upstream;
    int64_t now_us = clock_monotonic_us();
    switch (c->state) {
    case CALL_ENTERING: /* new, or backed off */
        if (now_us >= c->deadline_us) {
            call_end_unasked(c, UPSTREAM_TIMEOUT, "timed out");
            return;
        }
        if (!breaker_allows(&u->breaker, now_us / 1000)) {
            call_end_unasked(c, UPSTREAM_BREAKER_OPEN, "the upstream failed too often of late");
            return;
        }
        if (!line_may_be_passed(u, now_us)) {
            line_join(c, now_us); /* line_let_in() steps it */
            return;
        }
        /* fall through */
    case CALL_WAITING: /* its turn has come */
        call_go(c, CALL_ASKING);
        if (attempt_start(c, &c->first) != STATUS_OK) {
            end_unstarted(c);
            return;
        }
        count_retry(c);
        attempt_plan_second(c);
        return;       /* on_fetched() steps it */
    case CALL_ASKING: /* an answer is there, or a failure and nothing that may do better */
        if (back_off(c)) {
            return; /* its deadline steps it */
        }
        call_go(c, CALL_DONE);
        tell(c);
        return;
    case CALL_BACKING_OFF: /* for long enough */
        call_go(c, CALL_ENTERING);
        call_step(c);
        return;
    case CALL_DONE: /* calls_deliver() steps it */ tell(c); return;
    }
}
