/* SPDX-License-Identifier: MIT */
/* Unit reading stops libwebsockets' reading at the loop's tail, never from inside a callback: when
 * 4.1 is told to stop in the midst of a TLS record, it goes round in the rest of it for ever. At
 * the tail it has taken all of the record. The state is the connection's owner's; on the loop's
 * thread.
 */
#include "protocols/reading.h"

#include <libwebsockets.h>
#include <stdlib.h>

struct reading_stop {
    struct loop *loop;
    struct lws *wsi;
    struct deferred at_tail;
};

static void stop_now(void *arg)
{
    struct reading_stop *stop = arg;
    lws_rx_flow_control(stop->wsi, 0);
}

struct reading_stop *reading_stop(struct loop *loop, struct lws *wsi)
{
    struct reading_stop *stop = calloc(1, sizeof(*stop));
    if (stop) {
        *stop = (struct reading_stop){loop, wsi, {.fn = stop_now, .arg = stop}};
        loop_defer(loop, &stop->at_tail);
    }
    return stop;
}

void reading_resume(struct reading_stop **slot)
{
    struct reading_stop *stop = *slot;
    if (!stop) {
        return;
    }
    if (!deferred_waiting(&stop->at_tail)) { /* it has been stopped */
        lws_rx_flow_control(stop->wsi, 1);
        lws_cancel_service(lws_get_context(stop->wsi)); /* for what it has read already */
    }
    reading_forget(slot);
}

void reading_forget(struct reading_stop **slot)
{
    struct reading_stop *stop = *slot;
    if (stop) {
        loop_undefer(stop->loop, &stop->at_tail);
        free(stop);
        *slot = NULL;
    }
}
