/* SPDX-License-Identifier: MIT */
/* Unit latency: log-linear buckets. Figures below 16 have buckets of their own; above, bucket
 * (e - 3) * 16 + the four bits after the highest holds figures from 2^e on. */
#include "upstreams/latency.h"

#include <string.h>

enum { SUB_BITS = 4, N_SUBS = 1 << SUB_BITS };

static unsigned bucket_of(int64_t duration_us)
{
    uint64_t figure = duration_us > 0 ? (uint64_t)duration_us : 0;
    if (figure < N_SUBS) {
        return (unsigned)figure;
    }
    unsigned shift = 63 - SUB_BITS - (unsigned)__builtin_clzll(figure);
    uint64_t bucket = shift * N_SUBS + (figure >> shift);
    return bucket < LATENCY_N_BUCKETS ? (unsigned)bucket : LATENCY_N_BUCKETS - 1;
}

/* The largest figure that it holds. */
static int64_t bound_of(unsigned bucket)
{
    if (bucket < N_SUBS) {
        return bucket;
    }
    unsigned shift = bucket / N_SUBS - 1;
    return (((int64_t)bucket - shift * N_SUBS + 1) << shift) - 1;
}

/* How many windows have begun since the current one. */
static int64_t windows_since(const struct latency *l, int64_t now_ms)
{
    return (now_ms - l->since_ms) / LATENCY_WINDOW_MS;
}

static void begin_window(struct latency *l, int64_t now_ms)
{
    int64_t n = windows_since(l, now_ms);
    l->current ^= 1;
    memset(&l->windows[l->current], 0, sizeof(l->windows[0]));
    if (n > 1) {
        memset(&l->windows[l->current ^ 1], 0, sizeof(l->windows[0]));
    }
    l->since_ms += n * LATENCY_WINDOW_MS;
}

void latency_add(struct latency *l, int64_t now_ms, int64_t duration_us)
{
    if (now_ms - l->since_ms >= LATENCY_WINDOW_MS) {
        begin_window(l, now_ms);
    }
    struct latency_window *w = &l->windows[l->current];
    w->n++;
    w->counts[bucket_of(duration_us)]++;
}

/* 1 or 0 for each window: does it still count? */
static uint32_t counts_current(const struct latency *l, int64_t now_ms)
{
    return windows_since(l, now_ms) < 2;
}

static uint32_t counts_other(const struct latency *l, int64_t now_ms)
{
    return windows_since(l, now_ms) < 1;
}

uint64_t latency_n(const struct latency *l, int64_t now_ms)
{
    return l->windows[l->current].n * counts_current(l, now_ms) +
           l->windows[l->current ^ 1].n * counts_other(l, now_ms);
}

int64_t latency_quantile(const struct latency *l, int64_t now_ms, int64_t percent)
{
    const struct latency_window *current = &l->windows[l->current];
    const struct latency_window *other = &l->windows[l->current ^ 1];
    uint32_t with_current = counts_current(l, now_ms);
    uint32_t with_other = counts_other(l, now_ms);
    uint64_t n = latency_n(l, now_ms);
    if (n == 0) {
        return 0;
    }
    uint64_t rank = (n * (uint64_t)percent + 99) / 100; /* the rank-th smallest, from 1 */
    uint64_t n_seen = 0;
    unsigned bucket = 0;
    for (; bucket < LATENCY_N_BUCKETS - 1; bucket++) {
        n_seen += (uint64_t)current->counts[bucket] * with_current +
                  (uint64_t)other->counts[bucket] * with_other;
        if (n_seen >= rank && n_seen > 0) {
            break;
        }
    }
    return bound_of(bucket);
}
