/* SPDX-License-Identifier: MIT */
/* Unit settings puts the floors' configuration tables together, and checks what concerns more than
 * one of them. */
#include "settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hub/channel_template.h"

#define SHAPE(name, type, fields_, check_)                                                         \
    static const struct config_shape name = {.size = sizeof(struct type),                          \
                                             .fields = fields_,                                    \
                                             .n_fields = sizeof(fields_) / sizeof((fields_)[0]),   \
                                             .check = check_}

static const char *const log_levels[] = {"trace", "debug", "info", "warn", "error", "none", NULL};
static const struct config_field log_fields[] = {
    {.key = "level",
     .type = CONFIG_CHOICE,
     .offset = offsetof(struct log_options, level),
     .fallback = "info",
     .choices = log_levels,
     .doc = "The least important events that are logged."},
};
SHAPE(log_shape, log_options, log_fields, NULL);

static const char *accept_not_empty(const void *place)
{
    return **(char *const *)place ? NULL : "a path";
}

static const char *const durabilities[] = {"full", "normal", "memory", NULL};
static const struct config_field storage_fields[] = {
    {.key = "path",
     .type = CONFIG_STRING,
     .offset = offsetof(struct storage_settings, path),
     .fallback = "belfry.sqlite",
     .accept = accept_not_empty,
     .doc = "The database file; its folder must exist."},
    {.key = "durability",
     .type = CONFIG_CHOICE,
     .offset = offsetof(struct storage_settings, durability),
     .fallback = "normal",
     .choices = durabilities,
     .doc = "full: synced to disk before the answer; normal: survives a killed process; memory: no "
            "file."},
    {.key = "queue_max_size",
     .type = CONFIG_INT,
     .offset = offsetof(struct storage_settings, queue_max_size),
     .fallback = "67108864",
     .min = 65536,
     .max = INT64_C(17179869184),
     .doc = "Bytes of publications that wait to be written; beyond it publishers are told to try "
            "again. More than the largest publication."},
    {.key = "stream_limit",
     .type = CONFIG_INT,
     .offset = offsetof(struct storage_settings, stream_limit),
     .fallback = "1000000",
     .min = 1,
     .max = INT64_C(1000000000),
     .doc =
         "Channels whose position is kept; beyond it those without a publication make room, then "
         "new ones are told to try again."},
    {.key = "idempotency_key_limit",
     .type = CONFIG_INT,
     .offset = offsetof(struct storage_settings, idempotency_key_limit),
     .fallback = "1000000",
     .min = 1,
     .max = INT64_C(1000000000),
     .doc =
         "Idempotency keys remembered, five minutes each; beyond it publishers with a new one are "
         "told to try again."},
};
SHAPE(storage_shape, storage_settings, storage_fields, NULL);

static const struct config_field shutdown_fields[] = {
    {.key = "timeout",
     .type = CONFIG_DURATION,
     .offset = offsetof(struct shutdown_options, timeout_ms),
     .fallback = "30s",
     .min = 100,
     .max = 3600000,
     .doc = "For an orderly end; after it the rest is cut."},
};
SHAPE(shutdown_shape, shutdown_options, shutdown_fields, NULL);

/* The channel of a feed with no value filled in: enough to know its namespace. */
static enum status check_feed_channel(const struct settings *settings,
                                      const struct feed_options *feed)
{
    struct buf name;
    buf_init(&name, 8192);
    struct str rest = str_of(feed->channel);
    struct str piece;
    bool is_name;
    while (channel_template_next(&rest, &piece, &is_name)) {
        buf_append(&name, is_name ? STR("x") : piece);
    }
    const struct namespace_options *ns;
    enum status status = namespace_find(&settings->channel, buf_str(&name), &ns);
    buf_release(&name);
    return status;
}

static void check_feeds(struct config_reader *reader, const struct settings *settings)
{
    const struct feed_options *feeds = settings->feeds.items;
    for (size_t i = 0; i < settings->feeds.n_items; i++) {
        if (check_feed_channel(settings, &feeds[i]) != STATUS_OK) {
            config_complain_item(reader, "feeds", i, "channel", NULL,
                                 "a channel of a namespace under channel.namespaces");
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(feeds[i].name, feeds[k].name) == 0) {
                config_complain_item(reader, "feeds", i, "name", NULL,
                                     "a name that no other feed has");
            }
        }
    }
}

