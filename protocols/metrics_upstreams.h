/* The part of GET /metrics that has samples for each upstream of each feed: there may be thousands.
 */
#ifndef BELFRY_PROTOCOLS_METRICS_UPSTREAMS_H
#define BELFRY_PROTOCOLS_METRICS_UPSTREAMS_H

#include "base/buf.h"
#include "hub/hub.h"

struct metrics_upstreams;
/* All figures as they are now; NULL: memory is short. */
struct metrics_upstreams *metrics_upstreams_gather(struct hub *hub);
/* Accepts NULL. */
void metrics_upstreams_destroy(struct metrics_upstreams *upstreams);

/* Writes on, the figures of a family for at most n_max upstreams (> 0). True: there are more. */
bool metrics_upstreams_write(struct metrics_upstreams *upstreams, struct buf *out, size_t n_max);

#endif
