/* What the files of a request share; not for others. http_incoming.c makes one of a head and checks
 * it, http.c is its life, http_flow.c writes replies that come piece by piece. */
#ifndef BELFRY_PROTOCOLS_HTTP_INTERNAL_H
#define BELFRY_PROTOCOLS_HTTP_INTERNAL_H

#include <libwebsockets.h>
#include <stddef.h>

#include "protocols/headers.h"
#include "protocols/http.h"

enum http_state {
    HTTP_READING, /* the body */
    HTTP_HANDLING,
    HTTP_PUT_OFF,  /* the tail of the loop goes on with it */
    HTTP_ANSWERED, /* the reply waits for the tail of the loop */
    HTTP_FLOWING,  /* the reply comes piece by piece */
    HTTP_ENDING,   /* all pieces are written; the tail of the loop ends the request */
    HTTP_BREAKING, /* there will be no more of them; the tail of the loop cuts the connection */
    HTTP_REFUSED,  /* the reply is written; what still comes of the request is thrown away */
};

struct http_request {
    struct lws *wsi;            /* NULL: the client has gone */
    struct http_request **slot; /* where the connection keeps it */
    const struct http_options *options;
    struct http_route route;
    struct client_head *client_head; /* NULL mostly */
    http_handler_fn at_tail;         /* of HTTP_PUT_OFF */
    void *at_tail_arg;
    struct http_source source; /* zeroed: it is not watched */
    enum http_state state;
    enum http_method method;
    bool is_expired; /* its connection is to end */
    bool is_in_callback;
    bool closes; /* the connection cannot be used again */
    bool knows_chunks;
    bool is_chunked;
    uint64_t content_length;
    struct headers head; /* in texts, behind the path */
    struct str path;
    struct str id;
    char key_name[HTTP_KEY_NAME_MAX_BYTES + 1]; /* of the API; or empty */
    int status;                                 /* of the reply; 0: there is none yet */
    bool is_logged;
    int64_t n_reply_bytes; /* of its body; -1: without an end */
    int64_t begun_us;
    struct str headers[HTTP_N_HEADERS];
    struct buf body;
    struct buf reply; /* LWS_PRE bytes, then the text */
    struct deadline deadline;
    struct deferred tail;
    _Alignas(max_align_t) char room[HTTP_ROOM_BYTES]; /* the handler's */
    char texts[];                                     /* as many as the head has */
};

/* http_incoming.c. Of the head that libwebsockets has read; NULL when memory is short. */
struct http_request *http_incoming_create(const struct http_options *options, struct lws *wsi,
                                          struct http_request **slot);
/* True: the request may go on. False: it has been answered, by http_reply(). */
bool http_incoming_check(struct http_request *r);

/* http.c. The reply's own lines, and those that all replies to clients have. */
void http_append_headers(const struct http_request *r, const struct http_reply *reply,
                         struct buf *out);

#endif
