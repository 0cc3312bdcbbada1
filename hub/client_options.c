/* SPDX-License-Identifier: MIT */
/* Unit client_options is the table of the configuration's section "client". */
#include "hub/client_options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define FIELD(key_, type_, member, fallback_, ...)                                                 \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct client_options, member),             \
        .fallback = fallback_, __VA_ARGS__                                                         \
    }

#define SECTION(key_, member, shape_, doc_)                                                        \
    {                                                                                              \
        .key = key_, .type = CONFIG_OBJECT, .offset = offsetof(struct client_options, member),     \
        .shape = &(shape_), .doc = doc_                                                            \
    }

#define DAY_MS INT64_C(86400000)

#define SHAPE(name, type, fields_)                                                                 \
    static const struct config_shape name = {.size = sizeof(struct type),                          \
                                             .fields = fields_,                                    \
                                             .n_fields = sizeof(fields_) / sizeof((fields_)[0])}

static const struct config_field proxy_fields[] = {
    {.key = "connect",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct client_proxy_options, connect),
     .shape = &proxy_options_shape,
     .doc = "Asked who a client without a token is."},
    {.key = "refresh",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct client_proxy_options, refresh),
     .shape = &proxy_options_shape,
     .doc = "Asked whether a connection that ends goes on."},
};
SHAPE(proxy_shape, client_proxy_options, proxy_fields);

static const struct config_field personal_channel_fields[] = {
    {.key = "enabled",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct personal_channel_options, enabled),
     .fallback = "false",
     .doc = "Every user is subscribed to the channel #user."},
    {.key = "personal_channel_namespace",
     .type = CONFIG_STRING,
     .offset = offsetof(struct personal_channel_options, personal_channel_namespace),
     .fallback = "",
     .doc = "Its namespace; empty: none."},
    {.key = "single_connection",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct personal_channel_options, single_connection),
     .fallback = "false",
     .doc = "A user's new connection ends the older ones."},
};
SHAPE(personal_channel_shape, personal_channel_options, personal_channel_fields);

static const struct config_field transform_to_fields[] = {
    {.key = "code",
     .type = CONFIG_INT,
     .offset = offsetof(struct disconnect_transform, disconnect_code),
     .min = 3000,
     .max = 4999,
     .doc = "Of the disconnect."},
    {.key = "reason",
     .type = CONFIG_STRING,
     .offset = offsetof(struct disconnect_transform, disconnect_reason),
     .fallback = "",
     .max = 123,
     .doc = "Its reason."},
};
SHAPE(transform_to_shape, disconnect_transform, transform_to_fields);

static const struct config_field transform_fields[] = {
    {.key = "code",
     .type = CONFIG_INT,
     .offset = offsetof(struct disconnect_transform, code),
     .min = 100,
     .max = 1999,
     .doc = "Of the error that connect would be answered with."},
    {.key = "to",
     .type = CONFIG_OBJECT,
     .offset = 0,
     .shape = &transform_to_shape,
     .doc = "What the client is told instead."},
};
SHAPE(transform_shape, disconnect_transform, transform_fields);

static const struct config_field transforms_fields[] = {
    {.key = "enabled",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct disconnect_transforms, enabled),
     .fallback = "false",
     .doc = "Use the transforms."},
    {.key = "transforms",
     .type = CONFIG_LIST,
     .offset = offsetof(struct disconnect_transforms, transforms),
     .shape = &transform_shape,
     .doc = "The first that fits counts; without one, the codes of the protocol."},
};
SHAPE(transforms_shape, disconnect_transforms, transforms_fields);

/* "*", or what a browser sends: scheme and host, perhaps a port, nothing behind; as a glob. */
static const char *accept_origins(const void *place)
{
    static char expected[256]; /* valid until the next call */
    const struct config_list *origins = place;
    char *const *globs = origins->items;
    for (size_t i = 0; i < origins->n_items; i++) {
        const char *host = strstr(globs[i], "://");
        bool is_origin = host && host[3] != '\0' && !strchr(host + 3, '/');
        if (strchr(globs[i], '@')) { /* perhaps a password, which is not shown */
            return "a list of origins such as \"https://www.example.org\", without users";
        }
        if (!is_origin && strcmp(globs[i], "*") != 0) {
            snprintf(
                expected, sizeof(expected),
                "a list of origins such as \"https://www.example.org\" (no path, no slash at the "
                "end) or \"*\": \"%.100s\" is none",
                globs[i]);
            return expected;
        }
    }
    return NULL;
}

/* Where something is wrong among the keys of subscription_token, no more is said. */
static void check_subscription_keys(struct config_reader *reader,
                                    const struct client_options *options)
{
    const struct token_options *token = &options->subscription_token;
    if (token->enabled && !token_options_have_key(token) &&
        !options->insecure_skip_token_signature_verify &&
        config_is_good(reader, "insecure_skip_token_signature_verify") &&
        config_is_good(reader, "subscription_token")) {
        config_complain_need(reader, "subscription_token.enabled",
                             "a key beside it: hmac_secret_key, rsa_public_key, ecdsa_public_key "
                             "or jwks_public_endpoint");
    }
}

static void check_client_options(struct config_reader *reader, void *object)
{
    const struct client_options *options = object;
    if (options->pong_timeout_ms >= options->ping_interval_ms &&
        config_is_good(reader, "ping_interval")) {
        config_complain(reader, "pong_timeout", NULL, "less than ping_interval");
    }
    check_subscription_keys(reader, options);
}

