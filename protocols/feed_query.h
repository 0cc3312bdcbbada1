/* The arguments of GET /feeds/NAME: the feed's parameters, and what is said to the hub itself. */
#ifndef BELFRY_PROTOCOLS_FEED_QUERY_H
#define BELFRY_PROTOCOLS_FEED_QUERY_H

#include "base/buf.h"
#include "base/status.h"

struct feed_query {
    struct buf params; /* a JSON object of strings; which names a feed has is not known here */
    struct str token;  /* for access.h; or empty. Lies in the arguments */
    bool is_fresh;     /* not the last snapshot: a new one */
};

/* arguments: "name=value" (or "name") and a NUL, each, decoded, as client_head keeps them.
 * STATUS_INVALID: why is filled in. ret_query is to be released only after STATUS_OK. */
enum status feed_query_read(struct str arguments, struct feed_query *ret_query,
                            struct buf *why) MUST_CHECK;
void feed_query_release(struct feed_query *query);

#endif
