/* SPDX-License-Identifier: MIT */
/* The configuration reader: walks a jansson document and the shapes together, so that every key of
 * either is looked at once and all errors are found in one pass. Read once at start, and for
 * requests that are small, on the main thread; memory that is short then ends the program. */
#include "base/config.h"

#include <assert.h>
#include <stdlib.h>

#include "base/config_internal.h"
#include "base/json_span.h"
#include "base/utf8.h"

/* -- Memory ------------------------------------------------------------------------------------ */

static void release_list(const struct config_field *field, struct config_list *list)
{
    for (size_t i = 0; i < list->n_items; i++) {
        if (field->type == CONFIG_STRINGS) {
            free(((char **)list->items)[i]);
        } else if (field->type == CONFIG_PAIRS) {
            free(((struct config_pair *)list->items)[i].name);
            free(((struct config_pair *)list->items)[i].text);
        } else {
            config_release(field->shape, (char *)list->items + i * field->shape->size);
        }
    }
    free(list->items);
    *list = (struct config_list){NULL, 0};
}

static void release_field(const struct config_field *field, void *place)
{
    switch (field->type) {
    case CONFIG_STRING:
        free(*(char **)place);
        *(char **)place = NULL;
        break;
    case CONFIG_STRINGS:
    case CONFIG_PAIRS:
    case CONFIG_LIST: release_list(field, place); break;
    case CONFIG_OBJECT: config_release(field->shape, place); break;
    case CONFIG_BOOL:
    case CONFIG_INT:
    case CONFIG_DURATION:
    case CONFIG_CHOICE: break;
    }
}

void config_release(const struct config_shape *shape, void *object)
{
    if (shape->release) {
        shape->release(object);
    }
    for (size_t i = 0; i < shape->n_fields; i++) {
        release_field(&shape->fields[i], (char *)object + shape->fields[i].offset);
    }
}

/* -- Values ------------------------------------------------------------------------------------ */

static bool parse_number(const struct config_field *field, struct str text, int64_t *ret_number)
{
    return field->type == CONFIG_DURATION ? config_parse_duration(text, ret_number)
                                          : json_to_i64(text, ret_number);
}

/* The default may lie outside the range: "0" for never, "" for none. */
static bool is_default_number(const struct config_field *field, int64_t number)
{
    int64_t fallback;

    return parse_number(field, str_of(field->fallback), &fallback) && number == fallback;
}

static bool store_number(const struct config_field *field, int64_t number, void *place)
{
    bool unlimited = field->min == 0 && field->max == 0;
    bool in_range = number >= field->min && number <= field->max;

    if (!unlimited && !in_range && !is_default_number(field, number)) {
        return false;
    }
    *(int64_t *)place = number;
    return true;
}

static bool store_text(const struct config_field *field, struct str text, void *place)
{
    bool limited = field->max > 0;
    bool in_range = (int64_t)text.len >= field->min && (int64_t)text.len <= field->max;
    bool is_default = field->fallback && str_eq(text, str_of(field->fallback));

    if ((limited && !in_range && !is_default) || !utf8_valid(text)) {
        return false;
    }
    free(*(char **)place);
    *(char **)place = config_must_have(str_dup(text));
    return true;
}

static bool store_choice(const struct config_field *field, struct str text, void *place)
{
    for (int i = 0; field->choices[i]; i++) {
        if (str_eq(text, str_of(field->choices[i]))) {
            *(int *)place = i;
            return true;
        }
    }
    return false;
}

/* Replaces the list by the words of a text. */
static bool store_words(const struct config_field *field, struct str text, void *place)
{
    struct config_list *list = place;

    if (!utf8_valid(text)) {
        return false;
    }
    release_list(field, list);
    /* Every second byte can begin a word. */
    char **words = config_must_have(calloc(text.len / 2 + 1, sizeof(char *)));
    for (text = str_trim(text); text.len > 0; text = str_trim(text)) {
        size_t len = strcspn(text.ptr, " \t\n"); /* the text is NUL-terminated */
        struct str word = str_head(text, len);
        if (len > 0) {
            words[list->n_items++] = config_must_have(str_dup(word));
        }
        text = str_tail(text, len + (len == 0));
    }
    list->items = words;
    return true;
}

/* A value from text, as it stands in the environment or as a default. */
static bool store(const struct config_field *field, struct str text, void *place)
{
    int64_t number;

    switch (field->type) {
    case CONFIG_BOOL: return json_to_bool(text, place);
    case CONFIG_INT:
    case CONFIG_DURATION:
        return parse_number(field, text, &number) && store_number(field, number, place);
    case CONFIG_STRING: return store_text(field, text, place);
    case CONFIG_CHOICE: return store_choice(field, text, place);
    case CONFIG_STRINGS: return store_words(field, text, place);
    case CONFIG_PAIRS:
    case CONFIG_OBJECT:
    case CONFIG_LIST: break;
    }
    return false;
}

