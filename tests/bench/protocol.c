/* SPDX-License-Identifier: MIT */
#include "tests/bench/protocol.h"

#include "tests/bench/cli.h"

const struct protocol *protocol_named(const char *name)
{
    static const struct protocol *const all[] = {
        &protocol_belfry, &protocol_websocket, &protocol_socketio, &protocol_nats, &protocol_redis};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(all[i]->name, name) == 0) {
            return all[i];
        }
    }
    fail("%s: expected belfry, websocket, socketio, nats or redis", name);
}
