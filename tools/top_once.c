/* SPDX-License-Identifier: MIT */
/* A sample as lines of text. No state. */
#include "tools/top_once.h"

#include <math.h>
#include <stdio.h>

#include "tools/top_page.h"

static void write_text(struct buf *out, const char *name, struct str text)
{
    buf_printf(out, " %s=", name);
    top_append_printable(out, text);
}

static void write_number(struct buf *out, const char *name, double number)
{
    if (!isnan(number)) {
        buf_printf(out, " %s=%.15g", name, number);
    }
}

static void write_members(struct buf *out, const struct top_member *members, const void *figures)
{
    for (const struct top_member *m = members; m->name; m++) {
        write_number(out, m->name, top_member_of(m, figures));
    }
}

static void write_spread(struct buf *out, const char *name, const struct top_histogram *h)
{
    struct top_spread spread = top_histogram_spread(h);
    const struct {
        const char *name;
        double seconds;
    } points[] = {{"p50", spread.p50}, {"p99", spread.p99}, {"highest", spread.highest}};
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        char text[40];
        (void)snprintf(text, sizeof(text), "%s_%s_ms", name, points[i].name);
        write_number(out, text, points[i].seconds * 1e3);
    }
}

static void write_upstream(struct buf *out, const struct top_upstream *u)
{
    buf_literal(out, "upstream");
    write_text(out, "feed", u->feed);
    write_text(out, "name", u->name);
    write_text(out, "breaker", u->breaker);
    write_members(out, top_upstream_members, u);
    for (int i = 0; i < N_UPSTREAM_OUTCOMES; i++) {
        write_number(out, upstream_outcome_name((enum upstream_outcome)i), u->outcomes[i]);
    }
    buf_append_char(out, '\n');
}

static void write_feed(struct buf *out, const struct top_feed *feed)
{
    buf_literal(out, "feed");
    write_text(out, "name", feed->name);
    write_members(out, top_feed_members, feed);
    write_number(out, "p50_ms", feed->p50_ms);
    write_number(out, "p90_ms", feed->p90_ms);
    write_number(out, "p99_ms", feed->p99_ms);
    buf_append_char(out, '\n');
}

void top_once_write(struct buf *out, const struct top_sample *sample)
{
    if (sample->has_hub) {
        buf_literal(out, "hub");
        write_text(out, "version", sample->hub.version);
        write_members(out, top_hub_members, &sample->hub);
        buf_append_char(out, '\n');
    }
    if (sample->has_figures) {
        buf_literal(out, "metrics");
        write_members(out, top_figure_members, &sample->figures);
        write_spread(out, "loop_lag", &sample->figures.loop_lag);
        write_spread(out, "commit", &sample->figures.commit_time);
        buf_append_char(out, '\n');
    }
    for (size_t i = 0; i < sample->n_feeds; i++) {
        write_feed(out, &sample->feeds[i]);
    }
    for (size_t i = 0; i < sample->n_upstreams; i++) {
        write_upstream(out, &sample->upstreams[i]);
    }
}
