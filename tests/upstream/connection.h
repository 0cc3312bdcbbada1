/* One connection: reads requests, answers them in order, as well or as badly as they ask for. */
#ifndef BELFRY_UPSTREAM_CONNECTION_H
#define BELFRY_UPSTREAM_CONNECTION_H

#include "tests/upstream/server.h"

/* tls NULL: without. */
void connection_accept(struct server *s, uv_stream_t *listening, struct tls *tls);
void connection_close_all(struct server *s);

#endif
