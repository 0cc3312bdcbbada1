/* SPDX-License-Identifier: MIT */
/* Unit metrics_upstreams writes family by family, as the format wants it, all upstreams in each.
 * All figures are gathered at first: the upstreams may have gone before all is written. */
#include "protocols/metrics_upstreams.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/metrics_text.h"

#define LABELS_MAX_BYTES ((size_t)16 << 20)

enum kind {
    KIND_SIZE,
    KIND_U64,
    KIND_OUTCOMES, /* a sample for each that has been */
    KIND_BREAKER,
    KIND_LATENCIES, /* once something was asked */
};

static const struct family {
    const char *name;
    const char *type;
    const char *help;
    enum kind kind;
    size_t offset;
} families[] = {
#define FAMILY(name_, type_, kind_, member, help_)                                                 \
    {                                                                                              \
        .name = name_, .type = type_, .help = help_, .kind = kind_,                                \
        .offset = offsetof(struct upstream_stats, member)                                          \
    }
    FAMILY("belfry_upstream_calls_total", "counter", KIND_OUTCOMES, n_outcomes,
           "Questions to an upstream, by what became of them."),
    FAMILY("belfry_upstream_attempts_total", "counter", KIND_U64, n_attempts,
           "Requests, with retries and second copies."),
    FAMILY("belfry_upstream_retries_total", "counter", KIND_U64, n_retries,
           "Requests made again after a failure."),
    FAMILY("belfry_upstream_hedges_total", "counter", KIND_U64, n_hedges,
           "Second copies of requests that took long."),
    FAMILY("belfry_upstream_hedges_won_total", "counter", KIND_U64, n_hedges_won,
           "Second copies that answered first."),
    FAMILY("belfry_upstream_budget_spent_total", "counter", KIND_U64, n_budget_spent,
           "Retries and second copies not made, as their budget was spent."),
    FAMILY("belfry_upstream_breaker_state", "gauge", KIND_BREAKER, breaker,
           "0: closed, 1: open, 2: half open."),
    FAMILY("belfry_upstream_breaker_opened_total", "counter", KIND_U64, n_opened,
           "Times that the circuit breaker opened."),
    FAMILY("belfry_upstream_active", "gauge", KIND_SIZE, n_active, "Requests under way."),
    FAMILY("belfry_upstream_waiting", "gauge", KIND_SIZE, n_waiting,
           "Questions that wait for a place or the rate limit."),
    FAMILY("belfry_upstream_duration_seconds", "histogram", KIND_LATENCIES, latencies,
           "The time of answered requests, without that of waiting for a place."),
#undef FAMILY
};

struct entry {
    struct upstream_stats stats;
    struct histogram latencies; /* stats.latencies */
    size_t labels_begin;        /* in the text of all */
    size_t labels_len;
};

struct metrics_upstreams {
    struct hub *hub; /* while it is gathered, as the next one */
    const char *feed;
    struct buf labels;
    struct entry *entries;
    size_t n_entries;
    size_t capacity;
    size_t family; /* where writing goes on */
    size_t entry;
};

/* --- gathering --- */

static void count_upstreams(void *arg, const struct feed_options *options,
                            const struct feed_stats *stats)
{
    struct metrics_upstreams *g = arg;
    (void)stats;
    g->capacity += options->upstreams.n_items;
}

/* Names need no escapes: the configuration allows none of \ " and line ends in them. */
static void gather_upstream(void *arg, const struct feed_upstream_options *options,
                            const struct upstream_stats *stats)
{
    struct metrics_upstreams *g = arg;
    if (g->n_entries == g->capacity) {
        return;
    }
    struct entry *e = &g->entries[g->n_entries++];
    e->stats = *stats;
    memcpy(&e->latencies, stats->latencies, sizeof(e->latencies));
    e->stats.latencies = &e->latencies;
    e->labels_begin = g->labels.len;
    buf_literal(&g->labels, "feed=\"");
    buf_append(&g->labels, str_of(g->feed));
    buf_literal(&g->labels, "\",upstream=\"");
    buf_append(&g->labels, str_of(options->name));
    buf_append_char(&g->labels, '"');
    e->labels_len = g->labels.len - e->labels_begin;
}

