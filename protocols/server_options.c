/* SPDX-License-Identifier: MIT */
/* Unit server_options holds the tables of the configuration's sections that this floor reads. */
#include "protocols/server_options.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "protocols/tls.h"
#include "protocols/unix_socket.h"

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

static const char *accept_internal_address(const void *place)
{
    return accept_address(place)
               ? "an IPv4 or IPv6 address, or \"\" for that of http_server.address"
               : NULL;
}

static const char *accept_socket_path(const void *place)
{
    _Static_assert(UNIX_SOCKET_PATH_MAX_BYTES == 107, "as is said here");
    bool is_good = strlen(*(char *const *)place) <= UNIX_SOCKET_PATH_MAX_BYTES;
    return is_good ? NULL : "the path of a Unix socket, of at most 107 bytes";
}

static const char *accept_mode(const void *place)
{
    struct str text = str_of(*(char *const *)place);
    bool is_good = text.len == 4 && text.ptr[0] == '0' && strspn(text.ptr, "01234567") == text.len;
    return is_good ? NULL : "a mode in four octal digits, such as \"0660\"";
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
     .change = CONFIG_CHANGE_ON_RELOAD,
     .doc = "The file of the certificate in PEM, followed by those that lead to its authority."},
    {.key = "key_pem_file",
     .type = CONFIG_STRING,
     .offset = offsetof(struct http_tls_options, key_pem_file),
     .fallback = "",
     .change = CONFIG_CHANGE_ON_RELOAD,
     .doc = "The file of its private key in PEM, without a passphrase."},
};

