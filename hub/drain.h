/* Sending clients away spread over a time, so that they do not all come back at the same moment.
 * Part of the hub: hub_drain() in hub.h; and client.c tells who leaves. */
#ifndef BELFRY_HUB_DRAIN_H
#define BELFRY_HUB_DRAIN_H

#include "base/deadlines.h"

struct hub;
struct client;

/* Embedded in the hub. */
struct drain {
    struct hub *hub;
    struct deadline step;
    struct client *next; /* nobody in front of it in the hub's list is still to go */
    size_t n_left;       /* to go */
    int64_t due_us;      /* of the next one; of loop_now_ms() */
    int64_t end_us;
    int64_t default_ms; /* shutdown.drain */
    bool refuses;       /* new clients, until another drain says otherwise */
    bool is_final;      /* the program ends afterwards */
};

void drain_init(struct drain *drain, struct hub *hub, int64_t default_ms);
/* Nobody is sent away by it any more. */
void drain_stop(struct drain *drain);

/* The client, which was one of those to go, is on its way out. */
void drain_client_leaves(struct drain *drain, struct client *client);
/* It leaves the hub's list. */
void drain_client_gone(struct drain *drain, const struct client *client);

#endif
