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
    struct deadlines *deadlines;
    int64_t started_ms; /* wall clock */
    const struct url_proxy_stats *url_proxy;
    const struct api *api;
    const struct http_counts *http;
    struct reload_stats reloads;
};

/* Its cost does not grow with clients, channels or publications; with many upstreams it takes
 * several turns of the loop. metrics outlives the request. */
void metrics_handle(const struct metrics *metrics, struct http_request *request);

/* For metrics_scrape.c: all in front of the upstreams' part, and all behind it. */
void metrics_write_beginning(struct buf *out, const struct metrics *metrics);
void metrics_write_end(struct buf *out, const struct metrics *metrics);

#endif
