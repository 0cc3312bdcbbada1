/* How long answers took of late: quantiles over the last two to four minutes, in constant memory.
 * Two windows take turns; buckets are a sixteenth of their power of two wide, so that a figure is
 * at most 6.25 percent too high. Only state; who asks brings the time. */
#ifndef BELFRY_UPSTREAMS_LATENCY_H
#define BELFRY_UPSTREAMS_LATENCY_H

#include <stdint.h>

#define LATENCY_WINDOW_MS (2 * 60 * 1000)
#define LATENCY_N_BUCKETS 400 /* to 2^28 microseconds, over four minutes; more counts as that */

struct latency_window {
    uint64_t n;
    uint32_t counts[LATENCY_N_BUCKETS];
};

/* Zeroed: empty. */
struct latency {
    int64_t since_ms; /* the current window's begin */
    unsigned current;
    struct latency_window windows[2];
};

void latency_add(struct latency *l, int64_t now_ms, int64_t duration_us);
/* How many figures there are; and what so many percent of them do not exceed (0: there are none).
 */
uint64_t latency_n(const struct latency *l, int64_t now_ms);
int64_t latency_quantile(const struct latency *l, int64_t now_ms, int64_t percent);

#endif
