/* The one event loop of the program (libuv), and calls at its tail. All of the program but the
 * storage threads and libcurl's resolver runs on it; every function here is for the loop's thread.
 */
#ifndef BELFRY_BASE_LOOP_H
#define BELFRY_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "base/histogram.h"
#include "base/status.h"

struct loop;

enum status loop_create(struct loop **ret_loop) MUST_CHECK;
/* Closes what loop_create opened, runs the loop until every handle's close callback came, frees it.
 * Handles of others must be closing by then. Calls that still wait are made. Accepts NULL. */
void loop_destroy(struct loop *loop);
uv_loop_t *loop_uv(struct loop *loop);
/* Returns when no handle holds the loop, or after loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* A call that is made once at the tail of this turn of the loop, after all input and output
 * callbacks, in the order of loop_defer(). A call deferred by a deferred call is made in the next
 * turn. Whatever must not happen under somebody's feet (finishing an operation from inside its
 * start, freeing an object that callbacks may be standing in) goes here. Embed it; zero-initialise
 * it. */
typedef void (*deferred_fn)(void *arg);
struct deferred {
    deferred_fn fn;
    void *arg;
    struct deferred *next;
    struct deferred *prev;
};
/* Does nothing when d is already waiting. */
void loop_defer(struct loop *loop, struct deferred *d);
/* The same, behind all that loop_defer() put off to this tail, also when one of those puts it off.
 * For work on what has come together until then. */
void loop_defer_late(struct loop *loop, struct deferred *d);
/* The call will not be made. Does nothing when d is not waiting. */
void loop_undefer(struct loop *loop, struct deferred *d);
bool deferred_waiting(const struct deferred *d);

/* How long turns of the loop kept it busy, in microseconds: an event that comes in during a turn
 * waits at most that long. The time of waiting for events does not count. Lives as long as the
 * loop. */
const struct histogram *loop_lag(const struct loop *loop);

/* Monotonic milliseconds, as of this turn of the loop: cheap, up to a turn old. */
int64_t loop_now_ms(struct loop *loop);

#endif
