/* POST /api/drain: clients are sent away, spread over a time. */
#ifndef BELFRY_PROTOCOLS_API_DRAIN_H
#define BELFRY_PROTOCOLS_API_DRAIN_H

#include "protocols/api_call.h"
#include "protocols/api_params.h"

void api_drain(struct api_call *call, struct api_params *params);

#endif
