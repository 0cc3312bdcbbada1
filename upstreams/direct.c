/* SPDX-License-Identifier: MIT */
/* The direct client as others see it: calls start at the loop's tail, so that nothing happens under
 * anybody's feet, and end by their own. All state belongs to the loop's thread. */
#include "upstreams/direct.h"

#include <stdlib.h>

#include <utlist.h>

#include "upstreams/direct_internal.h"

/* --- starting --- */

static void leave_starting(struct direct *d, struct direct_call *call)
{
    DL_DELETE(d->starting, call);
    d->n_starting--;
    call->is_starting = false;
}

/* Those who have come by now: who is started from inside here has its turn in the next one. */
static void on_begin(void *arg)
{
    struct direct *d = arg;
    for (size_t n = d->n_starting; n > 0 && d->starting; n--) {
        struct direct_call *call = d->starting;
        leave_starting(d, call);
        direct_call_begin(d, call);
    }
    if (d->starting) {
        loop_defer(d->loop, &d->begin);
    }
}

/* --- the calls of others --- */

/* Nothing is sent yet: who starts and cancels in one turn has done nothing. */
void direct_start(struct direct *d, struct direct_call *call)
{
    direct_start_over(d, call, -1);
}

void direct_start_over(struct direct *d, struct direct_call *call, int socket)
{
    call->socket = socket;
    call->connection = NULL;
    call->connect_us = 0;
    call->first_byte_us = 0;
    call->n_connections = 0;
    call->is_reused = false;
    call->is_starting = true;
    direct_answer_begin(call);
    DL_APPEND(d->starting, call);
    d->n_starting++;
    loop_defer(d->loop, &d->begin);
}

void direct_cancel(struct direct *d, struct direct_call *call)
{
    if (call->is_starting) {
        leave_starting(d, call);
        direct_call_drop_socket(call);
    } else if (call->connection) {
        connection_close(call->connection);
        direct_call_release(d, call);
    }
}

/* --- create and destroy --- */

static void on_sweeper_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

enum status direct_create(const struct direct_options *options, struct direct **ret_direct)
{
    struct direct *d = calloc(1, sizeof(*d));
    if (!d) {
        return STATUS_NO_MEMORY;
    }
    d->loop = options->loop;
    d->begin = (struct deferred){.fn = on_begin, .arg = d};
    d->deadlines = options->deadlines;
    d->guard = options->guard;
    d->max_kept = options->max_kept;
    d->kept_ms = options->kept_ms;
    (void)uv_timer_init(loop_uv(d->loop), &d->sweeper); /* cannot fail */
    uv_unref((uv_handle_t *)&d->sweeper);
    d->sweeper.data = d;
    d->n_handles = 1;
    *ret_direct = d;
    return STATUS_OK;
}

void direct_destroy(struct direct *d)
{
    if (!d) {
        return;
    }
    loop_undefer(d->loop, &d->begin);
    connections_close_kept(d);
    direct_hosts_release(d);
    inflaters_release(&d->inflaters);
    uv_close((uv_handle_t *)&d->sweeper, on_sweeper_closed);
}
