/* One wire protocol: how a client subscribes and what its input means, how a publication is sent
 * and acknowledged. */
#ifndef BELFRY_BENCH_PROTOCOL_H
#define BELFRY_BENCH_PROTOCOL_H

#include "base/buf.h"
#include "base/str.h"
#include "tests/bench/client.h"

struct protocol {
    const char *name;
    const char *path;         /* of a client's connection, where the command line tells none */
    const char *publish_path; /* likewise; NULL: what is published goes over the same protocol */
    bool has_pings;

    /* What a client sends once it is connected. */
    void (*append_opening)(struct buf *out, struct str channel);
    /* Looks at the first thing in a client's input. Returns how many bytes were used, 0 while they
     * are too few. */
    size_t (*take)(struct client *c, struct str data);

    /* What a publisher sends once it is connected; may be NULL. */
    void (*append_greeting)(struct buf *out);
    void (*append_publish)(struct buf *out, struct str channel, struct str payload);
    /* Looks at the first thing in a publisher's input; as take. Sets *ret_acknowledged where that
     * was the answer to what was published. */
    size_t (*take_answer)(struct str data, bool *ret_acknowledged);
};

extern const struct protocol protocol_belfry;
extern const struct protocol protocol_websocket;
extern const struct protocol protocol_socketio;
extern const struct protocol protocol_nats;
extern const struct protocol protocol_redis;

/* Fails where there is none of this name. */
const struct protocol *protocol_named(const char *name);

#endif
