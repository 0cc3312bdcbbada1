/* SPDX-License-Identifier: MIT */
/* What the view says, line by line. No state but the page, which is its caller's. */
#include "tools/top_page.h"

#include <math.h>
#include <stdlib.h>

#include "tools/top_units.h"

#define PAGE_MAX_BYTES ((size_t)64 << 20)

/* What the tables need beside the column of names. */
#define FEED_COLUMNS     58
#define UPSTREAM_COLUMNS 62 /* with the beginning of the outcomes */
#define NAME_WIDTH_MIN   12
#define NAME_WIDTH_MAX   40

void top_page_init(struct top_page *page)
{
    buf_init(&page->text, PAGE_MAX_BYTES);
    buf_init(&page->lines, PAGE_MAX_BYTES);
    page->n_head = 0;
}

void top_page_release(struct top_page *page)
{
    buf_release(&page->text);
    buf_release(&page->lines);
}

size_t top_page_n_lines(const struct top_page *page)
{
    return page->lines.len / sizeof(struct top_line);
}

struct str top_page_line(const struct top_page *page, size_t i, enum top_style *ret_style)
{
    struct top_line line;
    memcpy(&line, page->lines.ptr + i * sizeof(line), sizeof(line));
    *ret_style = line.style;
    return str_head(str_tail(buf_str(&page->text), line.at), line.len);
}

/* --- writing --- */

/* Puts what was written since the last line on a line of its own. */
static void end_line(struct top_page *page, enum top_style style)
{
    size_t n = top_page_n_lines(page);
    struct top_line line = {.style = style};
    if (n > 0) {
        struct top_line last;
        memcpy(&last, page->lines.ptr + (n - 1) * sizeof(last), sizeof(last));
        line.at = last.at + last.len;
    }
    line.len = page->text.len - line.at;
    buf_append(&page->lines, (struct str){(const char *)&line, sizeof(line)});
}

void top_append_printable(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        buf_append_char(out, c >= 0x20 && c < 0x7f ? (char)c : '?');
    }
}

/* Left in its column; '~' where it is cut. */
static void write_name(struct buf *out, struct str first, struct str second, size_t width)
{
    size_t begin = out->len;
    top_append_printable(out, first);
    buf_append(out, second.len > 0 ? STR("/") : STR_EMPTY);
    top_append_printable(out, second);
    if (buf_failed(out)) {
        return;
    }
    if (out->len - begin > width) {
        out->len = begin + width - 1;
        buf_append_char(out, '~');
    }
    buf_printf(out, "%*s", (int)(width - (out->len - begin)), "");
}

static size_t name_width(size_t longest, size_t width, size_t others)
{
    size_t room = width > others + NAME_WIDTH_MIN ? width - others : NAME_WIDTH_MIN;
    size_t wanted = longest < NAME_WIDTH_MIN   ? NAME_WIDTH_MIN
                    : longest > NAME_WIDTH_MAX ? NAME_WIDTH_MAX
                                               : longest;
    return wanted < room ? wanted : room;
}

/* --- the hub --- */

static void write_title(struct top_page *page, const struct top_sample *sample,
                        const struct top_wish *wish)
{
    struct buf *out = &page->text;
    buf_literal(out, "belfry ");
    if (sample && sample->has_hub) {
        top_append_printable(out, sample->hub.version);
        buf_append_char(out, ' ');
    }
    buf_literal(out, "at ");
    top_append_printable(out, str_of(wish->url));
    if (sample && sample->has_hub) {
        buf_printf(out, "  up %s  cpu %s  memory %s", top_span(sample->hub.uptime_s).text,
                   top_percent(sample->rates.cpu_percent).text,
                   top_bytes(sample->hub.memory_bytes).text);
    }
    if (sample && !isnan(wish->age_s)) {
        buf_printf(out, "  %s OLD", top_span(wish->age_s).text);
    }
    end_line(page, TOP_TITLE);
}

static void write_hub(struct top_page *page, const struct top_sample *sample)
{
    const struct top_hub *hub = &sample->hub;
    if (!sample->has_hub) {
        buf_literal(&page->text, "clients: ");
        top_append_printable(&page->text, sample->hub_refused);
        end_line(page, TOP_WARNING);
        return;
    }
    buf_printf(&page->text, "connections  clients %s  users %s  subscriptions %s  channels %s",
               top_count(hub->n_clients).text, top_count(hub->n_users).text,
               top_count(hub->n_subscriptions).text, top_count(hub->n_channels).text);
    end_line(page, TOP_PLAIN);
}