/* The text of a string in the document; NULL after a complaint about an environment variable. */
static char *expand(struct config_reader *r, const json_t *value)
{
    struct str text = {json_string_value(value), json_string_length(value)};
    if (r->is_request) {
        return config_must_have(str_dup(text));
    }
    struct buf expanded = config_text_buf();
    struct buf problem = config_text_buf();
    if (config_expand(text, &expanded, &problem)) {
        buf_release(&problem);
        return config_text_take(&expanded);
    }
    buf_release(&expanded);
    struct buf error = config_begin_error(r);
    buf_append(&error, buf_str(&problem));
    buf_release(&problem);
    config_add_error(r, &error);
    return NULL;
}

static void read_string(struct config_reader *r, const struct config_field *field,
                        const json_t *value, void *place)
{
    char *text = json_is_string(value) ? expand(r, value) : NULL;

    if (!json_is_string(value) || (text && !store(field, str_of(text), place))) {
        config_complain_expected(r, field, value);
    }
    free(text);
}

static void read_number(struct config_reader *r, const struct config_field *field,
                        const json_t *value, void *place)
{
    if (!json_is_integer(value) || !store_number(field, json_integer_value(value), place)) {
        config_complain_expected(r, field, value);
    }
}

static void read_bool(struct config_reader *r, const struct config_field *field,
                      const json_t *value, void *place)
{
    if (!json_is_boolean(value)) {
        config_complain_expected(r, field, value);
        return;
    }
    *(bool *)place = json_is_true(value);
}

/* One text of a list or of an object of texts; NULL after a complaint. */
static char *read_text_item(struct config_reader *r, const struct config_field *list,
                            const json_t *value)
{
    const struct config_field item = {.type = CONFIG_STRING, .secret = list->secret};

    if (!json_is_string(value)) {
        config_complain_expected(r, &item, value);
        return NULL;
    }
    return expand(r, value);
}

static void read_strings(struct config_reader *r, const struct config_field *field,
                         const json_t *array, struct config_list *list)
{
    size_t n = json_array_size(array);

    if (!json_is_array(array)) {
        config_complain_expected(r, field, array);
        return;
    }
    release_list(field, list);
    char **texts = config_must_have(calloc(n + 1, sizeof(char *)));
    for (size_t i = 0; i < n; i++) {
        size_t outer = config_enter_item(r, i);
        char *text = read_text_item(r, field, json_array_get(array, i));
        texts[i] = text ? text : config_must_have(str_dup(STR_EMPTY));
        config_leave(r, outer);
    }
    *list = (struct config_list){texts, n};
}

static void read_pairs(struct config_reader *r, const struct config_field *field, json_t *object,
                       struct config_list *list)
{
    const char *name;
    json_t *value;
    size_t n = 0;

    if (!json_is_object(object)) {
        config_complain_expected(r, field, object);
        return;
    }
    struct config_pair *pairs =
        config_must_have(calloc(json_object_size(object) + 1, sizeof(*pairs)));
    json_object_foreach (object, name, value) {
        size_t outer = config_enter_key(r, str_of(name));
        char *text = read_text_item(r, field, value);
        pairs[n].name = config_must_have(str_dup(str_of(name)));
        pairs[n].text = text ? text : config_must_have(str_dup(STR_EMPTY));
        n++;
        config_leave(r, outer);
    }
    *list = (struct config_list){pairs, n};
}

static void read_object(struct config_reader *r, const struct config_shape *shape, json_t *json,
                        void *object);

/* Fills the object also when the document has something else in its place. */
static void read_part(struct config_reader *r, const struct config_field *field, json_t *json,
                      void *place)
{
    bool wrong = json && !json_is_object(json);
    bool mute = r->mute;

    if (wrong) {
        config_complain_expected(r, field, json);
    }
    r->mute = mute || wrong;
    read_object(r, field->shape, wrong ? NULL : json, place);
    r->mute = mute;
}

static void read_list(struct config_reader *r, const struct config_field *field, json_t *array,
                      struct config_list *list)
{
    const struct config_field item = {.type = CONFIG_OBJECT, .shape = field->shape};
    size_t n = json_array_size(array);

    if (!json_is_array(array) || (field->max > 0 && n > (size_t)field->max)) {
        config_complain_expected(r, field, array);
        return;
    }
    char *objects = config_must_have(calloc(n + 1, field->shape->size));
    r->in_lists++;
    for (size_t i = 0; i < n; i++) {
        size_t outer = config_enter_item(r, i);
        read_part(r, &item, json_array_get(array, i), objects + i * field->shape->size);
        config_leave(r, outer);
    }
    r->in_lists--;
    *list = (struct config_list){objects, n};
}

static void read_json(struct config_reader *r, const struct config_field *field, json_t *value,
                      void *place)
{
    switch (field->type) {
    case CONFIG_BOOL: read_bool(r, field, value, place); break;
    case CONFIG_INT: read_number(r, field, value, place); break;
    case CONFIG_STRING:
    case CONFIG_DURATION:
    case CONFIG_CHOICE: read_string(r, field, value, place); break;
    case CONFIG_STRINGS: read_strings(r, field, value, place); break;
    case CONFIG_PAIRS: read_pairs(r, field, value, place); break;
    case CONFIG_LIST: read_list(r, field, value, place); break;
    case CONFIG_OBJECT: break; /* see read_field() */
    }
}

