/* SPDX-License-Identifier: MIT */
/* What the shapes say, as JSON: a schema for editors, and all the defaults. Shapes that stand in
 * several places are written once, under the path of the first. For commands; no state. */
#include "base/config_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "base/json_span.h"

/* A ${NAME} may stand for any text. */
#define VARIABLE "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}"

struct place {
    const struct config_shape *shape;
    char *path; /* of the first time that it is found */
    bool repeats;
};

struct schema {
    struct place *places;
    size_t n_places;
    struct buf path;
    json_t *definitions;
};

/* -- Small things ------------------------------------------------------------------------------ */

static void set(json_t *object, const char *key, json_t *value)
{
    int failed = json_object_set_new(object, key, value);
    config_must_have(failed ? NULL : object);
}

static void append(json_t *array, json_t *value)
{
    int failed = json_array_append_new(array, value);
    config_must_have(failed ? NULL : array);
}

static json_t *text_json(const char *text)
{
    return config_must_have(json_string(text));
}

static json_t *new_object(void)
{
    return config_must_have(json_object());
}

static json_t *new_array(void)
{
    return config_must_have(json_array());
}

/* {"key": value} */
static json_t *object_of(const char *key, json_t *value)
{
    json_t *object = new_object();
    set(object, key, value);
    return object;
}

static char *dump(json_t *root)
{
    char *text = config_must_have(json_dumps(root, JSON_INDENT(2)));
    json_decref(root);
    return text;
}

/* -- Defaults ---------------------------------------------------------------------------------- */

static json_t *words_json(struct str text)
{
    json_t *words = new_array();
    for (text = str_trim(text); text.len > 0; text = str_trim(text)) {
        ptrdiff_t blank = str_find(text, ' ');
        size_t len = blank < 0 ? text.len : (size_t)blank;
        append(words, config_must_have(json_stringn(text.ptr, len)));
        text = str_tail(text, len);
    }
    return words;
}

static json_t *number_json(const char *text)
{
    int64_t number = 0;
    bool is_number = json_to_i64(str_of(text), &number);
    assert(is_number && "a default that its own field does not accept");
    (void)is_number;
    return config_must_have(json_integer(number));
}

/* Of a field that is no object. */
static json_t *default_json(const struct config_field *field)
{
    const char *text = field->fallback ? field->fallback : "";
    switch (field->type) {
    case CONFIG_BOOL: return config_must_have(json_boolean(strcmp(text, "true") == 0));
    case CONFIG_INT: return number_json(text);
    case CONFIG_STRING:
    case CONFIG_DURATION:
    case CONFIG_CHOICE: return text_json(text);
    case CONFIG_STRINGS: return words_json(str_of(text));
    case CONFIG_LIST: return new_array();
    case CONFIG_PAIRS:
    case CONFIG_OBJECT: break;
    }
    return new_object();
}

static bool is_required(const struct config_field *field)
{
    return !field->fallback && field->type < CONFIG_STRINGS;
}

static json_t *defaults_of(const struct config_shape *shape)
{
    json_t *object = new_object();
    for (size_t i = 0; i < shape->n_fields; i++) {
        const struct config_field *field = &shape->fields[i];
        if (field->type == CONFIG_OBJECT) {
            set(object, field->key, defaults_of(field->shape));
        } else if (!is_required(field)) {
            set(object, field->key, default_json(field));
        }
    }
    return object;
}

char *config_defaults(const struct config_shape *shape)
{
    return dump(defaults_of(shape));
}

/* -- Which shapes repeat ----------------------------------------------------------------------- */

static struct place *place_of(const struct schema *s, const struct config_shape *shape)
{
    for (size_t i = 0; i < s->n_places; i++) {
        if (s->places[i].shape == shape) {
            return &s->places[i];
        }
    }
    return NULL;
}

static void find_places(struct schema *s, const struct config_shape *shape);

static void find_place(struct schema *s, const struct config_field *field)
{
    struct place *known = place_of(s, field->shape);
    if (known) {
        known->repeats = true;
        return;
    }
    size_t outer = s->path.len;
    buf_printf(&s->path, "%s%s", outer > 0 ? "." : "", field->key);
    s->places = config_must_have(realloc(s->places, (s->n_places + 1) * sizeof(*s->places)));
    s->places[s->n_places++] =
        (struct place){.shape = field->shape, .path = config_must_have(str_dup(buf_str(&s->path)))};
    find_places(s, field->shape);
    s->path.len = outer;
}

static void find_places(struct schema *s, const struct config_shape *shape)
{
    for (size_t i = 0; i < shape->n_fields; i++) {
        if (shape->fields[i].shape) {
            find_place(s, &shape->fields[i]);
        }
    }
}

/* -- Single values ----------------------------------------------------------------------------- */

static void set_range(json_t *to, const char *min_key, int64_t min, const char *max_key,
                      int64_t max)
{
    set(to, min_key, config_must_have(json_integer(min)));
    if (max != INT64_MAX) {
        set(to, max_key, config_must_have(json_integer(max)));
    }
}

/* One of several, each an object of its own beside the type. */
static json_t *either(json_t *schema)
{
    json_t *ways = new_array();
    set(schema, "anyOf", ways);
    return ways;
}

static void add_int(json_t *schema, const struct config_field *field)
{
    int64_t number = 0;
    bool has_default = field->fallback && json_to_i64(str_of(field->fallback), &number);
    set(schema, "type", text_json("integer"));
    if (field->min == 0 && field->max == 0) {
        return;
    }
    if (!has_default || (number >= field->min && number <= field->max)) {
        set_range(schema, "minimum", field->min, "maximum", field->max);
        return;
    }
    json_t *ways = either(schema);
    json_t *range = new_object();
    append(ways, object_of("const", default_json(field)));
    set_range(range, "minimum", field->min, "maximum", field->max);
    append(ways, range);
}

