/* Which path is whose. */
#ifndef BELFRY_PROTOCOLS_ROUTES_H
#define BELFRY_PROTOCOLS_ROUTES_H

#include "hub/hub.h"
#include "protocols/http.h"
#include "protocols/metrics.h"
#include "protocols/server_options.h"

struct routes {
    struct hub *hub;
    const struct server_options *options;
    struct metrics metrics;
};

/* An http_handler_fn; arg: struct routes. */
void routes_handle(void *arg, struct http_request *request);

#endif
