/* SPDX-License-Identifier: MIT */
/* Reading /metrics, the text format of Prometheus, as far as the hub writes it: a line is a sample,
 * "name{labels} value". Samples of a family with several labels are added up. No state. */
#include <math.h>
#include <stdlib.h>

#include "tools/top_sample.h"

#define NUMBER_BYTES 64

#define FIGURE(member)                                                                             \
    {                                                                                              \
#member, offsetof(struct top_figures, member)                                              \
    }
const struct top_member top_figure_members[] = {
    FIGURE(publications), FIGURE(messages_in),     FIGURE(bytes_in), FIGURE(messages_out),
    FIGURE(bytes_out),    FIGURE(slow_clients),    FIGURE(commits),  FIGURE(queue_length),
    FIGURE(queue_bytes),  FIGURE(queue_max_bytes), {NULL, 0},
};
#undef FIGURE

#define SUM(name_, member)                                                                         \
    {                                                                                              \
        name_, offsetof(struct top_figures, member)                                                \
    }
static const struct top_member sums[] = {
    SUM("belfry_publications_total", publications),
    SUM("belfry_transport_messages_received", messages_in),
    SUM("belfry_transport_messages_received_size", bytes_in),
    SUM("belfry_node_messages_sent_count", messages_out),
    SUM("belfry_transport_messages_sent_size", bytes_out),
    SUM("belfry_slow_consumers_total", slow_clients),
    SUM("belfry_storage_groups_total", commits),
    SUM("belfry_storage_queue_length", queue_length),
    SUM("belfry_storage_queue_bytes", queue_bytes),
    SUM("belfry_storage_queue_max_bytes", queue_max_bytes),
};

static const struct top_member histograms[] = {
    SUM("belfry_loop_lag_seconds_bucket", loop_lag),
    SUM("belfry_storage_commit_seconds_bucket", commit_time),
};
#undef SUM

/* --- lines --- */

static bool to_number(struct str text, double *ret_number)
{
    char copy[NUMBER_BYTES];
    char *end;
    if (text.len == 0 || text.len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *ret_number = strtod(copy, &end);
    return *end == '\0';
}

struct line {
    struct str name;
    struct str labels; /* without their braces */
    double value;
};

/* Values of labels may have anything but line ends: what stands behind the last brace is not of
 * them. */
static bool split(struct str text, struct line *ret_line)
{
    ptrdiff_t brace = str_find(text, '{');
    ptrdiff_t blank = str_find(text, ' ');
    struct str rest;
    if (brace < 0 && blank < 0) {
        return false;
    }
    ret_line->labels = STR_EMPTY;
    if (brace < 0 || (blank >= 0 && blank < brace)) {
        ret_line->name = str_head(text, (size_t)blank);
        rest = str_tail(text, (size_t)blank);
    } else {
        size_t end = text.len;
        while (end > (size_t)brace && text.ptr[end - 1] != '}') {
            end--;
        }
        if (end == (size_t)brace) {
            return false;
        }
        ret_line->name = str_head(text, (size_t)brace);
        ret_line->labels = str_tail(str_head(text, end - 1), (size_t)brace + 1);
        rest = str_tail(text, end);
    }
    return to_number(str_trim(rest), &ret_line->value);
}

/* --- what they say --- */

static void add_to_bucket(struct top_histogram *h, const struct line *line)
{
    ptrdiff_t at = str_find_text(line->labels, STR("le=\""));
    struct str bound = str_tail(line->labels, (size_t)at + sizeof("le=\"") - 1);
    ptrdiff_t end = at < 0 ? -1 : str_find(bound, '"');
    if (end < 0 || h->n_buckets == TOP_BUCKETS_MAX ||
        !to_number(str_head(bound, (size_t)end), &h->bounds[h->n_buckets])) {
        return;
    }
    h->counts[h->n_buckets++] = line->value;
}

static void take_line(struct top_figures *figures, const struct line *line)
{
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        if (str_eq(line->name, str_of(sums[i].name))) {
            *(double *)(void *)((char *)figures + sums[i].offset) += line->value;
        }
    }
    for (size_t i = 0; i < sizeof(histograms) / sizeof(histograms[0]); i++) {
        if (str_eq(line->name, str_of(histograms[i].name))) {
            add_to_bucket((void *)((char *)figures + histograms[i].offset), line);
        }
    }
}

/* Families that have nothing to count yet have no samples: all begin with 0. */
enum status top_sample_read_figures(struct top_sample *sample, struct str text)
{
    struct top_figures figures = {.publications = 0};
    bool has_build = false;
    while (text.len > 0) {
        ptrdiff_t end = str_find(text, '\n');
        struct str one = str_head(text, end < 0 ? text.len : (size_t)end);
        struct line line;
        text = str_tail(text, end < 0 ? text.len : (size_t)end + 1);
        if (one.len == 0 || one.ptr[0] == '#') {
            continue;
        }
        if (!split(one, &line)) {
            return STATUS_INVALID;
        }
        has_build = has_build || str_eq(line.name, STR("belfry_node_build"));
        take_line(&figures, &line);
    }
    if (!has_build) {
        return STATUS_INVALID;
    }
    sample->figures = figures;
    sample->has_figures = true;
    return STATUS_OK;
}
