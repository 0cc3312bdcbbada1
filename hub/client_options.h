/* The configuration's section "client": who may connect, and the limits of a connection. */
#ifndef BELFRY_HUB_CLIENT_OPTIONS_H
#define BELFRY_HUB_CLIENT_OPTIONS_H

#include "base/config.h"

struct token_options {
    char *hmac_secret_key; /* "": no tokens are accepted */
};

struct client_options {
    bool insecure; /* everybody may connect and do everything: for development only */
    bool allow_anonymous_connect_without_token;
    struct config_list allowed_origins; /* of char *: globs; empty: only requests without Origin */
    struct token_options token;
    int64_t ping_interval_ms;
    int64_t pong_timeout_ms;
    int64_t stale_close_delay_ms;
    int64_t expired_close_delay_ms;
    int64_t channel_limit;
    int64_t queue_max_size; /* bytes waiting for one client */
    int64_t history_max_publication_limit;
    int64_t recovery_max_publication_limit;
    int64_t history_max_size;                /* bytes of publications in one answer or recovery */
    int64_t channel_position_check_delay_ms; /* between two checks of a channel; 0: none */
    int64_t connection_limit;                /* 0: as many as the descriptor limit allows */
};

extern const struct config_shape client_options_shape;

#endif
