/* SPDX-License-Identifier: MIT */
/* Lines for programs: one JSON object (RFC 8259) per event, its own members first: time, level,
 * module, event. Bytes that are no UTF-8 become U+FFFD. A line that is cut says "cut":true. No
 * state. */
#include <stdio.h>

#include "base/log_line.h"
#include "base/utf8.h"

/* One character; returns its length in text, 0 when the line has no room. */
static size_t put_char(struct log_line *line, struct str text)
{
    unsigned char c = (unsigned char)text.ptr[0];
    size_t len = utf8_sequence(text);
    char escape[8];
    if (len == 0) {
        return log_line_put(line, STR("\xef\xbf\xbd")) ? 1 : 0;
    }
    /* U+0080 to U+009F are control characters too, and terminals obey them. */
    bool is_late_control = c == 0xc2 && len == 2 && (text.ptr[1] & 0x60) == 0;
    if (is_late_control) {
        (void)snprintf(escape, sizeof(escape), "\\u00%02x", (unsigned char)text.ptr[1]);
        return log_line_put(line, str_of(escape)) ? len : 0;
    }
    if (c == '"' || c == '\\') {
        (void)snprintf(escape, sizeof(escape), "\\%c", c);
    } else if (c < ' ' || c == 0x7f) {
        (void)snprintf(escape, sizeof(escape), "\\u%04x", c);
    } else {
        return log_line_put(line, str_head(text, len)) ? len : 0;
    }
    return log_line_put(line, str_of(escape)) ? 1 : 0;
}

static void put_string(struct log_line *line, struct str text)
{
    bool is_cut = log_value_cut(&text);
    (void)log_line_put(line, STR("\""));
    while (text.len > 0) {
        size_t len = put_char(line, text);
        if (len == 0) {
            is_cut = true;
            break;
        }
        text = str_tail(text, len);
    }
    line->limit += sizeof("...\"") - 1;
    (void)log_line_put(line, is_cut ? STR("...\"") : STR("\""));
    line->limit -= sizeof("...\"") - 1;
}

static void put_member(struct log_line *line, const char *key, const char *text)
{
    (void)log_line_put(line, STR(",\""));
    (void)log_line_put(line, str_of(key));
    (void)log_line_put(line, STR("\":"));
    put_string(line, str_of(text));
}

/* False when the line has no room for the field. */
static bool put_field(struct log_line *line, const struct log_field *field)
{
    struct str key = str_of(field->key);
    if (line->len + key.len + 32 > line->limit) {
        return false;
    }
    (void)log_line_put(line, STR(",\""));
    (void)log_line_put(line, key);
    (void)log_line_put(line, STR("\":"));
    if (field->kind == LOG_FIELD_INT) {
        log_line_put_number(line, field->number);
    } else {
        put_string(line, field->text);
    }
    return true;
}

void log_json_write(struct log_line *line, const struct log_event *event)
{
    (void)log_line_put(line, STR("{\"time\":\""));
    log_line_put_time(line);
    (void)log_line_put(line, STR("\""));
    put_member(line, "level", log_level_name(event->level));
    put_member(line, "module", event->module);
    put_member(line, "event", event->name);
    for (size_t i = 0; i < event->n_fields; i++) {
        if (!put_field(line, &event->fields[i])) {
            line->limit = sizeof(line->text) - 2;
            (void)log_line_put(line, STR(",\"cut\":true"));
            break;
        }
    }
    line->limit = sizeof(line->text) - 1;
    (void)log_line_put(line, STR("}"));
}
