/* The hub as a whole: what protocols call on behalf of backends, and the wiring. What clients do is
 * in client.h. It knows no sockets and no SQL.
 *
 * Threading: everything on the loop's thread. Calls with a done function are asynchronous always:
 * done() comes exactly once, from a later callback of the loop, never from inside the call. Texts
 * in requests are copied before the call returns; texts in results are valid during done() only. */
#ifndef BELFRY_HUB_HUB_H
#define BELFRY_HUB_HUB_H

#include "base/deadlines.h"
#include "base/lifetime.h"
#include "base/loop.h"
#include "base/status.h"
#include "hub/client_options.h"
#include "hub/fan_out.h"
#include "hub/feed_options.h"
#include "hub/namespaces.h"
#include "hub/proxy.h"
#include "hub/rpc_options.h"
#include "hub/subscription_grant.h"
#include "hub/webhooks.h"
#include "storage/storage.h"
#include "upstreams/fetch.h"
#include "upstreams/upstream.h"

struct buf;
struct hub;

struct hub_options {
    struct loop *loop;
    struct deadlines *deadlines;
    struct storage *storage;
    struct fetch_pool *fetch_pool;     /* of the feeds */
    struct fetch_pool *guarded_pool;   /* of what callers name */
    const struct address_guard *guard; /* upstreams.allow_hosts */
    struct fetch_pool *backend_pool; /* of proxies, webhooks and keys: a slow backend shall not hold
                                        up feeds, nor slow upstreams the clients */
    struct lifetime *lifetime; /* of the options: they live as long as the hub has not got others,
                                  and as long as it holds this; NULL: they outlive the hub */
    const struct client_options *client;
    const struct channel_options *channel;
    const struct config_list *feeds; /* of struct feed_options */
    const struct upstreams_options *upstreams;
    const struct rpc_options *rpc;
    const struct config_list *proxies;  /* of struct proxy_options */
    const struct config_list *webhooks; /* of struct webhook_options */
    int64_t drain_ms;                   /* hub_drain_ms() */
    const char *version;                /* of the program */
};

enum status hub_create(const struct hub_options *options, struct hub **ret_hub) MUST_CHECK;
/* Another configuration, in two steps: what can fail happens in the first, which changes nothing.
 * Taken are the lifetime, client, channel, feeds, upstreams, rpc and proxies; the guard and the
 * pools are the caller's to change. What is kept of a feed stays where it fits; runs and questions
 * under way end as they began; subscribers of a channel whose namespace is no more are unsubscribed
 * (2500: they ask again, and are told why not). */
struct hub_change;
enum status hub_prepare(struct hub *hub, const struct hub_options *options,
                        struct hub_change **ret_change) MUST_CHECK;
/* From here on the former options are only used by what holds their lifetime. Frees the change. */
void hub_commit(struct hub *hub, struct hub_change *change);
/* Instead of committing it. Accepts NULL. */
void hub_change_destroy(struct hub_change *change);

/* Every client must be gone and no operation under way (hub_is_idle()). Accepts NULL. */
void hub_destroy(struct hub *hub);

/* From here on nothing new is accepted (STATUS_CLOSED); what is under way goes on. */
void hub_stop(struct hub *hub);
struct trace;
/* Refreshes that are asked for from here on belong to this trace, until the next call: NULL, to
 * none. The caller's; copied where it is needed for longer. */
void hub_set_trace(struct hub *hub, const struct trace *trace);
bool hub_is_stopping(const struct hub *hub);
/* Sends clients away with 3001, at most n_max; how many were still left to send away. */
size_t hub_send_clients_away(struct hub *hub, size_t n_max);

struct drain_request {
    int64_t duration_ms;
    unsigned percent; /* of the clients, the oldest connections: 0 to 100 */
    bool refuses_new; /* new clients are refused from here on, until another drain says otherwise */
    bool is_final;    /* the end of the program: also refuses, and no other drain may follow */
};
/* Sends clients away with 3001, one by one over the time; takes the place of one that is under way.
 * Everything else goes on as ever. STATUS_CLOSED: the program is ending. */