static const struct config_field client_fields[] = {
    FIELD("insecure", CONFIG_BOOL, insecure, "false",
          .doc = "Everybody may connect, subscribe and publish: for development only."),
    FIELD("allow_anonymous_connect_without_token", CONFIG_BOOL,
          allow_anonymous_connect_without_token, "false",
          .doc = "A client without a token connects as the anonymous user."),
    FIELD("allowed_origins", CONFIG_STRINGS, allowed_origins, "", .accept = accept_origins,
          .doc = "Globs of the Origin header of browsers; \"*\": all; empty: no browser."),
    FIELD("disallow_anonymous_connection_tokens", CONFIG_BOOL, disallow_anonymous_connection_tokens,
          "false", .doc = "A token without a user is refused."),
    FIELD("insecure_skip_token_signature_verify", CONFIG_BOOL, insecure_skip_token_signature_verify,
          "false", .doc = "Tokens are believed unsigned: for development only."),
    FIELD("user_id_http_header", CONFIG_STRING, user_id_http_header, "",
          .doc = "A header that names the user, set by a reverse proxy that is trusted: no client "
                 "may reach the hub past it."),
    SECTION("token", token, token_options_shape, "How connection tokens are verified."),
    SECTION("subscription_token", subscription_token, subscription_token_options_shape,
            "How subscription tokens are verified; disabled: as connection tokens."),
    SECTION("proxy", proxy, proxy_shape, "The backend that is asked about connections."),
    SECTION("subscribe_to_user_personal_channel", personal_channel, personal_channel_shape,
            "A channel of every user's own."),
    SECTION("connect_code_to_unidirectional_disconnect", connect_code_to_unidirectional_disconnect,
            transforms_shape, "What unidirectional clients are told in place of a reply."),
    FIELD("connect_include_server_time", CONFIG_BOOL, connect_include_server_time, "false",
          .doc = "The reply to connect has the hub's time, in ms."),
    FIELD("ping_interval", CONFIG_DURATION, ping_interval_ms, "25s", .min = 100, .max = DAY_MS,
          .change = CONFIG_CHANGE_AT_START, /* clients are told when they connect */
          .doc = "Between two pings of the server."),
    FIELD("pong_timeout", CONFIG_DURATION, pong_timeout_ms, "8s", .min = 50, .max = DAY_MS,
          .change = CONFIG_CHANGE_AT_START, .doc = "For the answer to a ping."),
    FIELD("stale_close_delay", CONFIG_DURATION, stale_close_delay_ms, "10s", .min = 50,
          .max = DAY_MS, .doc = "For the connect command of a new connection."),
    FIELD("max_lifetime", CONFIG_DURATION, max_lifetime_ms, "0s", .min = 0, .max = 7 * DAY_MS,
          .doc = "Of a connection: after 90 to 100 % of it the client is told to reconnect; 0: "
                 "never."),
    FIELD("expired_close_delay", CONFIG_DURATION, expired_close_delay_ms, "25s", .min = 0,
          .max = DAY_MS, .doc = "For the refresh of a connection whose token has expired."),
    FIELD("expired_sub_close_delay", CONFIG_DURATION, expired_sub_close_delay_ms, "25s", .min = 0,
          .max = DAY_MS, .doc = "For the refresh of a subscription whose token has expired."),
    FIELD("channel_limit", CONFIG_INT, channel_limit, "128", .min = 1, .max = 65535,
          .doc = "Subscriptions of one connection."),
    FIELD("queue_max_size", CONFIG_INT, queue_max_size, "1048576", .min = 1024,
          .max = INT64_C(1073741824),
          .doc = "Bytes waiting for one connection; beyond it is closed as slow."),
    FIELD("history_max_publication_limit", CONFIG_INT, history_max_publication_limit, "300",
          .min = 1, .max = 100000, .doc = "Publications in one answer to history."),
    FIELD("recovery_max_publication_limit", CONFIG_INT, recovery_max_publication_limit, "300",
          .min = 1, .max = 100000, .doc = "Missed publications that can be recovered at once."),
    FIELD("history_max_size", CONFIG_INT, history_max_size, "4194304", .min = 65536,
          .max = 33554432,
          .doc = "Bytes of publications in one answer to history, and in one recovery."),
    FIELD("channel_position_check_delay", CONFIG_DURATION, channel_position_check_delay_ms, "40s",
          .min = 0, .max = DAY_MS,
          .doc = "Between two comparisons of a channel's position with the storage; 0: none."),
    FIELD("connection_limit", CONFIG_INT, connection_limit, "0", .min = 0, .max = 10000000,
          .doc = "Connections at one time; 0: what the descriptor limit allows."),
    FIELD("user_connection_limit", CONFIG_INT, user_connection_limit, "0", .min = 0,
          .max = 10000000, .doc = "Connections of one user at one time; 0: any number."),
    FIELD("connection_rate_limit", CONFIG_INT, connection_rate_limit, "0", .min = 0, .max = 1000000,
          .doc = "New connections in a second; 0: any number."),
};
const struct config_shape client_options_shape = {
    .size = sizeof(struct client_options),
    .fields = client_fields,
    .n_fields = sizeof(client_fields) / sizeof(client_fields[0]),
    .check = check_client_options,
};
