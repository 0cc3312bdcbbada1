/* SPDX-License-Identifier: MIT */
/* Unit upstream_line: calls that wait for a place or the rate, first come, first served. Loop's
 * thread. */
#include "upstreams/upstream_internal.h"

#include "base/clock.h"

bool line_has_place(const struct upstream *u)
{
    int64_t max = u->options->max_concurrent;
    return max == 0 || (int64_t)u->stats.n_active < max;
}

static void on_token_due(struct deadline *deadline);

void line_let_in(struct upstream *u)
{
    while (u->waiting) {
        struct upstream_call *c = u->waiting;
        int64_t now_us = clock_monotonic_us();
        if (now_us >= c->deadline_us) {
            call_end_unasked(c, UPSTREAM_TIMEOUT, "timed out while waiting for its turn");
        } else if (!breaker_allows(&u->breaker, now_us / 1000)) {
            call_end_unasked(c, UPSTREAM_BREAKER_OPEN, "the upstream failed too often of late");
        } else if (!line_has_place(u)) {
            return; /* the end of an attempt lets in */
        } else if (!rate_limit_take(&u->rate_limit, now_us)) {
            int64_t wait_us = rate_limit_wait_us(&u->rate_limit, now_us, 1);
            deadline_arm(u->deadlines, &u->token_due, upstream_ms_of(wait_us), on_token_due);
            return;
        } else {
            call_step(c);
        }
    }
}

static void on_token_due(struct deadline *deadline)
{
    line_let_in(container_of(deadline, struct upstream, token_due));
}

static void on_waited_too_long(struct deadline *deadline)
{
    struct upstream_call *c = container_of(deadline, struct upstream_call, deadline);
    call_end_unasked(c, UPSTREAM_TIMEOUT, "timed out while waiting for its turn");
}

void line_join(struct upstream_call *c, int64_t now_us)
{
    struct upstream *u = c->upstream;
    int64_t wait_us = rate_limit_wait_us(&u->rate_limit, now_us, u->stats.n_waiting + 1);
    if (wait_us >= c->deadline_us - now_us) {
        call_end_unasked(c, UPSTREAM_RATE_LIMITED, "rate_limit allows it only after the deadline");
        return;
    }
    if ((int64_t)u->stats.n_waiting >= u->options->max_waiting) {
        call_end_unasked(c, UPSTREAM_OVERLOADED, "too many calls are waiting for this upstream");
        return;
    }
    call_go(c, CALL_WAITING);
    c->waiting_since_us = now_us;
    u->stats.n_waiting++;
    deadline_arm(u->deadlines, &c->deadline, upstream_ms_of(c->deadline_us - now_us),
                 on_waited_too_long);
    if (u->waiting == c) {
        line_let_in(u);
    }
}

bool line_may_be_passed(struct upstream *u, int64_t now_us)
{
    return !u->waiting && line_has_place(u) && rate_limit_take(&u->rate_limit, now_us);
}
