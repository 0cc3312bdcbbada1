/* What is counted of clients: what they send and are sent, why they are sent away, how long their
 * commands take. Counting is a few additions, as it is done for every message; nothing here grows,
 * and every label that comes of it has the values that are listed here, and no others. Loop's
 * thread only. */
#ifndef BELFRY_HUB_TRAFFIC_H
#define BELFRY_HUB_TRAFFIC_H

#include <uthash.h>

#include "base/histogram.h"
#include "base/str.h"
#include "hub/wire_format.h"

/* Commands of clients, in the order in which centrifuge_commands.c has them. */
enum client_command {
    COMMAND_CONNECT,
    COMMAND_SUBSCRIBE,
    COMMAND_UNSUBSCRIBE,
    COMMAND_PUBLISH,
    COMMAND_PRESENCE,
    COMMAND_PRESENCE_STATS,
    COMMAND_HISTORY,
    COMMAND_REFRESH,
    COMMAND_SUB_REFRESH,
    COMMAND_RPC,
    COMMAND_SEND,
    N_CLIENT_COMMANDS,
};
/* "connect", "subscribe", ... */
const char *client_command_name(enum client_command command);
/* "websocket", ... */
const char *transport_kind_name(enum transport_kind kind);

/* The names that the client libraries of the protocol connect with. The last one is for all others:
 * a client may say whatever it likes. */
#define N_CLIENT_NAMES 8
extern const char *const traffic_client_names[N_CLIENT_NAMES];
/* The index there. */
unsigned traffic_client_name(struct str name);

/* Codes have indices; that of the last one is for all others, and the code itself is 0. */
#define N_REPLY_CODES 14
extern const uint16_t traffic_reply_codes[N_REPLY_CODES];
#define N_CLOSE_CODES 23
extern const uint16_t traffic_close_codes[N_CLOSE_CODES];
#define N_UNSUBSCRIBE_CODES 4
extern const uint16_t traffic_unsubscribe_codes[N_UNSUBSCRIBE_CODES];

/* Of the channels of a namespace: there are as many as the configuration has ever had. */
struct traffic_namespace {
    UT_hash_handle hh;
    size_t n_subscriptions[N_CLIENT_NAMES];
    char name[];
};

struct traffic_messages {
    uint64_t n_messages;
    uint64_t n_bytes;
};

struct traffic {
    struct traffic_messages sent[N_TRANSPORT_KINDS]; /* written: what was joined is one */
    struct traffic_messages received[N_TRANSPORT_KINDS];
    size_t outbox_bytes; /* of all clients: what waits for their connections */
    size_t n_outboxes;   /* clients for whom something waits */

    struct traffic_namespace *namespaces; /* a hash by name */
    uint64_t n_accepted[N_TRANSPORT_KINDS][N_CLIENT_NAMES];
    size_t n_connected[N_TRANSPORT_KINDS][N_CLIENT_NAMES];
    uint64_t n_closes[N_TRANSPORT_KINDS][N_CLOSE_CODES]; /* by the server */
    uint64_t n_unsubscribes[N_UNSUBSCRIBE_CODES];        /* by the server */
    struct histogram pongs[N_TRANSPORT_KINDS];           /* from ping to answer, microseconds */
    struct histogram commands[N_CLIENT_COMMANDS];        /* to their reply, microseconds */
    uint64_t n_errors[N_CLIENT_COMMANDS][N_REPLY_CODES];
};

static inline void traffic_sent(struct traffic *t, enum transport_kind kind, size_t n_bytes)
{
    t->sent[kind].n_messages++;
    t->sent[kind].n_bytes += n_bytes;
}

static inline void traffic_received(struct traffic *t, enum transport_kind kind, size_t n_bytes)
{
    t->received[kind].n_messages++;
    t->received[kind].n_bytes += n_bytes;
}

/* Made when it is not there yet; lives as long as the traffic. NULL: memory is short. */
struct traffic_namespace *traffic_namespace(struct traffic *t, struct str name);
void traffic_release(struct traffic *t);

void traffic_closed(struct traffic *t, enum transport_kind kind, uint32_t code);
void traffic_unsubscribed(struct traffic *t, uint32_t code);
void traffic_error(struct traffic *t, enum client_command command, uint32_t code);

#endif