enum status hub_drain(struct hub *hub, const struct drain_request *request,
                      size_t *ret_n_clients) MUST_CHECK;
/* How many are still to be sent away by it. */
size_t hub_n_to_drain(const struct hub *hub);
/* New clients are refused by a drain: they shall be sent elsewhere. */
bool hub_is_draining(const struct hub *hub);
/* shutdown.drain, which is what a drain takes by default. */
int64_t hub_drain_ms(const struct hub *hub);

/* The time for an orderly end is over and the storage will be closed: nothing is read or written
 * from here on. What is under way ends with STATUS_CLOSED where it would have to. */
void hub_abandon(struct hub *hub);
/* Refreshes that still wait for upstreams end now: who asked gets STATUS_CLOSED, nothing is pushed.
 */
void hub_hurry(struct hub *hub);
/* No client, no publication, no read and no refresh under way. */
bool hub_is_idle(const struct hub *hub);

/* --- publish --- */

struct publication;

/* Bytes of an idempotency key, and of a version's epoch: both are kept. */
#define PUBLISH_KEY_MAX_BYTES 255

struct publish_request {
    struct str channel;
    struct str data;          /* checked JSON */
    struct str info;          /* JSON of the publishing client, or empty */
    struct str tags;          /* checked JSON object of strings, or empty */
    struct publication *text; /* instead of the three: shared with other channels, or NULL */
    bool skip_history;
    bool delta;                 /* may be sent as a delta; kept with the publication */
    struct str idempotency_key; /* or empty: repeated within five minutes it publishes nothing and
                                   is answered with the first position */
    uint64_t version;           /* 0: none; at most INT64_MAX; not above the channel's: publishes
                                   nothing. Without history it has nothing to be compared with */
    struct str version_epoch;   /* versions are compared within it; empty: with any */
    bool report;                /* done comes when all subscribers have been served */
};

/* position.offset 0: the channel keeps no history, or this publication was not to be kept. report:
 * NULL unless it was asked for, and with every other status than STATUS_OK. */
typedef void (*publish_done_fn)(void *arg, enum status status,
                                const struct storage_position *position,
                                const struct delivery_report *report);
/* STATUS_WRONG_FORMAT: data is not what the namespace's publication_data_format says. Answered
 * after the commit; subscribers are pushed to in the same turn of the loop. */
void hub_publish(struct hub *hub, const struct publish_request *request, publish_done_fn done,
                 void *arg);

/* --- history --- */

struct history_request {
    struct str channel;
    struct str epoch; /* of since; empty: any */
    uint64_t since;   /* exclusive */
    bool has_since;
    bool reverse;
    int64_t limit;     /* 0: the position only; -1: as many as may be */
    int64_t max_limit; /* 0: no other limit than the channel's history_size */
    size_t max_bytes;  /* the publication that reaches it is the last one */
};

typedef void (*history_done_fn)(void *arg, enum status status,
                                const struct storage_history *history);
void hub_history(struct hub *hub, const struct history_request *request, history_done_fn done,
                 void *arg);

/* Forgets the channel's publications; its position stays. STATUS_NOT_AVAILABLE where the channel
 * keeps no history. */
typedef void (*history_remove_done_fn)(void *arg, enum status status);
void hub_history_remove(struct hub *hub, struct str channel, history_remove_done_fn done,
                        void *arg);

/* --- presence and figures: answered at once --- */

struct client;
struct channel;
typedef void (*presence_fn)(void *arg, const struct client *client, const struct channel *channel);
/* Calls each() for every subscriber. STATUS_NOT_AVAILABLE where presence is off. */
enum status hub_presence(struct hub *hub, struct str channel, presence_fn each,
                         void *arg) MUST_CHECK;
enum status hub_presence_stats(struct hub *hub, struct str channel, size_t *ret_clients,
                               size_t *ret_users) MUST_CHECK;

typedef void (*channels_fn)(void *arg, struct str channel, size_t n_clients);
/* Channels with subscribers whose name fits the glob (empty: all). */
void hub_channels(struct hub *hub, struct str pattern, channels_fn each, void *arg);

