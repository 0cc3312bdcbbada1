/* A distribution of durations in a fixed amount of memory: 128 buckets for each power of two, so
 * that a quantile is off by less than 1 %. Maximum and mean are exact. */
#ifndef BELFRY_BENCH_LATENCY_H
#define BELFRY_BENCH_LATENCY_H

#include <stdint.h>

#define LATENCY_OCTAVES     34
#define LATENCY_PER_OCTAVE  128
#define LATENCY_MAX_BUCKETS (LATENCY_OCTAVES * LATENCY_PER_OCTAVE)

struct latency {
    uint64_t n;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t buckets[LATENCY_MAX_BUCKETS];
};

void latency_clear(struct latency *l);
void latency_add(struct latency *l, uint64_t ns);

/* {"n":...,"p50":...,"p90":...,"p99":...,"max":...,"mean":...} in ms on stdout, without a line
 * end. All are 0 where there is no duration. */
void latency_print(const struct latency *l);

#endif
