/* SPDX-License-Identifier: MIT */
/* The first lines of an input are pointers ("+/a" allow, "-/b" deny), renames ("=old new") and a
 * group ("#name"); what follows are values, a line each. Each is shaped, and all are merged in
 * every way. What comes out must be JSON, and every number and string in it must stand in the
 * values. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "base/utf8.h"
#include "hub/merge.h"
#include "hub/shape.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum {
    VALUES_MAX = 8,
    OUT_MAX_BYTES = 1 << 24,
    DEPTH_ADDED = 2, /* by a group and a merge */
};

struct input {
    char *allow[SHAPE_ITEMS_MAX];
    char *deny[SHAPE_ITEMS_MAX];
    struct config_pair rename[SHAPE_ITEMS_MAX];
    struct config_list allow_list, deny_list, rename_list;
    char *group;
    struct str values[VALUES_MAX];
    size_t n_values;
};

/* --- reading --- */

/* No text of a configuration has a NUL in it. */
static char *text_of(struct str s)
{
    char *text = str_dup(s);
    REQUIRE(text);
    return text;
}

static void add_pointer(struct config_list *list, struct str pointer)
{
    if (list->n_items < SHAPE_ITEMS_MAX && shape_pointer_valid(pointer)) {
        ((char **)list->items)[list->n_items++] = text_of(pointer);
    }
}

static void add_rename(struct input *in, struct str line)
{
    ptrdiff_t blank = str_find(line, ' ');
    struct str from = str_head(line, blank < 0 ? 0 : (size_t)blank);
    for (size_t i = 0; i < in->rename_list.n_items; i++) {
        if (str_eq(str_of(in->rename[i].name), from)) {
            return; /* as in a configuration, where an object has each name once */
        }
    }
    if (blank >= 0 && in->rename_list.n_items < SHAPE_ITEMS_MAX) {
        in->rename[in->rename_list.n_items++] =
            (struct config_pair){text_of(from), text_of(str_tail(line, from.len + 1))};
    }
}

static void read_line(struct input *in, struct str line)
{
    struct str rest = str_tail(line, 1);
    char kind = line.len > 0 ? line.ptr[0] : '\0';
    bool is_text = utf8_valid(rest) && str_find(rest, '\0') < 0;
    if (kind == '+' && is_text) {
        add_pointer(&in->allow_list, rest);
    } else if (kind == '-' && rest.len > 0 && rest.ptr[0] == '/' && is_text) {
        add_pointer(&in->deny_list, rest);
    } else if (kind == '=' && is_text) {
        add_rename(in, rest);
    } else if (kind == '#' && is_text) {
        free(in->group);
        in->group = text_of(rest);
    } else if (in->n_values < VALUES_MAX && json_check(line, NULL) == STATUS_OK) {
        in->values[in->n_values++] = json_trim(line);
    }
}

static void read_input(struct input *in, struct str text)
{
    in->allow_list.items = in->allow;
    in->deny_list.items = in->deny;
    in->rename_list.items = in->rename;
    in->group = text_of(STR_EMPTY);
    while (text.len > 0) {
        ptrdiff_t end = str_find(text, '\n');
        struct str line = end < 0 ? text : str_head(text, (size_t)end);
        read_line(in, line);
        text = str_tail(text, line.len + 1);
    }
}

static void release_input(struct input *in)
{
    for (size_t i = 0; i < in->allow_list.n_items; i++) {
        free(in->allow[i]);
    }
    for (size_t i = 0; i < in->deny_list.n_items; i++) {
        free(in->deny[i]);
    }
    for (size_t i = 0; i < in->rename_list.n_items; i++) {
        free(in->rename[i].name);
        free(in->rename[i].text);
    }
    free(in->group);
}

/* --- requiring --- */

