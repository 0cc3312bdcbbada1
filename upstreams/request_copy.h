/* A copy of a request, for one that is sent later or again: one allocation. */
#ifndef BELFRY_UPSTREAMS_REQUEST_COPY_H
#define BELFRY_UPSTREAMS_REQUEST_COPY_H

#include "upstreams/upstream.h"

/* NULL when memory is short; to be freed with free(). */
struct upstream_request *request_copy(const struct upstream_request *request);

#endif
