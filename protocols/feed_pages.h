/* GET /feeds/NAME?city=bilbao: the last snapshot of a feed, or a new one, without a socket; and the
 * same as a live stream of events for who accepts text/event-stream. */
#ifndef BELFRY_PROTOCOLS_FEED_PAGES_H
#define BELFRY_PROTOCOLS_FEED_PAGES_H

#include "protocols/access.h"
#include "protocols/http.h"
#include "protocols/streams.h"

#define FEED_PAGES_PREFIX STR("/feeds/")

struct feed_pages {
    const struct access *access;
    struct streams *streams;
};

/* name: what stands behind the prefix. Its route is for clients. */
void feed_pages_handle(const struct feed_pages *pages, struct str name,
                       struct http_request *request);

/* Is one of the types of an Accept header text/event-stream, with a weight above 0? */
bool feed_pages_accepts_events(struct str accept);
/* Does an If-None-Match header name this ETag (RFC 9110: weakly compared, "*" is any)? */
bool feed_pages_has_etag(struct str if_none_match, struct str etag);

#endif
