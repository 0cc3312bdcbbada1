/* SPDX-License-Identifier: MIT */
/* Unit tail keeps recent publications in an array whose used part wanders to the right and is moved
 * back when it reaches the end, so that any run of them is one slice. */
#include "hub/tail.h"

#include <stdlib.h>

static void drop_first(struct tail *t)
{
    struct publication *p = t->items[t->head];
    t->n_bytes -= publication_size(p);
    publication_unref(p);
    t->head++;
    t->n_items--;
}

static void clear(struct tail *t)
{
    while (t->n_items > 0) {
        drop_first(t);
    }
    t->head = 0;
}

void tail_release(struct tail *t)
{
    clear(t);
    free(t->items);
    *t = (struct tail){0};
}

/* Makes room for one more at the place `front` (0) or at the end (1 past the last). */
static bool make_room(struct tail *t, size_t new_head)
{
    if (t->n_items + new_head >= t->capacity) {
        size_t capacity = t->capacity > 0 ? t->capacity * 2 : 8;
        struct publication **items = calloc(capacity, sizeof(struct publication *));
        if (!items) {
            return false;
        }
        if (t->n_items > 0) {
            memcpy(items + new_head, t->items + t->head, t->n_items * sizeof(struct publication *));
        }
        free(t->items);
        t->items = items;
        t->capacity = capacity;
    } else if (t->n_items > 0) {
        memmove(t->items + new_head, t->items + t->head, t->n_items * sizeof(struct publication *));
    }
    t->head = new_head;
    return true;
}

static uint64_t last_offset(const struct tail *t)
{
    return t->items[t->head + t->n_items - 1]->offset;
}

void tail_trim(struct tail *t, size_t max_items, size_t max_bytes)
{
    while (t->n_items > 1 && (t->n_items > max_items || t->n_bytes > max_bytes)) {
        drop_first(t);
    }
}

void tail_shrink(struct tail *t, size_t n_bytes)
{
    size_t before = t->n_bytes;
    while (t->n_items > 0 && before - t->n_bytes < n_bytes) {
        drop_first(t);
    }
    if (t->n_items == 0) {
        tail_release(t);
    }
}

size_t tail_memory(const struct tail *t)
{
    return t->n_bytes + t->capacity * sizeof(struct publication *);
}

uint64_t tail_first_offset(const struct tail *t)
{
    return t->items[t->head]->offset;
}

void tail_push(struct tail *t, struct publication *p, size_t max_items, size_t max_bytes)
{
    if (t->n_items > 0 && last_offset(t) + 1 != p->offset) {
        clear(t);
    }
    if (t->head + t->n_items == t->capacity && !make_room(t, 0)) {
        clear(t);
        return;
    }
    t->items[t->head + t->n_items] = publication_ref(p);
    t->n_items++;
    t->n_bytes += publication_size(p);
    tail_trim(t, max_items, max_bytes);
}

bool tail_push_front(struct tail *t, struct publication *p, size_t max_items, size_t max_bytes)
{
    bool is_newest = t->n_items == 0;
    bool fits = t->n_items < max_items && t->n_bytes + publication_size(p) <= max_bytes &&
                (is_newest || p->offset + 1 == tail_first_offset(t));
    if (!fits && !is_newest) {
        return false;
    }
    if (t->head == 0 && !make_room(t, 1 + t->n_items / 2)) {
        return false;
    }
    t->head--;
    t->items[t->head] = publication_ref(p);
    t->n_items++;
    t->n_bytes += publication_size(p);
    return true;
}

bool tail_since(const struct tail *t, uint64_t since, uint64_t top,
                struct publication *const **ret_items, size_t *ret_n)
{
    if (since >= top) {
        *ret_items = NULL;
        *ret_n = 0;
        return since == top;
    }
    if (t->n_items == 0 || last_offset(t) != top || tail_first_offset(t) > since + 1) {
        return false;
    }
    size_t skip = (size_t)(since + 1 - tail_first_offset(t));
    *ret_items = t->items + t->head + skip;
    *ret_n = t->n_items - skip;
    return true;
}
