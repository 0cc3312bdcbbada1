/* The HTTP and the frames of bench-floor: what a request asks for, and what is written. */
#ifndef BELFRY_BENCH_FLOOR_HTTP_H
#define BELFRY_BENCH_FLOOR_HTTP_H

#include "base/buf.h"
#include "base/str.h"

struct floor_http_request {
    struct str path;
    struct str key; /* of a WebSocket's upgrade, else empty */
    struct str body;
    size_t size_bytes; /* of all of it */
};

/* Views into data. False while the request is incomplete. */
bool floor_http_read(struct str data, struct floor_http_request *ret_request);

/* The answer to an upgrade with this key. */
void floor_http_append_upgraded(struct buf *out, struct str key);
/* One text frame. */
void floor_http_append_frame(struct buf *out, struct str payload);

#endif
