/* What libwebsockets keeps per connection for this program: lws_wsi_user(). Zeroed at every
 * request. */
#ifndef BELFRY_PROTOCOLS_SLOTS_H
#define BELFRY_PROTOCOLS_SLOTS_H

struct http_request;
struct stream;
struct websocket;

struct slots {
    struct http_request *request;
    struct websocket *websocket;
    struct stream *stream;
};

#endif
