/* SPDX-License-Identifier: MIT */
/* Durations, environment variables in values, and the parts of the messages. No state; see
 * base/config.c for the reader itself. */
#include "base/config_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "base/utf8.h"

enum { SHOWN_MAX_BYTES = 80, COMPARED_MAX_BYTES = 40 };

/* -- Durations --------------------------------------------------------------------------------- */

static const struct unit {
    const char *name;
    int64_t ms;
} units[] = {{"h", 3600000}, {"ms", 1}, {"m", 60000}, {"s", 1000}}; /* "ms" before "m" */

static const struct unit *unit_at(struct str text)
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (str_starts_with(text, str_of(units[i].name))) {
            return &units[i];
        }
    }
    return NULL;
}

static size_t count_digits(struct str text)
{
    size_t n = 0;

    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9') {
        n++;
    }
    return n;
}

bool config_parse_duration(struct str text, int64_t *ret_ms)
{
    int64_t sum = 0;

    if (str_eq(text, STR("0"))) {
        *ret_ms = 0;
        return true;
    }
    if (text.len == 0) {
        return false;
    }
    while (text.len > 0) {
        uint64_t number;
        int64_t part;
        size_t n_digits = count_digits(text);
        const struct unit *unit = unit_at(str_tail(text, n_digits));
        if (!unit || !str_to_u64(str_head(text, n_digits), &number) ||
            __builtin_mul_overflow(number, unit->ms, &part) ||
            __builtin_add_overflow(sum, part, &sum)) {
            return false;
        }
        text = str_tail(text, n_digits + strlen(unit->name));
    }
    *ret_ms = sum;
    return true;
}

static void append_duration(struct buf *out, int64_t ms)
{
    const struct unit *best = NULL;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        bool whole = ms % units[i].ms == 0;
        if (whole && (!best || units[i].ms > best->ms)) {
            best = &units[i];
        }
    }
    if (ms == 0) {
        best = unit_at(STR("s"));
    }
    buf_append_i64(out, ms / best->ms);
    buf_append(out, str_of(best->name));
}

/* -- ${NAME} ----------------------------------------------------------------------------------- */

static bool is_word(struct str s, const char *more)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool digit = c >= '0' && c <= '9' && i > 0;
        if (!letter && !digit && (c == '\0' || !strchr(more, c))) {
            return false;
        }
    }
    return s.len > 0;
}

/* text begins with "${". Appends the variable; returns how much of text it took, 0 on failure. */
static size_t expand_one(struct str text, struct buf *out, struct buf *problem)
{
    ptrdiff_t close = str_find(text, '}');
    struct str name = close < 0 ? STR_EMPTY : str_head(str_tail(text, 2), (size_t)close - 2);

    if (!is_word(name, "")) {
        buf_literal(problem, "${ must be followed by the name of an environment variable and } "
                             "(write $${ for these two characters themselves)");
        return 0;
    }
    char *terminated = str_dup(name);
    const char *value = terminated ? getenv(terminated) : NULL;
    free(terminated);
    if (!value || !utf8_valid(str_of(value))) {
        buf_literal(problem, "the environment variable ");
        config_append_key(problem, name);
        buf_append(problem, value ? STR(" is not valid UTF-8") : STR(" is not set"));
        return 0;
    }
    buf_append(out, str_of(value));
    return (size_t)close + 1;
}

bool config_expand(struct str text, struct buf *out, struct buf *problem)
{
    while (text.len > 0) {
        ptrdiff_t dollar = str_find(text, '$');
        size_t plain = dollar < 0 ? text.len : (size_t)dollar;
        size_t taken = 1;

        buf_append(out, str_head(text, plain));
        text = str_tail(text, plain);
        if (str_starts_with(text, STR("$${"))) {
            buf_literal(out, "${");
            taken = 3;
        } else if (str_starts_with(text, STR("${"))) {
            taken = expand_one(text, out, problem);
            if (taken == 0) {
                return false;
            }
        } else {
            buf_append(out, str_head(text, 1));
        }
        text = str_tail(text, taken);
    }
    return true;
}

/* -- Messages ---------------------------------------------------------------------------------- */

/* Where the last byte of this kind is; -1: nowhere. */
static ptrdiff_t find_last(struct str text, char byte)
{
    ptrdiff_t at = (ptrdiff_t)text.len - 1;

    while (at >= 0 && text.ptr[at] != byte) {
        at--;
    }
    return at;
}

/* "https://user:word@host" without what stands before '@'. An unescaped password may hold any
 * byte, so that everything up to the last '@' counts as one. */
static bool mask_password(struct str text, struct buf *out)
{
    ptrdiff_t end = find_last(text, '@');
    if (end < 0) {
        return false;
    }
    struct str head = str_head(text, (size_t)end);
    ptrdiff_t scheme = str_find_text(head, STR("://"));
    if (scheme < 0 && str_find(head, ':') < 0) {
        return false;
    }
    buf_append(out, str_head(head, scheme < 0 ? 0 : (size_t)scheme + 3));
    buf_literal(out, "...");
    buf_append(out, str_tail(text, (size_t)end));
    return true;
}