struct channels_page {
    struct str pattern;
    struct str cursor; /* of the page before; empty: the first page */
    size_t limit;      /* > 0 */
};
/* The same, at most limit of them, in no order that means anything: a channel that has subscribers
 * all the time is on exactly one page. The work is bounded: where few fit the pattern a page has
 * fewer. Appends the cursor of the next page, nothing behind the last one. STATUS_INVALID: it is
 * not a cursor. */
enum status hub_channels_page(struct hub *hub, const struct channels_page *page, channels_fn each,
                              void *arg, struct buf *out_cursor) MUST_CHECK;

/* --- feeds --- */

enum feed_outcome {
    FEED_FRESH,  /* answered now, or 304: as it was */
    FEED_CACHED, /* not asked: its last answer is still good (respect_cache) */
    FEED_STALE,  /* failed: the last good value stands in */
    FEED_TIMEOUT,
    FEED_HTTP_ERROR,
    FEED_DNS_ERROR,
    FEED_CONNECT_ERROR,
    FEED_TLS_ERROR,
    FEED_TOO_LARGE,
    FEED_INVALID_JSON, /* or nothing lies at `select` */
    FEED_REFUSED,      /* a redirect to, or an address, that is not allowed */
    FEED_OVERLOADED,
    FEED_RATE_LIMITED, /* by our own limit; or not asked because of its Retry-After */
    FEED_BREAKER_OPEN,
    FEED_SKIPPED, /* what it needs has no value, or one that may not stand in its request */
    N_FEED_OUTCOMES,
};
/* "fresh", "cached", "stale", "timeout", "http_error", "dns_error", "connect_error", "tls_error",
 * "too_large", "invalid_json", "refused", "overloaded", "rate_limited", "breaker_open", "skipped"
 */
const char *feed_outcome_name(enum feed_outcome outcome);

struct feed_upstream_result {
    struct str name;
    enum feed_outcome outcome;
    enum feed_outcome failure; /* with FEED_STALE: why it is */
    int http_status;           /* 0: no answer came; 304: as it was */
    int64_t duration_us;
    int64_t queue_us; /* waiting for a place or the rate */
    int64_t dns_us;   /* these three: 0 on a kept connection, or where nothing was sent */
    int64_t connect_us;
    int64_t first_byte_us;
    int64_t n_bytes;     /* of the body, on the wire */
    unsigned n_attempts; /* requests that were sent */
    int64_t age_ms;      /* of the value in the document; -1: it has none */
    struct str error;    /* words for a failure, or empty */
};

struct feed_result {
    struct str feed;
    struct str params; /* canonical JSON */
    struct str channel;
    struct str data; /* the snapshot: JSON on one line */
    struct str etag; /* of it, with its quotes; of hub_feed_get() and hub_feed_refresh() */
    int64_t time_ms; /* wall clock of the refresh that found it so, the last one */
    struct storage_position
        position;    /* of its publication; offset 0: none, or the channel keeps no history */
    bool is_changed; /* it differs from the one before */
    bool is_held;    /* its publication waits for min_interval */
    bool is_completed;
    const struct feed_upstream_result *upstreams; /* of a refresh; in the configured order */
    size_t n_upstreams;
    struct buf *answer; /* of a refresh: empty for the first of those who share the run; what done()
                           leaves in it is there for the next ones. The hub does not look at it */
};

/* detail: for a refusal or a failure, what was wrong and what was expected; "" otherwise.
 * STATUS_NOT_FOUND: no such feed; STATUS_NOT_AVAILABLE: nothing is kept yet (hub_feed_get);
 * STATUS_INVALID: parameters; STATUS_UPSTREAM_FAILED, STATUS_UPSTREAM_TIMEOUT: a required upstream
 * has no value; STATUS_OVERLOADED; STATUS_CLOSED: shutting down; STATUS_IO: the snapshot could not
 * be stored, and was not pushed. */
typedef void (*feed_done_fn)(void *arg, enum status status, const char *detail,
                             const struct feed_result *result);
