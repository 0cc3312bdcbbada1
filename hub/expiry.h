/* The time that is left until a token's end. */
#ifndef BELFRY_HUB_EXPIRY_H
#define BELFRY_HUB_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* In the year 2106: keeps sums from overflow, and a ttl within the 32 bits that clients know. */
#define EXPIRY_MAX INT64_C(4294967295)

/* expires_at: seconds since 1970. Negative: it is over. */
static inline int64_t expiry_left_ms(int64_t expires_at)
{
    return (expires_at < EXPIRY_MAX ? expires_at : EXPIRY_MAX) * 1000 - clock_wall_ms();
}

/* As clients are told it: rounded up. */
static inline int64_t expiry_ttl_s(int64_t expires_at)
{
    return (expiry_left_ms(expires_at) + 999) / 1000;
}

/* 0: never. */
static inline bool expiry_is_over(int64_t expires_at)
{
    return expires_at > 0 && expiry_left_ms(expires_at) <= 0;
}

#endif
