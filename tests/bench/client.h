/* One subscribed client. A protocol reads its input and tells through client_...() what it means;
 * who has the clients (subscribers.c) decides what follows from it. */
#ifndef BELFRY_BENCH_CLIENT_H
#define BELFRY_BENCH_CLIENT_H

#include "tests/bench/link.h"

enum client_stage { CLIENT_OPENING, CLIENT_GREETING, CLIENT_SUBSCRIBED };

struct client {
    struct link link; /* first: a link of ours is a client */
    size_t index;
    size_t payload_bytes; /* of what is published to it */
    uint64_t since_ns;

    enum client_stage stage; /* the protocol's */
    unsigned n_replies;
    bool in_tail;        /* behind the payload of a message */
    bool was_answered;   /* the server has accepted the connection and said something */
    unsigned ping_round; /* in which it was last pinged */
    size_t n_skipped;    /* bytes of input to come that nobody looks at */
    size_t frame_left;   /* bytes of a frame's payload that are to come */

    uint64_t last_n;   /* of the broadcasts */
    uint64_t n_got;    /* of a burst */
    uint64_t checksum; /* of a burst */
};

/* The client gets what is published from here on. */
void client_subscribed(struct client *c);
void client_pinged(struct client *c);
/* front: at least the first STAMP_FRONT_BYTES of a payload, or all of it. */
void client_received(struct client *c, struct str front);

#endif
