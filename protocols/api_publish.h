/* The part of the server API that publishes: publish, broadcast. */
#ifndef BELFRY_PROTOCOLS_API_PUBLISH_H
#define BELFRY_PROTOCOLS_API_PUBLISH_H

#include "protocols/api_call.h"
#include "protocols/api_params.h"

/* Each answers its call, now or later. */
void api_publish(struct api_call *call, struct api_params *params);
void api_broadcast(struct api_call *call, struct api_params *params);

#endif
