/* SPDX-License-Identifier: MIT */
/* Where the configuration reader is, and its complaints: one sentence each, which begins with the
 * path of the key. No value of a secret key gets into one. */
#include "base/config_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { ERRORS_MAX = 200 };

void *config_must_have(void *memory)
{
    if (!memory) {
        (void)fputs("not enough memory to read the configuration\n", stderr);
        abort();
    }
    return memory;
}

struct buf config_text_buf(void)
{
    struct buf b;

    buf_init(&b, SIZE_MAX / 4);
    return b;
}

char *config_text_take(struct buf *b)
{
    return config_must_have(buf_take(b));
}

/* -- Where the reader is ----------------------------------------------------------------------- */

size_t config_enter_key(struct config_reader *r, struct str key)
{
    size_t outer = r->path.len;

    if (outer > 0) {
        buf_append_char(&r->path, '.');
    }
    config_append_key(&r->path, key);
    return outer;
}

size_t config_enter_item(struct config_reader *r, size_t index)
{
    size_t outer = r->path.len;

    buf_printf(&r->path, "[%zu]", index);
    return outer;
}

void config_leave(struct config_reader *r, size_t outer)
{
    r->path.len = outer;
}

const struct config_field *config_find_field(const struct config_shape *shape, struct str key)
{
    for (size_t i = 0; i < shape->n_fields; i++) {
        if (str_eq(str_of(shape->fields[i].key), key)) {
            return &shape->fields[i];
        }
    }
    return NULL;
}

/* -- Complaints -------------------------------------------------------------------------------- */

/* Does one path lead to the other, or are they the same? */
static bool is_on_the_way(struct str a, struct str b)
{
    struct str shorter = a.len < b.len ? a : b;
    struct str longer = a.len < b.len ? b : a;

    return str_starts_with(longer, shorter) &&
           (longer.len == shorter.len || strchr(".[", longer.ptr[shorter.len]));
}

static bool is_good_at(const struct config_reader *r, struct str path)
{
    /* Beyond the maximum nothing more is said. */
    bool is_good = r->n_errors <= ERRORS_MAX;

    for (size_t i = 0; i < r->n_wrong && is_good; i++) {
        is_good = !is_on_the_way(str_of(r->wrong[i]), path);
    }
    return is_good;
}

bool config_is_good(const struct config_reader *reader, const char *path)
{
    struct buf full = config_text_buf();

    buf_append(&full, buf_str(&reader->path));
    buf_append(&full, full.len > 0 ? STR(".") : STR_EMPTY);
    buf_append(&full, str_of(path));
    bool is_good = is_good_at(reader, buf_str(&full));
    buf_release(&full);
    return is_good;
}

static void note_wrong(struct config_reader *r)
{
    if (r->mute || r->n_errors > ERRORS_MAX || r->path.len == 0) {
        return;
    }
    r->wrong = config_must_have(realloc(r->wrong, (r->n_wrong + 1) * sizeof(char *)));
    r->wrong[r->n_wrong++] = config_must_have(str_dup(buf_str(&r->path)));
}

void config_forget_wrong(struct config_reader *r)
{
    for (size_t i = 0; i < r->n_wrong; i++) {
        free(r->wrong[i]);
    }
    free(r->wrong);
    r->wrong = NULL;
    r->n_wrong = 0;
}

static void keep_error(struct config_reader *r, struct buf *text)
{
    char *taken = config_text_take(text);

    if (r->mute || r->n_errors++ >= ERRORS_MAX) {
        free(taken);
        return;
    }
    struct config_errors *errors = r->errors;
    size_t size = (errors->n_texts + 1) * sizeof(char *);
    errors->texts = config_must_have(realloc(errors->texts, size));
    errors->texts[errors->n_texts++] = taken;
}

void config_add_error(struct config_reader *r, struct buf *text)
{
    note_wrong(r);
    keep_error(r, text);
}

struct buf config_begin_error(const struct config_reader *r)
{
    struct buf text = config_text_buf();

    buf_append(&text, buf_str(&r->path));
    buf_append(&text, r->path.len > 0 ? STR(": ") : STR_EMPTY);
    return text;
}

/* What is found in a message for a value of the document. Of a container only the kind is named:
 * it may hold secrets. */