static void set_default(const struct config_field *field, void *place)
{
    if (field->fallback) {
        bool fits = store(field, str_of(field->fallback), place);
        assert(fits && "a default that its own field does not accept");
        (void)fits;
    } else if (field->type == CONFIG_STRING) {
        *(char **)place = config_must_have(str_dup(STR_EMPTY));
    }
}

static void read_field(struct config_reader *r, const struct config_field *field, json_t *value,
                       void *place)
{
    size_t outer = config_enter_key(r, str_of(field->key));
    size_t errors_before = r->n_errors;
    const char *override = config_override_text(r, field);

    set_default(field, place);
    if (field->type == CONFIG_OBJECT) {
        read_part(r, field, value, place);
    } else if (override) {
        if (!store(field, str_of(override), place)) {
            config_complain_override(r, field, override);
        }
    } else if (value) {
        read_json(r, field, value, place);
    } else if (!field->fallback && field->type < CONFIG_STRINGS) {
        config_complain_missing(r, field);
    }
    if (field->accept && (override || value) && r->n_errors == errors_before) {
        const char *expected = field->accept(place);
        if (expected) {
            config_complain_accept(r, field, value, expected);
        }
    }
    config_leave(r, outer);
}

/* The object's memory is zeroed. First the keys in the order of the document, then the absent
 * ones. */
static void read_object(struct config_reader *r, const struct config_shape *shape, json_t *json,
                        void *object)
{
    const struct config_shape *outer_shape = r->shape;
    json_t *outer_json = r->json;
    const char *key;
    json_t *value;

    r->shape = shape;
    r->json = json;
    json_object_foreach (json, key, value) {
        const struct config_field *field = config_find_field(shape, str_of(key));
        if (field) {
            read_field(r, field, value, (char *)object + field->offset);
        } else {
            config_complain_unknown(r, str_of(key));
        }
    }
    for (size_t i = 0; i < shape->n_fields; i++) {
        const struct config_field *field = &shape->fields[i];
        if (!json_object_get(json, field->key)) {
            read_field(r, field, NULL, (char *)object + field->offset);
        }
    }
    if (shape->check && !r->mute) {
        shape->check(r, object);
    }
    r->shape = outer_shape;
    r->json = outer_json;
}

/* -- The whole --------------------------------------------------------------------------------- */

static void complain_syntax(struct config_reader *r, const json_error_t *error, size_t open_comment)
{
    if (open_comment != SIZE_MAX && (size_t)error->position == open_comment + 1) {
        config_complain_open_comment(r, error);
    } else {
        config_complain_syntax(r, error);
    }
}

/* The document, or NULL after a complaint. */
static json_t *parse(struct config_reader *r, struct str text)
{
    json_error_t error;
    size_t open_comment = SIZE_MAX;

    if (str_find(text, '\0') >= 0) { /* jansson would take it for the end */
        config_complain_document(r, "a NUL byte has no place in it");
        return NULL;
    }
    struct buf plain = config_text_buf();
    if (r->is_request) {
        buf_append(&plain, text);
    } else {
        open_comment = config_blank_comments(text, &plain);
    }
    size_t len = plain.len;
    char *document = config_text_take(&plain);
    json_t *root = json_loadb(document, len, JSON_REJECT_DUPLICATES, &error);
    free(document);
    if (!root) {
        complain_syntax(r, &error, open_comment);
    } else if (!json_is_object(root)) {
        config_complain_document(r, "a list [...] is not an object of settings");
        json_decref(root);
        root = NULL;
    }
    return root;
}

static enum status read_document(struct config_reader *r, struct str text,
                                 const struct config_shape *shape, void *object)
{
    memset(object, 0, shape->size);
    *r->errors = (struct config_errors){NULL, 0};
    json_t *root = parse(r, text);
    r->mute = root == NULL;
    read_object(r, shape, root, object);
    r->mute = false;
    config_note_dropped(r);
    config_forget_wrong(r);
    json_decref(root);
    buf_release(&r->path);
    return r->errors->n_texts == 0 ? STATUS_OK : STATUS_INVALID;
}

enum status config_read(struct str text, const struct config_shape *shape, void *object,
                        struct config_errors *ret_errors)
{
    struct config_reader r = {.path = config_text_buf(), .errors = ret_errors};
    enum status status = read_document(&r, text, shape, object);

    config_warn_of_variables(shape, text);
    return status;
}

enum status config_read_request(struct str text, const struct config_shape *shape, void *object,
                                struct config_errors *ret_errors)
{
    struct config_reader r = {.path = config_text_buf(), .is_request = true, .errors = ret_errors};

    return read_document(&r, text, shape, object);
}
