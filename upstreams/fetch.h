/* Concurrent HTTP requests to upstreams, on the program's loop: by libcurl's multi interface, but
 * for the simplest, which are made millions of times (direct.h). Who asks does not notice. The only
 * floor that knows libcurl. Loop's thread only. */
#ifndef BELFRY_UPSTREAMS_FETCH_H
#define BELFRY_UPSTREAMS_FETCH_H

#include "base/loop.h"
#include "base/status.h"
#include "base/str.h"

struct fetch_pool;
struct fetch;

struct address_guard;
struct transport_options;

struct fetch_pool_options {
    struct loop *loop;
    int64_t max_concurrent; /* transfers at one time; more wait in the order of their start. Also
                               sizes the cache of warm connections, which must be larger than the
                               concurrency */
    int64_t max_per_host;   /* of these to one host and port; others pass those who wait for theirs.
                               Hosts take turns; a redirected fetch keeps its place. 0: no limit */
    int64_t max_waiting;    /* beyond it fetch_start() answers STATUS_OVERLOADED */
    const char *user_agent;
    const struct address_guard *guard; /* of every fetch, URL and resolved address; outlives the
                                          pool. NULL: URLs come from the operator and are good.
                                          Connections are shared within a pool, so guarded and
                                          unguarded fetches have pools of their own */
    bool uses_libcurl_only; /* otherwise plain GETs of http URLs, which are gathered, go without it
                             */
    bool needs_tls; /* https is likely: what verifies certificates is loaded now (which blocks), not
                       at the first handshake */
};

/* Initialises libcurl (which counts that): create the first pool before there are other threads.
 * The end of the last pool cleans libcurl up. */
enum status fetch_pool_create(const struct fetch_pool_options *options,
                              struct fetch_pool **ret_pool) MUST_CHECK;
/* Cancels what is under way, then closes; freed once the loop has let go of it. Legal in a done().
 * Accepts NULL. */
void fetch_pool_destroy(struct fetch_pool *pool);

enum fetch_outcome {
    FETCH_OK,            /* an answer with status 200 to 299, read to its end; or 304 to a request
                            with a condition (If-None-Match, If-Modified-Since) */
    FETCH_TIMEOUT,       /* not complete within timeout_ms, waiting included; or no connection
                            within connect_timeout_ms */
    FETCH_HTTP_ERROR,    /* any other status, also if its page was too large */
    FETCH_DNS_ERROR,     /* the host's name was not resolved */
    FETCH_CONNECT_ERROR, /* no connection, or the answer broke off */
    FETCH_TLS_ERROR,     /* the handshake failed, or the certificate is not good */
    FETCH_TOO_LARGE,     /* more than max_bytes */
    FETCH_REFUSED,       /* by a guard: a host or an address that is not allowed, also as the target
                            of a redirect; or too many redirects */
    N_FETCH_OUTCOMES,
};
/* "ok", "timeout", "http_error", "dns_error", "connect_error", "tls_error", "too_large", "refused"
 */
const char *fetch_outcome_name(enum fetch_outcome outcome);

enum fetch_method { FETCH_GET, FETCH_HEAD, FETCH_POST, FETCH_PUT, FETCH_PATCH, FETCH_DELETE };
const char *fetch_method_name(enum fetch_method method);
/* May it be sent twice (RFC 9110, 9.2.2)? */
bool fetch_method_is_idempotent(enum fetch_method method);

/* What is used of an answer's head. Texts are empty where the header is absent or longer than 1,024
 * bytes; they live as long as what they are part of. */
struct fetch_head {
    int http_status;
    struct str etag;          /* as it came, with its quotes */
    struct str last_modified; /* as it came */
    struct str content_type;
    struct str cache_control; /* as it came, all its lines */
    int64_t age_s;            /* Age; 0: nothing is said */
    int64_t max_age_s;        /* Cache-Control (RFC 9111): s-maxage, or max-age, less Age; 0 with
                                 no-store, no-cache or private; -1: nothing is said */
    int64_t retry_after_s;    /* from now; a date in the past is 0; -1: nothing is said */
    int64_t content_length;   /* of what is on the wire; -1: unknown */
    bool is_encoded; /* the body was compressed: content_length is not that of what is read */
};

