/* GET /proxy?url=URL: the answer of a host of upstreams.allow_hosts, passed on piece by piece. What
 * the client does not take yet waits at the upstream, beyond url_proxy.buffer_size. Loop's thread
 * only. */
#ifndef BELFRY_PROTOCOLS_URL_PROXY_H
#define BELFRY_PROTOCOLS_URL_PROXY_H

#include "base/deadlines.h"
#include "protocols/access.h"
#include "protocols/http.h"
#include "protocols/server_options.h"

enum url_proxy_outcome {
    URL_PROXY_OK, /* passed on whole, whatever its status */
    URL_PROXY_BAD_REQUEST,
    URL_PROXY_UNAUTHORIZED,
    URL_PROXY_REFUSED, /* the host or its address is not allowed */
    URL_PROXY_OVERLOADED,
    URL_PROXY_TIMEOUT,
    URL_PROXY_FAILED, /* no answer */
    URL_PROXY_BROKEN, /* the answer broke off, became too large or stood still */
    URL_PROXY_CLIENT_GONE,
    N_URL_PROXY_OUTCOMES,
};

struct url_proxy_stats {
    uint64_t n_outcomes[N_URL_PROXY_OUTCOMES]; /* of requests that are over */
    uint64_t n_bytes;                          /* of bodies, passed on */
    size_t n_active;
};

/* Outlives every request. */
struct url_proxy {
    struct loop *loop;
    struct deadlines *deadlines;
    struct hub *hub; /* its guarded pool */
    const struct access *access;
    const struct url_proxy_options *options;
    struct url_proxy_stats stats;
};

/* The request's route is for clients. */
void url_proxy_handle(struct url_proxy *proxy, struct http_request *request);

#endif
