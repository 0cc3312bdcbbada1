/* Delivery of publications to the subscribers of channels: encoded once per format, joined when
 * several come in one turn, in slices, so that one giant channel holds up neither the loop nor the
 * small channels. */
#ifndef BELFRY_HUB_FAN_OUT_H
#define BELFRY_HUB_FAN_OUT_H

#include "base/loop.h"
#include "base/status.h"
#include "hub/publication.h"

struct fan_out;
struct channel;
struct delivery;

/* What is still to be delivered in one channel, in order; embedded in it, zeroed at first. While it
 * is not empty the channel leaves its subscribers at their places (a gone one leaves an empty
 * place). */
struct fan_out_queue {
    struct channel *channel;
    struct delivery *first;
    struct delivery *last;
    struct fan_out_queue *next; /* in the round of channels that have something to deliver */
};

/* delivered: a channel's queue became empty; the channel may move its places, and may be freed from
 * there. */
typedef void (*fan_out_delivered_fn)(struct channel *channel);
enum status fan_out_create(struct loop *loop, fan_out_delivered_fn delivered,
                           struct fan_out **ret_fan_out) MUST_CHECK;
/* Every queue must be empty. Accepts NULL. */
void fan_out_destroy(struct fan_out *f);

/* Those who are at the channel's first n_places now will get it, at the loop's tail.
 * STATUS_NO_MEMORY. */
enum status fan_out_add(struct fan_out *f, struct fan_out_queue *queue, struct publication *p,
                        size_t n_places) MUST_CHECK;
static inline bool fan_out_queue_is_empty(const struct fan_out_queue *queue)
{
    return !queue->first;
}
bool fan_out_is_idle(const struct fan_out *f);
/* Publications times subscribers, so far. */
uint64_t fan_out_n_messages(const struct fan_out *f);

#endif
