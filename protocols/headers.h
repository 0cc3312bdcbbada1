/* Copies of a request's headers: libwebsockets gives them up before an answer may be ready. */
#ifndef BELFRY_PROTOCOLS_HEADERS_H
#define BELFRY_PROTOCOLS_HEADERS_H

#include <libwebsockets.h>

#include "base/str.h"

/* Texts one behind the other in a block that never moves. */
struct headers {
    char *bytes;
    size_t size;
    size_t used;
    bool is_full; /* a header did not fit: nothing may be taken for absent */
};

/* The bytes that a copy takes; 0 where the request has none. */
size_t headers_size(struct lws *wsi, enum lws_token_indexes token);
size_t headers_size_custom(struct lws *wsi, struct str name);
/* Empty where the request has none. Repeated ones are joined by ','. */
struct str headers_copy(struct headers *h, struct lws *wsi, enum lws_token_indexes token);
/* One that libwebsockets has no token for; name: lower case, with its colon. */
struct str headers_copy_custom(struct headers *h, struct lws *wsi, struct str name);
/* The value of an argument of the request's target, decoded; name: with its '='. Takes no more room
 * than all arguments (WSI_TOKEN_HTTP_URI_ARGS). The first one; empty where there is none. */
struct str headers_copy_argument(struct headers *h, struct lws *wsi, struct str name);

#endif
