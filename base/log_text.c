/* SPDX-License-Identifier: MIT */
/* Lines for people: "time level module event key=value ...". Whatever a value holds, it cannot end
 * its line or look like another field: such values are quoted and their control characters
 * escaped. No state. */
#include <stdio.h>

#include "base/log_line.h"
#include "base/utf8.h"

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
static size_t put_quoted_char(struct log_line *line, struct str text)
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
        return log_line_put(line, str_head(text, len)) ? len : 0;
    }
    return log_line_put(line, str_of(escape)) ? 1 : 0;
}

static void put_quoted(struct log_line *line, struct str text, bool cut)
{
    (void)log_line_put(line, STR("\""));
    while (text.len > 0) {
        size_t len = put_quoted_char(line, text);
        if (len == 0) {
            cut = true;
            break;
        }
        text = str_tail(text, len);
    }
    line->limit += sizeof("...\"") - 1;
    (void)log_line_put(line, cut ? STR("...\"") : STR("\""));
    line->limit -= sizeof("...\"") - 1;
}

static void put_value(struct log_line *line, struct str text)
{
    bool cut = log_value_cut(&text);
    if (cut || needs_quotes(text) || !log_line_put(line, text)) {
        put_quoted(line, text, cut);
    }
}

/* False when the line has no room for the field. */
static bool put_field(struct log_line *line, const struct log_field *field)
{
    struct str key = str_of(field->key);
    if (line->len + key.len + 32 > line->limit) {
        return false;
    }
    (void)log_line_put(line, STR(" "));
    (void)log_line_put(line, key);
    (void)log_line_put(line, STR("="));
    if (field->kind == LOG_FIELD_INT) {
        log_line_put_number(line, field->number);
    } else {
        put_value(line, field->text);
    }
    return true;
}

void log_text_write(struct log_line *line, const struct log_event *event)
{
    log_line_put_time(line);
    (void)log_line_put(line, STR(" "));
    (void)log_line_put(line, str_of(log_level_name(event->level)));
    (void)log_line_put(line, STR(" "));
    (void)log_line_put(line, str_of(event->module));
    (void)log_line_put(line, STR(" "));
    (void)log_line_put(line, str_of(event->name));
    for (size_t i = 0; i < event->n_fields; i++) {
        if (!put_field(line, &event->fields[i])) {
            line->limit = sizeof(line->text) - 1;
            (void)log_line_put(line, STR(" ..."));
            break;
        }
    }
}