static void check_tls(struct config_reader *reader, void *object)
{
    const struct http_tls_options *options = object;
    struct tls_problem problem;
    if (options->enabled && config_is_good(reader, "cert_pem_file") &&
        config_is_good(reader, "key_pem_file") &&
        tls_check_files(options, &problem) == STATUS_INVALID) {
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
    {.key = "internal_address",
     .type = CONFIG_STRING,
     .offset = offsetof(struct http_server_options, internal_address),
     .fallback = "",
     .accept = accept_internal_address,
     .doc = "The address of the internal port; \"\": that of http_server.address."},
    {.key = "internal_port",
     .type = CONFIG_INT,
     .offset = offsetof(struct http_server_options, internal_port),
     .fallback = "0",
     .min = 0,
     .max = 65535,
     .expected = "a TCP port from 1 to 65535, or 0 for none",
     .doc =
         "A second port, without TLS, that alone has the API, the figures, /health and /ready; 0: "
         "the first one has them."},
    {.key = "unix_socket",
     .type = CONFIG_STRING,
     .offset = offsetof(struct http_server_options, unix_socket),
     .fallback = "",
     .accept = accept_socket_path,
     .doc = "The path of a Unix socket to listen on as well, without TLS and for everything; \"\": "
            "none."},
    {.key = "unix_socket_mode",
     .type = CONFIG_STRING,
     .offset = offsetof(struct http_server_options, unix_socket_mode),
     .fallback = "0660",
     .accept = accept_mode,
     .doc = "The mode of its file: who may write to it may connect."},
    {.key = "max_request_body_size",
     .type = CONFIG_INT,
     .offset = offsetof(struct http_server_options, max_request_body_size),
     .fallback = "1048576",
     .change = CONFIG_CHANGE_ON_RELOAD,
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
    {.key = "access_log",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct http_server_options, access_log),
     .shape = &access_log_options_shape,
     .change = CONFIG_CHANGE_ON_RELOAD,
     .doc = "A line of the log per request."},
};

static void check_http_server(struct config_reader *reader, void *object)
{
    const struct http_server_options *options = object;
    if (options->internal_port != 0 && options->internal_port == options->port &&
        config_is_good(reader, "port")) {
        config_complain(reader, "internal_port", NULL, "another port than http_server.port");
    }
}
SHAPE(http_server_options_shape, http_server_options, http_server_fields,
      .check = check_http_server);

#define PATH_MAX_BYTES 255 /* of a mount of libwebsockets */

/* What other endpoints always have. */
static bool is_reserved(struct str path)
{
    return path.len < 2 || str_eq(path, STR("/api")) || str_starts_with(path, STR("/api/")) ||
           str_starts_with(path, STR("/demo/")) || str_starts_with(path, STR("/feeds/")) ||
           str_starts_with(path, STR("/hooks/")) || str_eq(path, STR("/health")) ||
           str_eq(path, STR("/ready")) || str_eq(path, STR("/openapi.json")) ||
           str_eq(path, STR("/docs/api")) || str_starts_with(path, STR("/docs/api/"));
}

static const char *accept_path(const void *place)
{
    struct str path = str_of(*(char *const *)place);
    bool is_path =
        str_starts_with(path, STR("/")) && !strpbrk(path.ptr, "?# ") && path.len <= PATH_MAX_BYTES;
    return is_path && !is_reserved(path)
               ? NULL
               : "a path that begins with / and is not / alone, /health, /ready, /openapi.json, "
                 "/docs/api, /api or one below /docs/api/, /api/, /demo/, /feeds/ or /hooks/, of "
                 "at most 255 bytes";
}

#define FIELD(struct_, key_, type_, fallback_, ...)                                                \
    {                                                                                              \
        .key = #key_, .type = type_, .offset = offsetof(struct struct_, key_),                     \
        .fallback = fallback_, __VA_ARGS__                                                         \
    }
#define MESSAGE_SIZE(struct_)                                                                      \
    FIELD(struct_, message_size_limit, CONFIG_INT, "65536", .min = 256, .max = 16777216,           \
          .doc = "Bytes in one message of a client.")
#define PATH(struct_, path)                                                                        \
    FIELD(struct_, handler_prefix, CONFIG_STRING, path, .accept = accept_path,                     \
          .doc = "The path of the endpoint.")
#define BODY_SIZE(struct_)                                                                         \
    FIELD(struct_, max_request_body_size, CONFIG_INT, "65536", .min = 256, .max = 16777216,        \
          .doc = "Bytes in the body of a request.")

static const struct config_field websocket_fields[] = {
    FIELD(websocket_server_options, disabled, CONFIG_BOOL, "false",
          .doc = "There is no such endpoint."),
    MESSAGE_SIZE(websocket_server_options),
    PATH(websocket_server_options, "/connection/websocket"),
};
SHAPE(websocket_options_shape, websocket_server_options, websocket_fields, .check = NULL);

static const struct config_field uni_websocket_fields[] = {
    FIELD(uni_websocket_options, enabled, CONFIG_BOOL, "false",
          .doc = "Clients may connect here to receive only."),
    MESSAGE_SIZE(uni_websocket_options),
    PATH(uni_websocket_options, "/connection/uni_websocket"),
    FIELD(uni_websocket_options, join_push_messages, CONFIG_BOOL, "false",
          .doc = "Several messages may come in one frame, a line each."),
    FIELD(uni_websocket_options, disable_disconnect_push, CONFIG_BOOL, "false",
          .doc = "The reason of a disconnect is in the Close frame only, not also in a message."),
    FIELD(uni_websocket_options, disable_closing_handshake, CONFIG_BOOL, "false",
          .doc = "The connection is closed without a Close frame."),
};
SHAPE(uni_websocket_options_shape, uni_websocket_options, uni_websocket_fields, .check = NULL);

#define STREAM_SHAPE(name, path, doc_)                                                             \
    static const struct config_field name##_fields[] = {                                           \
        FIELD(stream_options, enabled, CONFIG_BOOL, "false", .doc = doc_),                         \
        PATH(stream_options, path),                                                                \
        BODY_SIZE(stream_options),                                                                 \
    };                                                                                             \
    SHAPE(name##_options_shape, stream_options, name##_fields, .check = NULL)

STREAM_SHAPE(http_stream, "/connection/http_stream",
             "Clients may connect here over an HTTP response that does not end.");
STREAM_SHAPE(sse, "/connection/sse", "Clients may connect here over Server-Sent Events.");
STREAM_SHAPE(uni_http_stream, "/connection/uni_http_stream",
             "Clients may connect here to receive only, over an HTTP response that does not end.");
STREAM_SHAPE(uni_sse, "/connection/uni_sse",
             "Clients may connect here to receive only, over Server-Sent Events.");

static const struct config_field emulation_fields[] = {
    FIELD(emulation_options, handler_prefix, CONFIG_STRING, "/emulation", .accept = accept_path,
          .doc = "The path to which clients of http_stream and sse post commands; open when one of "
                 "them is."),
    FIELD(emulation_options, max_request_body_size, CONFIG_INT, "65536", .min = 256,
          .max = 16777216,
          .doc = "Bytes in the body of a request; of one client sixteen times as many may wait "
                 "behind a command that takes time."),
};
SHAPE(emulation_options_shape, emulation_options, emulation_fields, .check = NULL);

/* In the order of enum feed_access. */
static const char *const access_names[] = {"key", "token", "public", NULL};

#define DURATION(struct_, key_, member_, fallback_, min_, max_, ...)                               \
    {                                                                                              \
        .key = #key_, .type = CONFIG_DURATION, .offset = offsetof(struct struct_, member_),        \
        .fallback = fallback_, .min = min_, .max = max_, __VA_ARGS__                               \
    }

static const struct config_field url_proxy_fields[] = {
    FIELD(url_proxy_options, enabled, CONFIG_BOOL, "false",
          .doc = "GET /proxy?url=URL passes on what a host of upstreams.allow_hosts answers."),
    PATH(url_proxy_options, "/proxy"),
    FIELD(url_proxy_options, access, CONFIG_CHOICE, "key", .choices = access_names,
          .doc =
              "Who may ask: who has a key of http_api, who has a connection token, or everybody."),
    DURATION(url_proxy_options, timeout, timeout_ms, "30s", 10, 600000,
             .doc = "Until the head of an answer."),
    DURATION(url_proxy_options, connect_timeout, connect_timeout_ms, "5s", 10, 600000,
             .doc = "Of these, for name, connection and TLS."),
    DURATION(url_proxy_options, idle_timeout, idle_timeout_ms, "60s", 10, 3600000,
             .doc = "Behind the head: an answer of which no byte moves for so long is broken off."),
    DURATION(url_proxy_options, max_duration, max_duration_ms, "1h", 1000, 86400000,
             .doc = "For all of an answer."),
    FIELD(url_proxy_options, max_size, CONFIG_INT, "104857600", .min = 0, .max = INT64_C(1) << 50,
          .doc = "Bytes of one answer; 0: any."),
    FIELD(url_proxy_options, buffer_size, CONFIG_INT, "65536", .min = 4096, .max = 16777216,
          .doc = "Bytes of one answer that wait for its client, before the upstream waits, too."),
    FIELD(url_proxy_options, max_concurrent, CONFIG_INT, "100", .min = 1, .max = 100000,
          .doc = "Answers under way at one time; beyond it the reply is 503."),
};
SHAPE(url_proxy_options_shape, url_proxy_options, url_proxy_fields, .check = NULL);

static const struct config_field health_fields[] = {
    {.key = "enabled",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct health_options, enabled),
     .fallback = "false",
     .doc = "GET /health and GET /ready answer."},
};
SHAPE(health_options_shape, health_options, health_fields, .check = NULL);

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
     .accept = accept_path,
     .doc = "The path of the figures."},
};
SHAPE(prometheus_options_shape, prometheus_options, prometheus_fields, .check = NULL);

