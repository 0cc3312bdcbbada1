/* When an instance of a feed is refreshed without being asked: while it is watched or always, when
 * somebody comes and finds it too old, when an upstream says that it has changed. */
#ifndef BELFRY_HUB_SCHEDULE_H
#define BELFRY_HUB_SCHEDULE_H

#include "base/deadlines.h"

struct feed_instance;
struct hub;

struct schedule {
    struct deadline deadline; /* the first of these three times, of the loop */
    int64_t next_ms;          /* is_on: the next run by itself */
    int64_t retry_ms;         /* a run that was asked for and found no room; 0: none */
    int64_t stop_ms;          /* is_on: the end of the grace; 0: goes on */
    bool is_on;               /* it runs by itself, which holds the instance */
    bool is_watched;          /* somebody is in the channel, which holds it, too */
    unsigned n_fruitless;     /* runs in a row that got nothing from any upstream */
};

enum schedule_when { SCHEDULE_NOW, SCHEDULE_SOON };

void schedule_init(struct schedule *schedule);

/* The first subscriber has come, the last one has gone. Who watches holds the instance. */
void schedule_watched(struct feed_instance *in);
void schedule_unwatched(struct feed_instance *in);
/* Feeds with "while": "always" begin, those that have not yet. */
void schedule_start_always(struct hub *hub);
/* Somebody, a subscriber or a reader, has come for the snapshot, which is known: is it too old? */
void schedule_touch(struct feed_instance *in, bool is_subscriber);
/* An upstream says that it has changed. Without anybody who watches, the next one who comes is the
 * reason to look. */
void schedule_changed(struct feed_instance *in, enum schedule_when when);
/* The instance has another feed: its schedule holds, and what it knows is outdated. */
void schedule_moved(struct feed_instance *in);
/* It is not refreshed by itself any more. */
void schedule_stop(struct feed_instance *in);
/* A run has ended. is_fruitful: an upstream has answered. */
void schedule_refreshed(struct feed_instance *in, bool is_fruitful);
/* Nothing is refreshed by itself any more. */
void schedule_stop_all(struct hub *hub);

#endif
