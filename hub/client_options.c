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

#define DAY_MS INT64_C(86400000)

static const struct config_field token_fields[] = {
    {.key = "hmac_secret_key",
     .type = CONFIG_STRING,
     .offset = offsetof(struct token_options, hmac_secret_key),
     .fallback = "",
     .secret = true,
     .doc = "The shared secret of HS256 connection tokens."},
};
static const struct config_shape token_shape = {
    .size = sizeof(struct token_options),
    .fields = token_fields,
    .n_fields = sizeof(token_fields) / sizeof(token_fields[0]),
};

/* "*", or what a browser sends: scheme and host, perhaps a port, nothing behind; as a glob. */
static const char *accept_origins(const void *place)
{
    static char expected[256]; /* valid until the next call */
    const struct config_list *origins = place;
    char *const *globs = origins->items;
    for (size_t i = 0; i < origins->n_items; i++) {
        const char *host = strstr(globs[i], "://");
        bool is_origin = host && host[3] != '\0' && !strchr(host + 3, '/');
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

static void check_client_options(struct config_reader *reader, void *object)
{
    const struct client_options *options = object;
    if (options->pong_timeout_ms >= options->ping_interval_ms) {
        config_complain(reader, "pong_timeout", NULL, "less than ping_interval");
    }
}

static const struct config_field client_fields[] = {
    FIELD("insecure", CONFIG_BOOL, insecure, "false",
          .doc = "Everybody may connect, subscribe and publish: for development only."),
    FIELD("allow_anonymous_connect_without_token", CONFIG_BOOL,
          allow_anonymous_connect_without_token, "false",
          .doc = "A client without a token connects as the anonymous user."),
    FIELD("allowed_origins", CONFIG_STRINGS, allowed_origins, "", .accept = accept_origins,
          .doc = "Globs of the Origin header of browsers; \"*\": all; empty: no browser."),
    {.key = "token",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct client_options, token),
     .shape = &token_shape,
     .doc = "How connection tokens are verified."},
    FIELD("ping_interval", CONFIG_DURATION, ping_interval_ms, "25s", .min = 100, .max = DAY_MS,
          .doc = "Between two pings of the server."),
    FIELD("pong_timeout", CONFIG_DURATION, pong_timeout_ms, "8s", .min = 50, .max = DAY_MS,
          .doc = "For the answer to a ping."),
    FIELD("stale_close_delay", CONFIG_DURATION, stale_close_delay_ms, "10s", .min = 50,
          .max = DAY_MS, .doc = "For the connect command of a new connection."),
    FIELD("expired_close_delay", CONFIG_DURATION, expired_close_delay_ms, "25s", .min = 0,
          .max = DAY_MS, .doc = "For the refresh of a connection whose token has expired."),
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
};
const struct config_shape client_options_shape = {
    .size = sizeof(struct client_options),
    .fields = client_fields,
    .n_fields = sizeof(client_fields) / sizeof(client_fields[0]),
    .check = check_client_options,
};
