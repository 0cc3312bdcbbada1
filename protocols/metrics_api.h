/* The figures of the server API, for metrics.c. */
#ifndef BELFRY_PROTOCOLS_METRICS_API_H
#define BELFRY_PROTOCOLS_METRICS_API_H

#include "base/buf.h"
#include "protocols/api.h"

void metrics_write_api(struct buf *out, const struct api *api);

#endif
