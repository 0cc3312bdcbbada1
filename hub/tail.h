/* The recent publications of one channel, in memory: so that most recoveries do not read the
 * storage. Bounded in bytes and count, but the newest publication is kept whatever its size, until
 * tail_shrink(). Offsets in it are contiguous. */
#ifndef BELFRY_HUB_TAIL_H
#define BELFRY_HUB_TAIL_H

#include "hub/publication.h"

struct tail {
    struct publication **items; /* the first is at items[head] */
    size_t head;
    size_t n_items;
    size_t capacity;
    size_t n_bytes;
};

/* A zeroed tail is an empty one. */
void tail_release(struct tail *t);

/* Adds a newer publication (takes a reference) and drops the oldest beyond the limits. A
 * publication that does not follow the last one empties the tail first. When memory is short the
 * tail is left empty. */
void tail_push(struct tail *t, struct publication *p, size_t max_items, size_t max_bytes);
/* Adds an older one in front, if it comes right before the first and the limits allow; else false.
 * An empty tail takes any. */
bool tail_push_front(struct tail *t, struct publication *p, size_t max_items, size_t max_bytes);

/* Drops the oldest beyond the limits. */
void tail_trim(struct tail *t, size_t max_items, size_t max_bytes);

/* Drops the oldest, all if need be, until at least n_bytes of memory are free again. */
void tail_shrink(struct tail *t, size_t n_bytes);

/* What it takes in memory. A text that several channels share counts in each of them: it stays as
 * long as one of them keeps it. */
size_t tail_memory(const struct tail *t);
uint64_t tail_first_offset(const struct tail *t); /* not of an empty one */

/* Those after since, ascending, if none is missing between since and the first of them: top is the
 * last offset of the stream. Valid until the tail changes. */
bool tail_since(const struct tail *t, uint64_t since, uint64_t top,
                struct publication *const **ret_items, size_t *ret_n);

#endif
