/* SPDX-License-Identifier: MIT */
/* Log-linear buckets: below 256 ns one for each nanosecond, from there on the highest eight bits of
 * a duration tell its bucket. */
#include "tests/bench/latency.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LINEAR_BITS 7

void latency_clear(struct latency *l)
{
    memset(l, 0, sizeof(*l));
}

static size_t bucket_of(uint64_t ns)
{
    unsigned highest = 63 - (unsigned)__builtin_clzll(ns | 1);
    unsigned shift = highest > LINEAR_BITS ? highest - LINEAR_BITS : 0;
    size_t octave_start = (size_t)shift * LATENCY_PER_OCTAVE;
    size_t bucket = octave_start + (ns >> shift);
    return bucket < LATENCY_MAX_BUCKETS ? bucket : LATENCY_MAX_BUCKETS - 1;
}

/* The middle of a bucket. */
static uint64_t value_of(size_t bucket)
{
    if (bucket < 2 * LATENCY_PER_OCTAVE) {
        return bucket;
    }
    size_t shift = bucket / LATENCY_PER_OCTAVE - 1;
    uint64_t lowest = (bucket - shift * LATENCY_PER_OCTAVE) << shift;
    return lowest + ((1ULL << shift) >> 1);
}

void latency_add(struct latency *l, uint64_t ns)
{
    l->n++;
    l->sum_ns += ns;
    l->max_ns = ns > l->max_ns ? ns : l->max_ns;
    l->buckets[bucket_of(ns)]++;
}

/* Of the duration that percent of all do not exceed. */
static double quantile_ms(const struct latency *l, unsigned percent)
{
    uint64_t rank = (l->n * percent + 99) / 100;
    uint64_t n_seen = 0;
    for (size_t i = 0; i < LATENCY_MAX_BUCKETS; i++) {
        n_seen += l->buckets[i];
        if (n_seen >= rank && n_seen > 0) {
            uint64_t value = value_of(i);
            return (double)(value < l->max_ns ? value : l->max_ns) / 1e6;
        }
    }
    return 0;
}

void latency_print(const struct latency *l)
{
    double mean_ms = l->n > 0 ? (double)l->sum_ns / (double)l->n / 1e6 : 0;
    printf("{\"n\":%" PRIu64 ",\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f,\"mean\":%.4f}",
           l->n, quantile_ms(l, 50), quantile_ms(l, 90), quantile_ms(l, 99),
           (double)l->max_ns / 1e6, mean_ms);
}
