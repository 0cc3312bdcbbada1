/* One keep-alive HTTP connection to a port of 127.0.0.1, one call at a time, blocking: the latency
 * a caller sees, without a client library's own share in it. */
#ifndef BELFRY_BENCH_HTTP_CALL_H
#define BELFRY_BENCH_HTTP_CALL_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct http_call {
    int fd;
    struct buf answer;
};

void http_call_open(struct http_call *c, uint16_t port);
void http_call_close(struct http_call *c);

/* Sends a whole request, waits for the whole answer (200, with Content-Length) and returns its
 * body, which is valid until the next call. Anything else ends the program. */
struct str http_call(struct http_call *c, struct str request);

#endif
