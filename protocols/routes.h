/* Which path is whose. */
#ifndef BELFRY_PROTOCOLS_ROUTES_H
#define BELFRY_PROTOCOLS_ROUTES_H

#include "hub/hub.h"
#include "protocols/access.h"
#include "protocols/api.h"
#include "protocols/feed_pages.h"
#include "protocols/health.h"
#include "protocols/http.h"
#include "protocols/metrics.h"
#include "protocols/server_options.h"
#include "protocols/streams.h"
#include "protocols/url_proxy.h"

struct routes {
    struct hub *hub;
    const struct server_options *options;
    struct access access;
    struct api api;
    struct metrics metrics;
    struct health health;
    struct streams streams;
    struct feed_pages feed_pages;
    struct url_proxy url_proxy;
};

/* What one listener has of them. */
struct routes_view {
    struct routes *routes;
    bool has_public;
    bool has_internal; /* the API, the figures, /health and /ready */
};

/* For struct http_options; arg: struct routes_view. */
void routes_find(void *arg, struct str path, struct http_route *ret_route);
void routes_handle(void *arg, struct http_request *request);
void routes_append_client_headers(void *arg, const struct http_request *request, struct buf *out);

#endif
