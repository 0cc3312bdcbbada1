/* What the configuration says about the asking of one upstream. The keys are read by the shape that
 * the upstream stands in (hub/feed_upstream_options.c): the sections have shapes here. */
#ifndef BELFRY_UPSTREAMS_UPSTREAM_OPTIONS_H
#define BELFRY_UPSTREAMS_UPSTREAM_OPTIONS_H

#include "upstreams/transport_options.h"

/* "retry": further attempts after a failure that another attempt may mend: a timeout of connecting,
 * a broken connection, one of the statuses. Only for methods that may be sent twice, or with
 * "idempotent". Each waits backoff * 2^n with equal jitter, at most max_backoff, at least what
 * Retry-After says, and is not made when that goes beyond the deadline. */
struct retry_options {
    int64_t attempts; /* further ones; 0: none */
    int64_t backoff_ms;
    int64_t max_backoff_ms;
    bool idempotent;
    int64_t budget; /* percent of the calls that may be retried, beside ten in a second */
};

/* "breaker": after so many failures in a row (no answer, 5xx, 429; not 4xx) the upstream is not
 * asked for open_ms; then one call tries. Its success closes, its failure opens again for twice as
 * long (equal jitter), at most max_open_ms. */
struct breaker_options {
    int64_t failures; /* 0: no breaker */
    int64_t open_ms;
    int64_t max_open_ms;
};

/* "hedge": a second copy of a request that has taken longer than so many percent of those before
 * it. Only for methods that may be sent twice, or with retry.idempotent. */
struct hedge_options {
    int64_t percentile; /* 0: none; else 50 to 99 */
    int64_t min_delay_ms;
    int64_t budget; /* percent of the calls that may have a second copy */
};

/* "rate_limit": a token bucket. */
struct rate_limit_options {
    int64_t requests; /* in `per`; 0: no limit */
    int64_t per_ms;
    int64_t burst; /* bucket; 0: as requests */
};

struct upstream_options {
    int64_t timeout_ms;         /* of a call; 0: the caller's */
    int64_t connect_timeout_ms; /* 0: none of its own */
    int64_t max_redirects;
    int64_t max_concurrent; /* attempts at one time; 0: no limit of its own */
    int64_t max_waiting;    /* calls */
    struct rate_limit_options rate_limit;
    struct retry_options retry;
    struct breaker_options breaker;
    struct hedge_options hedge;
    struct transport_options transport;
};

extern const struct config_shape rate_limit_options_shape;
extern const struct config_shape retry_options_shape;
extern const struct config_shape breaker_options_shape;
extern const struct config_shape hedge_options_shape;

#endif
