/* SPDX-License-Identifier: MIT */
/* Unit poll_mask stands before libuv: the program's own symbols come first when libwebsockets' glue
 * is loaded, so that its calls of uv_poll_start() arrive here, and go on from here to libuv. The
 * only state is the change that is held back, on the loop's thread. */
#include "protocols/poll_mask.h"

#include <assert.h>
#include <dlfcn.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <uv.h>

typedef int (*poll_start_fn)(uv_poll_t *handle, int events, uv_poll_cb cb);

static struct {
    bool is_holding;
    uv_poll_t *handle; /* NULL: nothing is held back */
    int events;
    uv_poll_cb cb;
} held;

static int start_in_libuv(uv_poll_t *handle, int events, uv_poll_cb cb)
{
    static poll_start_fn start;
    if (!start) {
        void *symbol = dlsym(RTLD_NEXT, "uv_poll_start");
        assert(symbol && "libuv is a shared library");
        memcpy(&start, &symbol, sizeof(start)); /* ISO C has no cast for it */
    }
    return start(handle, events, cb);
}

static bool is_set_already(const uv_poll_t *handle, int events, uv_poll_cb cb)
{
    unsigned mask = (events & UV_READABLE ? POLLIN : 0u) | (events & UV_WRITABLE ? POLLOUT : 0u);
    return (events & ~(UV_READABLE | UV_WRITABLE)) == 0 && handle->poll_cb == cb &&
           handle->io_watcher.pevents == mask;
}

__attribute__((visibility("default"))) int uv_poll_start(uv_poll_t *handle, int events,
                                                         uv_poll_cb cb)
{
    if (!uv_is_active((uv_handle_t *)handle)) {
        if (held.handle == handle) { /* what was held back is older than the stop */
            held.handle = NULL;
        }
        return start_in_libuv(handle, events, cb);
    }
    if (held.is_holding && (!held.handle || held.handle == handle)) {
        held.handle = handle;
        held.events = events;
        held.cb = cb;
        return 0;
    }
    return is_set_already(handle, events, cb) ? 0 : start_in_libuv(handle, events, cb);
}

void poll_mask_hold(void)
{
    assert(!held.is_holding);
    held.is_holding = true;
}

void poll_mask_release(void)
{
    uv_poll_t *handle = held.handle;
    held.is_holding = false;
    held.handle = NULL;
    if (handle && uv_is_active((uv_handle_t *)handle)) {   /* else it was stopped meanwhile */
        (void)uv_poll_start(handle, held.events, held.cb); /* fails for no active handle */
    }
}
