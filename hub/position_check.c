/* SPDX-License-Identifier: MIT */
/* Unit position_check walks a round of channels, a few at every tick of one deadline. All wait for
 * the same time, so the one at the head is always the next. The storage's read tells the position;
 * subscribers who cannot trust theirs are told to come again. Loop's thread only. */
#include "hub/position_check.h"

#include <stdlib.h>

#include <utlist.h>

#include "hub/channel_internal.h"

/* Ticks in one delay; with at most two shares of the round at a tick, a round that came all at once
 * (a restart) is spread over half the delay. */
#define TICKS       64
#define READING_MAX 16

struct check {
    struct storage_history read;
    struct channel *channel; /* held */
    struct storage_position was;
};

static void go_on(struct position_check *p);

static void read_done(struct storage_history *read)
{
    struct check *check = read->arg;
    struct channel *c = check->channel;
    struct hub *hub = c->hub;
    hub->n_operations--;
    hub->position_check.n_reading--;
    if (read->status == STATUS_OK) {
        hub->position_check.n_checks++;
        channel_compare(c, &check->was, &read->top);
    }
    storage_history_release(read);
    free(check);
    channel_release(c);
    go_on(&hub->position_check);
}

/* A check that finds no memory is left out: the next one comes. */
static void start_read(struct position_check *p, struct channel *c)
{
    struct check *check = calloc(1, sizeof(*check));
    if (!check) {
        return;
    }
    check->channel = channel_acquire(c->hub, channel_name(c), c->ns);
    check->was = c->top;
    check->read = (struct storage_history){
        .channel = channel_name(c),
        .retention = namespace_retention(c->hub->channel_options, c->ns),
        .done = read_done,
        .arg = check,
    };
    p->n_reading++;
    c->hub->n_operations++;
    storage_history(c->hub->storage, &check->read);
}

static int64_t delay_ms(const struct position_check *p)
{
    return p->hub->client_options->channel_position_check_delay_ms;
}

/* A commit has told the position, and has prolonged its life - unless that is so short that it may
 * end before the next turn. */
static bool needs_check(const struct position_check *p, const struct channel *c)
{
    struct storage_retention retention = namespace_retention(p->hub->channel_options, c->ns);
    return !c->had_commit || retention.meta_ttl_ms <= 2 * delay_ms(p);
}

static void take_turn(struct position_check *p, struct channel *c)
{
    position_check_remove(c);
    if (!c->is_loaded || channel_n_subscribers(c) == 0) {
        return;
    }
    position_check_add(c);
    channel_tail_trim(c);
    if (needs_check(p, c)) {
        start_read(p, c);
    }
    c->had_commit = false;
}

static void go_on(struct position_check *p)
{
    while (p->round && p->n_left > 0 && p->n_reading < READING_MAX && !p->hub->is_stopping &&
           p->round->check_due_ms <= loop_now_ms(p->hub->loop)) {
        p->n_left--;
        take_turn(p, p->round);
    }
}

static void tick(struct deadline *deadline);

static void arm(struct position_check *p)
{
    int64_t wait_ms = p->round->check_due_ms - loop_now_ms(p->hub->loop);
    int64_t tick_ms = delay_ms(p) / TICKS;
    deadline_arm(p->hub->deadlines, &p->due, wait_ms > tick_ms ? wait_ms : tick_ms, tick);
}

static void tick(struct deadline *deadline)
{
    struct position_check *p = container_of(deadline, struct position_check, due);
    p->n_left = 2 * (p->n_channels / TICKS) + 1;
    go_on(p);
    if (p->round && !p->hub->is_stopping) {
        arm(p);
    }
}

void position_check_add(struct channel *c)
{
    struct position_check *p = &c->hub->position_check;
    if (c->check_prev || delay_ms(p) == 0 || c->hub->is_stopping) {
        return;
    }
    c->check_due_ms = loop_now_ms(c->hub->loop) + delay_ms(p);
    DL_APPEND2(p->round, c, check_prev, check_next);
    p->n_channels++;
    if (!deadline_armed(&p->due)) {
        arm(p);
    }
}

void position_check_remove(struct channel *c)
{
    struct position_check *p = &c->hub->position_check;
    if (!c->check_prev) {
        return;
    }
    DL_DELETE2(p->round, c, check_prev, check_next);
    c->check_prev = NULL;
    c->check_next = NULL;
    p->n_channels--;
    if (!p->round) {
        deadline_disarm(p->hub->deadlines, &p->due);
    }
}

void position_check_init(struct position_check *p, struct hub *hub)
{
    p->hub = hub;
}

void position_check_stop(struct position_check *p)
{
    deadline_disarm(p->hub->deadlines, &p->due);
}
