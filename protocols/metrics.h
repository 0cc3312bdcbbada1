/* GET /metrics: the program's figures in the text format of Prometheus. Without a key: who may see
 * them is the business of the proxy in front. */
#ifndef BELFRY_PROTOCOLS_METRICS_H
#define BELFRY_PROTOCOLS_METRICS_H

#include "base/buf.h"
#include "base/loop.h"
#include "hub/hub.h"
#include "protocols/api.h"
#include "protocols/http.h"
#include "protocols/url_proxy.h"
#include "storage/storage.h"

/* Of the configuration, since the start, which took one. */
struct reload_stats {
    uint64_t n_taken;
    uint64_t n_refused;
    uint64_t is_last_taken; /* 0 or 1 */
    double taken_s;         /* wall clock of the last one that was taken */
};

/* Where the figures come from. */
struct metrics {
    struct hub *hub;
    struct storage *storage;
    struct loop *loop;
    int64_t started_ms; /* wall clock */
    const struct url_proxy_stats *url_proxy;
    const struct api *api;
    const struct http_counts *http;
    struct reload_stats reloads;
};

void metrics_handle(const struct metrics *metrics, struct http_request *request);
/* The reply's text. Its cost does not grow with clients, channels or publications. False: memory is
 * short, or the text is too large. */
bool metrics_write(struct buf *out, const struct metrics *metrics) MUST_CHECK;

#endif
