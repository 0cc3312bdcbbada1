/* A circuit breaker: an upstream that fails again and again is left alone for a while, then tried
 * with a single request. Only state; who asks brings the time. */
#ifndef BELFRY_UPSTREAMS_BREAKER_H
#define BELFRY_UPSTREAMS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "upstreams/upstream_options.h"

enum breaker_state {
    BREAKER_CLOSED,
    BREAKER_OPEN,      /* until somebody asks after its time */
    BREAKER_HALF_OPEN, /* one request tries, or has been cancelled: then the next one does */
};
/* "closed", "open", "half_open" */
const char *breaker_state_name(enum breaker_state state);

struct breaker {
    const struct breaker_options *options; /* outlives it */
    enum breaker_state state;
    bool is_probing;
    int64_t n_failures; /* in a row, while closed */
    int64_t wait_ms;    /* of this opening, before jitter */
    int64_t until_ms;   /* open until then */
    uint64_t n_opened;
};

void breaker_init(struct breaker *b, const struct breaker_options *options);

/* Would breaker_enter() let a request pass? */
bool breaker_allows(const struct breaker *b, int64_t now_ms);
/* A request, which must be allowed, is sent off. True: it is the one that tries. */
bool breaker_enter(struct breaker *b, int64_t now_ms);

enum breaker_verdict {
    BREAKER_GOOD,
    BREAKER_BAD,
    BREAKER_NO_VERDICT, /* it was cancelled, or did not reach the upstream */
};
/* What came of it. is_probe: what breaker_enter() returned. Of requests from before the breaker
 * opened nothing more is learned. True: the state has changed. */
bool breaker_leave(struct breaker *b, int64_t now_ms, bool is_probe, enum breaker_verdict verdict);

#endif