static void gather_feed(void *arg, const struct feed_options *options,
                        const struct feed_stats *stats)
{
    struct metrics_upstreams *g = arg;
    (void)stats;
    g->feed = options->name;
    hub_feed_upstreams(g->hub, options, gather_upstream, g);
}

/* --- writing --- */

static void write_labelled(struct buf *out, const struct family *f, struct str labels,
                           const char *label, const char *value, uint64_t count)
{
    buf_append(out, str_of(f->name));
    buf_append_char(out, '{');
    buf_append(out, labels);
    buf_append_char(out, ',');
    buf_append(out, str_of(label));
    buf_literal(out, "=\"");
    buf_append(out, str_of(value));
    buf_literal(out, "\"} ");
    buf_append_u64(out, count);
    buf_append_char(out, '\n');
}

static void write_outcomes(struct buf *out, const struct family *f, struct str labels,
                           const struct upstream_stats *stats)
{
    for (int i = 0; i < N_UPSTREAM_OUTCOMES; i++) {
        if (stats->n_outcomes[i] > 0) {
            write_labelled(out, f, labels, "outcome",
                           upstream_outcome_name((enum upstream_outcome)i), stats->n_outcomes[i]);
        }
    }
}

static uint64_t number_of_breaker(enum breaker_state state)
{
    switch (state) {
    case BREAKER_OPEN: return 1;
    case BREAKER_HALF_OPEN: return 2;
    default: return 0;
    }
}

static void write_entry(struct buf *out, const struct family *f, struct str labels,
                        const struct upstream_stats *stats)
{
    const void *place = (const char *)stats + f->offset;
    switch (f->kind) {
    case KIND_SIZE: metrics_write_u64(out, f->name, labels, *(const size_t *)place); break;
    case KIND_U64: metrics_write_u64(out, f->name, labels, *(const uint64_t *)place); break;
    case KIND_OUTCOMES: write_outcomes(out, f, labels, stats); break;
    case KIND_BREAKER:
        metrics_write_u64(out, f->name, labels, number_of_breaker(stats->breaker));
        break;
    case KIND_LATENCIES:
        if (stats->n_attempts > 0) {
            metrics_write_histogram(out, f->name, labels, METRICS_FROM_MILLISECONDS,
                                    stats->latencies);
        }
        break;
    }
}

bool metrics_upstreams_write(struct metrics_upstreams *g, struct buf *out, size_t n_max)
{
    struct str all = buf_str(&g->labels);
    for (; g->family < sizeof(families) / sizeof(families[0]); g->family++, g->entry = 0) {
        const struct family *f = &families[g->family];
        if (n_max == 0) {
            return true;
        }
        if (g->entry == 0) {
            metrics_write_head(out, f->name, f->type, f->help);
        }
        for (; g->entry < g->n_entries; g->entry++, n_max--) {
            if (n_max == 0) {
                return true;
            }
            const struct entry *e = &g->entries[g->entry];
            write_entry(out, f, str_head(str_tail(all, e->labels_begin), e->labels_len), &e->stats);
        }
    }
    return false;
}

/* --- the whole --- */

struct metrics_upstreams *metrics_upstreams_gather(struct hub *hub)
{
    struct metrics_upstreams *g = calloc(1, sizeof(*g));
    if (!g) {
        return NULL;
    }
    g->hub = hub;
    buf_init(&g->labels, LABELS_MAX_BYTES);
    hub_feeds(hub, count_upstreams, g);
    g->entries = calloc(g->capacity + 1, sizeof(*g->entries));
    if (g->entries) {
        hub_feeds(hub, gather_feed, g);
    }
    if (!g->entries || buf_failed(&g->labels)) {
        metrics_upstreams_destroy(g);
        return NULL;
    }
    return g;
}

void metrics_upstreams_destroy(struct metrics_upstreams *g)
{
    if (g) {
        buf_release(&g->labels);
        free(g->entries);
        free(g);
    }
}
