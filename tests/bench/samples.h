/* Durations of one measurement, and what is told of them. All samples are kept: percentiles are
 * exact, and a measurement has thousands, not millions. */
#ifndef BELFRY_BENCH_SAMPLES_H
#define BELFRY_BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
    int64_t *us;
    size_t n;
    size_t capacity;
};

/* Room for capacity samples (at least 1); more are a programming error. */
void samples_init(struct samples *s, size_t capacity);
void samples_release(struct samples *s);
void samples_add(struct samples *s, int64_t us);

/* {"n":...,"min_ms":...,"p50_ms":...,"p90_ms":...,"p99_ms":...,"mean_ms":...} on stdout, without a
 * line end. Sorts the samples; there must be one. */
void samples_print(struct samples *s);

#endif
