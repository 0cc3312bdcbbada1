/* SPDX-License-Identifier: MIT */
/* Unit metrics_text writes samples. No state. */
#include "protocols/metrics_text.h"

/* The bounds of a histogram of microseconds, in seconds. */
static const char *const seconds[HISTOGRAM_N_BUCKETS] = {
    "1e-06",  "2e-06", "5e-06", "1e-05", "2e-05", "5e-05", "0.0001", "0.0002",
    "0.0005", "0.001", "0.002", "0.005", "0.01",  "0.02",  "0.05",   "0.1",
    "0.2",    "0.5",   "1",     "2",     "5",     "10",    "+Inf",
};

#define FIRST_MILLISECONDS 9 /* of these */

void metrics_write_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void begin_sample(struct buf *out, const char *name, const char *suffix, struct str labels)
{
    buf_append(out, str_of(name));
    buf_append(out, str_of(suffix));
    if (labels.len > 0) {
        buf_append_char(out, '{');
        buf_append(out, labels);
        buf_append_char(out, '}');
    }
    buf_append_char(out, ' ');
}

static void end_sample(struct buf *out, uint64_t value)
{
    buf_append_u64(out, value);
    buf_append_char(out, '\n');
}

void metrics_write_u64(struct buf *out, const char *name, struct str labels, uint64_t value)
{
    begin_sample(out, name, "", labels);
    end_sample(out, value);
}

void metrics_write_double(struct buf *out, const char *name, struct str labels, double value)
{
    begin_sample(out, name, "", labels);
    buf_printf(out, "%.15g\n", value);
}

static void write_bound(struct buf *out, enum metrics_scale scale, size_t bucket)
{
    if (scale == METRICS_NUMBERS && bucket + 1 < HISTOGRAM_N_BUCKETS) {
        buf_append_u64(out, histogram_bound(bucket));
    } else {
        buf_append(out, str_of(seconds[bucket]));
    }
}

/* All of a bucket's line that is in front of the bound. */
static void begin_bucket(struct buf *out, const char *name, struct str labels)
{
    buf_append(out, str_of(name));
    buf_literal(out, "_bucket{");
    buf_append(out, labels);
    if (labels.len > 0) {
        buf_append_char(out, ',');
    }
    buf_literal(out, "le=\"");
}

/* Appends what stands there already. */
static void repeat(struct buf *out, size_t begin, size_t len)
{
    if (buf_reserve(out, len) == STATUS_OK) {
        buf_append(out, (struct str){out->ptr + begin, len});
    } else {
        out->failed = true;
    }
}

static void write_seconds(struct buf *out, uint64_t microseconds)
{
    uint64_t rest = microseconds % 1000000;
    buf_append_u64(out, microseconds / 1000000);
    for (uint64_t unit = 100000; rest > 0; rest %= unit, unit /= 10) {
        if (unit == 100000) {
            buf_append_char(out, '.');
        }
        buf_append_char(out, (char)('0' + rest / unit));
    }
    buf_append_char(out, '\n');
}

/* Another thread may be adding: what is counted in the last bucket and what is told as the count
 * are the same reading. */
void metrics_write_histogram(struct buf *out, const char *name, struct str labels,
                             enum metrics_scale scale, const struct histogram *h)
{
    size_t first = scale == METRICS_FROM_MILLISECONDS ? FIRST_MILLISECONDS : 0;
    uint64_t sum = histogram_sum(h);
    uint64_t n = 0;
    size_t begin = out->len;
    size_t len = 0;
    for (size_t i = 0; i < HISTOGRAM_N_BUCKETS; i++) {
        n += histogram_count(h, i);
        if (i == first) {
            begin_bucket(out, name, labels);
            len = out->len - begin;
        } else if (i > first) {
            repeat(out, begin, len);
        }
        if (i >= first) {
            write_bound(out, scale, i);
            buf_literal(out, "\"} ");
            end_sample(out, n);
        }
    }
    begin_sample(out, name, "_sum", labels);
    if (scale == METRICS_NUMBERS) {
        end_sample(out, sum);
    } else {
        write_seconds(out, sum);
    }
    begin_sample(out, name, "_count", labels);
    end_sample(out, n);
}

void metrics_label(struct buf *labels, const char *name, const char *value)
{
    if (labels->len > 0) {
        buf_append_char(labels, ',');
    }
    buf_append(labels, str_of(name));
    buf_literal(labels, "=\"");
    buf_append(labels, str_of(value));
    buf_append_char(labels, '"');
}
