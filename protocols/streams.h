/* Clients whose connection is an HTTP response that does not end: http_stream and sse, whose
 * commands come over /emulation, the unidirectional ones, who command nothing, and readers of one
 * feed. Loop's thread only. */
#ifndef BELFRY_PROTOCOLS_STREAMS_H
#define BELFRY_PROTOCOLS_STREAMS_H

#include "hub/hub.h"
#include "hub/wire_format.h"
#include "protocols/emulation.h"
#include "protocols/feed_events.h"
#include "protocols/http.h"

struct stream;

enum stream_kind {
    STREAM_HTTP,
    STREAM_SSE,
    STREAM_UNI_HTTP,
    STREAM_UNI_SSE,
    N_STREAM_KINDS,
};

struct streams {
    struct hub *hub;
    struct emulation emulation;
    struct stream_door {
        struct streams *streams;
        enum stream_kind kind;
    } doors[N_STREAM_KINDS];
    struct feed_events feed_events;
    struct client_transport feed_transport;
};

/* waiting_max_bytes: of one client's commands behind one that takes time. */
void streams_init(struct streams *streams, struct hub *hub, size_t waiting_max_bytes);

/* A request to the endpoint of that kind; its route is for clients. */
void streams_handle(struct streams *streams, enum stream_kind kind, struct http_request *request);

/* A reader of the channel's events, who has been let in until expires_at (seconds since 1970; 0:
 * for ever): takes the request's connection. Its route is for clients. From outside libwebsockets'
 * callbacks. Otherwise the request is still to be answered: STATUS_OVERLOADED; STATUS_CLOSED:
 * shutting down, or the client has gone. */
enum status streams_open_feed(struct streams *streams, struct http_request *request,
                              struct str channel, int64_t expires_at) MUST_CHECK;

/* --- for server.c: libwebsockets' callbacks; each returns what the callback returns --- */
int stream_on_writeable(struct stream *stream);
void stream_on_closed(struct stream **slot);

#endif
