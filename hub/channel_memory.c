/* SPDX-License-Identifier: MIT */
/* Unit channel_memory holds two lists through the channels: those with a tail in the order of their
 * use, and those without subscribers in the order in which they lost the last one. All state
 * belongs to the loop's thread. */
#include "hub/channel_memory.h"

#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "hub/channel_internal.h"

/* Idle channels that are unloaded between two looks at the clock, and how long that may hold the
 * loop. */
#define UNLOAD_BATCH  64
#define UNLOAD_MAX_US 2000

static size_t max_bytes(const struct channel_memory *m)
{
    return (size_t)m->hub->channel_options->tail_total_max_size;
}

/* --- the order of use --- */

static void unlink_use(struct channel_memory *m, struct channel *c)
{
    if (c->use_prev) {
        DL_DELETE2(m->by_use, c, use_prev, use_next);
        c->use_prev = NULL;
        c->use_next = NULL;
    }
}

void channel_memory_used(struct channel *c)
{
    struct channel_memory *m = &c->hub->memory;
    unlink_use(m, c);
    if (c->tail.n_items > 0) {
        DL_APPEND2(m->by_use, c, use_prev, use_next);
    }
}

/* --- the budget --- */

static void count(struct channel_memory *m, struct channel *c)
{
    size_t n = tail_memory(&c->tail);
    if (channel_is_idle(c)) {
        n += sizeof(*c) + c->name_len + 1;
    }
    m->n_bytes = m->n_bytes - c->n_counted + n;
    c->n_counted = n;
    if (c->tail.n_items == 0) {
        unlink_use(m, c);
    }
}

static struct channel *first_but(struct channel *first, struct channel *second,
                                 const struct channel *spared)
{
    return first && first == spared ? second : first;
}

/* False: there is nothing but what the spared one has. */
static bool evict_one(struct channel_memory *m, const struct channel *spared)
{
    struct channel *c = first_but(m->idle, m->idle ? m->idle->idle_next : NULL, spared);
    if (c) {
        m->n_evicted += c->tail.n_items > 0;
        channel_free(c);
        return true;
    }
    c = first_but(m->by_use, m->by_use ? m->by_use->use_next : NULL, spared);
    if (c) {
        m->n_evicted++;
        tail_release(&c->tail);
        count(m, c);
    }
    return c;
}

/* spared: NULL, or what is in use. */
static void make_room(struct channel_memory *m, const struct channel *spared)
{
    while (m->n_bytes > max_bytes(m) && evict_one(m, spared)) {
    }
}

void channel_memory_changed(struct channel *c)
{
    struct channel_memory *m = &c->hub->memory;
    count(m, c);
    make_room(m, c);
    if (m->n_bytes > max_bytes(m)) {
        tail_shrink(&c->tail, m->n_bytes - max_bytes(m));
        count(m, c);
    }
}

void channel_memory_gone(struct channel *c)
{
    struct channel_memory *m = &c->hub->memory;
    channel_memory_remove_idle(c);
    unlink_use(m, c);
    m->n_bytes -= c->n_counted;
    c->n_counted = 0;
}

/* --- idle channels --- */

static int64_t unload_in_ms(const struct channel_memory *m)
{
    return m->idle->idle_since_ms + m->hub->channel_options->idle_timeout_ms -
           loop_now_ms(m->hub->loop);
}

static void unload_due(struct deadline *deadline);

static void unload(void *arg)
{
    struct channel_memory *m = arg;
    int64_t start_us = clock_monotonic_us();
    for (unsigned n = 1; m->idle && unload_in_ms(m) <= 0; n++) {
        if (n % UNLOAD_BATCH == 0 && clock_monotonic_us() - start_us > UNLOAD_MAX_US) {
            loop_defer(m->hub->loop, &m->next);
            return;
        }
        channel_free(m->idle);
    }
    if (m->idle) {
        deadline_arm(m->hub->deadlines, &m->due, unload_in_ms(m), unload_due);
    }
}

static void unload_due(struct deadline *deadline)
{
    unload(container_of(deadline, struct channel_memory, due));
}

void channel_memory_add_idle(struct channel *c)
{
    struct channel_memory *m = &c->hub->memory;
    c->idle_since_ms = loop_now_ms(c->hub->loop);
    DL_APPEND2(m->idle, c, idle_prev, idle_next);
    m->n_idle++;
    if (m->idle == c) {
        deadline_arm(m->hub->deadlines, &m->due, unload_in_ms(m), unload_due);
    }
    count(m, c);
    make_room(m, NULL);
}

void channel_memory_remove_idle(struct channel *c)
{
    struct channel_memory *m = &c->hub->memory;
    if (!channel_is_idle(c)) {
        return;
    }
    DL_DELETE2(m->idle, c, idle_prev, idle_next);
    c->idle_prev = NULL;
    c->idle_next = NULL;
    m->n_idle--;
    if (!m->idle) { /* otherwise it fires for the next one, or too early */
        deadline_disarm(m->hub->deadlines, &m->due);
    }
    count(m, c);
}

/* --- life --- */

void channel_memory_init(struct channel_memory *m, struct hub *hub)
{
    m->hub = hub;
    m->next = (struct deferred){.fn = unload, .arg = m};
}

void channel_memory_clear(struct channel_memory *m)
{
    while (m->idle) {
        channel_free(m->idle);
    }
    loop_undefer(m->hub->loop, &m->next);
}
