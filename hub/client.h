/* One connected client, whatever protocol it speaks: identity, subscriptions, and a bounded queue
 * of what it is to receive. Made and destroyed by the transport; loop's thread only.
 *
 * Commands with a done function are asynchronous always: done() comes exactly once, from a later
 * callback of the loop, also after client_destroy() (then with STATUS_CLOSED). Texts in requests
 * are copied before the call returns; texts in results are valid during done() only. STATUS_CLOSED:
 * the client has been disconnected, or has gone: there is nobody to answer. STATUS_REFUSED: with
 * the error as it shall be told; NULL with every other status. */
#ifndef BELFRY_HUB_CLIENT_H
#define BELFRY_HUB_CLIENT_H

#include "hub/channel.h"
#include "hub/client_error.h"
#include "hub/frame.h"
#include "hub/hub.h"
#include "hub/wire_format.h"

struct client;

/* May one more connection come in? STATUS_OK, and it is counted against the rate;
 * STATUS_OVERLOADED (connection_limit, connection_rate_limit); STATUS_CLOSED: shutting down. */
enum status client_admit(struct hub *hub) MUST_CHECK;

/* A new connection; it must authenticate within client.stale_close_delay. NULL when memory is
 * short. */
struct client *client_create(struct hub *hub, const struct client_transport *transport, void *conn);
/* Names of headers of the connection's HTTP request that the hub will want, of char *; mostly
 * empty. */
const struct config_list *client_wanted_headers(const struct hub *hub);
/* Those that the request has, as "Name: value\n" lines; copied. Before client_connect(). */
void client_set_headers(struct client *client, struct str lines);
/* The id by which commands find an emulated or unidirectional connection; the transport's, and
 * valid as long as the client. */
void client_set_session(struct client *client, const char *session);
/* Leaves all channels; the transport's functions are not called any more. */
void client_destroy(struct client *client);

/* --- commands --- */

struct connect_request {
    struct str token; /* may be empty */
    struct str data;  /* JSON for the connect proxy, or empty */
    struct str name;
    struct str version;
    struct str headers; /* JSON object: emulated headers; or empty */
    struct str subs; /* JSON object: positions of server-side subscriptions by channel; or empty */
    struct str channel; /* of who has been let in for this one already: is nobody, is asked for
                           nothing and subscribed to it, without recovery; or empty */
    int64_t expires_at; /* with channel: the connection ends then, seconds since 1970; 0: never */
};
struct connect_subscription {
    struct str channel;
    const struct subscribe_result *result;
};
struct connect_result {
    bool expires;
    int64_t ttl_s;
    struct str data; /* JSON of the connect proxy; or empty */
    const struct connect_subscription *subs;
    size_t n_subs;
};
/* STATUS_EXPIRED: the client shall fetch a new token. The reply must be sent by
 * client_send_first() from inside done(): pushes of the server-side subscriptions wait behind it.
 */
typedef void (*connect_done_fn)(void *arg, enum status status, const struct client_error *error,
                                const struct connect_result *result);
void client_connect(struct client *client, const struct connect_request *request,
                    connect_done_fn done, void *arg);
/* A new token for an authenticated client; only expires and ttl_s of the result are set. */
void client_refresh(struct client *client, struct str token, connect_done_fn done, void *arg);

struct subscribe_request {
    struct str channel;
    struct str token;
    struct str data; /* JSON for the subscribe proxy, or empty */
    struct str epoch;
    uint64_t offset;
    bool recover;
    bool positioned;
    bool recoverable;
    bool join_leave;
    bool fail_unrecovered;  /* a failed recovery is STATUS_UNRECOVERABLE */
    struct str delta;       /* "fossil", or empty */
    struct str tags_filter; /* JSON, or empty */
};
struct subscribe_result {
    bool expires;
    int64_t ttl_s;
    bool positioned;
    bool recoverable;
    bool was_recovering;
    bool recovered;
    bool delta;      /* agreed: also the publications here are encoded so */
    struct str data; /* JSON, or empty */
    struct storage_position position;
    struct publication *const *publications; /* ascending */
    size_t n_publications;
};
/* The reply must be sent from inside done(): pushes of the channel may come right after it. */
typedef void (*subscribe_done_fn)(void *arg, enum status status, const struct client_error *error,
                                  const struct subscribe_result *result);
void client_subscribe(struct client *client, const struct subscribe_request *request,
                      subscribe_done_fn done, void *arg);
/* A new token for a subscription that expires; only expires and ttl_s are set. STATUS_DENIED: not
 * subscribed; STATUS_INVALID: no token; STATUS_OVER: the token is over. */
void client_sub_refresh(struct client *client, struct str channel, struct str token,
                        subscribe_done_fn done, void *arg);
/* Complete when it returns. Succeeds also when not subscribed. */
enum status client_unsubscribe(struct client *client, struct str channel) MUST_CHECK;

typedef void (*client_done_fn)(void *arg, enum status status, const struct client_error *error);
void client_publish(struct client *client, struct str channel, struct str data, client_done_fn done,
                    void *arg);

/* data: JSON of the answer, or empty. STATUS_NOT_AVAILABLE: nothing handles procedures;
 * STATUS_NO_METHOD: not this one's namespace. */
typedef void (*rpc_done_fn)(void *arg, enum status status, const struct client_error *error,
                            struct str data);
void client_rpc(struct client *client, struct str method, struct str data, rpc_done_fn done,
                void *arg);

/* Is the client allowed to? STATUS_OK, or what the reply's error shall be. For presence and
 * history. */
enum status client_may(const struct client *client, struct str channel,
                       enum access_action action) MUST_CHECK;

/* STATUS_INVALID: no ping is outstanding. */
enum status client_pong(struct client *client) MUST_CHECK;

/* Ends the connection: leaves all channels now; the transport sends the reason. why is constant. */
void client_disconnect(struct client *client, const struct disconnect *why);
/* The same in words of others, which are copied; cut to what a Close frame holds. None: "force
 * disconnect". */
void client_disconnect_with(struct client *client, uint32_t code, struct str reason);

/* --- who it is --- */

bool client_is_connected(const struct client *client); /* authenticated, and not on its way out */
bool client_is_leaving(const struct client *client);   /* being disconnected */
struct hub *client_hub(const struct client *client);
void client_id(const struct client *client, char uuid[RNG_UUID_SIZE]);
struct str client_user(const struct client *client);
const struct client_transport *client_transport(const struct client *client);
const struct wire_format *client_wire_format(const struct client *client);
/* {"user":..,"client":..,"conn_info":..,"chan_info":..}; channel: whose chan_info; or NULL */
void client_append_info(const struct client *client, const struct channel *channel,
                        struct buf *out);

/* --- what it receives --- */

/* Between the two, messages to this client are collected and then sent as one, in order, where its
 * format joins. */
void client_cork(struct client *client);
void client_uncork(struct client *client);
/* Sends or queues; a queue beyond client.queue_max_size disconnects as slow. message: without what
 * the format puts around it. */
void client_send(struct client *client, struct str message);
/* The reply to connect, which all pushes have been waiting for; not between cork and uncork. */
void client_send_first(struct client *client, struct str message);
/* frame: with what the format puts around each of its messages. */
void client_send_frame(struct client *client, struct frame *frame);
/* Sends what waits, joined, as far as the transport takes it. True: nothing is left. */
bool client_flush(struct client *client);

/* For fan_out.c: hints to the processor that client_send_frame() comes soon, first for the client's
 * own memory, then, when that has come, for its connection's. Accept NULL. */
void client_prefetch(const struct client *client);
void client_prefetch_connection(const struct client *client);

#endif
