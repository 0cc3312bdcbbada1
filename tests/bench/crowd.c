/* SPDX-License-Identifier: MIT */
#include "tests/bench/crowd.h"

#include <stdio.h>

#include "tests/bench/cli.h"
#include "tests/bench/wire.h"

#define CLIENTS_PER_SOURCE 1000

static struct {
    const struct websocket_handler *handler;
    uint16_t port;
    struct buf handshake;
} crowd;

void crowd_open(const struct crowd_handler *handler, const char *path, uint16_t port)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    crowd.handler = &handler->websocket;
    crowd.port = port;
    buf_init(&crowd.handshake, 1024);
    wire_append_upgrade(&crowd.handshake, path, port);
    if (buf_failed(&crowd.handshake)) {
        fail("the path is too long");
    }
    poller_open(&handler->poller);
}

void crowd_run(void)
{
    poller_run();
}

void crowd_close(void)
{
    poller_close();
    buf_release(&crowd.handshake);
}

static void on_ready(struct watched *w, uint32_t events)
{
    struct websocket *ws = (struct websocket *)w;
    (void)events;
    if (ws->state == WEBSOCKET_CONNECTING) {
        websocket_writable(ws, buf_str(&crowd.handshake));
    } else {
        websocket_readable(ws, crowd.handler);
    }
}

void crowd_connect(struct websocket *ws, size_t index)
{
    ws->watched.on_ready = on_ready;
    websocket_connect(ws, crowd.port, 1 + (unsigned)(index / CLIENTS_PER_SOURCE));
    poller_watch(ws->fd, &ws->watched);
}

void crowd_ignore(struct websocket *ws)
{
    poller_ignore(ws->fd);
}
