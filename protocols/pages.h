/* What browsers see of the demo: the page and its files, and the two calls behind its buttons. Only
 * with demo.enabled. */
#ifndef BELFRY_PROTOCOLS_PAGES_H
#define BELFRY_PROTOCOLS_PAGES_H

#include "hub/hub.h"
#include "protocols/http.h"
#include "protocols/server_options.h"

/* A file of the page; false when there is none for this path: the request is not answered. */
bool pages_handle_asset(struct http_request *request);

/* POST /demo/refresh {"feed","params"}: as feed_refresh of the server API. POST /demo/notify
 * {"text"}: publishes {"text","at"} to demo.channel. Both without a key, but only from a page of an
 * allowed origin or from no page. */
void pages_handle_demo(struct hub *hub, const struct demo_options *options, struct str call,
                       struct http_request *request);

#endif
