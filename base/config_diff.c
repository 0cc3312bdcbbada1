/* SPDX-License-Identifier: MIT */
/* Unit config_diff walks two objects and their shape together. No state beyond a call; any thread.
 */
#include "base/config_diff.h"

#include <assert.h>
#include <stdlib.h>

#include "base/config_internal.h"

/* --- are two values the same? --- */

static const void *item_at(const struct config_field *field, const struct config_list *list,
                           size_t index)
{
    return (const char *)list->items + index * field->shape->size;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_item(const struct config_field *field, const struct config_list *a,
                      const struct config_list *b, size_t index)
{
    if (field->type == CONFIG_STRINGS) {
        return same_text(((char **)a->items)[index], ((char **)b->items)[index]);
    }
    if (field->type == CONFIG_PAIRS) {
        const struct config_pair *pa = (const struct config_pair *)a->items + index;
        const struct config_pair *pb = (const struct config_pair *)b->items + index;
        return same_text(pa->name, pb->name) && same_text(pa->text, pb->text);
    }
    return config_is_same(field->shape, item_at(field, a, index), item_at(field, b, index));
}

static bool same_list(const struct config_field *field, const struct config_list *a,
                      const struct config_list *b)
{
    bool is_same = a->n_items == b->n_items;
    for (size_t i = 0; is_same && i < a->n_items; i++) {
        is_same = same_item(field, a, b, i);
    }
    return is_same;
}

static bool same_value(const struct config_field *field, const void *a, const void *b)
{
    switch (field->type) {
    case CONFIG_BOOL: return *(const bool *)a == *(const bool *)b;
    case CONFIG_INT:
    case CONFIG_DURATION: return *(const int64_t *)a == *(const int64_t *)b;
    case CONFIG_CHOICE: return *(const int *)a == *(const int *)b;
    case CONFIG_STRING: return same_text(*(char *const *)a, *(char *const *)b);
    case CONFIG_OBJECT: return config_is_same(field->shape, a, b);
    case CONFIG_STRINGS:
    case CONFIG_PAIRS:
    case CONFIG_LIST: break;
    }
    return same_list(field, a, b);
}

bool config_is_same(const struct config_shape *shape, const void *a, const void *b)
{
    for (size_t i = 0; i < shape->n_fields; i++) {
        const struct config_field *field = &shape->fields[i];
        if (!same_value(field, (const char *)a + field->offset, (const char *)b + field->offset)) {
            return false;
        }
    }
    return true;
}

/* --- what is different --- */

struct walk {
    struct buf path;
    config_differs_fn each;
    void *arg;
};

static enum config_change change_of(const struct config_field *field, enum config_change around)
{
    return field->change == CONFIG_CHANGE_INHERITED ? around : field->change;
}

static void tell(struct walk *w, enum config_difference what, enum config_change change)
{
    buf_append_char(&w->path, '\0');
    w->path.len--;
    config_must_have(buf_failed(&w->path) ? NULL : w->path.ptr);
    w->each(w->arg, w->path.ptr, what, change != CONFIG_CHANGE_ON_RELOAD);
}

static void diff_object(struct walk *w, const struct config_shape *shape, const void *before,
                        const void *after, enum config_change change);

/* NULL: the items of such lists have no names. */
static const struct config_field *name_field(const struct config_shape *shape)
{
    const struct config_field *field = config_find_field(shape, STR("name"));
    return field && field->type == CONFIG_STRING ? field : NULL;
}

static const char *name_of(const struct config_field *list, const void *item)
{
    const char *name = *(char *const *)((const char *)item + name_field(list->shape)->offset);
    return name ? name : "";
}

/* The items of two lists that are one and the same, or were at the same place. */
static const void *counterpart(const struct config_field *field, const void *item, size_t index,
                               const struct config_list *in)
{
    if (!name_field(field->shape)) {
        return index < in->n_items ? item_at(field, in, index) : NULL;
    }
    for (size_t i = 0; i < in->n_items; i++) {
        if (strcmp(name_of(field, item), name_of(field, item_at(field, in, i))) == 0) {
            return item_at(field, in, i);
        }
    }
    return NULL;
}

static size_t enter_item(struct walk *w, const struct config_field *field, const void *item,
                         size_t index)
{
    size_t outer = w->path.len;
    if (name_field(field->shape)) {
        buf_printf(&w->path, "[%.100s]", name_of(field, item));
    } else {
        buf_printf(&w->path, "[%zu]", index);
    }
    return outer;
}

/* True: something was told. */
static bool diff_items(struct walk *w, const struct config_field *field,
                       const struct config_list *before, const struct config_list *after,
                       enum config_change change)
{
    bool is_told = false;
    for (size_t i = 0; i < after->n_items; i++) {
        const void *item = item_at(field, after, i);
        const void *old = counterpart(field, item, i, before);
        if (!old || !config_is_same(field->shape, old, item)) {
            size_t outer = enter_item(w, field, item, i);
            is_told = true;
            if (old) {
                diff_object(w, field->shape, old, item, change);
            } else {
                tell(w, CONFIG_ADDED, change);
            }
            w->path.len = outer;
        }
    }
    for (size_t i = 0; i < before->n_items; i++) {
        const void *item = item_at(field, before, i);
        if (!counterpart(field, item, i, after)) {
            size_t outer = enter_item(w, field, item, i);
            is_told = true;
            tell(w, CONFIG_REMOVED, change);
            w->path.len = outer;
        }
    }
    return is_told;
}

static void diff_value(struct walk *w, const struct config_field *field, const void *before,
                       const void *after, enum config_change change)
{
    if (same_value(field, before, after)) {
        return;
    }
    if (field->type == CONFIG_OBJECT) {
        diff_object(w, field->shape, before, after, change);
    } else if (field->type != CONFIG_LIST || !diff_items(w, field, before, after, change)) {
        tell(w, CONFIG_CHANGED, change); /* of a list: only its order */
    }
}

static void diff_object(struct walk *w, const struct config_shape *shape, const void *before,
                        const void *after, enum config_change change)
{
    for (size_t i = 0; i < shape->n_fields; i++) {
        const struct config_field *field = &shape->fields[i];
        size_t outer = w->path.len;
        buf_append(&w->path, outer > 0 ? STR(".") : STR_EMPTY);
        config_append_key(&w->path, str_of(field->key));
        diff_value(w, field, (const char *)before + field->offset,
                   (const char *)after + field->offset, change_of(field, change));
        w->path.len = outer;
    }
}

void config_diff(const struct config_shape *shape, const void *before, const void *after,
                 config_differs_fn each, void *arg)
{
    struct walk w = {.path = config_text_buf(), .each = each, .arg = arg};
    diff_object(&w, shape, before, after, CONFIG_CHANGE_AT_START);
    buf_release(&w.path);
}

/* --- what a running program keeps --- */

static size_t size_of(const struct config_field *field)
{
    switch (field->type) {
    case CONFIG_BOOL: return sizeof(bool);
    case CONFIG_INT:
    case CONFIG_DURATION: return sizeof(int64_t);
    case CONFIG_STRING: return sizeof(char *);
    case CONFIG_CHOICE: return sizeof(int);
    case CONFIG_STRINGS:
    case CONFIG_PAIRS:
    case CONFIG_LIST: return sizeof(struct config_list);
    case CONFIG_OBJECT: break;
    }
    return 0;
}

static void exchange_bytes(char *a, char *b, size_t n)
{
    char kept[sizeof(struct config_list)];
    assert(n <= sizeof(kept));
    memcpy(kept, a, n);
    memcpy(a, b, n);
    memcpy(b, kept, n);
}

static void exchange(const struct config_shape *shape, char *a, char *b, enum config_change around)
{
    for (size_t i = 0; i < shape->n_fields; i++) {
        const struct config_field *field = &shape->fields[i];
        enum config_change change = change_of(field, around);
        if (field->type == CONFIG_OBJECT) {
            exchange(field->shape, a + field->offset, b + field->offset, change);
        } else if (change == CONFIG_CHANGE_AT_START) {
            assert(!shape->release && "what was made of its fields would stay behind");
            exchange_bytes(a + field->offset, b + field->offset, size_of(field));
        }
    }
}

void config_exchange_fixed(const struct config_shape *shape, void *before, void *after)
{
    exchange(shape, before, after, CONFIG_CHANGE_AT_START);
}
