/* A line of the log in the making; for log.c and its two forms. */
#ifndef BELFRY_BASE_LOG_LINE_H
#define BELFRY_BASE_LOG_LINE_H

#include "base/log.h"

enum { LOG_LINE_MAX_BYTES = 4096, LOG_VALUE_MAX_BYTES = 1024 };

struct log_line {
    char text[LOG_LINE_MAX_BYTES];
    size_t len;
    size_t limit; /* the tail of text is kept for what ends a line that is cut */
};

struct log_event {
    enum log_level level;
    const char *module;
    const char *name;
    const struct log_field *fields;
    size_t n_fields;
};

/* All or nothing, so that no character and no escape is cut in half. */
bool log_line_put(struct log_line *line, struct str s);
/* UTC, in milliseconds. */
void log_line_put_time(struct log_line *line);
void log_line_put_number(struct log_line *line, int64_t number);
/* Cuts a value that is too long, between characters. True: it was. */
bool log_value_cut(struct str *value);
const char *log_level_name(enum log_level level);

/* log_text.c, log_json.c: the whole line but for its newline. */
void log_text_write(struct log_line *line, const struct log_event *event);
void log_json_write(struct log_line *line, const struct log_event *event);

#endif
