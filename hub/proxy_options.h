/* How a backend is asked: the configuration's "client.proxy.connect", "client.proxy.refresh",
 * "channel.proxy.subscribe" and its like, "rpc.proxy", and the named ones under "proxies". */
#ifndef BELFRY_HUB_PROXY_OPTIONS_H
#define BELFRY_HUB_PROXY_OPTIONS_H

#include "base/config.h"

struct proxy_error_options {
    int64_t code; /* 0: none */
    char *message;
    bool temporary;
};

struct proxy_disconnect_options {
    int64_t code; /* 0: none */
    char *reason;
};

/* What a client is told when the backend answers with one HTTP status: one of the two. */
struct proxy_transform {
    int64_t status_code;
    struct proxy_error_options to_error;
    struct proxy_disconnect_options to_disconnect;
};

struct proxy_http_options {
    struct config_list static_headers; /* of struct config_pair */
    struct config_list transforms;     /* of struct proxy_transform */
};

struct proxy_options {
    char *name; /* of one of "proxies"; elsewhere NULL: "default" */
    bool enabled;
    char *endpoint; /* http or https URL */
    int64_t timeout_ms;
    int64_t max_reply_size;
    int64_t max_concurrent;              /* questions under way */
    struct config_list http_headers;     /* of char *: of the client's request, passed on */
    struct config_list emulated_headers; /* of char *: of connect.headers, passed on */
    struct proxy_http_options http;
    bool include_connection_meta;
    bool binary_encoding; /* b64data instead of data */
};

/* With "enabled", without "name". */
extern const struct config_shape proxy_options_shape;
/* With "name", always enabled: an item of "proxies". */
extern const struct config_shape named_proxy_options_shape;

#endif
