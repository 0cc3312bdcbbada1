/* The feeds' part of the server API: feed_refresh, feed_get, feeds, feed_purge, feed_runs, fanout.
 */
#ifndef BELFRY_PROTOCOLS_API_FEEDS_H
#define BELFRY_PROTOCOLS_API_FEEDS_H

#include "hub/hub.h"
#include "protocols/api_params.h"
#include "protocols/http.h"

/* Each answers the request, now or later. */
void api_feed_refresh(struct hub *hub, struct api_params *params, struct http_request *request);
void api_feed_get(struct hub *hub, struct api_params *params, struct http_request *request);
void api_feeds(struct hub *hub, struct api_params *params, struct http_request *request);
void api_feed_purge(struct hub *hub, struct api_params *params, struct http_request *request);
void api_feed_runs(struct hub *hub, struct api_params *params, struct http_request *request);
void api_fanout(struct hub *hub, struct api_params *params, struct http_request *request);

#endif
