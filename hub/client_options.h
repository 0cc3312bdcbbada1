/* The configuration's section "client": who may connect, and the limits of a connection. */
#ifndef BELFRY_HUB_CLIENT_OPTIONS_H
#define BELFRY_HUB_CLIENT_OPTIONS_H

#include "base/config.h"
#include "hub/proxy_options.h"
#include "hub/token_options.h"

struct personal_channel_options {
    bool enabled;
    char *personal_channel_namespace; /* "": without */
    bool single_connection;           /* the newest connection of a user ends the others */
};

struct client_proxy_options {
    struct proxy_options connect;
    struct proxy_options refresh;
};

/* What a client without a reply to read is told in place of an error's code. */
struct disconnect_transform {
    int64_t code;            /* of the error */
    int64_t disconnect_code; /* "to.code" */
    char *disconnect_reason;
};
struct disconnect_transforms {
    bool enabled;
    struct config_list transforms; /* of struct disconnect_transform */
};

struct client_options {
    bool insecure; /* everybody may connect and do everything: for development only */
    bool allow_anonymous_connect_without_token;
    bool disallow_anonymous_connection_tokens;
    bool insecure_skip_token_signature_verify;
    char *user_id_http_header;          /* "": none; set by a reverse proxy, and trusted */
    struct config_list allowed_origins; /* of char *: globs; empty: only requests without Origin */
    struct token_options token;
    struct token_options subscription_token;
    struct client_proxy_options proxy;
    struct personal_channel_options personal_channel;
    struct disconnect_transforms connect_code_to_unidirectional_disconnect;
    bool connect_include_server_time;
    int64_t ping_interval_ms;
    int64_t pong_timeout_ms;
    int64_t stale_close_delay_ms;
    int64_t max_lifetime_ms; /* of a connection; 0: any time */
    int64_t expired_close_delay_ms;
    int64_t expired_sub_close_delay_ms;
    int64_t channel_limit;
    int64_t queue_max_size; /* bytes waiting for one client */
    int64_t history_max_publication_limit;
    int64_t recovery_max_publication_limit;
    int64_t history_max_size;                /* bytes of publications in one answer or recovery */
    int64_t channel_position_check_delay_ms; /* between two checks of a channel; 0: none */
    int64_t connection_limit;                /* 0: as many as the descriptor limit allows */
    int64_t user_connection_limit;           /* of one user; 0: any number */
    int64_t connection_rate_limit;           /* new ones in a second; 0: any number */
};

extern const struct config_shape client_options_shape;

#endif
