/* Concurrent HTTP requests to upstreams: libcurl's multi interface on the program's loop. The only
 * floor that knows libcurl. Loop's thread only. */
#ifndef BELFRY_UPSTREAMS_FETCH_H
#define BELFRY_UPSTREAMS_FETCH_H

#include "base/loop.h"
#include "base/status.h"
#include "base/str.h"

struct fetch_pool;
struct fetch;

struct fetch_pool_options {
    struct loop *loop;
    int64_t max_concurrent; /* transfers at one time; more wait in the order of their start. Also
                               sizes the cache of warm connections, which must be larger than the
                               concurrency */
    int64_t max_waiting;    /* beyond it fetch_start() answers STATUS_OVERLOADED */
    const char *user_agent;
};

/* Initialises libcurl (which counts that): create the first pool before there are other threads.
 * The end of the last pool cleans libcurl up. */
enum status fetch_pool_create(const struct fetch_pool_options *options,
                              struct fetch_pool **ret_pool) MUST_CHECK;
/* Cancels what is under way, then closes; freed once the loop has let go of it. Legal in a done().
 * Accepts NULL. */
void fetch_pool_destroy(struct fetch_pool *pool);

enum fetch_outcome {
    FETCH_OK,            /* an answer with status 200 to 299, read to its end */
    FETCH_TIMEOUT,       /* not complete within timeout_ms, waiting included */
    FETCH_HTTP_ERROR,    /* any other status (redirects are not followed), also if its page was too
                            large */
    FETCH_CONNECT_ERROR, /* name, connection or TLS failed, or the answer broke off */
    FETCH_TOO_LARGE,     /* more than max_bytes */
};
/* "ok", "timeout", "http_error", "connect_error", "too_large" */
const char *fetch_outcome_name(enum fetch_outcome outcome);

struct fetch_spec {
    const char *url;    /* http or https; copied */
    int64_t timeout_ms; /* > 0; from fetch_start(), so time in the queue counts */
    size_t max_bytes;   /* of the (decompressed) body */
    bool is_post;       /* with the body as application/json; otherwise a GET. Never sent twice */
    struct str body;    /* of a POST; copied */
    const struct str *headers; /* further lines "Name: value", at most 64 KiB together; copied; one
                                  with the name of a header that is sent anyway (Accept,
                                  Content-Type, User-Agent, Accept-Encoding) takes its place */
    size_t n_headers;
};
/* May a request have a header of that name? Not when it is no name at all, and not when it belongs
 * to the connection (Host, Content-Length, Connection ...). */
bool fetch_header_allowed(struct str name);
/* Is that an allowed name, a colon and a value without control characters? */
bool fetch_header_valid(struct str line);

struct fetch_result {
    enum fetch_outcome outcome;
    int http_status; /* 0: none came */
    struct str body; /* with FETCH_OK, and the part that came with FETCH_HTTP_ERROR; only during the
                        call */
    int64_t duration_us; /* from fetch_start() */
    int64_t queue_us;    /* of which waiting for a free place */
    const char *error;   /* words for a failure, mostly libcurl's; "" with FETCH_OK, and with
                            FETCH_HTTP_ERROR unless its page was too large; only during the call */
};

/* Called once, never from inside fetch_start(), not after fetch_cancel(). The fetch is freed after
 * it. May start and cancel others. */
typedef void (*fetch_done_fn)(void *arg, const struct fetch_result *result);

/* STATUS_INVALID: a header that fetch_header_valid() refuses. STATUS_OVERLOADED, STATUS_CLOSED,
 * STATUS_NO_MEMORY. */
enum status fetch_start(struct fetch_pool *pool, const struct fetch_spec *spec, fetch_done_fn done,
                        void *arg, struct fetch **ret_fetch) MUST_CHECK;
/* done() will not be called; the handle is invalid from here on. From anywhere but inside its own
 * done(). */
void fetch_cancel(struct fetch *fetch);

struct fetch_stats {
    uint64_t n_started;
    uint64_t n_outcomes[FETCH_TOO_LARGE + 1];
    uint64_t n_overloaded;
    int64_t n_active;
    int64_t n_waiting;
};
void fetch_pool_stats(const struct fetch_pool *pool, struct fetch_stats *ret_stats);

#endif
