/* The configuration's sections "http_server", "http_api", "websocket", "http_stream", "sse",
 * "emulation", "uni_websocket", "uni_http_stream", "uni_sse", "url_proxy", "health", "prometheus",
 * "openapi" and "demo". */
#ifndef BELFRY_PROTOCOLS_SERVER_OPTIONS_H
#define BELFRY_PROTOCOLS_SERVER_OPTIONS_H

#include "base/config.h"
#include "protocols/access_log.h"
#include "protocols/api_options.h"

struct http_tls_options {
    bool enabled;
    char *cert_pem_file;
    char *key_pem_file;
};

struct http_server_options {
    char *address;
    int64_t port;
    char *internal_address; /* "": as address */
    int64_t internal_port;  /* 0: none */
    char *unix_socket;      /* "": none */
    char *unix_socket_mode; /* in octal digits */
    int64_t max_request_body_size;
    int64_t body_timeout_ms;
    struct http_tls_options tls;
    struct access_log_options access_log;
};

struct websocket_server_options {
    bool disabled;
    int64_t message_size_limit;
    char *handler_prefix; /* "/connection/websocket" */
};

struct uni_websocket_options {
    bool enabled;
    int64_t message_size_limit;
    char *handler_prefix;
    bool join_push_messages;
    bool disable_disconnect_push;
    bool disable_closing_handshake;
};

/* Of http_stream, sse, uni_http_stream and uni_sse. */
struct stream_options {
    bool enabled;
    char *handler_prefix;
    int64_t max_request_body_size;
};

/* Open where http_stream or sse is. */
struct emulation_options {
    char *handler_prefix;
    int64_t max_request_body_size;
};

struct url_proxy_options {
    bool enabled;
    char *handler_prefix;       /* "/proxy" */
    int access;                 /* enum feed_access */
    int64_t timeout_ms;         /* until the head of an answer */
    int64_t connect_timeout_ms; /* within it */
    int64_t idle_timeout_ms;    /* behind the head, without a byte that moves */
    int64_t max_duration_ms;
    int64_t max_size;    /* of an answer; 0: any */
    int64_t buffer_size; /* of an answer: what may wait for its client */
    int64_t max_concurrent;
};

struct health_options {
    bool enabled;
};

struct prometheus_options {
    bool enabled;
    char *handler_prefix; /* "/metrics" */
};

struct openapi_options {
    bool enabled;
};

struct demo_options {
    bool enabled;
    char *channel;
};

struct server_options {
    struct http_server_options http_server;
    struct http_api_options http_api;
    struct websocket_server_options websocket;
    struct uni_websocket_options uni_websocket;
    struct stream_options http_stream;
    struct stream_options sse;
    struct stream_options uni_http_stream;
    struct stream_options uni_sse;
    struct emulation_options emulation;
    struct url_proxy_options url_proxy;
    struct health_options health;
    struct prometheus_options prometheus;
    struct openapi_options openapi;
    struct demo_options demo;
};

extern const struct config_shape http_server_options_shape;
extern const struct config_shape websocket_options_shape;
extern const struct config_shape uni_websocket_options_shape;
extern const struct config_shape http_stream_options_shape;
extern const struct config_shape sse_options_shape;
extern const struct config_shape uni_http_stream_options_shape;
extern const struct config_shape uni_sse_options_shape;
extern const struct config_shape emulation_options_shape;
extern const struct config_shape url_proxy_options_shape;
extern const struct config_shape health_options_shape;
extern const struct config_shape prometheus_options_shape;
extern const struct config_shape openapi_options_shape;
extern const struct config_shape demo_options_shape;

/* POST /emulation is open: a stream needs it. */
bool server_has_emulation(const struct server_options *options);

/* Complains where two endpoints that are open have the same path. The reader is at the object that
 * holds the sections. */
void server_options_check(struct config_reader *reader, const struct server_options *options);

#endif
