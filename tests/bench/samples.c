/* SPDX-License-Identifier: MIT */
/* Exact percentiles by sorting, nearest rank: the p-th percentile is a value that was measured. */
#include "tests/bench/samples.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/cli.h"

void samples_init(struct samples *s, size_t capacity)
{
    *s = (struct samples){.us = calloc(capacity, sizeof(*s->us)), .capacity = capacity};
    if (!s->us) {
        fail("no memory for %zu samples", capacity);
    }
}

void samples_release(struct samples *s)
{
    free(s->us);
    *s = (struct samples){0};
}

void samples_add(struct samples *s, int64_t us)
{
    assert(s->n < s->capacity);
    s->us[s->n++] = us;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(const struct samples *s, size_t percent)
{
    size_t rank = (s->n * percent + 99) / 100;
    return (double)s->us[rank > 0 ? rank - 1 : 0] / 1000;
}

static double mean_ms(const struct samples *s)
{
    int64_t sum_us = 0;
    for (size_t i = 0; i < s->n; i++) {
        sum_us += s->us[i];
    }
    return (double)sum_us / 1000 / (double)s->n;
}

void samples_print(struct samples *s)
{
    assert(s->n > 0);
    qsort(s->us, s->n, sizeof(*s->us), compare);
    printf("{\"n\":%zu,\"min_ms\":%.3f,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"mean_ms\":%.3f}",
           s->n, percentile_ms(s, 0), percentile_ms(s, 50), percentile_ms(s, 90),
           percentile_ms(s, 99), mean_ms(s));
}
