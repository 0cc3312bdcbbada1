/* The server API: POST /api/METHOD with JSON, for backends. Shapes as in Centrifugo's HTTP API;
 * feeds, feed_* and fanout are ours. */
#ifndef BELFRY_PROTOCOLS_API_H
#define BELFRY_PROTOCOLS_API_H

#include "base/histogram.h"
#include "hub/hub.h"
#include "protocols/api_call.h"
#include "protocols/api_keys.h"
#include "protocols/http.h"

#define API_N_ERRORS 16

/* Of all calls, those in batches too, by method. */
struct api_stats {
    struct histogram durations[N_API_METHODS]; /* in microseconds */
    uint64_t n_errors[N_API_METHODS][API_N_ERRORS];
};
/* The codes that are counted; one that is not among them counts as the first. */
extern const unsigned api_error_codes[API_N_ERRORS];

/* Outlives every call. */
struct api {
    struct hub *hub;
    struct loop *loop;
    const struct http_api_options *options;
    struct api_keys keys;
    struct api_stats stats;
};

/* A method that can be called; N_API_METHODS: there is none of that name. */
enum api_method api_find(struct str name);
/* Calls the method, if the caller's key is good for it. A call with its params; checked JSON. */
void api_begin(struct api_call *call);

/* Answers a request for /api/METHOD; name: the text behind "/api/". */
void api_handle(struct api *api, struct str name, struct http_request *request);
/* Answers a request for /api: a stream of calls, answered with a line each. */
void api_handle_lines(struct api *api, struct http_request *request);

#endif
