/* Many deadlines, one timer: a hashed wheel. Arming, moving and disarming cost the same for one
 * deadline and for a hundred thousand. (A sorted list is walked at every insertion; a
 * first-in-first-out list asks for equal intervals, and the jittered first ping, pongs, stale
 * connections and refreshes are not.) A deadline fires at its time or up to one tick later, never
 * earlier. */
#ifndef BELFRY_BASE_DEADLINES_H
#define BELFRY_BASE_DEADLINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

struct deadlines;
struct deadline;

typedef void (*deadline_fn)(struct deadline *deadline);

/* Embed it (container_of() in fire finds the owner); zero-initialise it. */
struct deadline {
    struct deadline *next;
    struct deadline *prev;
    int64_t due_ms; /* of loop_now_ms() */
    deadline_fn fire;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

enum status deadlines_create(struct loop *loop, int64_t tick_ms, unsigned n_slots,
                             struct deadlines **ret_deadlines) MUST_CHECK;
/* Every deadline must be disarmed. Closes the timer; frees the memory after the loop has let go of
 * it. Accepts NULL. */
void deadlines_destroy(struct deadlines *d);

/* fire is called once, after delay_ms from now. Re-arming moves it. It is disarmed before fire is
 * called, which may arm it again, arm and disarm others, and free the owner. */
void deadline_arm(struct deadlines *d, struct deadline *deadline, int64_t delay_ms,
                  deadline_fn fire);
void deadline_disarm(struct deadlines *d, struct deadline *deadline);
bool deadline_armed(const struct deadline *deadline);

#endif
