/* SPDX-License-Identifier: MIT */
/* The log: one line per event, built on the stack and written by one write(2), so that lines of
 * different threads do not mix. Its level and form are set before there are threads, the level also
 * later. */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_line.h"
#include "base/utf8.h"

enum { LIMIT_MS = 1000, ENDING_BYTES = 32 };

static const char *const level_names[] = {"trace", "debug", "info", "warn", "error", "none"};
static _Atomic enum log_level lowest = LOG_INFO;
static _Atomic enum log_format format = LOG_TEXT;

/* --- level and form --- */

void log_set_level(enum log_level level)
{
    lowest = level;
}

void log_set_format(enum log_format wanted)
{
    format = wanted;
}

bool log_enabled(enum log_level level)
{
    return level >= lowest && level < LOG_NONE;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
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

/* --- what both forms are made of --- */

bool log_line_put(struct log_line *line, struct str s)
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

void log_line_put_time(struct log_line *line)
{
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char text[64];

    (void)gmtime_r(&seconds, &utc);
    size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(text + len, sizeof(text) - len, ".%03dZ", (int)(now_ms % 1000));
    (void)log_line_put(line, (struct str){text, len + (size_t)more});
}

void log_line_put_number(struct log_line *line, int64_t number)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%" PRId64, number);
    (void)log_line_put(line, (struct str){text, (size_t)len});
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

bool log_value_cut(struct str *value)
{
    if (value->len <= LOG_VALUE_MAX_BYTES) {
        return false;
    }
    *value = without_half_character(str_head(*value, LOG_VALUE_MAX_BYTES));
    return true;
}

/* --- writing --- */

static void write_line(const struct log_line *line)
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
    const struct log_event whole = {level, module, event, fields, n_fields};
    struct log_line line;
    line.len = 0;
    line.limit = sizeof(line.text) - ENDING_BYTES;
    if (format == LOG_JSON) {
        log_json_write(&line, &whole);
    } else {
        log_text_write(&line, &whole);
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
