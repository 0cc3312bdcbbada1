/* SPDX-License-Identifier: MIT */
/* Unit rate_limit: a bucket that fills evenly. The state is the owner's; no clock, no timer. */
#include "upstreams/rate_limit.h"

/* Sums of fractions come out a little short: a token that is there but for this is there. */
#define ROUNDING 1e-6

void rate_limit_init(struct rate_limit *r, const struct rate_limit_options *options, int64_t now_us)
{
    int64_t burst = options->burst > 0 ? options->burst : options->requests;
    *r = (struct rate_limit){.burst = (double)burst, .n_tokens = (double)burst, .at_us = now_us};
    if (options->requests > 0) {
        r->per_us = (double)options->requests / ((double)options->per_ms * 1000);
    }
}

static double tokens_at(const struct rate_limit *r, int64_t now_us)
{
    double n_tokens = r->n_tokens + (double)(now_us - r->at_us) * r->per_us;
    return n_tokens < r->burst ? n_tokens : r->burst;
}

bool rate_limit_take(struct rate_limit *r, int64_t now_us)
{
    if (r->per_us <= 0) {
        return true;
    }
    double n_tokens = tokens_at(r, now_us);
    if (n_tokens < 1 - ROUNDING) {
        return false;
    }
    r->n_tokens = n_tokens - 1;
    r->at_us = now_us;
    return true;
}

int64_t rate_limit_wait_us(const struct rate_limit *r, int64_t now_us, size_t n)
{
    if (r->per_us <= 0) {
        return 0;
    }
    double missing = (double)n - tokens_at(r, now_us);
    return missing < ROUNDING ? 0 : (int64_t)(missing / r->per_us) + 1;
}
