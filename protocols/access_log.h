/* The access log: a line per answered request, as the configuration's "http_server.access_log" asks
 * for it. No query strings, whose values may be secrets, and no headers. Loop's thread only. */
#ifndef BELFRY_PROTOCOLS_ACCESS_LOG_H
#define BELFRY_PROTOCOLS_ACCESS_LOG_H

#include "base/config.h"
#include "base/str.h"

struct lws;

struct access_log_options {
    bool enabled;
    int64_t one_of;  /* every so many-th request has a line */
    int64_t slow_ms; /* those that take as long have one in any case; so have those with 5xx */
};

extern const struct config_shape access_log_options_shape;

struct access_log_entry {
    const char *method;
    struct str path;
    int status;
    int64_t n_bytes; /* of the body; -1: it is not over yet */
    int64_t duration_us;
    struct lws *wsi;          /* whose peer it is */
    struct str forwarded_for; /* X-Forwarded-For, as it came; or empty */
    struct str id;            /* of the request; or empty */
    struct str key;           /* the name of the API key; or empty */
};

void access_log_write(const struct access_log_options *options,
                      const struct access_log_entry *entry);

#endif
