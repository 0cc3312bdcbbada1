/* Time. Monotonic for durations and deadlines, wall clock for what is stored or compared with the
 * outside (token expiry, history_ttl). */
#ifndef BELFRY_BASE_CLOCK_H
#define BELFRY_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_monotonic_us(void);
int64_t clock_monotonic_ms(void);
/* Milliseconds since 1970-01-01 UTC. */
int64_t clock_wall_ms(void);

#endif
