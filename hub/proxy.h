/* Questions to the backend (Centrifugo's event proxies): an HTTP POST with JSON, an answer that
 * allows, refuses or sends away. Knows no clients: who asks fills in what is known about the
 * client. Loop's thread only. */
#ifndef BELFRY_HUB_PROXY_H
#define BELFRY_HUB_PROXY_H

#include "base/histogram.h"
#include "base/status.h"
#include "base/str.h"
#include "hub/disconnect.h"
#include "hub/proxy_options.h"
#include "hub/subscription_grant.h"
#include "upstreams/fetch.h"

enum proxy_event {
    PROXY_CONNECT,
    PROXY_REFRESH,
    PROXY_SUBSCRIBE,
    PROXY_PUBLISH,
    PROXY_RPC,
    PROXY_SUB_REFRESH,
    PROXY_N_EVENTS,
};
/* "connect", "refresh", ... */
const char *proxy_event_name(enum proxy_event event);

/* One configured endpoint. The options outlive it. */
struct proxy;
enum status proxy_create(struct fetch_pool *fetch_pool, const struct proxy_options *options,
                         struct proxy **ret_proxy) MUST_CHECK;
/* Every call must have ended or be cancelled. Accepts NULL. */
void proxy_destroy(struct proxy *proxy);
/* Counts on from there. */
void proxy_inherit(struct proxy *proxy, const struct proxy *from);
const char *proxy_name(const struct proxy *proxy);

/* Empty members are left out of the JSON. Texts are copied or written before proxy_ask() returns.
 */
struct proxy_request {
    enum proxy_event event;
    struct str client;           /* its id */
    struct str transport;        /* "websocket" ... */
    struct str user;             /* all but connect: always sent, also empty */
    struct str meta;             /* JSON; sent only with include_connection_meta */
    struct str http_headers;     /* "Name: value\n" lines of the client's own HTTP request */
    struct str emulated_headers; /* JSON object of strings: connect.headers */
    struct str name, version;    /* of a connect command */
    struct str channel;
    struct str token;
    struct str method;   /* of an RPC */
    struct str data;     /* JSON */
    struct str channels; /* JSON list: of a connect command's subs */
};

enum proxy_verdict {
    PROXY_RESULT,
    PROXY_ERROR,      /* for the client's reply; also when the backend cannot be reached or answers
                         nonsense: 100, temporary */
    PROXY_DISCONNECT, /* the client is to be sent away */
};

/* Texts are valid during done() only. */
struct proxy_answer {
    enum proxy_verdict verdict;
    uint32_t code;       /* of an error or a disconnect */
    const char *message; /* of an error; the reason of a disconnect */
    bool is_temporary;   /* an error */
    bool is_failure;     /* no word of the backend stands behind it: it could not be asked, or
                            answered nonsense */
    struct str result;   /* checked JSON object; empty but for PROXY_RESULT */
    struct str user;     /* connect; empty: anonymous */
    bool has_user;       /* connect; false: the answer has no result, which admits nobody */
    bool expired;        /* refresh, sub_refresh; also when the answer has no result at all */
    struct str info;     /* JSON on one line, from info or b64info; empty: none */
    struct str data;     /* JSON on one line, from data or b64data; empty: none */
    struct str meta;     /* JSON object on one line; empty: none */
    int64_t expire_at;   /* seconds since 1970; 0: none */
    /* publish */
    bool skip_history;
    bool delta;
    struct str tags; /* JSON object of strings; empty: none */
    struct str idempotency_key;
    uint64_t version;
    struct str version_epoch;
};
/* For the server-side subscriptions of a connect, and the grant of a subscribe, the caller reads
 * `result` with subscription_grants_read() and subscription_grant_read(); what they would refuse
 * has been refused here already (PROXY_ERROR, logged with what was wrong). */

typedef void (*proxy_done_fn)(void *arg, const struct proxy_answer *answer);
struct proxy_call;
/* done() is called once, never from inside the call, not after proxy_cancel(). The call is over
 * when done() is called. STATUS_OVERLOADED (max_concurrent, or the pool's queue is full),
 * STATUS_TOO_LARGE (headers of more than 64 KiB), STATUS_CLOSED (the pool is closing, or the proxy
 * is stopped), STATUS_NO_MEMORY: it will not come. */
enum status proxy_ask(struct proxy *proxy, const struct proxy_request *request, proxy_done_fn done,
                      void *arg, struct proxy_call **ret_call) MUST_CHECK;
/* Not inside its own done(). Before the pool is destroyed. */
void proxy_cancel(struct proxy_call *call);
/* The hub goes down: all that is under way ends now, as if the backend could not be reached, and
 * proxy_ask() answers STATUS_CLOSED from here on. Before the pool is destroyed. The proxy may not
 * be destroyed in a done() that this calls. */
void proxy_stop(struct proxy *proxy);

struct proxy_stats {
    uint64_t n_asked[PROXY_N_EVENTS];
    uint64_t n_failed[PROXY_N_EVENTS]; /* is_failure */
    uint64_t n_overloaded;
    size_t n_under_way;
    size_t n_inflight[PROXY_N_EVENTS]; /* the same, by what about */
    const struct histogram *durations; /* PROXY_N_EVENTS: to the answer, microseconds */
};
void proxy_stats(const struct proxy *proxy, struct proxy_stats *ret_stats);

#endif