static void append_json(struct buf *out, const json_t *value)
{
    if (json_is_object(value)) {
        buf_literal(out, "an object {...}");
    } else if (json_is_array(value)) {
        buf_literal(out, "a list [...]");
    } else if (json_is_string(value)) {
        config_append_shown(out, (struct str){json_string_value(value), json_string_length(value)});
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        buf_append(out, str_of(config_must_have(text)));
        free(text);
    }
}

static void append_kind(struct buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        buf_literal(out, "a text");
    } else {
        append_json(out, value);
    }
}

void config_complain_expected(struct config_reader *r, const struct config_field *field,
                              const json_t *value)
{
    struct buf text = config_begin_error(r);

    if (field->secret) {
        buf_literal(&text, "the value (not shown)");
    } else if (field->shape) {
        append_kind(&text, value);
    } else {
        append_json(&text, value);
    }
    buf_literal(&text, " is not ");
    config_append_expected(&text, field);
    config_add_error(r, &text);
}

/* An error's beginning that names the environment variable. */
static struct buf begin_override_error(const struct config_reader *r)
{
    struct buf text = config_text_buf();
    char *name = config_override_name(r);

    buf_append(&text, buf_str(&r->path));
    buf_printf(&text, " (from %s): ", name);
    free(name);
    return text;
}

void config_complain_override(struct config_reader *r, const struct config_field *field,
                              const char *value)
{
    struct buf text = begin_override_error(r);

    if (field->secret) {
        buf_literal(&text, "the value (not shown)");
    } else {
        config_append_shown(&text, str_of(value));
    }
    buf_literal(&text, " is not ");
    config_append_expected(&text, field);
    config_add_error(r, &text);
}

void config_complain_missing(struct config_reader *r, const struct config_field *field)
{
    struct buf text = config_begin_error(r);

    buf_literal(&text, "missing, expected ");
    config_append_expected(&text, field);
    config_add_error(r, &text);
}

void config_complain_unknown(struct config_reader *r, struct str key)
{
    if (r->n_errors >= ERRORS_MAX) {
        r->n_errors++; /* looking for what was meant takes time */
        return;
    }
    size_t outer = config_enter_key(r, key);
    struct buf text = config_begin_error(r);
    config_leave(r, outer);
    config_append_unknown(&text, r->shape, key);
    keep_error(r, &text); /* it says nothing about values */
}

/* -- Checks ------------------------------------------------------------------------------------ */

/* What a key's value is, for a complaint: given by the caller, from the environment, from the
 * document, or the default. */
static void append_value(struct config_reader *r, struct buf *out, const struct config_field *field,
                         const json_t *found, const char *given)
{
    const char *override = field ? config_override_text(r, field) : NULL;

    if (field && field->secret) {
        buf_literal(out, "the value (not shown)");
    } else if (given) {
        buf_append(out, str_of(given));
    } else if (override) {
        config_append_shown(out, str_of(override));
    } else if (found) {
        append_json(out, found);
    } else if (field && field->fallback) {
        buf_literal(out, "the default ");
        config_append_shown(out, str_of(field->fallback));
    }
}

/* At the key complained about. */
static struct buf begin_complaint(const struct config_reader *r, const struct config_field *field)
{
    return field && config_override_text(r, field) ? begin_override_error(r)
                                                   : config_begin_error(r);
}

static void complain_of_value(struct config_reader *r, const struct config_field *field,
                              const json_t *found, const char *given, const char *expected)
{
    struct buf value = config_text_buf();
    struct buf text = begin_complaint(r, field);

    append_value(r, &value, field, found, given);
    if (value.len > 0) {
        buf_append(&text, buf_str(&value));
        buf_literal(&text, " is not ");
    } else {
        buf_literal(&text, "missing, expected ");
    }
    buf_release(&value);
    buf_append(&text, str_of(expected));
    config_add_error(r, &text);
}

void config_complain_accept(struct config_reader *r, const struct config_field *field,
                            const json_t *found, const char *expected)
{
    complain_of_value(r, field, found, NULL, expected);
}

/* What a path from the object being checked leads to. */
struct target {
    const struct config_field *field;
    const json_t *found; /* NULL: the document has none */
    unsigned n_lists;    /* around it, from the object on */
};

