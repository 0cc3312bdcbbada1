/* SPDX-License-Identifier: MIT */
/* Unit budget: what calls have earned is spent first. The state is the owner's; no clock. */
#include "upstreams/budget.h"

/* Sums of fractions come out a little short: twenty calls of 5 percent are one. */
#define ROUNDING 1e-6

void budget_init(struct budget *b, int64_t percent, int64_t per_second, int64_t now_us)
{
    *b = (struct budget){.per_call = (double)percent / 100,
                         .per_second = (double)per_second,
                         .reserve = (double)per_second,
                         .at_us = now_us};
}

void budget_earn(struct budget *b)
{
    b->earned += b->per_call;
    if (b->earned > BUDGET_MAX_EARNED) {
        b->earned = BUDGET_MAX_EARNED;
    }
}

static void refill(struct budget *b, int64_t now_us)
{
    b->reserve += (double)(now_us - b->at_us) / 1e6 * b->per_second;
    if (b->reserve > b->per_second) {
        b->reserve = b->per_second;
    }
    b->at_us = now_us;
}

bool budget_take(struct budget *b, int64_t now_us)
{
    refill(b, now_us);
    double *from = b->earned >= 1 - ROUNDING ? &b->earned : &b->reserve;
    if (*from < 1 - ROUNDING) {
        return false;
    }
    *from -= 1;
    return true;
}
