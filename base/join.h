/* Waits for several children: "all of these, or the deadline". Embedded in the operation that
 * waits.
 *
 * - The parent counts the children at the start and gives each a slot. A child ends by
 *   join_complete(slot), exactly once.
 * - on_done fires exactly once, at the loop's tail, never from inside join_complete(): with
 * JOIN_DONE when all are complete, with JOIN_EXPIRED at the deadline. After it, and after
 * join_cancel(), late children are ignored: their slot's generation no longer fits.
 * - The embedding memory must live until on_done fired or join_cancel() returned, and as long as a
 * late child may still complete (cancel the children in on_done to be sure).
 *
 * For readers who think in futures: all() is this; any() is expected = 1 with the rest cancelled; a
 * timeout is the deadline; the state after on_done is the continuation. */
#ifndef BELFRY_BASE_JOIN_H
#define BELFRY_BASE_JOIN_H

#include "base/deadlines.h"
#include "base/loop.h"

enum join_outcome { JOIN_DONE, JOIN_EXPIRED };

typedef void (*join_fn)(void *arg, enum join_outcome outcome);

struct join {
    struct loop *loop;
    struct deadlines *deadlines;
    struct deadline deadline;
    struct deferred finish;
    unsigned n_open;
    unsigned generation;
    enum { JOIN_IDLE, JOIN_PENDING, JOIN_FINISHING } state;
    enum join_outcome outcome;
    join_fn on_done;
    void *arg;
};

struct join_slot {
    struct join *join;
    unsigned generation;
};

/* expected may be 0: on_done then fires at this turn's tail. timeout_ms 0: no deadline. deadlines:
 * a wheel whose callback calls deadline->fire, see deadlines.h. */
void join_start(struct join *j, struct loop *loop, struct deadlines *deadlines, unsigned expected,
                int64_t timeout_ms, join_fn on_done, void *arg);
struct join_slot join_slot(struct join *j);
void join_complete(struct join_slot slot);
/* on_done will not fire. Legal in any state. */
void join_cancel(struct join *j);

#endif
