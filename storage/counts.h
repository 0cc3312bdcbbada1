/* How many rows of a kind the file has, for the limits and the figures: counted when it is opened,
 * and kept up by the writer's thread. What a transaction changes counts for others only once it is
 * committed. */
#ifndef BELFRY_STORAGE_COUNTS_H
#define BELFRY_STORAGE_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>

struct count {
    uint64_t limit;
    uint64_t n; /* as of now in the transaction; the writer's */
    atomic_uint_fast64_t committed;
};

struct counts {
    struct count streams; /* that have a channel */
    struct count keys;
    struct count feeds; /* snapshots; the limits of these are the feeds' own */
};

static inline void counts_committed(struct counts *counts)
{
    atomic_store_explicit(&counts->streams.committed, counts->streams.n, memory_order_relaxed);
    atomic_store_explicit(&counts->keys.committed, counts->keys.n, memory_order_relaxed);
    atomic_store_explicit(&counts->feeds.committed, counts->feeds.n, memory_order_relaxed);
}

static inline void counts_rolled_back(struct counts *counts)
{
    counts->streams.n = atomic_load_explicit(&counts->streams.committed, memory_order_relaxed);
    counts->keys.n = atomic_load_explicit(&counts->keys.committed, memory_order_relaxed);
    counts->feeds.n = atomic_load_explicit(&counts->feeds.committed, memory_order_relaxed);
}

/* Any thread. */
static inline uint64_t count_committed(const struct count *count)
{
    return atomic_load_explicit(&count->committed, memory_order_relaxed);
}

#endif
