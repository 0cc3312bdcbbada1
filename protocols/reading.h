/* Stops reading from a connection for a while, so that the kernel makes its peer wait. */
#ifndef BELFRY_PROTOCOLS_READING_H
#define BELFRY_PROTOCOLS_READING_H

#include "base/loop.h"

struct lws;
struct reading_stop; /* exists while a connection is not read from */

/* From any callback. What has been read already still comes: at most one buffer of libwebsockets.
 * NULL: there is no memory. */
struct reading_stop *reading_stop(struct loop *loop, struct lws *wsi);
/* Reads on. Accepts NULL; sets *slot to NULL, like the next. */
void reading_resume(struct reading_stop **slot);
/* The connection has gone. */
void reading_forget(struct reading_stop **slot);

#endif
