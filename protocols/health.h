/* GET /health: the program lives. GET /ready: it can do its work, and a load balancer may send it
 * clients and requests. */
#ifndef BELFRY_PROTOCOLS_HEALTH_H
#define BELFRY_PROTOCOLS_HEALTH_H

#include "hub/hub.h"
#include "protocols/http.h"
#include "storage/storage.h"

struct health {
    const struct hub *hub;
    struct storage *storage;
};

bool health_has_path(struct str path);
/* The path is one of the two. */
void health_handle(const struct health *health, struct str path, struct http_request *request);

#endif