/* params: a checked JSON object of strings, or empty. Who asks for the same feed and parameters
 * during a run shares it. */
void hub_feed_refresh(struct hub *hub, struct str feed, struct str params, feed_done_fn done,
                      void *arg);
/* What the last refresh left; nothing is fetched - but when it is older than max_age a refresh is
 * started, for who comes next. */
void hub_feed_get(struct hub *hub, struct str feed, struct str params, feed_done_fn done,
                  void *arg);
/* The upstreams of a feed have changed, says one of them: the instances of the feed with these
 * parameters (empty: all that are watched) are refreshed, at most once at a time, and once more
 * when it is said during a run. done: result is NULL; STATUS_OK when that has begun. */
void hub_feed_changed(struct hub *hub, struct str feed, struct str params, feed_done_fn done,
                      void *arg);
/* NULL: there is none of that name. */
const struct feed_options *hub_feed_options(struct hub *hub, struct str feed);
/* Appends the channel of a feed with these parameters. As above: STATUS_NOT_FOUND, STATUS_INVALID,
 * with why filled in. */
enum status hub_feed_channel(struct hub *hub, struct str feed, struct str params, struct buf *out,
                             struct buf *why) MUST_CHECK;

/* Forgets snapshots, values and conditions: of these parameters, or (params empty: a text of
 * length 0) of all. Runs are kept. */
typedef void (*feed_purge_fn)(void *arg, enum status status, const char *detail,
                              uint64_t n_forgotten);
void hub_feed_purge(struct hub *hub, struct str feed, struct str params, feed_purge_fn done,
                    void *arg);

/* The last runs, newest first. params empty: of all parameters. */
struct feed_runs_request {
    struct str feed;
    struct str params;
    size_t limit; /* > 0 */
};
struct storage_runs_read; /* its runs' texts are JSON: docs/api.md, feed_runs */
typedef void (*feed_runs_fn)(void *arg, enum status status, const char *detail,
                             const struct storage_runs_read *read);
void hub_feed_runs(struct hub *hub, const struct feed_runs_request *request, feed_runs_fn done,
                   void *arg);

/* Fetches what the caller names: request is the checked JSON object of POST /api/fanout. Only to
 * upstreams.allow_hosts. With a channel the document is published there. STATUS_INVALID: detail
 * says what is wrong; result->feed, params are empty. */
void hub_fanout(struct hub *hub, struct str request, feed_done_fn done, void *arg);

struct feed_stats {
    uint64_t n_refreshes;  /* runs */
    uint64_t n_shared;     /* callers that joined a run */
    uint64_t n_changed;    /* runs that found something new */
    uint64_t n_incomplete; /* runs with an upstream that failed */
    uint64_t n_failed;     /* runs that could not be stored or were given up, or without a required
                              upstream */
    uint64_t n_scheduled;  /* runs that nobody asked for */
    uint64_t n_not_modified; /* answers that were 304 */
    int64_t last_time_ms;    /* wall clock; 0: never */
    int64_t last_duration_us;
    size_t n_running;
    size_t n_watched; /* instances that are refreshed by themselves */
};
typedef void (*feeds_fn)(void *arg, const struct feed_options *options,
                         const struct feed_stats *stats);
void hub_feeds(struct hub *hub, feeds_fn each, void *arg);
/* The upstreams of one feed, in the configured order. */
typedef void (*feed_upstream_fn)(void *arg, const struct feed_upstream_options *options,
                                 const struct upstream_stats *stats);
void hub_feed_upstreams(struct hub *hub, const struct feed_options *feed, feed_upstream_fn each,
                        void *arg);

/* --- what backends do to clients --- */

/* Which of a user's connections; empty members: any. */
struct client_selector {
    struct str user; /* not empty */
    struct str client;
    struct str session; /* of an emulated or unidirectional connection */
};

/* detail: for a refusal, what was wrong and what was expected; else "". */
typedef void (*control_done_fn)(void *arg, enum status status, const char *detail);