/* --- whom proxies and webhooks go to --- */

static void check_webhooks(struct config_reader *reader, const struct settings *settings)
{
    const struct webhook_options *all = settings->webhooks.items;
    for (size_t i = 0; i < settings->webhooks.n_items; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(all[i].name, all[k].name) == 0) {
                config_complain_item(reader, "webhooks", i, "name", NULL,
                                     "a name that no other webhook has");
            }
        }
    }
}

static void check_proxy_names(struct config_reader *reader, const struct settings *settings)
{
    const struct proxy_options *all = settings->proxies.items;
    for (size_t i = 0; i < settings->proxies.n_items; i++) {
        bool is_taken = strcmp(all[i].name, "default") == 0;
        for (size_t k = 0; k < i; k++) {
            is_taken |= strcmp(all[i].name, all[k].name) == 0;
        }
        if (is_taken) {
            config_complain_item(reader, "proxies", i, "name", NULL,
                                 "a name that no other proxy has, and not \"default\"");
        }
    }
}

/* Is there a backend of this name, or is the default one enabled? */
static bool has_proxy(const struct settings *settings, const char *name,
                      const struct proxy_options *by_default)
{
    const struct proxy_options *all = settings->proxies.items;
    for (size_t i = 0; i < settings->proxies.n_items; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return true;
        }
    }
    return strcmp(name, "default") == 0 && by_default->enabled;
}

struct proxy_choice {
    const char *key; /* of its name */
    const struct namespace_proxy *proxy;
    const struct proxy_options *by_default;
};

#define PROXY_EXPECTED                                                                             \
    "a name under proxies, or \"default\" where channel.proxy has this one enabled"

/* index: in channel.namespaces; -1: without_namespace. */
static void check_namespace_proxies(struct config_reader *reader, const struct settings *settings,
                                    const struct namespace_options *ns, ptrdiff_t index)
{
    const struct channel_proxy_options *defaults = &settings->channel.proxy;
    const struct proxy_choice choices[] = {
        {"subscribe_proxy_name", &ns->subscribe_proxy, &defaults->subscribe},
        {"publish_proxy_name", &ns->publish_proxy, &defaults->publish},
        {"sub_refresh_proxy_name", &ns->sub_refresh_proxy, &defaults->sub_refresh}};
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        const struct proxy_choice *c = &choices[i];
        if (!c->proxy->enabled || has_proxy(settings, c->proxy->name, c->by_default)) {
            continue;
        }
        char path[120];
        if (index < 0) {
            snprintf(path, sizeof(path), "channel.without_namespace.%s", c->key);
        } else {
            snprintf(path, sizeof(path), "channel.namespaces[%td].%s", index, c->key);
        }
        config_complain(reader, path, c->proxy->name, PROXY_EXPECTED);
    }
}

static void check_rpc_proxies(struct config_reader *reader, const struct settings *settings)
{
    const struct rpc_options *rpc = &settings->rpc;
    const struct rpc_namespace *all = rpc->namespaces.items;
    static const char expected[] =
        "a name under proxies, or \"default\" where rpc.proxy is enabled";
    const struct rpc_namespace *without = &rpc->without_namespace;
    if (without->proxy_enabled && !has_proxy(settings, without->proxy_name, &rpc->proxy)) {
        config_complain(reader, "rpc.without_namespace.proxy_name", without->proxy_name, expected);
    }
    for (size_t i = 0; i < rpc->namespaces.n_items; i++) {
        if (all[i].proxy_enabled && !has_proxy(settings, all[i].proxy_name, &rpc->proxy)) {
            char path[64];
            snprintf(path, sizeof(path), "rpc.namespaces[%zu].proxy_name", i);
            config_complain(reader, path, all[i].proxy_name, expected);
        }
    }
}

static void check_personal_channel(struct config_reader *reader, const struct settings *settings)
{
    const char *name = settings->client.personal_channel.personal_channel_namespace;
    const struct namespace_options *all = settings->channel.namespaces.items;
    bool is_there = !*name || !settings->client.personal_channel.enabled;
    for (size_t i = 0; i < settings->channel.namespaces.n_items && !is_there; i++) {
        is_there = strcmp(all[i].name, name) == 0;
    }
    if (!is_there) {
        config_complain(reader,
                        "client.subscribe_to_user_personal_channel.personal_channel_namespace",
                        name, "the name of a namespace under channel.namespaces");
    }
}

