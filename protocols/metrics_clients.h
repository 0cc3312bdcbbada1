/* The figures of clients and of HTTP requests that have labels, for metrics.c. */
#ifndef BELFRY_PROTOCOLS_METRICS_CLIENTS_H
#define BELFRY_PROTOCOLS_METRICS_CLIENTS_H

#include "base/buf.h"
#include "hub/hub.h"
#include "protocols/http.h"

void metrics_write_clients(struct buf *out, struct hub *hub);
void metrics_write_http(struct buf *out, const struct http_counts *counts);

#endif
