/* GET /metrics: the program's figures in the text format of Prometheus. Without a key: who may see
 * them is the business of the proxy in front. */
#ifndef BELFRY_PROTOCOLS_METRICS_H
#define BELFRY_PROTOCOLS_METRICS_H

#include "base/buf.h"
#include "base/loop.h"
#include "hub/hub.h"
#include "protocols/http.h"
#include "protocols/url_proxy.h"
#include "storage/storage.h"

/* Where the figures come from. */
struct metrics {
    struct hub *hub;
    struct storage *storage;
    struct loop *loop;
    int64_t started_ms; /* wall clock */
    const struct url_proxy_stats *url_proxy;
};

void metrics_handle(const struct metrics *metrics, struct http_request *request);
/* The reply's text. Its cost does not grow with clients, channels or publications. */
void metrics_write(struct buf *out, const struct metrics *metrics);

#endif
