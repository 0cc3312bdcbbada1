/* HTTP/1.1 requests and replies over libwebsockets, for everything that is not a WebSocket. Bodies
 * are collected whole, within a limit, before a handler sees the request; a handler may answer at
 * once or later. Loop's thread only. */
#ifndef BELFRY_PROTOCOLS_HTTP_H
#define BELFRY_PROTOCOLS_HTTP_H

#include "base/deadlines.h"
#include "base/str.h"

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

/* Must call http_reply() once, from inside or later. */
typedef void (*http_handler_fn)(void *arg, struct http_request *request);

/* Zero-initialise it; disarm the deadline at the end. */
struct http_wake_up {
    struct deadline deadline;
    struct lws_context *context;
};

struct http_options {
    struct loop *loop;
    struct deadlines *deadlines;
    size_t max_body_size;
    int64_t body_timeout_ms; /* for all of a body to arrive */
    http_handler_fn handler;
    void *arg;
    size_t *n_under_way; /* counts requests between handler and written reply */
    struct http_wake_up *wake_up;
};

/* Of the request; empty where absent. Valid until http_reply(). */
enum http_method http_request_method(const struct http_request *request);
struct str http_request_path(const struct http_request *request); /* decoded, without the query */
struct str http_request_header(const struct http_request *request, enum http_header header);
struct str http_request_body(const struct http_request *request);

struct http_reply {
    int status;
    const char *content_type; /* NULL: none */
    const char *headers;      /* further lines, each ended by CRLF; NULL: none */
    struct str body;          /* copied */
};

/* Answers and ends the request, also where the client has gone meanwhile. */
void http_reply(struct http_request *request, const struct http_reply *reply);

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
