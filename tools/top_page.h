/* The lines of the terminal view, without the terminal. */
#ifndef BELFRY_TOOLS_TOP_PAGE_H
#define BELFRY_TOOLS_TOP_PAGE_H

#include "base/buf.h"
#include "tools/top_sample.h"

enum top_style {
    TOP_PLAIN,
    TOP_TITLE,
    TOP_HEADING, /* of a table */
    TOP_NOTE,
    TOP_WARNING,
    TOP_ALARM,
    TOP_N_STYLES,
};

struct top_line {
    size_t at; /* in the text */
    size_t len;
    enum top_style style;
};

struct top_page {
    struct buf text;  /* printable ASCII only, whatever the hub says */
    struct buf lines; /* of struct top_line */
    size_t n_head;    /* lines that should stay while others are scrolled */
};

enum top_order { TOP_BY_P99, TOP_BY_FAILURES, TOP_BY_CALLS, TOP_BY_NAME, TOP_N_ORDERS };
const char *top_order_name(enum top_order order); /* "p99", "failures/s", "calls/s", "name" */

struct top_wish {
    const char *url;
    enum top_order order;    /* of upstreams */
    size_t width;            /* of the terminal */
    const char *figures_why; /* why there are none of /metrics */
    double age_s;            /* of a sample that is not the newest state; NAN: it is */
};

void top_page_init(struct top_page *page);
void top_page_release(struct top_page *page);
/* Takes the place of what was there. STATUS_NO_MEMORY. sample: NULL: there is none yet. */
enum status top_page_write(struct top_page *page, const struct top_sample *sample,
                           const struct top_wish *wish) MUST_CHECK;
enum status top_page_write_help(struct top_page *page) MUST_CHECK;

size_t top_page_n_lines(const struct top_page *page);
struct str top_page_line(const struct top_page *page, size_t i, enum top_style *ret_style);

/* A copy with '?' for what is not printable ASCII: a terminal obeys some of the rest. */
void top_append_printable(struct buf *out, struct str text);

#endif
