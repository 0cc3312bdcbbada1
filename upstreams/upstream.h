/* One upstream as the operator configured it, and calls to it. A call is what the caller sees as
 * one question: behind it stand one or more attempts (fetches), with all that keeps a weak upstream
 * from harm and a slow one from doing any: limits of concurrency and rate, retries with backoff
 * within the deadline and a budget, a circuit breaker, a second copy of a request that takes longer
 * than most. Loop's thread only. */
#ifndef BELFRY_UPSTREAMS_UPSTREAM_H
#define BELFRY_UPSTREAMS_UPSTREAM_H

#include "base/deadlines.h"
#include "base/histogram.h"
#include "upstreams/breaker.h"
#include "upstreams/fetch.h"
#include "upstreams/upstream_options.h"

struct upstream;
struct upstream_call;

enum upstream_outcome {
    UPSTREAM_OK,           /* as FETCH_OK with 200 to 299 */
    UPSTREAM_NOT_MODIFIED, /* 304 */
    UPSTREAM_TIMEOUT,
    UPSTREAM_HTTP_ERROR,
    UPSTREAM_DNS_ERROR,
    UPSTREAM_CONNECT_ERROR,
    UPSTREAM_TLS_ERROR,
    UPSTREAM_TOO_LARGE,
    UPSTREAM_REFUSED,
    UPSTREAM_OVERLOADED,   /* its queue, or the pool's, is full */
    UPSTREAM_RATE_LIMITED, /* the rate allows it only after the deadline */
    UPSTREAM_BREAKER_OPEN, /* it failed too often of late: not asked */
    N_UPSTREAM_OUTCOMES,
};
/* "ok", "not_modified", "timeout", "http_error", "dns_error", "connect_error", "tls_error",
 * "too_large", "refused", "overloaded", "rate_limited", "breaker_open" */
const char *upstream_outcome_name(enum upstream_outcome outcome);

/* All outlive the upstream. */
struct upstream_setting {
    const char *name; /* for the log */
    struct loop *loop;
    struct deadlines *deadlines; /* second copies, retries and the rate are as exact as its tick */
    struct fetch_pool *pool;
    const struct upstream_options *options;
    const struct address_guard *redirect_guard; /* see fetch_spec */
};
/* NULL when memory is short. */
struct upstream *upstream_create(const struct upstream_setting *setting);
/* Cancels its calls. Accepts NULL. Not from inside a done(). */
void upstream_destroy(struct upstream *u);

struct upstream_request {
    const char *url; /* copied, as all of these */
    enum fetch_method method;
    struct str body;
    const struct str *headers; /* lines; with those of a condition */
    size_t n_headers;
    int64_t timeout_ms; /* > 0: for all of it. The options' timeout, where it is shorter, counts */
    size_t max_bytes;
};

struct upstream_result {
    enum upstream_outcome outcome;
    struct fetch_head head; /* of the attempt that counts; http_status 0: no answer */
    struct str body;        /* with UPSTREAM_OK; during the call only, as all texts */
    int64_t duration_us;    /* of the call */
    int64_t queue_us;       /* waiting for a place or the rate, all attempts, without backoff */
    int64_t dns_us;         /* these three: of the attempt that counts */
    int64_t connect_us;
    int64_t first_byte_us;
    int64_t n_bytes;
    unsigned n_attempts; /* requests that were sent off */
    bool is_hedged;      /* the second copy answered first */
    const char *error;
};
/* Once, never from inside upstream_ask(), not after upstream_cancel(). May start and cancel others.
 */
typedef void (*upstream_done_fn)(void *arg, const struct upstream_result *result);

/* STATUS_INVALID: a header that fetch_header_valid() refuses. STATUS_NO_MEMORY, STATUS_CLOSED. All
 * else is an outcome. */
enum status upstream_ask(struct upstream *u, const struct upstream_request *request,
                         upstream_done_fn done, void *arg,
                         struct upstream_call **ret_call) MUST_CHECK;
/* Fetches so far. */
unsigned upstream_n_attempts(const struct upstream_call *call);
/* Silent. From anywhere but inside its own done(). When its time is over, the breaker takes it for
 * the timeout that it would have been. */
void upstream_cancel(struct upstream_call *call);

struct upstream_stats {
    enum breaker_state breaker;
    uint64_t n_opened; /* times that the breaker opened */
    uint64_t n_calls;
    uint64_t n_outcomes[N_UPSTREAM_OUTCOMES];
    uint64_t n_attempts; /* fetches, with retries and second copies */
    uint64_t n_retries;
    uint64_t n_hedges;
    uint64_t n_hedges_won;
    uint64_t n_budget_spent;           /* retries and second copies not made for their budget */
    size_t n_active;                   /* attempts under way */
    size_t n_waiting;                  /* calls that wait for a place or the rate */
    const struct histogram *latencies; /* of attempts that were answered, or overtaken by their
                                          second copy, microseconds */
    const struct upstream *upstream;
};
void upstream_stats(const struct upstream *u, struct upstream_stats *ret_stats);
/* What so many percent of the same did not exceed during the last minutes, microseconds; 0: there
 * were none. */
int64_t upstream_quantile(const struct upstream *u, int64_t percent);

#endif