/* For who takes the body piece by piece; called never from inside libcurl: when the head of the
 * last answer (after redirects) is there, and whenever more bytes have come for fetch_read(). Not
 * again for those that were left. May cancel. */
typedef void (*fetch_data_fn)(void *arg, struct fetch *fetch);

struct fetch_spec {
    const char *url;            /* http or https; copied */
    int64_t timeout_ms;         /* > 0; from fetch_start(), so time in the queue counts */
    int64_t connect_timeout_ms; /* name, connection and TLS; 0: only timeout_ms */
    size_t max_bytes;           /* of the (decompressed) body */
    enum fetch_method method;
    struct str body;           /* not of GET and HEAD; copied; Content-Type is application/json
                                  where headers do not say another. Never sent twice by libcurl */
    const struct str *headers; /* further lines "Name: value", at most 64 KiB together; copied; one
                                  with the name of a header that is sent anyway (Accept,
                                  Content-Type, User-Agent, Accept-Encoding) takes its place */
    size_t n_headers;
    const struct transport_options *transport; /* TLS, proxy, version; outlives the fetch. NULL: as
                                                  is usual */
    int64_t max_redirects; /* 0: a redirect is a FETCH_HTTP_ERROR. To the URL's own host and port
                              they are followed, to others only where redirect_guard allows them (in
                              a guarded pool: its guard), and then without `headers`. 301, 302 and
                              303 turn another method than HEAD into GET */
    const struct address_guard *redirect_guard; /* outlives the fetch; NULL: none */
    fetch_data_fn on_data; /* NULL: the body is gathered; otherwise max_bytes is how much may wait
                              (and what came with the last of it): the transfer rests while that
                              much does. Of compressions gzip and deflate are taken: what libcurl
                              unpacks at one time is bounded, and FETCH_TOO_LARGE if it is beyond
                              reason. HTTP/1.1 where the transport does not want 2, since a transfer
                              that rests would hold up others on its connection */
};
/* May a request have a header of that name? Not when it is no name at all, and not when it belongs
 * to the connection (Host, Content-Length, Connection ...). */
bool fetch_header_allowed(struct str name);
/* Is that an allowed name, a colon and a value without control characters? */
bool fetch_header_valid(struct str line);

struct fetch_result {
    enum fetch_outcome outcome;
    struct fetch_head head; /* http_status 0: none came */
    struct str body; /* with FETCH_OK, and the part that came with FETCH_HTTP_ERROR; only during the
                        call; with on_data: what was not read yet */
    int64_t duration_us; /* from fetch_start() */
    int64_t queue_us;    /* of which waiting for a free place */
    int64_t dns_us;      /* of the last attempt, each from the end of what came before it; 0 on a */
    int64_t connect_us;  /*   kept connection. With TLS */
    int64_t first_byte_us; /* from the connection to the first byte of the answer */
    int64_t n_bytes;       /* of the body, on the wire */
    bool is_reused;        /* went over a kept connection */
    const char *error;     /* words for a failure, mostly libcurl's; "" with FETCH_OK, and with
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

/* With on_data, until done() or cancel. The head: NULL before it came. */
const struct fetch_head *fetch_head(const struct fetch *fetch);
/* What waits; and takes the first n bytes of it away, which lets a resting transfer go on. */
struct str fetch_waiting(const struct fetch *fetch);
void fetch_read(struct fetch *fetch, size_t n);

struct fetch_stats {
    uint64_t n_started;
    uint64_t n_outcomes[N_FETCH_OUTCOMES];
    uint64_t n_overloaded;
    uint64_t n_connections; /* opened */
    uint64_t n_redirects;   /* followed */
    int64_t n_active;
    int64_t n_waiting;
};
void fetch_pool_stats(const struct fetch_pool *pool, struct fetch_stats *ret_stats);

#endif
