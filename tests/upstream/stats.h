/* What the server has seen since the start or the last reset. */
#ifndef BELFRY_UPSTREAM_STATS_H
#define BELFRY_UPSTREAM_STATS_H

#include "tests/upstream/response.h"

struct stats;

struct stats *stats_create(void);
void stats_destroy(struct stats *s);
void stats_reset(struct stats *s);

void stats_connection(struct stats *s);
/* A TLS handshake ended well. */
void stats_handshake(struct stats *s);
/* A request came; it is active until stats_ended(). */
void stats_began(struct stats *s, struct str method, struct str path);
void stats_ended(struct stats *s);
/* It was answered with 304. */
void stats_not_modified(struct stats *s);

void stats_write(const struct stats *s, struct response *res);

#endif