static void write_figures(struct top_page *page, const struct top_sample *sample, const char *why)
{
    const struct top_figures *f = &sample->figures;
    const struct top_rates *r = &sample->rates;
    struct buf *out = &page->text;
    if (!sample->has_figures) {
        buf_literal(out, "messages, loop lag and storage are not told: ");
        top_append_printable(out, str_of(why));
        end_line(page, TOP_NOTE);
        return;
    }
    buf_printf(out, "messages/s   in %s (%s/s)  out %s (%s/s)  published %s",
               top_rate(r->messages_in).text, top_bytes(r->bytes_in).text,
               top_rate(r->messages_out).text, top_bytes(r->bytes_out).text,
               top_rate(r->publications).text);
    end_line(page, TOP_PLAIN);
    buf_printf(out, "loop lag     p50 %s  p99 %s  at most %s  slow clients %s",
               top_duration(r->loop_lag.p50).text, top_duration(r->loop_lag.p99).text,
               top_duration(r->loop_lag.highest).text, top_count(f->slow_clients).text);
    end_line(page, TOP_PLAIN);
    buf_printf(out, "storage      queue %s (%s of %s)  commits/s %s  p99 %s",
               top_count(f->queue_length).text, top_bytes(f->queue_bytes).text,
               top_bytes(f->queue_max_bytes).text, top_rate(r->commits).text,
               top_duration(r->commit_time.p99).text);
    end_line(page, f->queue_bytes > f->queue_max_bytes / 2 ? TOP_ALARM : TOP_PLAIN);
}

/* --- feeds --- */

static void write_feed(struct top_page *page, const struct top_feed *feed, size_t width)
{
    double last_s = feed->last_time > 0 ? feed->last_duration_ms / 1e3 : NAN;
    write_name(&page->text, feed->name, STR_EMPTY, width);
    buf_printf(&page->text, "%7s%9s%9s%9s%8s%8s%8s", top_rate(feed->refreshes_per_s).text,
               top_duration(last_s).text, top_duration(feed->p50_ms / 1e3).text,
               top_duration(feed->p99_ms / 1e3).text, top_count(feed->watched).text,
               top_count(feed->shared).text, top_count(feed->failed).text);
    end_line(page, TOP_PLAIN);
}

static void write_feeds(struct top_page *page, const struct top_sample *sample, size_t width)
{
    size_t longest = 0;
    for (size_t i = 0; i < sample->n_feeds; i++) {
        size_t len = sample->feeds[i].name.len;
        longest = len > longest ? len : longest;
    }
    size_t name = name_width(longest, width, FEED_COLUMNS);
    buf_printf(&page->text, "%-*s%7s%9s%9s%9s%8s%8s%8s", (int)name, "FEED", "RUNS/S", "LAST", "P50",
               "P99", "WATCHED", "SHARED", "FAILED");
    end_line(page, TOP_HEADING);
    for (size_t i = 0; i < sample->n_feeds; i++) {
        write_feed(page, &sample->feeds[i], name);
    }
}

/* --- upstreams --- */

const char *top_order_name(enum top_order order)
{
    static const char *const names[] = {"p99", "failures/s", "calls/s", "name"};
    return names[order % TOP_N_ORDERS];
}

static int compare_text(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int difference = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return difference != 0 ? difference : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *left, const void *right)
{
    const struct top_upstream *a = *(const struct top_upstream *const *)left;
    const struct top_upstream *b = *(const struct top_upstream *const *)right;
    int difference = compare_text(a->feed, b->feed);
    return difference != 0 ? difference : compare_text(a->name, b->name);
}

/* The largest first, what is unknown last. */
static int compare_numbers(double a, double b)
{
    if (isnan(a) || isnan(b)) {
        return (isnan(a) != 0) - (isnan(b) != 0);
    }
    return (a < b) - (a > b);
}

#define BY(function, member)                                                                       \
    static int function(const void *left, const void *right)                                       \
    {                                                                                              \
        const struct top_upstream *a = *(const struct top_upstream *const *)left;                  \
        const struct top_upstream *b = *(const struct top_upstream *const *)right;                 \
        int difference = compare_numbers(a->member, b->member);                                    \
        return difference != 0 ? difference : by_name(left, right);                                \
    }
BY(by_p99, p99_ms)
BY(by_failures, failures_per_s)
BY(by_calls, calls_per_s)

/* What became of the calls. Failures first: a narrow terminal cuts the rest. */
static void write_outcomes(struct buf *out, const struct top_upstream *u)
{
    double good = u->outcomes[UPSTREAM_OK] + u->outcomes[UPSTREAM_NOT_MODIFIED];
    buf_append_char(out, ' ');
    for (int i = 0; i < N_UPSTREAM_OUTCOMES; i++) {
        if (i != UPSTREAM_OK && i != UPSTREAM_NOT_MODIFIED && u->outcomes[i] > 0) {
            buf_printf(out, " %s %s", upstream_outcome_name((enum upstream_outcome)i),
                       top_count(u->outcomes[i]).text);
        }
    }
    buf_printf(out, " ok %s", top_count(good).text);
}

