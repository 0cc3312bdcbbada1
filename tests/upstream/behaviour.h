/* How an answer is to misbehave: the query options that every route honours. */
#ifndef BELFRY_UPSTREAM_BEHAVIOUR_H
#define BELFRY_UPSTREAM_BEHAVIOUR_H

#include "tests/upstream/query.h"

#define BEHAVIOUR_MAX_HEADERS 16

struct behaviour {
    int64_t latency_ms;
    int64_t jitter_ms;
    int64_t change_ms;
    int64_t drip_bytes; /* at a time, with drip_ms between; 0: no dripping */
    int64_t drip_ms;
    int64_t size;
    int64_t status; /* 0: the route's */
    bool invalid;
    bool etag;
    bool hang;
    bool reset;
    bool truncate;
    bool endless;
    bool close;
    struct str redirect;
    struct str content_type;
    struct str headers[BEHAVIOUR_MAX_HEADERS]; /* "Name:Value" */
    size_t n_headers;
};

/* False: *ret_name is the option that is malformed and *ret_expected (static) what would be right.
 * Parameters that are no option are left to the routes. */
bool behaviour_parse(const struct query *q, struct behaviour *b, struct str *ret_name,
                     const char **ret_expected);

#endif
