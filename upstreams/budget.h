/* How much may be asked beside the calls themselves (retries, second copies): a share of the calls,
 * and perhaps so many in a second, so that an upstream in trouble gets little more than its usual
 * load. Only state; who asks brings the time. */
#ifndef BELFRY_UPSTREAMS_BUDGET_H
#define BELFRY_UPSTREAMS_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct budget {
    double per_call;   /* what a call brings in */
    double earned;     /* at most BUDGET_MAX_EARNED */
    double per_second; /* what time brings in, */
    double reserve;    /* at most a second's worth */
    int64_t at_us;
};

/* What was not used is good for a short burst, not for a flood after a quiet day. */
#define BUDGET_MAX_EARNED 100

/* With a full reserve. */
void budget_init(struct budget *b, int64_t percent, int64_t per_second, int64_t now_us);
/* A call is made. */
void budget_earn(struct budget *b);
/* False: there is nothing left. */
bool budget_take(struct budget *b, int64_t now_us);

#endif
