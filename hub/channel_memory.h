/* What the hub keeps in memory though it could be read again: the recent publications of all
 * channels within channel.tail_total_max_size, and for channel.idle_timeout the channels whose last
 * subscriber has left. Over the budget the longest idle channel is unloaded, then the least
 * recently used tail is dropped, then the channel that asked for more gets less. Every step costs
 * the same, however many channels there are. */
#ifndef BELFRY_HUB_CHANNEL_MEMORY_H
#define BELFRY_HUB_CHANNEL_MEMORY_H

#include "base/deadlines.h"

struct channel;
struct hub;

struct channel_memory {
    struct hub *hub;
    size_t n_bytes;         /* of all tails, and of the idle channels themselves */
    struct channel *by_use; /* the least recently used first */
    struct channel *idle;   /* the longest idle first */
    size_t n_idle;
    uint64_t n_evicted;   /* tails */
    struct deadline due;  /* of the longest idle */
    struct deferred next; /* more are to be unloaded than one turn of the loop takes */
};

void channel_memory_init(struct channel_memory *m, struct hub *hub);
/* Unloads all idle channels. May be called again. */
void channel_memory_clear(struct channel_memory *m);

/* The channel's tail has changed: counts it, and makes room where there is too little. May drop
 * other tails and free other channels that are idle. */
void channel_memory_changed(struct channel *c);
/* Its tail has been of use. */
void channel_memory_used(struct channel *c);
/* Counts nothing of it any more: it is about to be freed. */
void channel_memory_gone(struct channel *c);

/* A loaded channel that nobody holds and nobody is subscribed to. May free it. */
void channel_memory_add_idle(struct channel *c);
void channel_memory_remove_idle(struct channel *c);

#endif