static enum top_style style_of(const struct top_upstream *u)
{
    if (str_eq(u->breaker, STR("open"))) {
        return TOP_ALARM;
    }
    return str_eq(u->breaker, STR("half_open")) || u->failures_per_s > 0 ? TOP_WARNING : TOP_PLAIN;
}

static void write_upstream(struct top_page *page, const struct top_upstream *u, size_t width)
{
    struct buf *out = &page->text;
    write_name(out, u->feed, u->name, width);
    buf_literal(out, "  ");
    write_name(out, u->breaker, STR_EMPTY, 9);
    buf_printf(out, "%8s%7s%9s%9s%5s", top_rate(u->calls_per_s).text,
               top_rate(u->failures_per_s).text, top_duration(u->p50_ms / 1e3).text,
               top_duration(u->p99_ms / 1e3).text, top_count(u->waiting).text);
    write_outcomes(out, u);
    end_line(page, style_of(u));
}

static void write_upstream_heading(struct top_page *page, size_t name)
{
    buf_printf(&page->text, "%-*s  %-9s%8s%7s%9s%9s%5s  %s", (int)name, "UPSTREAM", "BREAKER",
               "CALLS/S", "FAIL/S", "P50", "P99", "WAIT", "OUTCOMES");
    end_line(page, TOP_HEADING);
}

static enum status write_upstreams(struct top_page *page, const struct top_sample *sample,
                                   const struct top_wish *wish)
{
    static int (*const orders[TOP_N_ORDERS])(const void *, const void *) = {by_p99, by_failures,
                                                                            by_calls, by_name};
    const struct top_upstream **sorted = calloc(sample->n_upstreams + 1, sizeof(*sorted));
    size_t longest = 0;
    if (!sorted) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < sample->n_upstreams; i++) {
        const struct top_upstream *u = &sample->upstreams[i];
        size_t len = u->feed.len + 1 + u->name.len;
        sorted[i] = u;
        longest = len > longest ? len : longest;
    }
    qsort(sorted, sample->n_upstreams, sizeof(*sorted), orders[wish->order % TOP_N_ORDERS]);
    size_t name = name_width(longest, wish->width, UPSTREAM_COLUMNS);
    write_upstream_heading(page, name);
    for (size_t i = 0; i < sample->n_upstreams; i++) {
        write_upstream(page, sorted[i], name);
    }
    free(sorted);
    return STATUS_OK;
}

static enum status write_tables(struct top_page *page, const struct top_sample *sample,
                                const struct top_wish *wish)
{
    if (!sample->has_feeds) {
        buf_literal(&page->text, "feeds: ");
        top_append_printable(&page->text, sample->feeds_refused);
        end_line(page, TOP_WARNING);
        return STATUS_OK;
    }
    if (sample->n_feeds == 0) {
        buf_literal(&page->text, "no feeds are configured");
        end_line(page, TOP_NOTE);
        return STATUS_OK;
    }
    write_feeds(page, sample, wish->width);
    end_line(page, TOP_PLAIN);
    return write_upstreams(page, sample, wish);
}

/* --- all --- */

static void clear(struct top_page *page)
{
    buf_clear(&page->text);
    buf_clear(&page->lines);
    page->n_head = 0;
}

static enum status outcome_of(const struct top_page *page)
{
    return buf_failed(&page->text) || buf_failed(&page->lines) ? STATUS_NO_MEMORY : STATUS_OK;
}

enum status top_page_write(struct top_page *page, const struct top_sample *sample,
                           const struct top_wish *wish)
{
    clear(page);
    write_title(page, sample, wish);
    if (!sample) {
        return outcome_of(page);
    }
    write_hub(page, sample);
    write_figures(page, sample, wish->figures_why);
    end_line(page, TOP_PLAIN);
    page->n_head = top_page_n_lines(page);
    enum status status = write_tables(page, sample, wish);
    return status == STATUS_OK ? outcome_of(page) : status;
}

enum status top_page_write_help(struct top_page *page)
{
    static const char *const lines[] = {
        "Keys",
        "  q            quit",
        "  s            sort upstreams by p99, failures/s, calls/s, name",
        "  p            pause, and go on",
        "  arrows, page up, page down, home, end      scroll",
        "  ?            this; any key goes back",
        "",
        "What is per second is the change since the sample before, \"-\" is not known.",
        "SHARED, FAILED, slow clients and OUTCOMES are sums since the hub's start. Loop",
        "lag and commits are upper bounds, of the time since the sample before. P50 and",
        "P99 are of the last minutes; a feed has those of its slowest upstream, for",
        "which a refresh waits.",
        "Yellow: a call failed since the sample before. Red: the breaker is open.",
    };
    clear(page);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        buf_append(&page->text, str_of(lines[i]));
        end_line(page, i == 0 ? TOP_TITLE : TOP_PLAIN);
    }
    return outcome_of(page);
}
