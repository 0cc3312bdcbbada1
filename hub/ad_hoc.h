/* A fan-out that a caller describes: a feed for one run. */
#ifndef BELFRY_HUB_AD_HOC_H
#define BELFRY_HUB_AD_HOC_H

#include "hub/hub.h"

/* STATUS_OK: done() comes later, exactly once. Otherwise it does not, and why may have words. */
enum status ad_hoc_start(struct hub *hub, struct str request, feed_done_fn done, void *arg,
                         struct buf *why) MUST_CHECK;

#endif
