/* SPDX-License-Identifier: MIT */
/* Unit metrics_upstreams writes family by family, as the format wants it: each walks all upstreams.
 * No state. */
#include "protocols/metrics_upstreams.h"

#include <inttypes.h>
#include <stddef.h>

enum kind {
    KIND_SIZE,
    KIND_U64,
    KIND_OUTCOMES, /* a sample for each that has been */
    KIND_BREAKER,
    KIND_LATENCY, /* a sample for each quantile, once something was measured */
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
    FAMILY("belfry_upstream_latency_seconds", "gauge", KIND_LATENCY, p50_us,
           "Quantiles of the time of answered requests during the last minutes."),
#undef FAMILY
};

struct writing {
    struct buf *out;
    struct hub *hub;
    const struct family *family;
    const char *feed;
};

/* Names need no escapes: the configuration allows none of \ " and line ends in them. */
static void begin_sample(const struct writing *w, const char *upstream, const char *label,
                         const char *value)
{
    buf_printf(w->out, "%s{feed=\"%s\",upstream=\"%s\"", w->family->name, w->feed, upstream);
    if (label) {
        buf_printf(w->out, ",%s=\"%s\"", label, value);
    }
    buf_literal(w->out, "} ");
}

static void write_u64(const struct writing *w, const char *upstream, uint64_t number)
{
    begin_sample(w, upstream, NULL, NULL);
    buf_printf(w->out, "%" PRIu64 "\n", number);
}

static void write_outcomes(const struct writing *w, const char *upstream,
                           const struct upstream_stats *stats)
{
    for (int i = 0; i < N_UPSTREAM_OUTCOMES; i++) {
        if (stats->n_outcomes[i] > 0) {
            begin_sample(w, upstream, "outcome", upstream_outcome_name((enum upstream_outcome)i));
            buf_printf(w->out, "%" PRIu64 "\n", stats->n_outcomes[i]);
        }
    }
}

static void write_latency(const struct writing *w, const char *upstream,
                          const struct upstream_stats *stats)
{
    const struct {
        const char *quantile;
        int64_t us;
    } points[] = {{"0.5", stats->p50_us}, {"0.9", stats->p90_us}, {"0.99", stats->p99_us}};
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]) && stats->p50_us > 0; i++) {
        begin_sample(w, upstream, "quantile", points[i].quantile);
        buf_printf(w->out, "%.15g\n", (double)points[i].us / 1e6);
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

static void write_upstream(void *arg, const struct feed_upstream_options *options,
                           const struct upstream_stats *stats)
{
    const struct writing *w = arg;
    const void *place = (const char *)stats + w->family->offset;
    switch (w->family->kind) {
    case KIND_SIZE: write_u64(w, options->name, *(const size_t *)place); break;
    case KIND_U64: write_u64(w, options->name, *(const uint64_t *)place); break;
    case KIND_OUTCOMES: write_outcomes(w, options->name, stats); break;
    case KIND_BREAKER: write_u64(w, options->name, number_of_breaker(stats->breaker)); break;
    case KIND_LATENCY: write_latency(w, options->name, stats); break;
    }
}

static void write_feed(void *arg, const struct feed_options *options,
                       const struct feed_stats *stats)
{
    struct writing *w = arg;
    (void)stats;
    w->feed = options->name;
    hub_feed_upstreams(w->hub, options, write_upstream, w);
}

void metrics_write_upstreams(struct buf *out, struct hub *hub)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        const struct family *f = &families[i];
        struct writing writing = {.out = out, .hub = hub, .family = f};
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, f->type);
        hub_feeds(hub, write_feed, &writing);
    }
}
