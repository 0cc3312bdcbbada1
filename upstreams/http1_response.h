/* An HTTP/1.x answer to a GET, as its bytes come in (RFC 9112). Strict about all that says where
 * the answer ends: what is contradictory or malformed there is broken, never guessed. It allocates
 * nothing and keeps nothing of the input: who reads brings what was not taken again, with more
 * behind it. */
#ifndef BELFRY_UPSTREAMS_HTTP1_RESPONSE_H
#define BELFRY_UPSTREAMS_HTTP1_RESPONSE_H

#include "base/str.h"

/* All lines of heads and trailers of one answer together; so a line that is not complete never
 * makes more than this wait. */
#define HTTP1_HEAD_BYTES_MAX ((size_t)64 * 1024)

enum http1_event {
    HTTP1_NEEDS_MORE, /* what is left of the input is the beginning of something */
    HTTP1_LINE,       /* of a head, with its end; interim heads (1xx) are told, too, each from its
                         status line to its empty line */
    HTTP1_BODY,       /* bytes of the body, as they were before they were cut into chunks */
    HTTP1_END,        /* of the answer; what is left of the input does not belong to it */
    HTTP1_BROKEN,     /* error says what is wrong */
};

enum http1_state {
    HTTP1_AT_STATUS,
    HTTP1_IN_HEAD,
    HTTP1_IN_BODY,         /* `left` bytes of it are to come */
    HTTP1_IN_ENDLESS_BODY, /* it ends with the connection */
    HTTP1_AT_CHUNK_SIZE,
    HTTP1_IN_CHUNK, /* `left` */
    HTTP1_AFTER_CHUNK,
    HTTP1_IN_TRAILER,
    HTTP1_COMPLETE,
    HTTP1_FAILED,
};

struct http1_response {
    enum http1_state state;
    int status;
    size_t head_bytes;
    uint64_t left;
    bool has_length; /* `left` is that of Content-Length while the head comes */
    bool has_coding; /* Transfer-Encoding: chunked */
    bool is_last;    /* of its connection: nothing can follow it */
    bool is_head_too_large;
    const char *error; /* lives forever */
};

void http1_response_init(struct http1_response *r);
/* Takes the next thing off the front of the input. ret_piece: of HTTP1_LINE and HTTP1_BODY, a part
 * of the input, never empty. */
enum http1_event http1_response_next(struct http1_response *r, struct str *input,
                                     struct str *ret_piece);
/* The connection has ended behind what came: HTTP1_END or HTTP1_BROKEN. */
enum http1_event http1_response_close(struct http1_response *r);
/* The answer is complete: may the connection serve another request? */
bool http1_response_keeps(const struct http1_response *r);

#endif
