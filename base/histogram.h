/* How often a figure was how large, in buckets with upper bounds 1, 2, 5, 10, 20, 50 ... 10^7, and
 * one beyond; the figure's unit is its owner's (microseconds, mostly). No allocation; a zeroed one
 * is empty. One thread adds, any thread reads: a reader may see a figure whose bucket is counted
 * and whose sum is not, never a broken one. */
#ifndef BELFRY_BASE_HISTOGRAM_H
#define BELFRY_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_N_BUCKETS 23

struct histogram {
    atomic_uint_fast64_t counts[HISTOGRAM_N_BUCKETS];
    atomic_uint_fast64_t sum;
};

void histogram_add(struct histogram *h, uint64_t figure);
/* The bound of a bucket (figures in it are not above it); UINT64_MAX for the last. */
uint64_t histogram_bound(size_t bucket);
uint64_t histogram_count(const struct histogram *h, size_t bucket);
uint64_t histogram_n(const struct histogram *h);
uint64_t histogram_sum(const struct histogram *h);

#endif