static void check_settings(struct config_reader *reader, void *object)
{
    const struct settings *settings = object;
    server_options_check(reader, &settings->server);
    check_feeds(reader, settings);
    check_webhooks(reader, settings);
    check_proxy_names(reader, settings);
    check_namespace_proxies(reader, settings, &settings->channel.without_namespace, -1);
    const struct namespace_options *namespaces = settings->channel.namespaces.items;
    for (size_t i = 0; i < settings->channel.namespaces.n_items; i++) {
        check_namespace_proxies(reader, settings, &namespaces[i], (ptrdiff_t)i);
    }
    check_rpc_proxies(reader, settings);
    check_personal_channel(reader, settings);
}

#define SECTION(key_, member, shape_, doc_)                                                        \
    {                                                                                              \
        .key = key_, .type = CONFIG_OBJECT, .offset = offsetof(struct settings, member),           \
        .shape = &(shape_), .doc = doc_                                                            \
    }

static const struct config_field settings_fields[] = {
    SECTION("http_server", server.http_server, http_server_options_shape, "Where to listen."),
    SECTION("http_api", server.http_api, http_api_options_shape, "Who may call the server API."),
    SECTION("websocket", server.websocket, websocket_options_shape, "The WebSocket endpoint."),
    SECTION("http_stream", server.http_stream, http_stream_options_shape,
            "The HTTP streaming endpoint."),
    SECTION("sse", server.sse, sse_options_shape, "The EventSource endpoint."),
    SECTION("emulation", server.emulation, emulation_options_shape,
            "Where clients of the two post commands to."),
    SECTION("uni_websocket", server.uni_websocket, uni_websocket_options_shape,
            "The WebSocket endpoint for clients that only receive."),
    SECTION("uni_http_stream", server.uni_http_stream, uni_http_stream_options_shape,
            "HTTP streaming for clients that only receive."),
    SECTION("uni_sse", server.uni_sse, uni_sse_options_shape,
            "EventSource for clients that only receive."),
    SECTION("health", server.health, health_options_shape, "GET /health."),
    SECTION("prometheus", server.prometheus, prometheus_options_shape, "Figures for Prometheus."),
    SECTION("demo", server.demo, demo_options_shape, "The demo page."),
    SECTION("log", log, log_shape, "What is logged."),
    SECTION("client", client, client_options_shape,
            "Who may connect, and the limits of a connection."),
    SECTION("channel", channel, channel_options_shape, "Channels and their namespaces."),
    SECTION("storage", storage, storage_shape, "The database."),
    SECTION("upstreams", upstreams, upstreams_options_shape, "Limits of requests to upstreams."),
    {.key = "feeds",
     .type = CONFIG_LIST,
     .offset = offsetof(struct settings, feeds),
     .shape = &feed_options_shape,
     .doc = "What is fetched, merged and published."},
    SECTION("rpc", rpc, rpc_options_shape, "Whom clients' procedure calls go to."),
    {.key = "proxies",
     .type = CONFIG_LIST,
     .offset = offsetof(struct settings, proxies),
     .shape = &named_proxy_options_shape,
     .doc = "Backends that namespaces name."},
    {.key = "webhooks",
     .type = CONFIG_LIST,
     .offset = offsetof(struct settings, webhooks),
     .shape = &webhook_options_shape,
     .doc = "Backends that are told what has happened."},
    SECTION("shutdown", shutdown, shutdown_shape, "How the program ends."),
};
SHAPE(settings_shape, settings, settings_fields, check_settings);

bool settings_load(const char *path, struct settings *settings)
{
    char *text = NULL;
    size_t len = 0;
    errno = 0;
    enum status status = config_load_file(path, &text, &len);
    if (status != STATUS_OK) {
        fprintf(stderr, "%s: cannot be read (%s)\n", path,
                errno != 0 ? strerror(errno) : status_name(status));
        *settings = (struct settings){0};
        return false;
    }
    struct config_errors errors;
    status = config_read((struct str){text, len}, &settings_shape, settings, &errors);
    for (size_t i = 0; i < errors.n_texts; i++) {
        fprintf(stderr, "%s: %s\n", path, errors.texts[i]);
    }
    config_errors_release(&errors);
    free(text);
    return status == STATUS_OK;
}

void settings_release(struct settings *settings)
{
    config_release(&settings_shape, settings);
}
