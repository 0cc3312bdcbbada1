/* SPDX-License-Identifier: MIT */
/* Unit outbox is a growing ring of frames. */
#include "hub/outbox.h"

#include <stdlib.h>

struct outbox {
    struct frame **items; /* capacity is a power of two */
    size_t head;
    size_t n_items;
    size_t capacity;
    size_t n_bytes;
};

struct outbox *outbox_create(void)
{
    return calloc(1, sizeof(struct outbox));
}

static struct frame *pop(struct outbox *o)
{
    struct frame *f = o->items[o->head];
    o->head = (o->head + 1) & (o->capacity - 1);
    o->n_items--;
    o->n_bytes -= f->len;
    return f;
}

void outbox_destroy(struct outbox *o)
{
    if (!o) {
        return;
    }
    while (o->n_items > 0) {
        frame_unref(pop(o));
    }
    free(o->items);
    free(o);
}

static bool grow(struct outbox *o)
{
    size_t capacity = o->capacity > 0 ? o->capacity * 2 : 8;
    struct frame **items = calloc(capacity, sizeof(struct frame *));
    if (!items) {
        return false;
    }
    for (size_t i = 0; i < o->n_items; i++) {
        items[i] = o->items[(o->head + i) & (o->capacity - 1)];
    }
    free(o->items);
    o->items = items;
    o->capacity = capacity;
    o->head = 0;
    return true;
}

bool outbox_push(struct outbox *o, struct frame *frame)
{
    if (o->n_items == o->capacity && !grow(o)) {
        return false;
    }
    o->items[(o->head + o->n_items) & (o->capacity - 1)] = frame_ref(frame);
    o->n_items++;
    o->n_bytes += frame->len;
    return true;
}

bool outbox_is_empty(const struct outbox *o)
{
    return o->n_items == 0;
}

size_t outbox_bytes(const struct outbox *o)
{
    return o->n_bytes;
}

bool outbox_join(struct outbox *o, struct outbox *more)
{
    while (more->n_items > 0) {
        if (!outbox_push(o, more->items[more->head])) {
            return false;
        }
        frame_unref(pop(more));
    }
    return true;
}

bool outbox_take(struct outbox *o, struct str separator, size_t max_bytes, struct buf *text)
{
    bool is_first = true;
    while (o->n_items > 0) {
        struct frame *f = o->items[o->head];
        if (!is_first && text->len + separator.len + f->len > max_bytes) {
            break;
        }
        if (buf_reserve(text, (size_t)f->len + separator.len) != STATUS_OK) {
            return !is_first;
        }
        if (!is_first) {
            buf_append(text, separator);
        }
        buf_append(text, frame_str(f));
        frame_unref(pop(o));
        is_first = false;
    }
    return true;
}
