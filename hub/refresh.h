/* One run of a feed: fetch all, merge, store, push, answer. Not for other floors: they call
 * hub_feed_refresh(). */
#ifndef BELFRY_HUB_REFRESH_H
#define BELFRY_HUB_REFRESH_H

#include "hub/feed_instance.h"
#include "hub/hub.h"

struct refresh;

/* Who wanted it. */
enum refresh_trigger {
    REFRESH_BY_CALLER,
    REFRESH_BY_SCHEDULE,
    REFRESH_BY_SUBSCRIBER,
    REFRESH_BY_READER,
    REFRESH_BY_HOOK,
    REFRESH_BY_HOLD, /* min_interval is over: see refresh_publish_held() */
    N_REFRESH_TRIGGERS,
};

/* May another run start? upstreams.max_refreshes. */
bool refresh_has_room(const struct hub *hub);
/* None may be under way, and the hub not stopping. Holds the instance. */
struct refresh *refresh_start(struct feed_instance *in, enum refresh_trigger trigger);
/* done() comes later, exactly once: with the answer of this run, or, when it only publishes what
 * was held, of the next one. */
void refresh_wait(struct refresh *r, feed_done_fn done, void *arg);
/* Another run follows this one. */
void refresh_again(struct refresh *r);
/* Or does it only publish what was held? */
bool refresh_fetches(const struct refresh *r);
/* Starts a run that publishes what is held as it is, if there is any and no run is under way. */
void refresh_publish_held(struct feed_instance *in);
/* Ends every run that recalls or fetches. */
void refresh_give_up_all(struct hub *hub);

#endif
