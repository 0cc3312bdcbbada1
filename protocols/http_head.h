/* The text of a reply, and the checks of a request's head that libwebsockets does not make. */
#ifndef BELFRY_PROTOCOLS_HTTP_HEAD_H
#define BELFRY_PROTOCOLS_HTTP_HEAD_H

#include "base/buf.h"
#include "protocols/http.h"

/* "404 Not Found"; of those that this program answers with. */
const char *http_status_line(int status);

/* Appends status line, headers and (unless is_head) body. */
void http_write_reply(struct buf *out, const struct http_reply *reply, bool is_head, bool closes);

/* The head of a reply whose body ends with the connection. */
void http_write_endless_head(struct buf *out, const struct http_reply *reply);

/* The head of a reply whose body comes piece by piece. Its status may be any. */
struct http_flow {
    int64_t length; /* HTTP_LENGTH_UNKNOWN */
    bool is_head;
    bool knows_chunks; /* the client does */
    bool is_chunked;   /* results: how the body ends */
    bool closes;
};
void http_write_flow_head(struct buf *out, const struct http_reply *reply, struct http_flow *flow);

/* Content-Length as it came (repeated ones joined by ','): digits only. False: malformed. */
bool http_content_length(struct str value, uint64_t *ret_length);

#endif
