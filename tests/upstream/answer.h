/* From a request to the answer and to how it is to be sent. */
#ifndef BELFRY_UPSTREAM_ANSWER_H
#define BELFRY_UPSTREAM_ANSWER_H

#include "tests/upstream/server.h"

/* Fills in the server's response for its request, and *b. */
void answer_make(struct server *s, struct behaviour *b);

#endif
