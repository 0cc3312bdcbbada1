/* SPDX-License-Identifier: MIT */
/* The log: one line per event, built on the stack and written by one write(2), so that lines of
 * different threads do not mix. Whatever a value holds, it cannot end its line or look like
 * another field: such values are quoted and their control characters escaped. */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

enum { LINE_MAX_BYTES = 4096, VALUE_MAX_BYTES = 1024, LIMIT_MS = 1000 };

static const char *const level_names[] = {"trace", "debug", "info", "warn", "error", "none"};
static enum log_level lowest = LOG_INFO;

struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
    size_t limit; /* the tail of text is kept for the ellipsis, the closing quote and the newline */
};

void log_set_level(enum log_level level)
{
    lowest = level;
}

bool log_enabled(enum log_level level)
{
    return level >= lowest && level < LOG_NONE;
}

bool log_level_of(struct str name, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (str_eq(name, str_of(level_names[i]))) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* All or nothing, so that no character and no escape is cut in half. */
static bool put(struct line *line, struct str s)
{
    if (line->len + s.len > line->limit) {
        return false;
    }
    if (s.len > 0) { /* else it may be NULL */
        memcpy(line->text + line->len, s.ptr, s.len);
        line->len += s.len;
    }
    return true;
}

static void put_time(struct line *line)
{
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char text[64];

    (void)gmtime_r(&seconds, &utc);
    size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(text + len, sizeof(text) - len, ".%03dZ", (int)(now_ms % 1000));
    (void)put(line, (struct str){text, len + (size_t)more});
}

static bool needs_quotes(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') {
            return true;
        }
    }
    return text.len == 0;
}

/* One character of a quoted value; returns its length in text, 0 when the line has no room. */
static size_t put_quoted_char(struct line *line, struct str text)
{
    unsigned char c = (unsigned char)text.ptr[0];
    size_t len = utf8_sequence(text);
    char escape[8];
    /* U+0080 to U+009F are control characters too, and terminals obey them. */
    bool control = c < ' ' || c == 0x7f || (c == 0xc2 && len == 2 && (text.ptr[1] & 0x60) == 0);

    if (c == '"' || c == '\\') {
        (void)snprintf(escape, sizeof(escape), "\\%c", c);
    } else if (c == '\n') {
        (void)snprintf(escape, sizeof(escape), "\\n");
    } else if (control || len == 0) {
        /* The tail of a refused sequence is then none by itself, and escaped too. */
        (void)snprintf(escape, sizeof(escape), "\\x%02x", c);
    } else {
        return put(line, str_head(text, len)) ? len : 0;
    }
    return put(line, str_of(escape)) ? 1 : 0;
}

static void put_quoted(struct line *line, struct str text, bool cut)
{
    (void)put(line, STR("\""));
    while (text.len > 0) {
        size_t len = put_quoted_char(line, text);
        if (len == 0) {
            cut = true;
            break;
        }
        text = str_tail(text, len);
    }
    line->limit += sizeof("...\"") - 1;
    (void)put(line, cut ? STR("...\"") : STR("\""));
    line->limit -= sizeof("...\"") - 1;
}

static struct str without_half_character(struct str text)
{
    for (size_t back = 1; back <= 3 && back <= text.len; back++) {
        unsigned char c = (unsigned char)text.ptr[text.len - back];
        if (c >= 0xc0) { /* a lead byte near the cut */
            struct str last = str_tail(text, text.len - back);
            return utf8_sequence(last) == last.len ? text : str_head(text, text.len - back);
        }
        if (c < 0x80) {
            break;
        }
    }
    return text;
}

static void put_value(struct line *line, struct str text)
{
    bool cut = text.len > VALUE_MAX_BYTES;

    if (cut) {
        text = without_half_character(str_head(text, VALUE_MAX_BYTES));
    }
    if (cut || needs_quotes(text) || !put(line, text)) {
        put_quoted(line, text, cut);
    }
}

/* False when the line has no room for the field. */
static bool put_field(struct line *line, const struct log_field *field)
{
    char number[24];
    struct str key = str_of(field->key);
    struct str text = field->text;

    if (line->len + key.len + sizeof(number) + 8 > line->limit) {
        return false;
    }
    (void)put(line, STR(" "));
    (void)put(line, key);
    (void)put(line, STR("="));
    if (field->kind == LOG_FIELD_INT) {
        int len = snprintf(number, sizeof(number), "%" PRId64, field->number);
        text = (struct str){number, (size_t)len};
    }
    put_value(line, text);
    return true;
}

static void write_line(const struct line *line)
{
    int callers_errno = errno;
    ssize_t written;

    do {
        written = write(STDERR_FILENO, line->text, line->len);
    } while (written < 0 && errno == EINTR);
    errno = callers_errno; /* nobody is left to tell when stderr fails */
}

void log_write(enum log_level level, const char *module, const char *event,
               const struct log_field *fields, size_t n_fields)
{
    struct line line;

    line.len = 0;
    line.limit = sizeof(line.text) - 16;
    put_time(&line);
    (void)put(&line, STR(" "));
    (void)put(&line, str_of(level_names[level]));
    (void)put(&line, STR(" "));
    (void)put(&line, str_of(module));
    (void)put(&line, STR(" "));
    (void)put(&line, str_of(event));
    for (size_t i = 0; i < n_fields; i++) {
        if (!put_field(&line, &fields[i])) {
            line.limit = sizeof(line.text) - 1;
            (void)put(&line, STR(" ..."));
            break;
        }
    }
    line.text[line.len++] = '\n';
    write_line(&line);
}

bool log_permits(struct log_limit *limit)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < limit->next_ms) {
        limit->n_waiting++;
        return false;
    }
    limit->next_ms = now_ms + LIMIT_MS;
    limit->n_left_out = limit->n_waiting;
    limit->n_waiting = 0;
    return true;
}
