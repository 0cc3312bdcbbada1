/* The feeds' part of the server API: feed_refresh, feed_get, feeds, feed_purge, feed_runs, fanout.
 */
#ifndef BELFRY_PROTOCOLS_API_FEEDS_H
#define BELFRY_PROTOCOLS_API_FEEDS_H

#include "protocols/api_call.h"
#include "protocols/api_params.h"

/* Each answers its call, now or later. */
void api_feed_refresh(struct api_call *call, struct api_params *params);
void api_feed_get(struct api_call *call, struct api_params *params);
void api_feeds(struct api_call *call, struct api_params *params);
void api_feed_purge(struct api_call *call, struct api_params *params);
void api_feed_runs(struct api_call *call, struct api_params *params);
void api_fanout(struct api_call *call, struct api_params *params);

#endif
