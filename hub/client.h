/* One connected client, whatever protocol it speaks: identity, subscriptions, and a bounded queue
 * of what it is to receive. Made and destroyed by the transport; loop's thread only. */
#ifndef BELFRY_HUB_CLIENT_H
#define BELFRY_HUB_CLIENT_H

#include "hub/channel.h"
#include "hub/frame.h"
#include "hub/hub.h"
#include "hub/wire_format.h"

struct client;

/* A new connection; it must authenticate within client.stale_close_delay. NULL when memory is
 * short. */
struct client *client_create(struct hub *hub, const struct client_transport *transport, void *conn);
/* Leaves all channels; the transport's functions are not called any more. An asynchronous call of
 * this client (subscribe) still gets its done(), with STATUS_CLOSED; the memory goes after it. */
void client_destroy(struct client *client);

/* --- commands. Those without done() are complete when they return. --- */

struct connect_result {
    bool expires;
    int64_t ttl_s;
};
/* token may be empty. STATUS_EXPIRED: the client shall fetch a new token. STATUS_CLOSED: it was
 * disconnected (invalid token, nobody may come in so, or hub is stopping). */
enum status client_connect(struct client *client, struct str token,
                           struct connect_result *ret_result) MUST_CHECK;
/* A new token for an authenticated client; outcomes as above. */
enum status client_refresh(struct client *client, struct str token,
                           struct connect_result *ret_result) MUST_CHECK;

struct subscribe_request {
    struct str channel;
    struct str token;
    struct str epoch;
    uint64_t offset;
    bool recover;
    bool positioned;
    bool recoverable;
    bool fail_unrecovered; /* a failed recovery is STATUS_UNRECOVERABLE */
};
struct subscribe_result {
    bool positioned;
    bool recoverable;
    bool was_recovering;
    bool recovered;
    struct storage_position position;
    struct publication *const *publications; /* ascending */
    size_t n_publications;
};
/* The reply must be sent from inside done(): pushes of the channel may come right after it. */
typedef void (*subscribe_done_fn)(void *arg, enum status status,
                                  const struct subscribe_result *result);
void client_subscribe(struct client *client, const struct subscribe_request *request,
                      subscribe_done_fn done, void *arg);
/* Succeeds also when not subscribed. */
enum status client_unsubscribe(struct client *client, struct str channel) MUST_CHECK;

/* Is the client allowed to? STATUS_OK, or what the reply's error shall be. */
enum status client_may(const struct client *client, struct str channel,
                       enum access_action action) MUST_CHECK;

/* STATUS_INVALID: no ping is outstanding. */
enum status client_pong(struct client *client) MUST_CHECK;

/* Ends the connection: leaves all channels now; the transport sends the reason. */
void client_disconnect(struct client *client, const struct disconnect *why);

/* --- who it is --- */

bool client_is_connected(const struct client *client); /* authenticated, and not on its way out */
bool client_is_leaving(const struct client *client);   /* being disconnected */
struct hub *client_hub(const struct client *client);
void client_id(const struct client *client, char uuid[RNG_UUID_SIZE]);
struct str client_user(const struct client *client);
const struct wire_format *client_wire_format(const struct client *client);
/* {"user":..,"client":..,"conn_info":..} */
void client_append_info(const struct client *client, struct buf *out);

/* --- what it receives --- */

/* Between the two, messages to this client are collected and then sent as one, in order. */
void client_cork(struct client *client);
void client_uncork(struct client *client);
/* Sends or queues; a queue beyond client.queue_max_size disconnects as slow. */
void client_send(struct client *client, struct str message);
void client_send_frame(struct client *client, struct frame *frame);
/* Sends what waits, joined, as far as the transport takes it. True: nothing is left. */
bool client_flush(struct client *client);

/* For fan_out.c: hints to the processor that client_send_frame() comes soon, first for the client's
 * own memory, then, when that has come, for its connection's. Accept NULL. */
void client_prefetch(const struct client *client);
void client_prefetch_connection(const struct client *client);

/* For channel.c: the place of this client in a channel's list of subscribers has moved. */
void client_moved_in_channel(struct client *client, struct channel *channel, uint32_t index);
/* For channel.c: does this subscription count positions? */
bool client_is_positioned(const struct client *client, const struct channel *channel);
/* For channel.c: the channel has dropped it; tells the client why. */
void client_unsubscribed(struct client *client, struct channel *channel,
                         const struct disconnect *why);

#endif
