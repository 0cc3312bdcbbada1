/* HTTP/1.1 requests and replies over libwebsockets, for everything that is not a WebSocket. Bodies
 * are collected whole, within a limit, before a handler sees the request; a handler may answer at
 * once or later. Loop's thread only. */
#ifndef BELFRY_PROTOCOLS_HTTP_H
#define BELFRY_PROTOCOLS_HTTP_H

#include "base/buf.h"
#include "base/config.h"
#include "base/deadlines.h"
#include "base/str.h"

struct access_log_options;
struct client_head;
struct lws;
struct lws_context;
struct http_request;

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER,
};

/* The headers that handlers read. */
enum http_header {
    HTTP_HEADER_ORIGIN,
    HTTP_HEADER_AUTHORIZATION,
    HTTP_HEADER_API_KEY,          /* X-API-Key */
    HTTP_HEADER_API_KEY_ARGUMENT, /* not a header, but ?api_key=; these two where it is the API's */
    HTTP_HEADER_ERROR_MODE,       /* X-Belfry-Error-Mode or X-Centrifugo-Error-Mode */
    HTTP_HEADER_IF_NONE_MATCH,
    HTTP_HEADER_ACCEPT,    /* where the route is for clients */
    HTTP_HEADER_SIGNATURE, /* X-Belfry-Signature, X-Hub-Signature-256: where it is signed */
    HTTP_HEADER_HUB_SIGNATURE,
    HTTP_HEADER_TRACEPARENT, /* W3C Trace Context */
    HTTP_HEADER_TRACESTATE,
    HTTP_HEADER_FORWARDED_FOR, /* where there is an access log */
    HTTP_N_HEADERS,
};

/* What requests to a path are taken with. */
struct http_route {
    size_t max_body_size;
    const char *max_body_size_key; /* "http_server.max_request_body_size", for who exceeds it */
    bool is_for_clients;           /* their heads are read further: http_request_client_head() */
    bool is_signed;
    bool is_api;
};

/* Must call http_reply() once, from inside or later, or one of the functions that stand for it. */
typedef void (*http_handler_fn)(void *arg, struct http_request *request);

/* Zero-initialise it; disarm the deadline at the end. */
struct http_wake_up {
    struct deadline deadline;
    struct lws_context *context;
};

/* Requests by method and status; the last status is for all others, and is 0 in the list. */
#define HTTP_N_METHODS  (HTTP_OTHER + 1)
#define HTTP_N_STATUSES 28
extern const int http_counted_statuses[HTTP_N_STATUSES];
struct http_counts {
    uint64_t n_requests[HTTP_N_METHODS][HTTP_N_STATUSES];
};
/* "GET" ... */
const char *http_method_name(enum http_method method);

struct http_options {
    struct loop *loop;
    struct deadlines *deadlines;
    int64_t body_timeout_ms; /* for all of a body to arrive */
    void (*route)(void *arg, struct str path, struct http_route *ret_route);
    http_handler_fn handler;
    /* Lines that every reply to a client's request has, also where no handler is asked. */
    void (*append_client_headers)(void *arg, const struct http_request *request, struct buf *out);
    void *arg;
    const struct config_list *forwarded_headers; /* of clients' requests; names, of char * */
    const struct access_log_options *access_log;
    size_t *n_under_way; /* counts requests between handler and written reply */
    struct http_counts *counts;
    struct http_wake_up *wake_up;
};

/* Of the request; empty where absent. Valid until http_reply(). */
enum http_method http_request_method(const struct http_request *request);
struct str http_request_path(const struct http_request *request); /* decoded, without the query */
struct str http_request_header(const struct http_request *request, enum http_header header);
struct str http_request_body(const struct http_request *request);
/* Its X-Request-Id, or one that was made for it. */
struct str http_request_id(const struct http_request *request);
/* Which key it came with, for the access log; copied, as far as HTTP_KEY_NAME_MAX_BYTES. */
#define HTTP_KEY_NAME_MAX_BYTES 64
void http_request_set_key_name(struct http_request *request, struct str name);
/* NULL where the path's route is not for clients. */
const struct client_head *http_request_client_head(const struct http_request *request);
/* HTTP_ROOM_BYTES for its handler, aligned for anything, until http_reply(). */
#define HTTP_ROOM_BYTES 80
void *http_request_room(struct http_request *request);

struct http_reply {
    int status;
    const char *content_type; /* NULL: none */
    const char *headers;      /* further lines, each ended by CRLF; NULL: none */
    struct str body;          /* copied */
    struct str request_id;    /* filled in by this unit */
};

/* Answers and ends the request, also where the client has gone meanwhile. */
void http_reply(struct http_request *request, const struct http_reply *reply);

/* --- replies that come piece by piece --- */

/* Who makes such a reply. The calls come from libwebsockets' callbacks or at the tail of the loop;
 * none after the request has ended. */
struct http_source {
    void (*may_write)(void *arg); /* what was written has gone out */
    void (*gone)(void *arg);      /* the client has: the request ends with this call */
    void *arg;
};

/* From inside a handler: from here on the client's going is told. The request is then not to be
 * answered; it still may be with http_reply() otherwise, as long as no reply has begun. */
void http_watch(struct http_request *request, const struct http_source *source);

#define HTTP_PIECE_MAX_BYTES 32768
#define HTTP_LENGTH_UNKNOWN  (-1)

/* The head, for a watched request, from outside of a handler; reply->body is not used. length: of
 * the body; where it is not known a client of HTTP/1.1 gets chunks. A HEAD request, 204 and 304
 * have no body. */
void http_begin_reply(struct http_request *request, const struct http_reply *reply, int64_t length);
/* Has all gone out that was written? If not, may_write() comes when it has. */
bool http_can_write(const struct http_request *request);
/* At most HTTP_PIECE_MAX_BYTES, when http_can_write(). Copied where it must wait. */
void http_write(struct http_request *request, struct str piece);
/* The body is complete, which the client can tell: the request ends. */
void http_end_reply(struct http_request *request);
/* It will never be complete, which the client can tell: the request ends, and its connection. */
void http_break_reply(struct http_request *request);

/* --- replies without an end --- */

/* Instead of http_reply(), from inside a handler: calls fn at the tail of the loop, outside of
 * libwebsockets' callbacks; not at all if the client has gone by then. fn is a handler too, and may
 * take the connection. */
void http_handle_at_tail(struct http_request *request, http_handler_fn fn, void *arg);
/* The head of a reply that ends with its connection. */
void http_write_stream_head(struct http_request *request, const struct http_reply *reply,
                            struct buf *out);
/* Where the reply is written to, for who takes it. */
struct lws *http_request_connection(const struct http_request *request);
/* Instead of http_reply(), from inside fn: the request ends, its connection stays, and is the
 * caller's. */
void http_take_connection(struct http_request *request);

/* --- for server.c: libwebsockets' callbacks. Each returns what the callback returns. slot: where
 * the connection keeps its request. --- */
int http_on_request(const struct http_options *options, struct lws *wsi,
                    struct http_request **slot);
int http_on_body(struct http_request *request, struct str piece);
int http_on_body_complete(struct http_request *request);
int http_on_writeable(struct http_request *request);
void http_on_closed(struct http_request **slot);

/* Writes a small complete reply to an upgrade that is refused: libwebsockets then waits for the
 * next request. False: the connection is dead. */
bool http_refuse_upgrade(struct lws *wsi, const struct http_reply *reply);

#endif
