/* HTTP/1.1 requests and replies over libwebsockets, for everything that is not a WebSocket. Bodies
 * are collected whole, within a limit, before a handler sees the request; a handler may answer at
 * once or later. Loop's thread only. */
#ifndef BELFRY_PROTOCOLS_HTTP_H
#define BELFRY_PROTOCOLS_HTTP_H

#include "base/buf.h"
#include "base/config.h"
#include "base/deadlines.h"
#include "base/str.h"

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
    HTTP_HEADER_API_KEY, /* X-API-Key */
    HTTP_HEADER_IF_NONE_MATCH,
    HTTP_N_HEADERS,
};

/* What requests to a path are taken with. */
struct http_route {
    size_t max_body_size;
    const char *max_body_size_key; /* "http_server.max_request_body_size", for who exceeds it */
    bool is_for_clients;           /* their heads are read further: http_request_client_head() */
};

/* Must call http_reply() once, from inside or later, or one of the functions that stand for it. */
typedef void (*http_handler_fn)(void *arg, struct http_request *request);

/* Zero-initialise it; disarm the deadline at the end. */
struct http_wake_up {
    struct deadline deadline;
    struct lws_context *context;
};

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
    size_t *n_under_way; /* counts requests between handler and written reply */
    struct http_wake_up *wake_up;
};

/* Of the request; empty where absent. Valid until http_reply(). */
enum http_method http_request_method(const struct http_request *request);
struct str http_request_path(const struct http_request *request); /* decoded, without the query */
struct str http_request_header(const struct http_request *request, enum http_header header);
struct str http_request_body(const struct http_request *request);
/* NULL where the path's route is not for clients. */
const struct client_head *http_request_client_head(const struct http_request *request);

struct http_reply {
    int status;
    const char *content_type; /* NULL: none */
    const char *headers;      /* further lines, each ended by CRLF; NULL: none */
    struct str body;          /* copied */
};

/* Answers and ends the request, also where the client has gone meanwhile. */
void http_reply(struct http_request *request, const struct http_reply *reply);

/* --- replies without an end --- */

/* Instead of http_reply(), from inside a handler: calls fn at the tail of the loop, outside of
 * libwebsockets' callbacks; not at all if the client has gone by then. fn is a handler too, and may
 * take the connection. */
void http_handle_at_tail(struct http_request *request, http_handler_fn fn, void *arg);
/* The head of a reply that ends with its connection. */
void http_write_stream_head(const struct http_request *request, const struct http_reply *reply,
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
void http_on_closed(struct http_request **slot);

/* Writes a small complete reply to an upgrade that is refused: libwebsockets then waits for the
 * next request. False: the connection is dead. */
bool http_refuse_upgrade(struct lws *wsi, const struct http_reply *reply);

#endif