/* Takes the index of "[2]" from the path. */
static void enter_index(struct config_reader *r, struct str *path, struct target *target)
{
    ptrdiff_t close = str_find(*path, ']');
    uint64_t index = 0;

    assert(close > 1);
    bool is_number = str_to_u64(str_head(str_tail(*path, 1), (size_t)close - 1), &index);
    assert(is_number);
    (void)is_number;
    (void)config_enter_item(r, (size_t)index);
    target->found = json_array_get(target->found, (size_t)index);
    target->n_lists++;
    *path = str_tail(*path, (size_t)close + 1);
}

/* The reader is at the place afterwards. */
static struct target enter_path(struct config_reader *r, struct str path)
{
    struct target target = {.found = r->json};
    const struct config_shape *shape = r->shape;

    while (path.len > 0) {
        size_t len = strcspn(path.ptr, ".["); /* the path is NUL-terminated */
        target.field = config_find_field(shape, str_head(path, len));
        assert(target.field && "a check complains about a key that there is");
        (void)config_enter_key(r, str_head(path, len));
        target.found = json_object_get(target.found, target.field->key);
        path = str_tail(path, len);
        if (str_starts_with(path, STR("["))) {
            enter_index(r, &path, &target);
        }
        path = str_tail(path, path.len > 0);
        shape = target.field->shape;
    }
    return target;
}

void config_complain(struct config_reader *reader, const char *key, const char *value,
                     const char *expected)
{
    size_t outer = reader->path.len;
    struct target target = enter_path(reader, str_of(key));

    reader->in_lists += target.n_lists;
    if (is_good_at(reader, buf_str(&reader->path))) {
        complain_of_value(reader, target.field, target.found, value, expected);
    }
    reader->in_lists -= target.n_lists;
    config_leave(reader, outer);
}

void config_complain_need(struct config_reader *reader, const char *key, const char *expected)
{
    size_t outer = reader->path.len;
    struct target target = enter_path(reader, str_of(key));

    reader->in_lists += target.n_lists;
    if (is_good_at(reader, buf_str(&reader->path))) {
        struct buf text = begin_complaint(reader, target.field);
        buf_literal(&text, "expected ");
        buf_append(&text, str_of(expected));
        config_add_error(reader, &text);
    }
    reader->in_lists -= target.n_lists;
    config_leave(reader, outer);
}

void config_complain_item(struct config_reader *reader, const char *key, size_t index,
                          const char *item_key, const char *value, const char *expected)
{
    struct buf path = config_text_buf();

    buf_printf(&path, "%s[%zu]%s%s", key, index, item_key ? "." : "", item_key ? item_key : "");
    char *text = config_text_take(&path);
    config_complain(reader, text, value, expected);
    free(text);
}

void config_complain_document(struct config_reader *r, const char *problem)
{
    struct buf text = config_text_buf();

    buf_append(&text, str_of(problem));
    config_add_error(r, &text);
}

/* jansson's text ends with what stands at the place; that may be a secret, so it is cut off. */
void config_complain_syntax(struct config_reader *r, const json_error_t *error)
{
    struct str what = {error->text, strlen(error->text)};
    const char *near = strstr(error->text, " near ");
    struct buf text = config_text_buf();

    if (near && json_error_code(error) != json_error_duplicate_key) {
        what = str_head(what, (size_t)(near - error->text));
    }
    buf_printf(&text, "line %d, column %d: ", error->line, error->column);
    buf_append(&text, what);
    config_add_error(r, &text);
}

void config_complain_open_comment(struct config_reader *r, const json_error_t *error)
{
    struct buf text = config_text_buf();

    buf_printf(&text, "line %d, column %d: a comment that begins here with /* has no */",
               error->line, error->column);
    config_add_error(r, &text);
}

void config_note_dropped(struct config_reader *r)
{
    if (r->n_errors <= ERRORS_MAX) {
        return;
    }
    struct buf text = config_text_buf();
    buf_printf(&text, "%zu more errors are not shown", r->n_errors - ERRORS_MAX);
    r->n_errors = 0; /* make room for this one */
    config_add_error(r, &text);
}

void config_errors_release(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->n_texts; i++) {
        free(errors->texts[i]);
    }
    free(errors->texts);
    *errors = (struct config_errors){NULL, 0};
}
