/* SPDX-License-Identifier: MIT */
/* Unit server_options holds the tables of the configuration's sections that this floor reads. */
#include "protocols/server_options.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#include "protocols/tls.h"

#define SHAPE(name, type, fields_, ...)                                                            \
    const struct config_shape name = {.size = sizeof(struct type),                                 \
                                      .fields = fields_,                                           \
                                      .n_fields = sizeof(fields_) / sizeof((fields_)[0]),          \
                                      __VA_ARGS__}

static const char *accept_address(const void *place)
{
    const char *text = *(char *const *)place;
    unsigned char address[sizeof(struct in6_addr)];
    bool is_good = text[0] == '\0' || inet_pton(AF_INET, text, address) == 1 ||
                   inet_pton(AF_INET6, text, address) == 1;
    return is_good ? NULL : "an IPv4 or IPv6 address, or \"\" for all";
}

static const struct config_field http_tls_fields[] = {
    {.key = "enabled",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct http_tls_options, enabled),
     .fallback = "false",
     .doc = "The port speaks TLS (1.2 and 1.3), and nothing else."},
    {.key = "cert_pem_file",
     .type = CONFIG_STRING,
     .offset = offsetof(struct http_tls_options, cert_pem_file),
     .fallback = "",
     .doc = "The file of the certificate in PEM, followed by those that lead to its authority."},
    {.key = "key_pem_file",
     .type = CONFIG_STRING,
     .offset = offsetof(struct http_tls_options, key_pem_file),
     .fallback = "",
     .doc = "The file of its private key in PEM, without a passphrase."},
};

static void check_tls(struct config_reader *reader, void *object)
{
    const struct http_tls_options *options = object;
    struct tls_problem problem;
    if (options->enabled && tls_check_files(options, &problem) == STATUS_INVALID) {
        config_complain(reader, problem.key, NULL, problem.expected);
    }
}
SHAPE(http_tls_options_shape, http_tls_options, http_tls_fields, .check = check_tls);

static const struct config_field http_server_fields[] = {
    {.key = "address",
     .type = CONFIG_STRING,
     .offset = offsetof(struct http_server_options, address),
     .fallback = "127.0.0.1",
     .accept = accept_address,
     .doc = "The address to listen on; \"\": all IPv4 addresses of the machine."},
    {.key = "port",
     .type = CONFIG_INT,
     .offset = offsetof(struct http_server_options, port),
     .fallback = "8000",
     .min = 0,
     .max = 65535,
     .expected = "a TCP port from 0 (a free one) to 65535",
     .doc = "The port to listen on; 0: a free one."},
    {.key = "max_request_body_size",
     .type = CONFIG_INT,
     .offset = offsetof(struct http_server_options, max_request_body_size),
     .fallback = "1048576",
     .min = 1024,
     .max = 1073741824,
     .doc = "Bytes in the body of a request."},
    {.key = "body_timeout",
     .type = CONFIG_DURATION,
     .offset = offsetof(struct http_server_options, body_timeout_ms),
     .fallback = "30s",
     .min = 100,
     .max = 3600000,
     .doc = "For all of a request's body to arrive."},
    {.key = "tls",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct http_server_options, tls),
     .shape = &http_tls_options_shape,
     .doc = "TLS on the port."},
};
SHAPE(http_server_options_shape, http_server_options, http_server_fields, .check = NULL);

static const struct config_field http_api_fields[] = {
    {.key = "key",
     .type = CONFIG_STRING,
     .offset = offsetof(struct http_api_options, key),
     .fallback = "",
     .secret = true,
     .doc = "What backends send in X-API-Key; empty: nobody may call the API."},
    {.key = "insecure",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct http_api_options, insecure),
     .fallback = "false",
     .doc = "Everybody may call the API: for development only."},
};
SHAPE(http_api_options_shape, http_api_options, http_api_fields, .check = NULL);

static const char *accept_path(const void *place)
{
    const char *text = *(char *const *)place;
    return text[0] == '/' ? NULL : "a path that begins with /";
}

static const struct config_field websocket_fields[] = {
    {.key = "message_size_limit",
     .type = CONFIG_INT,
     .offset = offsetof(struct websocket_server_options, message_size_limit),
     .fallback = "65536",
     .min = 256,
     .max = 16777216,
     .doc = "Bytes in one message of a client."},
    {.key = "handler_prefix",
     .type = CONFIG_STRING,
     .offset = offsetof(struct websocket_server_options, handler_prefix),
     .fallback = "/connection/websocket",
     .accept = accept_path,
     .doc = "The path of the WebSocket endpoint."},
};
SHAPE(websocket_options_shape, websocket_server_options, websocket_fields, .check = NULL);

static const struct config_field health_fields[] = {
    {.key = "enabled",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct health_options, enabled),
     .fallback = "false",
     .doc = "GET /health answers."},
};
SHAPE(health_options_shape, health_options, health_fields, .check = NULL);

static const char *accept_metrics_path(const void *place)
{
    struct str path = str_of(*(char *const *)place);
    bool is_taken = path.len < 2 || str_eq(path, STR("/api")) ||
                    str_starts_with(path, STR("/api/")) || str_eq(path, STR("/health"));
    bool is_path = str_starts_with(path, STR("/")) && !strpbrk(path.ptr, "?# ");
    return is_path && !is_taken
               ? NULL
               : "a path that begins with / and is not / alone, /health, /api or one below /api/";
}

static const struct config_field prometheus_fields[] = {
    {.key = "enabled",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct prometheus_options, enabled),
     .fallback = "false",
     .doc = "The hub's figures for Prometheus, for everybody who can reach the port."},
    {.key = "handler_prefix",
     .type = CONFIG_STRING,
     .offset = offsetof(struct prometheus_options, handler_prefix),
     .fallback = "/metrics",
     .accept = accept_metrics_path,
     .doc = "The path of the figures."},
};
SHAPE(prometheus_options_shape, prometheus_options, prometheus_fields, .check = NULL);

static const struct config_field demo_fields[] = {
    {.key = "enabled",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct demo_options, enabled),
     .fallback = "false",
     .doc = "The demo page at / and what its buttons call, for everybody and without a key."},
    {.key = "channel",
     .type = CONFIG_STRING,
     .offset = offsetof(struct demo_options, channel),
     .fallback = "news:all",
     .doc = "Where the demo page's notifications are published."},
};
SHAPE(demo_options_shape, demo_options, demo_fields, .check = NULL);