static const struct config_field openapi_fields[] = {
    FIELD(openapi_options, enabled, CONFIG_BOOL, "false",
          .doc = "GET /openapi.json describes the server API, GET /docs/api shows it."),
};
SHAPE(openapi_options_shape, openapi_options, openapi_fields, .check = NULL);

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

bool server_has_emulation(const struct server_options *options)
{
    return options->http_stream.enabled || options->sse.enabled;
}

void server_options_check(struct config_reader *reader, const struct server_options *options)
{
    const struct {
        const char *section;
        const char *path; /* NULL: not open */
    } endpoints[] = {
#define ENDPOINT(name, is_open) {#name, (is_open) ? options->name.handler_prefix : NULL}
        ENDPOINT(websocket, !options->websocket.disabled),
        ENDPOINT(http_stream, options->http_stream.enabled),
        ENDPOINT(sse, options->sse.enabled),
        ENDPOINT(emulation, server_has_emulation(options)),
        ENDPOINT(uni_websocket, options->uni_websocket.enabled),
        ENDPOINT(uni_http_stream, options->uni_http_stream.enabled),
        ENDPOINT(uni_sse, options->uni_sse.enabled),
        ENDPOINT(prometheus, options->prometheus.enabled),
        ENDPOINT(url_proxy, options->url_proxy.enabled),
#undef ENDPOINT
    };
    for (size_t i = 1; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
        for (size_t k = 0; k < i; k++) {
            if (endpoints[i].path && endpoints[k].path &&
                strcmp(endpoints[i].path, endpoints[k].path) == 0) {
                char key[64];
                char expected[128];
                snprintf(key, sizeof(key), "%s.handler_prefix", endpoints[i].section);
                snprintf(expected, sizeof(expected), "a path that %s.handler_prefix has not",
                         endpoints[k].section);
                config_complain(reader, key, NULL, expected);
            }
        }
    }
}
