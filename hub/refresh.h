/* One run of a feed: fetch all, merge, store, push, answer. Not for other floors: they call
 * hub_feed_refresh(). */
#ifndef BELFRY_HUB_REFRESH_H
#define BELFRY_HUB_REFRESH_H

#include "hub/feed.h"
#include "hub/hub.h"

struct refresh;

/* Joins the run of the same feed and parameters, or starts one. Takes the instance; ns: of its
 * channel. done() comes later, exactly once. */
void refresh_join(struct hub *hub, struct feed_instance *instance,
                  const struct namespace_options *ns, feed_done_fn done, void *arg);

bool refresh_is_running(struct hub *hub, const struct feed_instance *instance);

/* Gives up every run that still fetches. */
void refresh_give_up_all(struct hub *hub);

#endif
