/* SPDX-License-Identifier: MIT */
/* Unit breaker: closed, open, half open. The state is the owner's; no clock, no timer. */
#include "upstreams/breaker.h"

#include <assert.h>

#include "base/rng.h"

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = {"closed", "open", "half_open"};
    return names[state];
}

void breaker_init(struct breaker *b, const struct breaker_options *options)
{
    *b = (struct breaker){.options = options};
}

bool breaker_allows(const struct breaker *b, int64_t now_ms)
{
    switch (b->state) {
    case BREAKER_CLOSED: return true;
    case BREAKER_OPEN: return now_ms >= b->until_ms;
    case BREAKER_HALF_OPEN: return !b->is_probing;
    }
    return false;
}

bool breaker_enter(struct breaker *b, int64_t now_ms)
{
    assert(breaker_allows(b, now_ms));
    if (b->state == BREAKER_CLOSED) {
        return false;
    }
    b->state = BREAKER_HALF_OPEN;
    b->is_probing = true;
    return true;
}

/* Equal jitter: those who failed together do not come back together. */
static bool open_for(struct breaker *b, int64_t now_ms, int64_t wait_ms)
{
    b->state = BREAKER_OPEN;
    b->wait_ms = wait_ms;
    b->until_ms = now_ms + wait_ms - (int64_t)rng_below((uint64_t)(wait_ms / 2) + 1);
    b->n_opened++;
    return true;
}

static bool probe_failed(struct breaker *b, int64_t now_ms)
{
    int64_t max_ms = b->options->max_open_ms;
    return open_for(b, now_ms, b->wait_ms <= max_ms / 2 ? b->wait_ms * 2 : max_ms);
}

static bool failed(struct breaker *b, int64_t now_ms)
{
    b->n_failures++;
    bool is_enough = b->options->failures > 0 && b->n_failures >= b->options->failures;
    return is_enough && open_for(b, now_ms, b->options->open_ms);
}

static bool leave_probe(struct breaker *b, int64_t now_ms, enum breaker_verdict verdict)
{
    b->is_probing = false;
    switch (verdict) {
    case BREAKER_GOOD:
        b->state = BREAKER_CLOSED;
        b->n_failures = 0;
        return true;
    case BREAKER_BAD: return probe_failed(b, now_ms);
    case BREAKER_NO_VERDICT: return false;
    }
    return false;
}

bool breaker_leave(struct breaker *b, int64_t now_ms, bool is_probe, enum breaker_verdict verdict)
{
    if (is_probe) {
        return leave_probe(b, now_ms, verdict);
    }
    if (b->state != BREAKER_CLOSED || verdict == BREAKER_NO_VERDICT) {
        return false;
    }
    if (verdict == BREAKER_GOOD) {
        b->n_failures = 0;
        return false;
    }
    return failed(b, now_ms);
}