struct control_subscribe {
    struct client_selector who;
    struct str channel;
    struct subscription_grant grant; /* its texts stay the caller's; copied */
    bool recover;                    /* since: */
    struct storage_position since;
};
/* Server-side subscriptions of connections that are there now: nothing is remembered. Who is
 * subscribed already stays as it is. */
void hub_subscribe(struct hub *hub, const struct control_subscribe *request, control_done_fn done,
                   void *arg);
/* These are complete when they return. channel empty: all. */
enum status hub_unsubscribe(struct hub *hub, const struct client_selector *who,
                            struct str channel) MUST_CHECK;
/* keep: a JSON list of client ids that stay, or empty. code 0: 3503. */
void hub_disconnect(struct hub *hub, const struct client_selector *who, struct str keep,
                    uint32_t code, struct str reason);
/* expired: the connections end. Else expires_at (0: never) is their new end, and info, where it is
 * not empty, takes the place of theirs. */
void hub_refresh(struct hub *hub, const struct client_selector *who, bool expired,
                 int64_t expires_at, struct str info);

struct hub_stats {
    size_t n_clients;
    size_t n_users;
    size_t n_subscriptions;
    size_t n_channels;
    size_t n_refreshes;
    size_t n_feed_instances;  /* feeds with their parameters, in memory */
    size_t feed_memory_bytes; /* of their snapshots and values */
    uint64_t n_feed_evicted;  /* forgotten there for memory_max_size: the storage has them */
    size_t n_watched;         /* of upstreams.max_watched */
    uint64_t n_watch_refused; /* channels that are watched but not refreshed for it */
    uint64_t n_publications;  /* accepted */
    struct fan_out_stats fan_out;
    struct webhooks_stats webhooks;
    uint64_t n_slow;               /* clients disconnected with 3008 */
    uint64_t n_refused_limit;      /* connections: client.connection_limit */
    uint64_t n_refused_rate;       /* client.connection_rate_limit */
    uint64_t n_refused_user_limit; /* client.user_connection_limit */
    size_t n_to_drain;             /* clients that a drain is going to send away */
    uint64_t n_rotated;            /* clients sent away for client.max_lifetime */
    size_t n_idle_channels;        /* without subscribers, kept in memory for who comes back */
    size_t tail_bytes;             /* of recent publications in memory, all channels */
    size_t tail_max_bytes;         /* channel.tail_total_max_size */
    uint64_t n_tail_hits;          /* recoveries and history reads answered from memory */
    uint64_t n_tail_misses;        /* that read the storage */
    uint64_t n_tail_evicted;       /* tails dropped for the budget */
    uint64_t n_recovered;          /* successful recoveries */
    uint64_t n_recovered_some;     /* of them, those that brought publications */
    uint64_t n_unrecovered;        /* failed ones */
    uint64_t n_position_checks;
    uint64_t n_insufficient_state; /* channels whose subscribers were told to come again */
    size_t n_proxy_calls;          /* questions to backends that are under way */
    uint64_t n_proxy_overloaded;   /* questions not asked: max_concurrent of the proxy */
    int64_t uptime_s;
    char node[RNG_UUID_SIZE];
};
/* At a cost that does not grow with anything. */
void hub_stats(struct hub *hub, struct hub_stats *ret_stats);
struct traffic;
/* What is counted of clients. Protocols add what they see. */
struct traffic *hub_traffic(struct hub *hub);
/* The backends that are asked, with their figures. */
typedef void (*hub_proxy_fn)(void *arg, const char *name, const struct proxy_stats *stats);
void hub_proxies(struct hub *hub, hub_proxy_fn each, void *arg);
size_t hub_n_clients(const struct hub *hub);
const char *hub_version(const struct hub *hub);
/* For what callers name: only to upstreams.allow_hosts. */
struct fetch_pool *hub_guarded_pool(const struct hub *hub);
/* Its id, new with every start. */
const char *hub_node(const struct hub *hub);
const struct client_options *hub_client_options(const struct hub *hub);
const struct channel_options *hub_channel_options(const struct hub *hub);

#endif
