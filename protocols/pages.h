/* What browsers see: the demo's page with the two calls behind its buttons, where demo.enabled, and
 * the document about the server API with the page that shows it, where openapi.enabled. */
#ifndef BELFRY_PROTOCOLS_PAGES_H
#define BELFRY_PROTOCOLS_PAGES_H

#include "hub/hub.h"
#include "protocols/http.h"
#include "protocols/server_options.h"
#include "web/assets.h"

/* A path of the document about the API, or of its page; also where there is nothing. */
bool pages_is_about_api(struct str path);
/* A file of these pages; false when there is none for this path: the request is not answered. */
bool pages_handle_asset(enum web_site site, struct http_request *request);

/* POST /demo/refresh {"feed","params"}: as feed_refresh of the server API. POST /demo/notify
 * {"text"}: publishes {"text","at"} to demo.channel. Both without a key, but only from a page of an
 * allowed origin or from no page. */
void pages_handle_demo(struct hub *hub, const struct demo_options *options, struct str call,
                       struct http_request *request);

#endif
