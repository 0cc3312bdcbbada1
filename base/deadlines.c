/* SPDX-License-Identifier: MIT */
/* The hashed wheel: time is cut into ticks, tick n lies in slot n modulo n_slots, and a slot is an
 * unsorted list. A visit of a slot leaves alone what is due in a later round of the wheel. The
 * timer is set to the next slot that is not empty, so that an idle program sleeps in between.
 * Everything happens on the loop. */
#include "base/deadlines.h"

#include <assert.h>
#include <stdlib.h>

/* loop_now_ms() is cut to milliseconds, and libuv may read it from a clock that is up to one more
 * behind: without this a deadline could fire early by the true time. */
enum { CLOCK_SLACK_MS = 2 };

/* Far beyond any uptime, and safe from overflow in the sums below. */
#define DELAY_MAX_MS (INT64_C(1) << 52)

struct deadlines {
    struct loop *loop;
    uv_timer_t timer;
    int64_t tick_ms;
    int64_t tick;      /* the last one visited */
    int64_t wake_tick; /* the timer's; no occupied slot is to be visited before it */
    size_t n_armed;
    unsigned n_slots;
    struct deadline slots[]; /* heads of circular lists */
};

static void list_init(struct deadline *head)
{
    head->next = head;
    head->prev = head;
}

static void list_append(struct deadline *head, struct deadline *deadline)
{
    deadline->next = head;
    deadline->prev = head->prev;
    head->prev->next = deadline;
    head->prev = deadline;
}

static void list_unlink(struct deadline *deadline)
{
    deadline->next->prev = deadline->prev;
    deadline->prev->next = deadline->next;
    deadline->next = NULL;
    deadline->prev = NULL;
}

static void on_timer(uv_timer_t *timer);

static bool is_empty(const struct deadline *head)
{
    return head->next == head;
}

static void set_timer(struct deadlines *d, int64_t tick)
{
    int64_t wait_ms = tick * d->tick_ms - loop_now_ms(d->loop);

    d->wake_tick = tick;
    (void)uv_timer_start(&d->timer, on_timer, wait_ms > 0 ? (uint64_t)wait_ms : 0, 0);
}

/* Something is armed: one of the slots is not empty. */
static void set_timer_to_next(struct deadlines *d)
{
    int64_t tick = d->tick + 1;

    while (tick < d->tick + d->n_slots && is_empty(&d->slots[tick % d->n_slots])) {
        tick++;
    }
    set_timer(d, tick);
}

static void collect_expired(struct deadline *slot, int64_t now_ms, struct deadline *expired)
{
    struct deadline *next;

    for (struct deadline *at = slot->next; at != slot; at = next) {
        next = at->next;
        if (at->due_ms <= now_ms) {
            list_unlink(at);
            list_append(expired, at);
        }
    }
}

/* Visits the slots of all ticks since the last visit: a loop that was held up may be many behind,
 * but no slot need be visited twice. */
static void advance(struct deadlines *d, struct deadline *expired)
{
    int64_t tick = loop_now_ms(d->loop) / d->tick_ms;
    int64_t n_visits = tick - d->tick;

    if (n_visits > d->n_slots) {
        n_visits = d->n_slots;
    }
    for (int64_t i = 1; i <= n_visits; i++) {
        collect_expired(&d->slots[(d->tick + i) % d->n_slots], tick * d->tick_ms, expired);
    }
    if (tick > d->tick) {
        d->tick = tick;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct deadlines *d = timer->data;
    struct deadline expired;

    /* The expired ones wait in a list of their own, from which fire() may still disarm them. */
    list_init(&expired);
    advance(d, &expired);
    while (!is_empty(&expired)) {
        struct deadline *deadline = expired.next;
        list_unlink(deadline);
        d->n_armed--;
        deadline->fire(deadline); /* may free it */
    }
    if (d->n_armed > 0) {
        set_timer_to_next(d);
    }
}

enum status deadlines_create(struct loop *loop, int64_t tick_ms, unsigned n_slots,
                             struct deadlines **ret_deadlines)
{
    assert(tick_ms > 0 && n_slots > 0);
    struct deadlines *d = calloc(1, sizeof(*d) + n_slots * sizeof(d->slots[0]));
    if (!d) {
        return STATUS_NO_MEMORY;
    }
    d->loop = loop;
    d->tick_ms = tick_ms;
    d->n_slots = n_slots;
    for (unsigned i = 0; i < n_slots; i++) {
        list_init(&d->slots[i]);
    }
    (void)uv_timer_init(loop_uv(loop), &d->timer); /* cannot fail */
    d->timer.data = d;
    *ret_deadlines = d;
    return STATUS_OK;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void deadlines_destroy(struct deadlines *d)
{
    if (!d) {
        return;
    }
    assert(d->n_armed == 0);
    uv_close((uv_handle_t *)&d->timer, on_closed);
}

void deadline_arm(struct deadlines *d, struct deadline *deadline, int64_t delay_ms,
                  deadline_fn fire)
{
    /* A turn of the loop may have lasted long: the delay counts from now, not from its start. */
    uv_update_time(loop_uv(d->loop));
    int64_t now_ms = loop_now_ms(d->loop);

    delay_ms = delay_ms < 0 ? 0 : delay_ms > DELAY_MAX_MS ? DELAY_MAX_MS : delay_ms;
    if (deadline_armed(deadline)) {
        list_unlink(deadline);
        d->n_armed--;
    }
    if (d->n_armed == 0) { /* the wheel stood still */
        d->tick = now_ms / d->tick_ms;
        d->wake_tick = INT64_MAX;
    }
    deadline->due_ms = now_ms + delay_ms + CLOCK_SLACK_MS;
    deadline->fire = fire;
    /* The first tick that is not before the deadline; as that lies ahead, one not yet visited. */
    int64_t tick = (deadline->due_ms + d->tick_ms - 1) / d->tick_ms;
    list_append(&d->slots[tick % d->n_slots], deadline);
    d->n_armed++;
    if (tick < d->wake_tick) {
        set_timer(d, tick < d->tick + d->n_slots ? tick : d->tick + d->n_slots);
    }
}

void deadline_disarm(struct deadlines *d, struct deadline *deadline)
{
    if (!deadline_armed(deadline)) {
        return;
    }
    list_unlink(deadline);
    if (--d->n_armed == 0) {
        (void)uv_timer_stop(&d->timer);
    }
}

bool deadline_armed(const struct deadline *deadline)
{
    return deadline->next != NULL;
}
