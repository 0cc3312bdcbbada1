/* SPDX-License-Identifier: MIT */
/* The event loop and the calls at its tail. libuv runs check handles after all input and output of
 * a turn: that is the tail. An idle handle is active only while calls wait, so that the loop then
 * neither sleeps nor ends; the check handle never holds the loop, nor does the prepare handle,
 * which ends one turn for the lag meter and begins the next, right before libuv waits for events.
 */
#include "base/loop.h"

#include <assert.h>
#include <stdlib.h>

struct loop {
    uv_loop_t uv;
    uv_check_t tail;
    uv_idle_t awake;
    uv_prepare_t turn;
    uint64_t turn_began_ns;
    uint64_t waited_ns; /* before the turn began, since the start */
    struct histogram lag;
    struct deferred waiting; /* heads of circular lists */
    struct deferred late;    /* behind those */
    struct deferred running; /* the batch whose calls are being made */
};

static void list_init(struct deferred *head)
{
    head->next = head;
    head->prev = head;
}

static bool list_empty(const struct deferred *head)
{
    return head->next == head;
}

static void list_append(struct deferred *head, struct deferred *d)
{
    d->next = head;
    d->prev = head->prev;
    head->prev->next = d;
    head->prev = d;
}

static void list_unlink(struct deferred *d)
{
    d->next->prev = d->prev;
    d->prev->next = d->next;
    d->next = NULL;
    d->prev = NULL;
}

/* Moves all of one list to the end of an empty one. */
static void list_move(struct deferred *from, struct deferred *to)
{
    if (list_empty(from)) {
        return;
    }
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

static void on_awake(uv_idle_t *idle)
{
    (void)idle;
}

static void make_calls(struct loop *loop, struct deferred *list)
{
    list_move(list, &loop->running);
    while (!list_empty(&loop->running)) {
        struct deferred *d = loop->running.next;
        list_unlink(d);
        d->fn(d->arg); /* may free d */
    }
}

/* What is deferred by calls of its own kind, or by later ones, belongs to the next turn. */
static void on_tail(uv_check_t *check)
{
    struct loop *loop = check->data;

    make_calls(loop, &loop->waiting);
    make_calls(loop, &loop->late);
    if (list_empty(&loop->waiting) && list_empty(&loop->late)) {
        uv_idle_stop(&loop->awake);
    }
}

static void on_turn(uv_prepare_t *turn)
{
    struct loop *loop = turn->data;
    uint64_t now_ns = uv_hrtime();
    uint64_t waited_ns = uv_metrics_idle_time(&loop->uv);

    if (loop->turn_began_ns > 0) {
        uint64_t took_ns = now_ns - loop->turn_began_ns;
        uint64_t idle_ns = waited_ns - loop->waited_ns;
        histogram_add(&loop->lag, took_ns > idle_ns ? (took_ns - idle_ns) / 1000 : 0);
    }
    loop->turn_began_ns = now_ns;
    loop->waited_ns = waited_ns;
}

enum status loop_create(struct loop **ret_loop)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (!loop) {
        return STATUS_NO_MEMORY;
    }
    if (uv_loop_init(&loop->uv) != 0) {
        free(loop);
        return STATUS_NO_MEMORY;
    }
    list_init(&loop->waiting);
    list_init(&loop->late);
    list_init(&loop->running);
    /* These cannot fail. */
    (void)uv_loop_configure(&loop->uv, UV_METRICS_IDLE_TIME);
    (void)uv_prepare_init(&loop->uv, &loop->turn);
    (void)uv_prepare_start(&loop->turn, on_turn);
    uv_unref((uv_handle_t *)&loop->turn);
    loop->turn.data = loop;
    (void)uv_check_init(&loop->uv, &loop->tail);
    (void)uv_idle_init(&loop->uv, &loop->awake);
    (void)uv_check_start(&loop->tail, on_tail);
    uv_unref((uv_handle_t *)&loop->tail);
    loop->tail.data = loop;
    *ret_loop = loop;
    return STATUS_OK;
}

/* uv_run() returns early, once, when loop_stop() was called before it. */
static void run_until_nothing_lives(struct loop *loop)
{
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0) {
    }
}

void loop_destroy(struct loop *loop)
{
    if (!loop) {
        return;
    }
    /* The close callbacks of others may defer calls that free things: those are still made. */
    run_until_nothing_lives(loop);
    uv_close((uv_handle_t *)&loop->turn, NULL);
    uv_close((uv_handle_t *)&loop->tail, NULL);
    uv_close((uv_handle_t *)&loop->awake, NULL);
    run_until_nothing_lives(loop);
    int error = uv_loop_close(&loop->uv);
    assert(error == 0 && "a handle was left open");
    (void)error;
    free(loop);
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

const struct histogram *loop_lag(const struct loop *loop)
{
    return &loop->lag;
}

void loop_run(struct loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

static void append_to(struct loop *loop, struct deferred *list, struct deferred *d)
{
    if (!deferred_waiting(d)) {
        (void)uv_idle_start(&loop->awake, on_awake); /* nothing when it is started */
        list_append(list, d);
    }
}

void loop_defer(struct loop *loop, struct deferred *d)
{
    append_to(loop, &loop->waiting, d);
}

void loop_defer_late(struct loop *loop, struct deferred *d)
{
    append_to(loop, &loop->late, d);
}

void loop_undefer(struct loop *loop, struct deferred *d)
{
    if (!deferred_waiting(d)) {
        return;
    }
    list_unlink(d);
    if (list_empty(&loop->waiting) && list_empty(&loop->late)) {
        uv_idle_stop(&loop->awake);
    }
}

bool deferred_waiting(const struct deferred *d)
{
    return d->next != NULL;
}

int64_t loop_now_ms(struct loop *loop)
{
    return (int64_t)uv_now(&loop->uv);
}
