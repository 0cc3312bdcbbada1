/* Delivery of publications to the subscribers of channels: encoded once per format and form, joined
 * when several come in one turn, in slices, so that one giant channel holds up neither the loop nor
 * the small channels. */
#ifndef BELFRY_HUB_FAN_OUT_H
#define BELFRY_HUB_FAN_OUT_H

#include "base/deadlines.h"
#include "base/loop.h"
#include "base/status.h"
#include "hub/publication.h"

struct fan_out;
struct channel;
struct delivery;

/* What became of a publication: each of those who were subscribed when it came is in one of the
 * others. */
struct delivery_report {
    size_t n_subscribers;
    size_t n_reached;   /* all of it has been written to the connection */
    size_t n_queued;    /* it, or a part of it, waits for the connection to take it */
    size_t n_dropped;   /* the connection was ended: too much was waiting for it */
    size_t n_filtered;  /* not sent: the tags filter */
    size_t n_conflated; /* held back for now: this one or a newer one will be sent */
    size_t n_left;      /* had gone before it was their turn */
};
/* Belongs to who publishes; zeroed at first, but for done and arg. */
struct fan_out_report {
    struct delivery_report counts;
    bool is_under_way; /* done comes when all have been served; else the counts are complete */
    void (*done)(void *arg);
    void *arg;
};

/* What is still to be delivered in one channel, in order; embedded in it, zeroed at first. While it
 * is not empty the channel leaves its subscribers at their places (a gone one leaves an empty
 * place), until it is told that all is delivered. */
struct fan_out_queue {
    struct channel *channel;
    struct delivery *first;
    struct delivery *last;
    struct fan_out_queue *next;    /* in the round of channels that have something to deliver */
    struct publication *base;      /* what came last, for deltas; NULL: nothing did, or the
                                      namespace allows none */
    struct conflation *conflation; /* of a namespace with conflate; NULL until it is needed */
};

/* delivered: all in a channel's queue has been delivered, but for what conflate may be holding
 * back; the channel may close its empty places, in the order in which they are, and may be freed
 * from there where the queue is empty. */
typedef void (*fan_out_delivered_fn)(struct channel *channel);
enum status fan_out_create(struct loop *loop, struct deadlines *deadlines,
                           fan_out_delivered_fn delivered, struct fan_out **ret_fan_out) MUST_CHECK;
/* Every queue must be empty. Accepts NULL. */
void fan_out_destroy(struct fan_out *f);

/* Those who are at the channel's first n_places now will get it, at the loop's tail; in a namespace
 * with conflate perhaps later, or a newer one in its place. report: NULL: not wanted.
 * STATUS_NO_MEMORY: the report's counts are complete. */
enum status fan_out_add(struct fan_out *f, struct fan_out_queue *queue, struct publication *p,
                        size_t n_places, struct fan_out_report *report) MUST_CHECK;

enum presence_event { PRESENCE_JOIN, PRESENCE_LEAVE };
/* Somebody came or went: told to those of the first n_places who have_joins. info: JSON, copied.
 * STATUS_NO_MEMORY. */
enum status fan_out_add_event(struct fan_out *f, struct fan_out_queue *queue,
                              enum presence_event event, struct str info,
                              size_t n_places) MUST_CHECK;

/* A new subscriber with deltas has just been given p (the newest of the channel) with its reply, or
 * nothing (NULL): is that what the next delta will be made from? Makes it so where nothing else has
 * been delivered. */
bool fan_out_has_base(struct fan_out_queue *queue, struct publication *p);
/* Nobody is subscribed any more: base and conflation go. The queue is empty. */
void fan_out_queue_release(struct fan_out *f, struct fan_out_queue *queue);
/* What is held back in it by conflate is due now: nobody is subscribed any more. Does nothing where
 * nothing is held back. */
void fan_out_queue_hurry(struct fan_out *f, struct fan_out_queue *queue);
/* The same for all queues, and from here on nothing is held back: the program ends. */
void fan_out_hurry(struct fan_out *f);

/* Is one held back by conflate? */
bool fan_out_queue_is_holding(const struct fan_out_queue *queue);
static inline bool fan_out_queue_is_empty(const struct fan_out_queue *queue)
{
    return !queue->first && !(queue->conflation && fan_out_queue_is_holding(queue));
}
bool fan_out_is_idle(const struct fan_out *f);

struct fan_out_stats {
    uint64_t n_messages;  /* publications times subscribers, so far */
    uint64_t n_events[2]; /* the same of what enum presence_event has */
    uint64_t n_filtered;  /* not sent: the subscriber's tags filter */
    uint64_t n_conflated; /* not sent: a newer one took the place; per channel */
    uint64_t n_deltas;    /* made */
    uint64_t n_full;      /* sent whole where a delta would have been wanted */
    /* From the moment when there is something to deliver to when all have been served:
     * microseconds. Of publications, and of what enum presence_event has. */
    const struct histogram *publication_times;
    const struct histogram *event_times;
};
void fan_out_stats(const struct fan_out *f, struct fan_out_stats *ret_stats);

#endif