static void append_cut(struct buf *out, struct str text)
{
    size_t len = SHOWN_MAX_BYTES;

    if (text.len <= SHOWN_MAX_BYTES) {
        json_append_string(out, text);
        return;
    }
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80) {
        len--; /* not in the middle of a character */
    }
    json_append_string(out, str_head(text, len));
    buf_literal(out, "...");
}

void config_append_shown(struct buf *out, struct str text)
{
    struct buf masked = config_text_buf();

    if (str_find_text(text, STR("PRIVATE KEY")) >= 0) {
        buf_literal(out, "the value (not shown)");
    } else {
        append_cut(out, mask_password(text, &masked) ? buf_str(&masked) : text);
    }
    buf_release(&masked);
}

void config_append_key(struct buf *out, struct str key)
{
    if (key.len <= SHOWN_MAX_BYTES && is_word(key, "-0123456789")) {
        buf_append(out, key);
    } else {
        config_append_shown(out, key);
    }
}

static void append_limit(struct buf *out, const struct config_field *field, int64_t limit)
{
    if (field->type == CONFIG_DURATION) {
        append_duration(out, limit);
    } else {
        buf_append_i64(out, limit);
    }
}

static void append_range(struct buf *out, const struct config_field *field)
{
    if (field->min == 0 && field->max == 0) {
        return;
    }
    if (field->type == CONFIG_LIST) {
        buf_literal(out, ", at most ");
        append_limit(out, field, field->max);
        return;
    }
    if (field->max == INT64_MAX) {
        buf_literal(out, " of at least ");
        append_limit(out, field, field->min);
        return;
    }
    buf_append(out, field->type == CONFIG_STRING ? STR(" of ") : STR(" from "));
    append_limit(out, field, field->min);
    buf_literal(out, " to ");
    append_limit(out, field, field->max);
    if (field->type == CONFIG_STRING) {
        buf_literal(out, " bytes");
    }
}

static void append_choices(struct buf *out, const char *const *choices)
{
    buf_literal(out, "one of ");
    for (size_t i = 0; choices[i]; i++) {
        buf_append(out, i > 0 ? STR(", ") : STR_EMPTY);
        buf_append(out, choices[i][0] != '\0' ? str_of(choices[i]) : STR("\"\""));
    }
}

void config_append_expected(struct buf *out, const struct config_field *field)
{
    static const char *const words[] = {
        [CONFIG_BOOL] = "true or false",
        [CONFIG_INT] = "a whole number",
        [CONFIG_STRING] = "a text",
        [CONFIG_DURATION] = "a duration like \"250ms\", \"25s\" or \"1h30m\"",
        [CONFIG_STRINGS] = "a list of texts",
        [CONFIG_PAIRS] = "an object of names and texts",
        [CONFIG_OBJECT] = "an object",
        [CONFIG_LIST] = "a list of objects",
    };

    if (field->expected) {
        buf_append(out, str_of(field->expected));
    } else if (field->type == CONFIG_CHOICE) {
        append_choices(out, field->choices);
    } else {
        buf_append(out, str_of(words[field->type]));
        append_range(out, field);
    }
}

static unsigned smallest(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* How many letters must be changed, put in or taken out to make b of a (Levenshtein). */
static unsigned distance(struct str a, struct str b)
{
    unsigned row[COMPARED_MAX_BYTES + 1];

    if (a.len > COMPARED_MAX_BYTES || b.len > COMPARED_MAX_BYTES) {
        return UINT32_MAX;
    }
    for (unsigned j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned above = row[j];
            bool same =
                str_eq_nocase(str_head(str_tail(a, i - 1), 1), str_head(str_tail(b, j - 1), 1));
            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + !same);
            diagonal = above;
        }
    }
    return row[b.len];
}

static const char *similar_key(const struct config_shape *shape, struct str key)
{
    const char *best = NULL;
    size_t nearest = (key.len + 2) / 3 + 1; /* further away it is hardly a misspelling */

    for (size_t i = 0; i < shape->n_fields; i++) {
        unsigned changes = distance(key, str_of(shape->fields[i].key));
        if (changes < nearest) {
            nearest = changes;
            best = shape->fields[i].key;
        }
    }
    return best;
}

void config_append_unknown(struct buf *out, const struct config_shape *shape, struct str key)
{
    const char *similar = similar_key(shape, key);

    buf_literal(out, "unknown key");
    if (similar) {
        buf_literal(out, " (did you mean ");
        buf_append(out, str_of(similar));
        buf_literal(out, "?)");
    }
    for (size_t i = 0; i < shape->n_fields; i++) {
        buf_append(out, i == 0 ? STR("; known here: ") : STR(", "));
        buf_append(out, str_of(shape->fields[i].key));
    }
}
