/* Compares the positions of channels in memory with the storage, each about every
 * client.channel_position_check_delay: a file that was put back behind the hub's back, or a commit
 * that was not heard of, must not leave subscribers waiting for offsets that never come. The read
 * also keeps the stream's position alive, which a channel that is served from memory would lose
 * after history_meta_ttl. */
#ifndef BELFRY_HUB_POSITION_CHECK_H
#define BELFRY_HUB_POSITION_CHECK_H

#include "base/deadlines.h"

struct channel;
struct hub;

struct position_check {
    struct hub *hub;
    struct channel *round; /* the one whose turn is next first */
    size_t n_channels;
    size_t n_left;       /* that may be looked at before the next tick */
    unsigned n_reading;  /* reads under way */
    uint64_t n_checks;   /* comparisons made */
    struct deadline due; /* the next tick */
};

void position_check_init(struct position_check *p, struct hub *hub);
/* Nothing is read from here on. May be called again. */
void position_check_stop(struct position_check *p);

/* A channel has its position and a subscriber. Does nothing for one that is in the round. */
void position_check_add(struct channel *c);
/* It has no subscriber left, or no position. */
void position_check_remove(struct channel *c);

#endif
