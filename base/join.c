/* SPDX-License-Identifier: MIT */
/* Waiting for several children. The generation is what makes late children harmless: it moves on
 * when the join ends, and a slot of an earlier generation is ignored. All on the loop. */
#include "base/join.h"

#include <assert.h>

static void end(struct join *j)
{
    j->state = JOIN_IDLE;
    j->generation++;
}

static void on_tail(void *arg)
{
    struct join *j = arg;

    end(j);
    j->on_done(j->arg, j->outcome); /* may free j */
}

static void finish(struct join *j, enum join_outcome outcome)
{
    j->state = JOIN_FINISHING;
    j->outcome = outcome;
    if (j->deadlines) {
        deadline_disarm(j->deadlines, &j->deadline);
    }
    loop_defer(j->loop, &j->finish);
}

static void on_deadline(struct deadline *deadline)
{
    finish(container_of(deadline, struct join, deadline), JOIN_EXPIRED);
}

void join_start(struct join *j, struct loop *loop, struct deadlines *deadlines, unsigned expected,
                int64_t timeout_ms, join_fn on_done, void *arg)
{
    assert(j->state == JOIN_IDLE);
    assert(timeout_ms <= 0 || deadlines);
    j->loop = loop;
    j->deadlines = deadlines;
    j->finish.fn = on_tail;
    j->finish.arg = j;
    j->n_open = expected;
    j->state = JOIN_PENDING;
    j->on_done = on_done;
    j->arg = arg;
    if (expected == 0) {
        finish(j, JOIN_DONE);
    } else if (timeout_ms > 0) {
        deadline_arm(deadlines, &j->deadline, timeout_ms, on_deadline);
    }
}

struct join_slot join_slot(struct join *j)
{
    return (struct join_slot){j, j->generation};
}

void join_complete(struct join_slot slot)
{
    struct join *j = slot.join;

    if (slot.generation != j->generation || j->state != JOIN_PENDING) {
        return;
    }
    if (--j->n_open == 0) {
        finish(j, JOIN_DONE);
    }
}

void join_cancel(struct join *j)
{
    if (j->state == JOIN_IDLE) {
        return;
    }
    if (j->deadlines) {
        deadline_disarm(j->deadlines, &j->deadline);
    }
    loop_undefer(j->loop, &j->finish);
    end(j);
}
