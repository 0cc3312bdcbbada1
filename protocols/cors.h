/* What lets pages of other origins use the HTTP transports: the Access-Control headers. */
#ifndef BELFRY_PROTOCOLS_CORS_H
#define BELFRY_PROTOCOLS_CORS_H

#include "base/buf.h"
#include "base/config.h"

/* Appends the lines that a reply to this origin has. A refused origin is answered without any, and
 * its browser keeps the answer from the page. requested: Access-Control-Request-Headers, echoed
 * where it is a list of header names. */
void cors_append(struct buf *out, const struct config_list *allowed_origins, struct str origin,
                 struct str requested);

#endif
