/* SPDX-License-Identifier: MIT */
/* Unit drain sends clients away one by one, the oldest connections first, with random gaps that on
 * average divide the time evenly. Who is to go is marked at the beginning: clients who come back
 * meanwhile are not sent away again. Loop's thread only. */
#include "hub/drain.h"

#include "base/log.h"
#include "hub/client_internal.h"
#include "hub/hub_internal.h"

/* However short the time is: a turn of the loop takes no more of them. */
#define STEP_MAX_CLIENTS 500

static void on_step(struct deadline *deadline);

void drain_init(struct drain *drain, struct hub *hub, int64_t default_ms)
{
    *drain = (struct drain){.hub = hub, .default_ms = default_ms};
}

void drain_stop(struct drain *drain)
{
    deadline_disarm(drain->hub->deadlines, &drain->step);
}

/* --- who is to go --- */

static void unmark(struct drain *drain)
{
    for (struct client *c = drain->next; c && drain->n_left > 0; c = client_next(c)) {
        drain->n_left -= c->is_to_go;
        c->is_to_go = false;
    }
    drain->next = NULL;
}

static void mark(struct drain *drain, size_t n_max)
{
    drain->next = drain->hub->clients;
    for (struct client *c = drain->next; c && drain->n_left < n_max; c = client_next(c)) {
        c->is_to_go = !client_is_leaving(c);
        drain->n_left += c->is_to_go;
    }
}

void drain_client_leaves(struct drain *drain, struct client *c)
{
    c->is_to_go = false;
    if (--drain->n_left == 0) {
        drain_stop(drain);
        drain->next = NULL;
        log_info("hub", "drained");
    }
}

void drain_client_gone(struct drain *drain, const struct client *c)
{
    if (drain->next == c) {
        drain->next = client_next(c);
    }
}

/* --- when --- */

/* Never behind the end: twice the even share is at most all that is left. */
static void plan_next(struct drain *drain)
{
    int64_t left_us = drain->end_us - drain->due_us;
    if (left_us > 0) {
        uint64_t even_us = (uint64_t)left_us / (drain->n_left + 1);
        drain->due_us += (int64_t)rng_below(2 * even_us + 1);
    }
}

static void arm(struct drain *drain)
{
    int64_t delay_ms = drain->due_us / 1000 - loop_now_ms(drain->hub->loop);
    deadline_arm(drain->hub->deadlines, &drain->step, delay_ms > 0 ? delay_ms : 0, on_step);
}

static void send_next(struct drain *drain)
{
    while (!drain->next->is_to_go) {
        drain->next = client_next(drain->next);
    }
    client_disconnect(drain->next, &disconnect_shutdown);
}

static void on_step(struct deadline *deadline)
{
    struct drain *drain = container_of(deadline, struct drain, step);
    int64_t now_us = loop_now_ms(drain->hub->loop) * 1000;
    for (int i = 0; i < STEP_MAX_CLIENTS && drain->n_left > 0 && drain->due_us <= now_us; i++) {
        send_next(drain);
        plan_next(drain);
    }
    if (drain->n_left > 0) {
        arm(drain);
    }
}

/* --- the whole --- */

enum status hub_drain(struct hub *hub, const struct drain_request *request, size_t *ret_n_clients)
{
    struct drain *drain = &hub->drain;
    if (hub->is_stopping || drain->is_final) {
        return STATUS_CLOSED;
    }
    drain_stop(drain);
    unmark(drain);
    mark(drain, (hub->n_clients * request->percent + 99) / 100);
    drain->refuses = request->refuses_new || request->is_final;
    drain->is_final = request->is_final;
    drain->due_us = loop_now_ms(hub->loop) * 1000;
    drain->end_us = drain->due_us + request->duration_ms * 1000;
    log_info("hub", "draining", log_i("clients", (int64_t)drain->n_left),
             log_i("duration_ms", request->duration_ms), log_i("refuses_new", drain->refuses));
    if (drain->n_left > 0) {
        plan_next(drain);
        arm(drain);
    }
    *ret_n_clients = drain->n_left;
    return STATUS_OK;
}

size_t hub_n_to_drain(const struct hub *hub)
{
    return hub->drain.n_left;
}

bool hub_is_draining(const struct hub *hub)
{
    return hub->drain.refuses;
}

int64_t hub_drain_ms(const struct hub *hub)
{
    return hub->drain.default_ms;
}
