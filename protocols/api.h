/* The server API: POST /api/METHOD with JSON, for backends. Shapes as in Centrifugo's HTTP API;
 * feed_refresh, feed_get and feeds are ours. */
#ifndef BELFRY_PROTOCOLS_API_H
#define BELFRY_PROTOCOLS_API_H

#include "hub/hub.h"
#include "protocols/http.h"
#include "protocols/server_options.h"

/* Answers a request for /api/METHOD; method: the text behind "/api/". */
void api_handle(struct hub *hub, const struct http_api_options *options, struct str method,
                struct http_request *request);

#endif
