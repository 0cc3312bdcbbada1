/* A token bucket. Only state; who asks brings the time. */
#ifndef BELFRY_UPSTREAMS_RATE_LIMIT_H
#define BELFRY_UPSTREAMS_RATE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "upstreams/upstream_options.h"

struct rate_limit {
    double per_us; /* tokens in a microsecond; 0: no limit */
    double burst;  /* tokens that the bucket holds */
    double n_tokens;
    int64_t at_us;
};

/* The bucket is full. */
void rate_limit_init(struct rate_limit *r, const struct rate_limit_options *options,
                     int64_t now_us);
/* Takes a token, if there is one. */
bool rate_limit_take(struct rate_limit *r, int64_t now_us);
/* How long until the last of n who stand in a line has had its token. 0: now. */
int64_t rate_limit_wait_us(const struct rate_limit *r, int64_t now_us, size_t n);

#endif