/* A schema counts characters, of one byte to four: nothing shorter or longer can be right. */
static void add_string(json_t *schema, const struct config_field *field)
{
    set(schema, "type", text_json("string"));
    if (field->max == 0) {
        return;
    }
    json_t *ways = either(schema);
    json_t *range = new_object();
    set_range(range, "minLength", (field->min + 3) / 4, "maxLength", field->max);
    append(ways, range);
    append(ways, object_of("pattern", text_json(VARIABLE)));
    if (field->fallback) {
        append(ways, object_of("const", text_json(field->fallback)));
    }
}

/* Some fields take fewer than the names that they share with others. */
static bool accepts_choice(const struct config_field *field, int index)
{
    return !field->accept || field->accept(&index) == NULL;
}

static void add_choice(json_t *schema, const struct config_field *field)
{
    json_t *names = new_array();
    set(schema, "type", text_json("string"));
    json_t *ways = either(schema);
    for (int i = 0; field->choices[i]; i++) {
        if (accepts_choice(field, i)) {
            append(names, text_json(field->choices[i]));
        }
    }
    append(ways, object_of("enum", names));
    append(ways, object_of("pattern", text_json(VARIABLE)));
}

static void add_duration(json_t *schema)
{
    set(schema, "type", text_json("string"));
    set(schema, "pattern", text_json("^(0|([0-9]+(h|ms|m|s))+)$|" VARIABLE));
}

/* -- Whole shapes ------------------------------------------------------------------------------ */

static json_t *shape_schema(struct schema *s, const struct config_shape *shape);

/* What a value of this shape is: the thing itself, or where it stands. */
static json_t *shape_or_place(struct schema *s, const struct config_shape *shape)
{
    const struct place *place = place_of(s, shape);
    if (!place->repeats) {
        return shape_schema(s, shape);
    }
    if (!json_object_get(s->definitions, place->path)) {
        set(s->definitions, place->path,
            config_must_have(json_null())); /* its place in the order */
        set(s->definitions, place->path, shape_schema(s, shape));
    }
    struct buf reference = config_text_buf();
    buf_printf(&reference, "#/$defs/%s", place->path);
    char *text = config_text_take(&reference);
    json_t *schema = object_of("$ref", text_json(text));
    free(text);
    return schema;
}

static void add_list(json_t *schema, const struct config_field *field, json_t *items)
{
    set(schema, "type", text_json("array"));
    set(schema, "items", items);
    if (field->type == CONFIG_LIST && field->max > 0) {
        set(schema, "maxItems", config_must_have(json_integer(field->max)));
    }
}

static void add_type(struct schema *s, json_t *schema, const struct config_field *field)
{
    switch (field->type) {
    case CONFIG_BOOL: set(schema, "type", text_json("boolean")); break;
    case CONFIG_INT: add_int(schema, field); break;
    case CONFIG_STRING: add_string(schema, field); break;
    case CONFIG_DURATION: add_duration(schema); break;
    case CONFIG_CHOICE: add_choice(schema, field); break;
    case CONFIG_STRINGS: add_list(schema, field, object_of("type", text_json("string"))); break;
    case CONFIG_LIST: add_list(schema, field, shape_or_place(s, field->shape)); break;
    case CONFIG_PAIRS:
        set(schema, "type", text_json("object"));
        set(schema, "additionalProperties", object_of("type", text_json("string")));
        break;
    case CONFIG_OBJECT: break; /* see field_schema() */
    }
}

static json_t *field_schema(struct schema *s, const struct config_field *field)
{
    json_t *schema = field->type == CONFIG_OBJECT ? shape_or_place(s, field->shape) : new_object();
    if (field->doc) {
        set(schema, "description", text_json(field->doc));
    }
    if (field->change != CONFIG_CHANGE_INHERITED) {
        bool is_live = field->change == CONFIG_CHANGE_ON_RELOAD;
        set(schema, "$comment", text_json(is_live ? "changes on SIGHUP" : "changes at a start"));
    }
    add_type(s, schema, field);
    if (field->fallback) {
        set(schema, "default", default_json(field));
    }
    return schema;
}

static json_t *shape_schema(struct schema *s, const struct config_shape *shape)
{
    json_t *schema = object_of("type", text_json("object"));
    json_t *properties = new_object();
    json_t *required = new_array();
    for (size_t i = 0; i < shape->n_fields; i++) {
        const struct config_field *field = &shape->fields[i];
        set(properties, field->key, field_schema(s, field));
        if (is_required(field)) {
            append(required, text_json(field->key));
        }
    }
    set(schema, "properties", properties);
    if (json_array_size(required) > 0) {
        set(schema, "required", json_incref(required));
    }
    json_decref(required);
    set(schema, "additionalProperties", config_must_have(json_false()));
    return schema;
}

char *config_schema(const struct config_shape *shape, const char *title)
{
    struct schema s = {.path = config_text_buf(), .definitions = new_object()};
    json_t *root = object_of("$schema", text_json("https://json-schema.org/draft/2020-12/schema"));
    set(root, "title", text_json(title));
    find_places(&s, shape);
    json_t *whole = shape_schema(&s, shape);
    int failed = json_object_update(root, whole);
    config_must_have(failed ? NULL : root);
    json_decref(whole);
    set(root, "$defs", s.definitions);
    for (size_t i = 0; i < s.n_places; i++) {
        free(s.places[i].path);
    }
    free(s.places);
    buf_release(&s.path);
    return dump(root);
}