static size_t depth_of(struct str text)
{
    size_t depth = 0;
    size_t deepest = 0;
    bool is_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_string) {
            i += c == '\\';
            is_string = c != '"';
        } else if (c == '"') {
            is_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

/* Does a value of this text stand somewhere in the whole? */
static bool stands_in(struct str whole, struct str value)
{
    return memmem(whole.ptr, whole.len, value.ptr, value.len) != NULL;
}

/* Each scalar below value as it stands in the whole. */
static void require_scalars(struct str whole, struct str value)
{
    struct json_walk walk = json_walk(value);
    struct str key;
    struct str item;
    enum json_kind kind = json_kind(value);
    if (kind != JSON_KIND_OBJECT && kind != JSON_KIND_ARRAY) {
        REQUIRE(stands_in(whole, value));
        return;
    }
    while (kind == JSON_KIND_OBJECT ? json_next_member(&walk, &key, &item)
                                    : json_next_element(&walk, &item)) {
        require_scalars(whole, item);
    }
}

static void require_shaped(const struct shape *shape, struct str value, struct buf *out)
{
    size_t start = out->len;
    REQUIRE(shape_apply(shape, value, out) == STATUS_OK);
    struct str shaped = str_tail(buf_str(out), start);
    REQUIRE(json_check(shaped, NULL) == STATUS_OK);
    require_scalars(value, shaped);
}

static void require_merged(enum feed_merge how, bool meta, const struct merge_part *parts, size_t n)
{
    struct buf out;
    const struct merge_options options = {.how = how, .meta = meta, .is_completed = n % 2 > 0};
    buf_init(&out, OUT_MAX_BYTES);
    REQUIRE(merge_parts(&options, parts, n, &out) == STATUS_OK);
    REQUIRE(json_check(buf_str(&out), NULL) == STATUS_OK);
    REQUIRE(str_find(buf_str(&out), '\n') < 0);
    REQUIRE(merge_is_same(buf_str(&out), buf_str(&out)));
    for (size_t i = 0; i < n; i++) {
        (void)merge_is_same(buf_str(&out), parts[i].value);
    }
    buf_release(&out);
}

static void require_all(const struct merge_part *parts, size_t n)
{
    for (int how = FEED_MERGE_OBJECT; how <= FEED_MERGE_ARRAY; how++) {
        require_merged((enum feed_merge)how, false, parts, n);
        require_merged((enum feed_merge)how, true, parts, n);
    }
}

/* Nothing is lost in the object of all values. */
static void require_members(const struct merge_part *parts, size_t n)
{
    struct buf out;
    struct str item;
    const struct merge_options options = {.how = FEED_MERGE_OBJECT};
    buf_init(&out, OUT_MAX_BYTES);
    REQUIRE(merge_parts(&options, parts, n, &out) == STATUS_OK);
    for (size_t i = 0; i < n; i++) {
        REQUIRE(json_member(buf_str(&out), parts[i].as, &item));
    }
    REQUIRE(json_count(buf_str(&out)) <= n);
    buf_release(&out);
}

static void run(const struct input *in, const struct shape *shape)
{
    static const struct str names[] = {{"a", 1}, {"b", 1}, {"_meta", 5}, {"a", 1}};
    struct merge_part parts[VALUES_MAX];
    struct buf shaped[VALUES_MAX];
    for (size_t i = 0; i < in->n_values; i++) {
        buf_init(&shaped[i], OUT_MAX_BYTES);
        if (shape) {
            require_shaped(shape, in->values[i], &shaped[i]);
        } else {
            buf_append(&shaped[i], in->values[i]);
        }
        parts[i] = (struct merge_part){.as = names[i % 4],
                                       .name = names[i % 3],
                                       .value = buf_str(&shaped[i]),
                                       .outcome = "fresh"};
    }
    require_all(parts, in->n_values);
    require_members(parts, in->n_values);
    for (size_t i = 0; i < in->n_values; i++) {
        buf_release(&shaped[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {0};
    read_input(&in, (struct str){(const char *)data, size});
    struct shape *shape = shape_create(&(struct shape_options){.allow = &in.allow_list,
                                                               .deny = &in.deny_list,
                                                               .rename = &in.rename_list,
                                                               .group = in.group});
    bool is_shallow = true;
    for (size_t i = 0; i < in.n_values; i++) {
        is_shallow &= depth_of(in.values[i]) + DEPTH_ADDED <= JSON_DEPTH_MAX;
    }
    if (is_shallow) {
        run(&in, shape);
    }
    shape_destroy(shape);
    release_input(&in);
    return 0;
}
