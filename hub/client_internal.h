/* What the units of hub/ that make up a client share, and may do with one. Not for other floors. */
#ifndef BELFRY_HUB_CLIENT_INTERNAL_H
#define BELFRY_HUB_CLIENT_INTERNAL_H

#include <uthash.h>

#include "hub/client.h"
#include "hub/outbox.h"
#include "hub/subscription.h"
#include "hub/traffic.h"

struct user;

/* A backend that cannot be asked whether a client may stay is asked again after this long. */
#define CLIENT_ASK_AGAIN_S 60

enum client_state {
    CLIENT_NEW,        /* connect is awaited until the stale deadline */
    CLIENT_CONNECTING, /* the command is under way: pushes wait for its reply */
    CLIENT_CONNECTED,  /* the deadline is the next ping's */
    CLIENT_AWAITING_PONG,
    CLIENT_CLOSING, /* the transport has been asked to close */
    CLIENT_GONE,    /* destroyed, but a call is still under way */
};

/* What few clients have. */
struct client_more {
    struct client *client;
    struct deadline expiry;
    int64_t expires_at;      /* seconds since 1970; 0: never */
    bool ends_unasked;       /* then, whatever a backend would say */
    struct proxy_call *call; /* the backend is being asked to prolong it; or NULL */
    const char *session;     /* the transport's; or NULL */
    char *info;              /* JSON; NULL: none */
    char *meta;              /* JSON for proxies; or NULL */
    char *headers;           /* lines for proxies; or NULL */
    char *emulated_headers;  /* JSON for proxies; or NULL */
    struct disconnect goodbye;
    char *goodbye_reason;
};

struct client {
    /* A broadcast touches these, of every subscriber: they stand together. */
    struct hub *hub;
    const struct client_transport *transport;
    void *conn;
    struct outbox *outbox;
    uint8_t state;
    bool is_known : 1;      /* client_set_user() has been called */
    bool is_to_go : 1;      /* will be sent away by the hub's drain */
    bool is_counted : 1;    /* as connected: client_count_connected() */
    uint8_t name_index : 4; /* of traffic_client_names */
    uint16_t n_calls;       /* asynchronous calls under way */
    uint16_t n_subscriptions;
    uint16_t subscriptions_capacity;

    struct subscription *subscriptions;
    struct client *prev, *next;
    struct user *user; /* NULL: anonymous, or not connected yet */
    struct client *user_prev, *user_next;
    struct client_more *more; /* NULL mostly */
    struct deadline deadline;
    uint32_t pinged_ms; /* of client_clock() */
    uint32_t ends_ms;   /* of client_clock(): max_lifetime; 0: never */
    uint8_t id[16];
};

/* What every idle client costs in the hub: the transport's part comes on top. */
_Static_assert(sizeof(struct client) <= 160, "there are tens of thousands");
_Static_assert(N_CLIENT_NAMES <= 16, "an index has four bits");

/* NULL when memory is short. */
struct client_more *client_more(struct client *client);

/* --- users: client_users.c. Who has connections under which name --- */

struct user {
    UT_hash_handle hh;
    struct client *clients; /* linked by user_next */
    size_t n_clients;
    size_t name_len;
    char name[];
};
/* name: not empty. STATUS_NO_MEMORY. */
enum status client_set_user(struct client *client, struct str name) MUST_CHECK;
/* Does nothing before client_set_user(). */
void client_forget_user(struct client *client);
/* NULL: has no connection. */
struct user *user_find(struct hub *hub, struct str name);

/* --- subscriptions: client_subscriptions.c --- */

/* NULL: not subscribed. Valid until the next change of the client's subscriptions. */
struct subscription *client_subscription(const struct client *client,
                                         const struct channel *channel);
struct subscription *client_subscription_named(const struct client *client, struct str channel);
/* Takes a place in the channel, which the caller holds meanwhile, for good: `more` belongs to the
 * subscription then. STATUS_NO_MEMORY. */
enum status client_add_subscription(struct client *client,
                                    const struct subscription *subscription) MUST_CHECK;
/* code, reason: for webhooks. */
void client_remove_subscription(struct client *client, struct subscription *subscription,
                                const struct disconnect *why);
/* Removes it and tells the client; a server-side one ends the connection where the code says that
 * the client shall come again. */
void client_end_subscription(struct client *client, struct channel *channel,
                             const struct disconnect *why);
void client_leave_channels(struct client *client, const struct disconnect *why);
void subscription_more_free(struct hub *hub, struct subscription_more *more);
/* Made when absent. STATUS_NO_MEMORY. */
enum status subscription_more_of(struct client *client, struct subscription *subscription,
                                 struct subscription_more **ret_more) MUST_CHECK;
/* When it ends; 0: never. With a sub_refresh proxy the backend is asked then, and nothing is told
 * to the client; else result's expires and ttl_s are set. STATUS_NO_MEMORY. */
enum status subscription_set_expiry(struct client *client, struct subscription *subscription,
                                    int64_t expires_at, struct subscribe_result *result) MUST_CHECK;

/* For channel.c: the place of this client in a channel's list of subscribers has moved. */
void client_moved_in_channel(struct client *client, struct channel *channel, uint32_t index);
/* For channel.c: does this subscription count positions? */
bool client_is_positioned(const struct client *client, const struct channel *channel);

/* --- the end of a token: client_expiry.c --- */

/* 0: never. With a refresh proxy the backend is asked then, and nothing is told to the client.
 * STATUS_NO_MEMORY. */
enum status client_set_expiry(struct client *client, int64_t expires_at,
                              struct connect_result *ret_result) MUST_CHECK;
void client_stop_expiry(struct client *client);

/* --- life: client.c --- */

/* name: of the connect command. Before it has subscriptions. */
void client_set_name(struct client *client, struct str name);

/* Connecting or connected: there is somebody to answer. */
static inline bool client_is_there(const struct client *client)
{
    return client->state < CLIENT_CLOSING;
}

/* In the hub's list of clients. */
struct client *client_next(const struct client *client);

/* An asynchronous call keeps the client's memory from begins to ends. False: the client was
 * destroyed meanwhile, and may not be touched any more. */
void client_call_begins(struct client *client);
bool client_call_ends(struct client *client) MUST_CHECK;

/* Connected from here on: pings begin. */
void client_begin_pings(struct client *client);
void client_count_connected(struct client *client);

/* --- output: client_output.c --- */

void client_drop_output(struct client *client);
/* Has the connection not taken all that was sent? */
bool client_is_behind(const struct client *client);

#endif
