/* SPDX-License-Identifier: MIT */
/* The only unit that knows ncurses. State: ncurses' own (a screen, its window) and how far is
 * scrolled. */
#include "tools/top_view.h"

#include <curses.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <term.h>
#include <unistd.h>

/* A terminal with fewer lines scrolls all, else the head would leave no room for the rest. */
#define LINES_FOR_HEAD 14

#define ESCAPE_MS 25 /* a lone escape is no arrow */

struct top_view {
    SCREEN *screen;
    size_t scrolled; /* lines */
    size_t n_body;   /* lines of the last page that are scrolled */
    size_t n_room;   /* and for which there was room */
    bool has_colors;
};

/* --- life --- */

static bool wants_colors(void)
{
    const char *no_color = getenv("NO_COLOR");
    return has_colors() && (!no_color || !*no_color);
}

static void set_colors(struct top_view *view)
{
    view->has_colors = wants_colors() && start_color() == OK && use_default_colors() == OK;
    if (view->has_colors) {
        init_pair(TOP_NOTE, COLOR_CYAN, -1);
        init_pair(TOP_WARNING, COLOR_YELLOW, -1);
        init_pair(TOP_ALARM, COLOR_RED, -1);
    }
}

static bool is_capable(const char **ret_why)
{
    int error;
    if (setupterm(NULL, STDOUT_FILENO, &error) != OK) {
        *ret_why = "this kind of terminal (TERM) is not known here";
        return false;
    }
    const char *move = tigetstr("cup");
    bool can_move = move && move != (const char *)-1;
    del_curterm(cur_term);
    *ret_why = "this kind of terminal (TERM) cannot be drawn on";
    return can_move;
}

struct top_view *top_view_open(const char **ret_why)
{
    struct top_view *view = calloc(1, sizeof(*view));
    if (!view || !is_capable(ret_why)) {
        free(view);
        return NULL;
    }
    view->screen = newterm(NULL, stdout, stdin);
    if (!view->screen) {
        free(view);
        return NULL;
    }
    set_escdelay(ESCAPE_MS);
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    leaveok(stdscr, TRUE);
    curs_set(0);
    set_colors(view);
    return view;
}

void top_view_close(struct top_view *view)
{
    if (view) {
        endwin();
        delscreen(view->screen);
        free(view);
    }
}

void top_view_resize(struct top_view *view)
{
    struct winsize size;
    (void)view;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        resizeterm(size.ws_row, size.ws_col);
        clearok(curscr, TRUE); /* what a terminal does to its lines meanwhile is its own affair */
    }
}

size_t top_view_width(const struct top_view *view)
{
    (void)view;
    return COLS > 0 ? (size_t)COLS : 1;
}

/* --- keys --- */

static enum top_key key_of(int c)
{
    switch (c) {
    case 'q':
    case 'Q': return TOP_KEY_QUIT;
    case 's': return TOP_KEY_SORT;
    case 'p':
    case ' ': return TOP_KEY_PAUSE;
    case '?':
    case 'h': return TOP_KEY_HELP;
    case KEY_UP:
    case 'k': return TOP_KEY_UP;
    case KEY_DOWN:
    case 'j': return TOP_KEY_DOWN;
    case KEY_PPAGE: return TOP_KEY_PAGE_UP;
    case KEY_NPAGE: return TOP_KEY_PAGE_DOWN;
    case KEY_HOME:
    case 'g': return TOP_KEY_HOME;
    case KEY_END:
    case 'G': return TOP_KEY_END;
    default: return TOP_KEY_OTHER;
    }
}

bool top_view_key(struct top_view *view, enum top_key *ret_key)
{
    int c;
    (void)view;
    do {
        c = getch();
    } while (c == KEY_RESIZE); /* ncurses' own word for what SIGWINCH has told already */
    *ret_key = key_of(c);
    return c != ERR;
}

static size_t last_position(const struct top_view *view)
{
    return view->n_body > view->n_room ? view->n_body - view->n_room : 0;
}

void top_view_scroll(struct top_view *view, enum top_key key)
{
    size_t page = view->n_room > 1 ? view->n_room - 1 : 1;
    size_t at = view->scrolled;
    switch (key) {
    case TOP_KEY_UP: view->scrolled = at > 0 ? at - 1 : 0; break;
    case TOP_KEY_DOWN: view->scrolled = at + 1; break;
    case TOP_KEY_PAGE_UP: view->scrolled = at > page ? at - page : 0; break;
    case TOP_KEY_PAGE_DOWN: view->scrolled = at + page; break;
    case TOP_KEY_HOME: view->scrolled = 0; break;
    case TOP_KEY_END: view->scrolled = last_position(view); break;
    default: break;
    }
    if (view->scrolled > last_position(view)) {
        view->scrolled = last_position(view);
    }
}

/* --- drawing --- */

static attr_t attributes_of(const struct top_view *view, enum top_style style)
{
    attr_t color = view->has_colors ? (attr_t)COLOR_PAIR(style) : 0;
    switch (style) {
    case TOP_TITLE: return A_BOLD;
    case TOP_HEADING: return A_REVERSE;
    case TOP_NOTE:
    case TOP_WARNING: return color;
    case TOP_ALARM: return color | A_BOLD;
    default: return A_NORMAL;
    }
}

static void draw_line(const struct top_view *view, int y, struct str text, enum top_style style)
{
    attr_t attributes = attributes_of(view, style);
    size_t len = text.len < (size_t)COLS ? text.len : (size_t)COLS;
    if (y < 0 || y >= LINES) {
        return;
    }
    (void)wattr_on(stdscr, attributes, NULL);
    mvaddnstr(y, 0, text.len > 0 ? text.ptr : "", (int)len);
    if (style == TOP_HEADING && len < (size_t)COLS) {
        hline(' ', COLS - (int)len);
    }
    (void)wattr_off(stdscr, attributes, NULL);
}

static void draw_lines(const struct top_view *view, const struct top_page *page, size_t first,
                       size_t n, int y)
{
    for (size_t i = 0; i < n; i++) {
        enum top_style style;
        struct str text = top_page_line(page, first + i, &style);
        draw_line(view, y + (int)i, text, style);
    }
}

void top_view_draw(struct top_view *view, const struct top_page *page, const char *last,
                   enum top_style last_style)
{
    size_t n_lines = top_page_n_lines(page);
    size_t n_rows = LINES > 1 ? (size_t)LINES - 1 : 0;
    size_t n_head = LINES >= LINES_FOR_HEAD ? page->n_head : 0;
    view->n_body = n_lines - n_head;
    view->n_room = n_rows - n_head;
    top_view_scroll(view, TOP_KEY_OTHER); /* there may be less than before */
    size_t n_left = view->n_body - view->scrolled;
    erase();
    draw_lines(view, page, 0, n_head, 0);
    draw_lines(view, page, n_head + view->scrolled, n_left < view->n_room ? n_left : view->n_room,
               (int)n_head);
    draw_line(view, LINES - 1, str_of(last), last_style);
    refresh();
}
