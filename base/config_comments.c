/* SPDX-License-Identifier: MIT */
/* Comments in a configuration file: to its end behind two slashes, or from slash-star to
 * star-slash. They become blanks before the document is parsed, so that the places in messages stay
 * what they are. No state. */
#include "base/config_internal.h"

enum where { IN_DOCUMENT, IN_STRING, IN_LINE_COMMENT, IN_BLOCK_COMMENT };

/* A character of more than one byte is one column in messages: one blank stands for it. */
static void append_blank(struct buf *out, char c)
{
    if (c == '\n' || c == '\r' || c == '\t') {
        buf_append_char(out, c);
    } else if (((unsigned char)c & 0xc0) != 0x80) {
        buf_append_char(out, ' ');
    }
}

static enum where step_in_document(struct str rest)
{
    if (str_starts_with(rest, STR("//"))) {
        return IN_LINE_COMMENT;
    }
    if (str_starts_with(rest, STR("/*"))) {
        return IN_BLOCK_COMMENT;
    }
    return rest.ptr[0] == '"' ? IN_STRING : IN_DOCUMENT;
}

/* How many bytes at the beginning of rest belong together; *where becomes what it is behind them.
 */
static size_t take(struct str rest, enum where *where)
{
    char c = rest.ptr[0];
    switch (*where) {
    case IN_DOCUMENT:
        *where = step_in_document(rest);
        return *where == IN_LINE_COMMENT || *where == IN_BLOCK_COMMENT ? 2 : 1;
    case IN_STRING:
        /* A string that lacks its end is for the parser to find: the line is over, and so is it. */
        *where = c == '"' || c == '\n' ? IN_DOCUMENT : IN_STRING;
        return c == '\\' && rest.len > 1 && rest.ptr[1] != '\n' ? 2 : 1;
    case IN_LINE_COMMENT: *where = c == '\n' ? IN_DOCUMENT : IN_LINE_COMMENT; return 1;
    case IN_BLOCK_COMMENT:
        if (str_starts_with(rest, STR("*/"))) {
            *where = IN_DOCUMENT;
            return 2;
        }
        return 1;
    }
    return 1;
}

static bool is_comment(enum where where)
{
    return where == IN_LINE_COMMENT || where == IN_BLOCK_COMMENT;
}

/* One byte, or two that are one thing. */
static void append(struct buf *out, struct str piece, bool is_shown)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (is_shown) {
            buf_append_char(out, piece.ptr[i]);
        } else {
            append_blank(out, piece.ptr[i]);
        }
    }
}

size_t config_blank_comments(struct str text, struct buf *out)
{
    enum where where = IN_DOCUMENT;
    struct str comment = STR_EMPTY; /* from its beginning on */
    size_t place = 0;               /* of its beginning, in out */
    while (text.len > 0) {
        enum where before = where;
        size_t n = take(text, &where);
        if (is_comment(where) && !is_comment(before)) {
            comment = text;
            place = out->len;
        }
        append(out, str_head(text, n), !is_comment(before) && !is_comment(where));
        text = str_tail(text, n);
    }
    if (where != IN_BLOCK_COMMENT) {
        return SIZE_MAX;
    }
    out->len = place;
    buf_append(out, comment);
    return place;
}
