/* The configuration's sections "feeds" and "upstreams". */
#ifndef BELFRY_HUB_FEED_OPTIONS_H
#define BELFRY_HUB_FEED_OPTIONS_H

#include "base/config.h"

struct feed_upstream_options {
    char *name;
    char *url;          /* a URL template over the feed's parameters */
    char *select;       /* JSON Pointer into the answer; "": all of it */
    int64_t timeout_ms; /* 0: the feed's */
};

struct feed_options {
    char *name;
    char *channel;             /* "city:{city}" */
    struct config_list params; /* of struct config_pair: name, pattern (POSIX extended, anchored) */
    int64_t timeout_ms;
    struct config_list upstreams; /* of struct feed_upstream_options */
};

extern const struct config_shape feed_options_shape;

struct upstreams_options {
    int64_t max_concurrent;
    int64_t max_waiting;
    int64_t max_body_size; /* bytes of one answer */
    int64_t max_refreshes; /* runs at one time */
};

extern const struct config_shape upstreams_options_shape;

#endif
