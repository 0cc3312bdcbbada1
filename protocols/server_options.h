/* The configuration's sections "http_server", "http_api", "websocket", "health", "prometheus" and
 * "demo". */
#ifndef BELFRY_PROTOCOLS_SERVER_OPTIONS_H
#define BELFRY_PROTOCOLS_SERVER_OPTIONS_H

#include "base/config.h"

struct http_tls_options {
    bool enabled;
    char *cert_pem_file;
    char *key_pem_file;
};

struct http_server_options {
    char *address;
    int64_t port;
    int64_t max_request_body_size;
    int64_t body_timeout_ms;
    struct http_tls_options tls;
};

struct http_api_options {
    char *key; /* "": nobody may call the API */
    bool insecure;
};

struct websocket_server_options {
    int64_t message_size_limit;
    char *handler_prefix; /* "/connection/websocket" */
};

struct health_options {
    bool enabled;
};

struct prometheus_options {
    bool enabled;
    char *handler_prefix; /* "/metrics" */
};

struct demo_options {
    bool enabled;
    char *channel;
};

struct server_options {
    struct http_server_options http_server;
    struct http_api_options http_api;
    struct websocket_server_options websocket;
    struct health_options health;
    struct prometheus_options prometheus;
    struct demo_options demo;
};

extern const struct config_shape http_server_options_shape;
extern const struct config_shape http_api_options_shape;
extern const struct config_shape websocket_options_shape;
extern const struct config_shape health_options_shape;
extern const struct config_shape prometheus_options_shape;
extern const struct config_shape demo_options_shape;

#endif
