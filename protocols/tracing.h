/* The trace that a request belongs to, for what it makes the hub begin. */
#ifndef BELFRY_PROTOCOLS_TRACING_H
#define BELFRY_PROTOCOLS_TRACING_H

#include "hub/hub.h"
#include "hub/trace.h"
#include "protocols/http.h"

/* Until tracing_end(), which comes before place goes. */
static inline void tracing_begin(struct hub *hub, const struct http_request *request,
                                 struct trace *place)
{
    struct str parent = http_request_header(request, HTTP_HEADER_TRACEPARENT);
    struct str state = http_request_header(request, HTTP_HEADER_TRACESTATE);
    if (parent.len > 0 && trace_read(parent, state, place)) { /* most have none */
        hub_set_trace(hub, place);
    }
}

static inline void tracing_end(struct hub *hub)
{
    hub_set_trace(hub, NULL);
}

#endif
