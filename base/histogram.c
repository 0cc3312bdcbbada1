/* SPDX-License-Identifier: MIT */
#include "base/histogram.h"

static const uint64_t bounds[HISTOGRAM_N_BUCKETS] = {
    1,      2,      5,       10,      20,      50,       100,        200,
    500,    1000,   2000,    5000,    10000,   20000,    50000,      100000,
    200000, 500000, 1000000, 2000000, 5000000, 10000000, UINT64_MAX,
};

void histogram_add(struct histogram *h, uint64_t figure)
{
    size_t bucket = 0;
    while (figure > bounds[bucket]) {
        bucket++;
    }
    atomic_fetch_add_explicit(&h->counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum, figure, memory_order_relaxed);
}

uint64_t histogram_bound(size_t bucket)
{
    return bounds[bucket];
}

uint64_t histogram_count(const struct histogram *h, size_t bucket)
{
    return atomic_load_explicit(&h->counts[bucket], memory_order_relaxed);
}

uint64_t histogram_n(const struct histogram *h)
{
    uint64_t n = 0;
    for (size_t i = 0; i < HISTOGRAM_N_BUCKETS; i++) {
        n += histogram_count(h, i);
    }
    return n;
}

uint64_t histogram_sum(const struct histogram *h)
{
    return atomic_load_explicit(&h->sum, memory_order_relaxed);
}
