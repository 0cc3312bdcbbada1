/* The text format of Prometheus: families with help and type, and their samples. Labels are text as
 * it stands between the braces; no name or value that comes here needs escapes. Counts only what it
 * writes, and writes it without formats: there may be tens of thousands of samples. */
#ifndef BELFRY_PROTOCOLS_METRICS_TEXT_H
#define BELFRY_PROTOCOLS_METRICS_TEXT_H

#include "base/buf.h"
#include "base/histogram.h"

void metrics_write_head(struct buf *out, const char *name, const char *type, const char *help);
/* labels: empty for none. */
void metrics_write_u64(struct buf *out, const char *name, struct str labels, uint64_t value);
void metrics_write_double(struct buf *out, const char *name, struct str labels, double value);

/* What the figures of a histogram are, and from which bound on they are told one by one. */
enum metrics_scale {
    METRICS_MICROSECONDS,      /* told in seconds */
    METRICS_FROM_MILLISECONDS, /* the same, from a millisecond on: where a bound less counts */
    METRICS_NUMBERS,
};
void metrics_write_histogram(struct buf *out, const char *name, struct str labels,
                             enum metrics_scale scale, const struct histogram *h);

/* Appends name="value", with a comma before it where labels has some. */
void metrics_label(struct buf *labels, const char *name, const char *value);

#endif
