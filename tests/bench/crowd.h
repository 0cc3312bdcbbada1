/* Many WebSockets on the poller's loop, to one path of one server. There is one crowd per program.
 * Whatever goes wrong ends the program (see cli.h). */
#ifndef BELFRY_BENCH_CROWD_H
#define BELFRY_BENCH_CROWD_H

#include <stddef.h>

#include "tests/bench/poller.h"
#include "tests/bench/websocket.h"

struct crowd_handler {
    struct websocket_handler websocket;
    struct poller_handler poller;
};

/* handler outlives the crowd. */
void crowd_open(const struct crowd_handler *handler, const char *path, uint16_t port);
void crowd_run(void);
void crowd_close(void);

/* index: of the client; they are spread over 127.0.0.2 and on, each with its own set of ports. */
void crowd_connect(struct websocket *ws, size_t index);
/* Nothing that comes for ws from here on is looked at. It is still to be closed. */
void crowd_ignore(struct websocket *ws);

#endif
