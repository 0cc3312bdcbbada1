/* The part of the server API that acts on connected clients: subscribe, unsubscribe, disconnect,
 * refresh. */
#ifndef BELFRY_PROTOCOLS_API_CLIENTS_H
#define BELFRY_PROTOCOLS_API_CLIENTS_H

#include "hub/hub.h"
#include "protocols/api_params.h"
#include "protocols/http.h"

/* Each answers the request, now or later. */
void api_subscribe(struct hub *hub, struct api_params *params, struct http_request *request);
void api_unsubscribe(struct hub *hub, struct api_params *params, struct http_request *request);
void api_disconnect(struct hub *hub, struct api_params *params, struct http_request *request);
void api_refresh(struct hub *hub, struct api_params *params, struct http_request *request);

#endif
