/* What the files of an upstream share; its face is upstreams/upstream.h.
 *   upstream.c          the whole, and what others call
 *   upstream_call.c     the way of a call: step(), results, retries
 *   upstream_line.c     who waits for a place or the rate
 *   upstream_attempt.c  one request: its start, its end and what it teaches; second copies */
#ifndef BELFRY_UPSTREAMS_UPSTREAM_INTERNAL_H
#define BELFRY_UPSTREAMS_UPSTREAM_INTERNAL_H

#include "base/log.h"
#include "upstreams/budget.h"
#include "upstreams/latency.h"
#include "upstreams/rate_limit.h"
#include "upstreams/upstream.h"

enum call_state {
    CALL_ENTERING,    /* not in line yet */
    CALL_WAITING,     /* in line; its deadline is armed */
    CALL_ASKING,      /* one attempt or two; the second copy's time may be armed */
    CALL_BACKING_OFF, /* until its deadline fires */
    CALL_DONE,        /* done() is to be called */
};

struct attempt {
    struct upstream_call *call;
    struct fetch *fetch; /* NULL: not under way */
    int64_t started_us;
    bool is_probe; /* the breaker's */
};

struct upstream_call {
    struct upstream_call *next; /* in the list of its state */
    struct upstream_call *prev;
    struct upstream *upstream;
    enum call_state state;
    enum status status; /* of the last fetch_start() */
    bool may_send_twice;
    bool is_retry; /* an attempt has failed, and its failure counts until another one ends */
    upstream_done_fn done;
    void *arg;
    const struct upstream_request *request; /* the caller's inside upstream_ask(); then the copy */
    struct upstream_request *copy;          /* NULL: it will not be sent again */
    struct attempt first;
    struct attempt second;
    struct deadline deadline;
    int64_t started_us;
    int64_t deadline_us;
    int64_t waiting_since_us;
    int64_t n_retries;
    uint64_t delivery; /* DONE: the one before its own */
    struct upstream_result result;
    char *error; /* what result.error points to, where it had to be kept */
};

struct upstream {
    const char *name;
    struct loop *loop;
    struct deadlines *deadlines;
    struct fetch_pool *pool;
    const struct upstream_options *options;
    const struct address_guard *redirect_guard;
    struct upstream_call *waiting; /* lists, oldest first */
    struct upstream_call *busy;    /* ENTERING, ASKING, BACKING_OFF */
    struct upstream_call *finished;
    struct deferred deliver;
    uint64_t n_deliveries;
    struct deadline token_due; /* the first in line waits for the rate */
    struct breaker breaker;
    struct rate_limit rate_limit;
    struct budget retry_budget;
    struct budget hedge_budget;
    struct latency latency;
    struct histogram latencies;
    struct log_limit opened_log;
    struct log_limit closed_log;
    struct upstream_stats stats;
};

/* Not less than so many microseconds. */
static inline int64_t upstream_ms_of(int64_t us)
{
    return (us + 999) / 1000;
}

/* upstream_call.c. */
void call_step(struct upstream_call *c);
void call_go(struct upstream_call *c, enum call_state state);
/* Out of its list, and without what was armed for its state. */
void call_leave_state(struct upstream_call *c);
/* Without asking, or asking again: the failure that was to be mended stays the result. done() is
 * called at the loop's tail. */
void call_end_unasked(struct upstream_call *c, enum upstream_outcome outcome, const char *error);
/* Its texts are good until done() of the fetch returns. */
void call_take_result(struct upstream_call *c, bool is_second, const struct fetch_result *fetched);
void call_free(struct upstream_call *c);
/* Of an upstream: calls done() for all that have ended. */
void calls_deliver(void *arg);

/* upstream_line.c. */
bool line_has_place(const struct upstream *u);
/* Nobody waits, and there are a place and a token (which is taken). */
bool line_may_be_passed(struct upstream *u, int64_t now_us);
/* Waits its turn, or has ended. */
void line_join(struct upstream_call *c, int64_t now_us);
/* Those in front who may go now, or need not wait any longer. */
void line_let_in(struct upstream *u);

/* upstream_attempt.c. Also sets the call's status. */
enum status attempt_start(struct upstream_call *c, struct attempt *a);
void attempt_give_up(struct attempt *a, enum breaker_verdict verdict);
/* A second copy of the attempt that has just been started, for when it takes long. */
void attempt_plan_second(struct upstream_call *c);
/* Does nobody wait in the pool? */
bool attempt_pool_has_room(const struct upstream *u);

#endif
