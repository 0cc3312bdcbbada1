/* The terminal, by ncurses: one at a time. It is left as it was found. */
#ifndef BELFRY_TOOLS_TOP_VIEW_H
#define BELFRY_TOOLS_TOP_VIEW_H

#include "tools/top_page.h"

struct top_view;

/* Takes the terminal over: standard input and output. NULL: *ret_why says why it cannot be. Signals
 * that shall not be left to ncurses (SIGINT, SIGTERM, SIGWINCH) have their handlers before. */
struct top_view *top_view_open(const char **ret_why);
/* Accepts NULL. */
void top_view_close(struct top_view *view);

/* After SIGWINCH. */
void top_view_resize(struct top_view *view);
size_t top_view_width(const struct top_view *view);

enum top_key {
    TOP_KEY_OTHER,
    TOP_KEY_QUIT,
    TOP_KEY_SORT,
    TOP_KEY_PAUSE,
    TOP_KEY_HELP,
    TOP_KEY_UP,
    TOP_KEY_DOWN,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_HOME,
    TOP_KEY_END,
};
/* False: there is none. Never waits. */
bool top_view_key(struct top_view *view, enum top_key *ret_key);
/* The keys that move. */
void top_view_scroll(struct top_view *view, enum top_key key);

/* last: the line at the bottom. */
void top_view_draw(struct top_view *view, const struct top_page *page, const char *last,
                   enum top_style last_style);

#endif
