/* The part of GET /metrics that has a sample for each upstream of each feed. */
#ifndef BELFRY_PROTOCOLS_METRICS_UPSTREAMS_H
#define BELFRY_PROTOCOLS_METRICS_UPSTREAMS_H

#include "base/buf.h"
#include "hub/hub.h"

/* False: memory is short. */
bool metrics_write_upstreams(struct buf *out, struct hub *hub);

#endif
