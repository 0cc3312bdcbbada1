/* SPDX-License-Identifier: MIT */
/* What has changed from one sample to the next. No state. */
#include <math.h>
#include <stddef.h>

#include "tools/top_sample.h"

#define NO_SPREAD                                                                                  \
    {                                                                                              \
        NAN, NAN, NAN                                                                              \
    }

/* A counter that went down is another hub's, or was started anew. */
static double rate_of(double before, double now, double seconds)
{
    return now >= before && seconds > 0 ? (now - before) / seconds : NAN;
}

/* --- histograms --- */

static double bound_of(const struct top_histogram *h, double count)
{
    for (size_t i = 0; i < h->n_buckets; i++) {
        if (h->counts[i] >= count) {
            return h->bounds[i];
        }
    }
    return NAN;
}

struct top_spread top_histogram_spread(const struct top_histogram *h)
{
    double n = h->n_buckets > 0 ? h->counts[h->n_buckets - 1] : 0;
    if (n <= 0) {
        return (struct top_spread)NO_SPREAD;
    }
    return (struct top_spread){bound_of(h, n * 0.5), bound_of(h, n * 0.99), bound_of(h, n)};
}

static struct top_spread spread_since(const struct top_histogram *before,
                                      const struct top_histogram *now)
{
    struct top_histogram since = *now;
    if (before->n_buckets != now->n_buckets) {
        return (struct top_spread)NO_SPREAD;
    }
    for (size_t i = 0; i < since.n_buckets; i++) {
        since.counts[i] -= before->counts[i];
    }
    return top_histogram_spread(&since);
}

/* --- the lists, whose order stays but for a configuration that is read again --- */

static const struct top_feed *find_feed(const struct top_sample *in, struct str name, size_t at)
{
    for (size_t i = 0; i < in->n_feeds; i++) {
        const struct top_feed *feed = &in->feeds[(at + i) % in->n_feeds];
        if (str_eq(feed->name, name)) {
            return feed;
        }
    }
    return NULL;
}

static const struct top_upstream *find_upstream(const struct top_sample *in,
                                                const struct top_upstream *wanted, size_t at)
{
    for (size_t i = 0; i < in->n_upstreams; i++) {
        const struct top_upstream *upstream = &in->upstreams[(at + i) % in->n_upstreams];
        if (str_eq(upstream->name, wanted->name) && str_eq(upstream->feed, wanted->feed)) {
            return upstream;
        }
    }
    return NULL;
}

double top_upstream_failures(const struct top_upstream *upstream)
{
    double sum = 0;
    for (int i = 0; i < N_UPSTREAM_OUTCOMES; i++) {
        if (i != UPSTREAM_OK && i != UPSTREAM_NOT_MODIFIED) {
            sum += upstream->outcomes[i];
        }
    }
    return sum;
}

static void compare_feeds(struct top_sample *now, const struct top_sample *before, double seconds)
{
    for (size_t i = 0; i < now->n_feeds; i++) {
        struct top_feed *feed = &now->feeds[i];
        const struct top_feed *old = find_feed(before, feed->name, i);
        feed->refreshes_per_s = old ? rate_of(old->refreshes, feed->refreshes, seconds) : NAN;
    }
}

static void compare_upstreams(struct top_sample *now, const struct top_sample *before,
                              double seconds)
{
    for (size_t i = 0; i < now->n_upstreams; i++) {
        struct top_upstream *u = &now->upstreams[i];
        const struct top_upstream *old = find_upstream(before, u, i);
        u->calls_per_s = old ? rate_of(old->calls, u->calls, seconds) : NAN;
        u->failures_per_s =
            old ? rate_of(top_upstream_failures(old), top_upstream_failures(u), seconds) : NAN;
    }
}

/* --- all --- */

static const struct top_rates no_rates = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NO_SPREAD, NO_SPREAD};

/* Uptime tells a restart, in whole seconds. */
static bool is_same_run(const struct top_sample *before, const struct top_sample *now)
{
    return !(now->hub.uptime_s < before->hub.uptime_s) && now->time_us > before->time_us;
}

static void compare_figures(struct top_rates *rates, const struct top_figures *before,
                            const struct top_figures *now, double seconds)
{
    rates->publications = rate_of(before->publications, now->publications, seconds);
    rates->messages_in = rate_of(before->messages_in, now->messages_in, seconds);
    rates->bytes_in = rate_of(before->bytes_in, now->bytes_in, seconds);
    rates->messages_out = rate_of(before->messages_out, now->messages_out, seconds);
    rates->bytes_out = rate_of(before->bytes_out, now->bytes_out, seconds);
    rates->commits = rate_of(before->commits, now->commits, seconds);
    rates->loop_lag = spread_since(&before->loop_lag, &now->loop_lag);
    rates->commit_time = spread_since(&before->commit_time, &now->commit_time);
}

void top_sample_compare(struct top_sample *now, const struct top_sample *before)
{
    now->rates = no_rates;
    if (!before || !is_same_run(before, now)) {
        return;
    }
    double seconds = (double)(now->time_us - before->time_us) / 1e6;
    now->rates.cpu_percent = rate_of(before->hub.cpu_s, now->hub.cpu_s, seconds) * 100;
    compare_figures(&now->rates, &before->figures, &now->figures, seconds);
    compare_feeds(now, before, seconds);
    compare_upstreams(now, before, seconds);
}
