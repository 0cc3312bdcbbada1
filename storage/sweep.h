/* Removes what is over: publications that no longer count, streams whose position is forgotten,
 * feeds' results that nobody renewed, idempotency keys, runs. In short transactions, now and then,
 * by the writer. */
#ifndef BELFRY_STORAGE_SWEEP_H
#define BELFRY_STORAGE_SWEEP_H

#include "storage/counts.h"
#include "storage/db.h"

/* When there may be something to remove, wall clock. */
struct sweep_due {
    int64_t at_ms;
};

/* Not later than this. */
static inline void sweep_due_at(struct sweep_due *due, int64_t at_ms)
{
    if (at_ms < due->at_ms) {
        due->at_ms = at_ms;
    }
}

/* Whose rows it removes; they outlive it. */
struct sweep_parts {
    struct streams *streams;
    struct results *results;
    struct runs *runs;
};

struct sweep;

enum status sweep_create(struct db *db, const struct sweep_parts *parts, struct sweep_due *due,
                         struct counts *counts, struct sweep **ret_sweep) MUST_CHECK;
/* Accepts NULL. */
void sweep_destroy(struct sweep *sweep);

/* Monotonic: until then there is nothing to do, and the writer may sleep. */
int64_t sweep_next_ms(const struct sweep *sweep);
/* Does nothing before its time. One transaction of bounded size. */
void sweep_run(struct sweep *sweep);

#endif
