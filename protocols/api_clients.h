/* The part of the server API that acts on connected clients: subscribe, unsubscribe, disconnect,
 * refresh. */
#ifndef BELFRY_PROTOCOLS_API_CLIENTS_H
#define BELFRY_PROTOCOLS_API_CLIENTS_H

#include "protocols/api_call.h"
#include "protocols/api_params.h"

/* Each answers its call, now or later. */
void api_subscribe(struct api_call *call, struct api_params *params);
void api_unsubscribe(struct api_call *call, struct api_params *params);
void api_disconnect(struct api_call *call, struct api_params *params);
void api_refresh(struct api_call *call, struct api_params *params);

#endif
