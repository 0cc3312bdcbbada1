/* How an answer is to misbehave: the query options that every route honours. */
#ifndef BELFRY_UPSTREAM_BEHAVIOUR_H
#define BELFRY_UPSTREAM_BEHAVIOUR_H

#include "tests/upstream/query.h"

#define BEHAVIOUR_MAX_HEADERS 16

enum fail_with { FAIL_WITH_STATUS, FAIL_WITH_RESET, FAIL_WITH_HANG };

struct behaviour {
    int64_t latency_ms;
    int64_t jitter_ms;
    int64_t change_ms;
    int64_t drip_bytes; /* at a time, with drip_ms between; 0: no dripping */
    int64_t drip_ms;
    int64_t size;
    int64_t status; /* 0: the route's */
    int64_t head_size;
    int64_t bomb_mib;
    int64_t fail; /* so many requests at first */
    int64_t fail_status;
    enum fail_with fail_with;
    int64_t retry_after_s; /* -1: not said, as max_age_s */
    int64_t max_age_s;
    bool invalid;
    bool etag;
    bool last_modified;
    bool gzip;
    bool drip_head;
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

/* An answer as good as it can be. */
void behaviour_init(struct behaviour *b);
/* False: *ret_name is the option that is malformed and *ret_expected (static) what would be right.
 * Parameters that are no option are left to the routes. */
bool behaviour_parse(const struct query *q, struct behaviour *b, struct str *ret_name,
                     const char **ret_expected);

#endif
