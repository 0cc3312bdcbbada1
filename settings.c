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
static const char *const log_formats[] = {"text", "json", NULL};
static const struct config_field log_fields[] = {
    {.key = "level",
     .type = CONFIG_CHOICE,
     .offset = offsetof(struct log_options, level),
     .fallback = "info",
     .choices = log_levels,
     .doc = "The least important events that are logged."},
    {.key = "format",
     .type = CONFIG_CHOICE,
     .offset = offsetof(struct log_options, format),
     .fallback = "text",
     .choices = log_formats,
     .doc = "text: lines for people; json: an object per line."},
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
     .doc = "For an orderly end, behind the drain; after it the rest is cut."},
    {.key = "drain",
     .type = CONFIG_DURATION,
     .offset = offsetof(struct shutdown_options, drain_ms),
     .fallback = "0s",
     .min = 0,
     .max = 3600000,
     .doc = "Before that, clients are sent away one by one over this time; 0: all at once."},
};
SHAPE(shutdown_shape, shutdown_options, shutdown_fields, NULL);

/* The channel of a feed with something in place of its values: enough to know its namespace. What a
 * channel_regex says of the whole name, the values decide, when they are there. */
static enum status check_feed_channel(const struct settings *settings,
                                      const struct feed_options *feed)
{
    struct buf name;
    buf_init(&name, 8192);
    struct str rest = str_of(feed->channel);
    struct str piece;
    bool is_name;
    bool has_names = false;
    while (channel_template_next(&rest, &piece, &is_name)) {
        buf_append(&name, is_name ? STR("x") : piece);
        has_names = has_names || is_name;
    }
    const struct namespace_options *ns;
    enum status status = namespace_find(&settings->channel, buf_str(&name), &ns);
    buf_release(&name);
    return has_names && status == STATUS_INVALID ? STATUS_OK : status;
}

/* Nothing is wrong with the list itself, nor with the names in it. */
static bool names_are_good(struct config_reader *reader, const char *list, size_t n_items)
{
    bool are_good = true;
    for (size_t i = 0; are_good && (i == 0 || i < n_items); i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s[%zu].name", list, i);
        are_good = config_is_good(reader, path);
    }
    return are_good;
}

static bool namespaces_are_good(struct config_reader *reader, const struct settings *settings)
{
    return names_are_good(reader, "channel.namespaces", settings->channel.namespaces.n_items);
}

/* Of a feed's channel and of what decides on its namespace. */
static bool channel_is_good(struct config_reader *reader, size_t feed)
{
    static const char *const keys[] = {"channel.private_prefix", "channel.namespace_boundary",
                                       "channel.max_length"};
    char path[64];
    snprintf(path, sizeof(path), "feeds[%zu].channel", feed);
    bool is_good = config_is_good(reader, path);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        is_good = is_good && config_is_good(reader, keys[i]);
    }
    return is_good;
}

static void check_feeds(struct config_reader *reader, const struct settings *settings)
{
    const struct feed_options *feeds = settings->feeds.items;
    bool namespaces = namespaces_are_good(reader, settings);
    for (size_t i = 0; i < settings->feeds.n_items; i++) {
        if (namespaces && channel_is_good(reader, i) &&
            check_feed_channel(settings, &feeds[i]) != STATUS_OK) {
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

/* A place where a backend is named. */
struct proxy_choice {
    const char *place;   /* of the key of the name, but for "_name" */
    const char *section; /* of the default backend */
    bool enabled;
    const char *name;
    const struct proxy_options *by_default;
};

static void check_proxy_choice(struct config_reader *reader, const struct settings *settings,
                               const struct proxy_choice *choice)
{
    char key[120], path[120], expected[160];
    snprintf(path, sizeof(path), "%s.enabled", choice->section);
    if (!choice->enabled || has_proxy(settings, choice->name, choice->by_default) ||
        !config_is_good(reader, path)) {
        return;
    }
    snprintf(key, sizeof(key), "%s_name", choice->place);
    if (strcmp(choice->name, "default") == 0) {
        snprintf(expected, sizeof(expected), "%s enabled, or a name under proxies",
                 choice->section);
        config_complain_need(reader, key, expected);
    } else {
        snprintf(expected, sizeof(expected),
                 "a name under proxies, or \"default\" where %s is enabled", choice->section);
        config_complain(reader, key, NULL, expected);
    }
}

/* path: of the namespace. */
static void check_namespace_proxies(struct config_reader *reader, const struct settings *settings,
                                    const struct namespace_options *ns, const char *path)
{
    const struct channel_proxy_options *defaults = &settings->channel.proxy;
    const struct {
        const char *what;
        const struct namespace_proxy *proxy;
        const struct proxy_options *by_default;
    } kinds[] = {{"subscribe", &ns->subscribe_proxy, &defaults->subscribe},
                 {"publish", &ns->publish_proxy, &defaults->publish},
                 {"sub_refresh", &ns->sub_refresh_proxy, &defaults->sub_refresh}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char place[100], section[64];
        snprintf(place, sizeof(place), "%s.%s_proxy", path, kinds[i].what);
        snprintf(section, sizeof(section), "channel.proxy.%s", kinds[i].what);
        const struct proxy_choice choice = {place, section, kinds[i].proxy->enabled,
                                            kinds[i].proxy->name, kinds[i].by_default};
        check_proxy_choice(reader, settings, &choice);
    }
}

static void check_channel_proxies(struct config_reader *reader, const struct settings *settings)
{
    const struct namespace_options *all = settings->channel.namespaces.items;
    check_namespace_proxies(reader, settings, &settings->channel.without_namespace,
                            "channel.without_namespace");
    for (size_t i = 0; i < settings->channel.namespaces.n_items; i++) {
        char path[64];
        snprintf(path, sizeof(path), "channel.namespaces[%zu]", i);
        check_namespace_proxies(reader, settings, &all[i], path);
    }
}

/* path: of the namespace. */
static void check_rpc_proxy(struct config_reader *reader, const struct settings *settings,
                            const struct rpc_namespace *ns, const char *path)
{
    char place[100];
    snprintf(place, sizeof(place), "%s.proxy", path);
    const struct proxy_choice choice = {place, "rpc.proxy", ns->proxy_enabled, ns->proxy_name,
                                        &settings->rpc.proxy};
    check_proxy_choice(reader, settings, &choice);
}

static void check_rpc_proxies(struct config_reader *reader, const struct settings *settings)
{
    const struct rpc_namespace *all = settings->rpc.namespaces.items;
    check_rpc_proxy(reader, settings, &settings->rpc.without_namespace, "rpc.without_namespace");
    for (size_t i = 0; i < settings->rpc.namespaces.n_items; i++) {
        char path[64];
        snprintf(path, sizeof(path), "rpc.namespaces[%zu]", i);
        check_rpc_proxy(reader, settings, &all[i], path);
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
    if (!is_there && namespaces_are_good(reader, settings)) {
        config_complain(reader,
                        "client.subscribe_to_user_personal_channel.personal_channel_namespace",
                        NULL, "the name of a namespace under channel.namespaces");
    }
}

static void check_settings(struct config_reader *reader, void *object)
{
    const struct settings *settings = object;
    server_options_check(reader, &settings->server);
    check_feeds(reader, settings);
    check_webhooks(reader, settings);
    check_proxy_names(reader, settings);
    if (names_are_good(reader, "proxies", settings->proxies.n_items)) {
        check_channel_proxies(reader, settings);
        check_rpc_proxies(reader, settings);
    }
    check_personal_channel(reader, settings);
}

#define SECTION(key_, member, shape_, doc_)                                                        \
    {                                                                                              \
        .key = key_, .type = CONFIG_OBJECT, .offset = offsetof(struct settings, member),           \
        .shape = &(shape_), .doc = doc_                                                            \
    }

/* A section that SIGHUP reads again; exceptions are marked where they are. */
#define LIVE_SECTION(key_, member, shape_, doc_)                                                   \
    {                                                                                              \
        .key = key_, .type = CONFIG_OBJECT, .offset = offsetof(struct settings, member),           \
        .shape = &(shape_), .change = CONFIG_CHANGE_ON_RELOAD, .doc = doc_                         \
    }

static const struct config_field settings_fields[] = {
    SECTION("http_server", server.http_server, http_server_options_shape, "Where to listen."),
    LIVE_SECTION("http_api", server.http_api, http_api_options_shape,
                 "Who may call the server API."),
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
    SECTION("url_proxy", server.url_proxy, url_proxy_options_shape,
            "Passing on what upstreams answer."),
    LIVE_SECTION("health", server.health, health_options_shape, "GET /health."),
    LIVE_SECTION("prometheus", server.prometheus, prometheus_options_shape,
                 "Figures for Prometheus."),
    LIVE_SECTION("openapi", server.openapi, openapi_options_shape,
                 "What describes the server API."),
    LIVE_SECTION("demo", server.demo, demo_options_shape, "The demo page."),
    LIVE_SECTION("log", log, log_shape, "What is logged."),
    LIVE_SECTION("client", client, client_options_shape,
                 "Who may connect, and the limits of a connection."),
    LIVE_SECTION("channel", channel, channel_options_shape, "Channels and their namespaces."),
    SECTION("storage", storage, storage_shape, "The database."),
    LIVE_SECTION("upstreams", upstreams, upstreams_options_shape,
                 "Limits of requests to upstreams."),
    {.key = "feeds",
     .type = CONFIG_LIST,
     .offset = offsetof(struct settings, feeds),
     .shape = &feed_options_shape,
     .change = CONFIG_CHANGE_ON_RELOAD,
     .doc = "What is fetched, merged and published."},
    LIVE_SECTION("rpc", rpc, rpc_options_shape, "Whom clients' procedure calls go to."),
    {.key = "proxies",
     .type = CONFIG_LIST,
     .offset = offsetof(struct settings, proxies),
     .shape = &named_proxy_options_shape,
     .change = CONFIG_CHANGE_ON_RELOAD,
     .doc = "Backends that namespaces name."},
    {.key = "webhooks",
     .type = CONFIG_LIST,
     .offset = offsetof(struct settings, webhooks),
     .shape = &webhook_options_shape,
     .doc = "Backends that are told what has happened."},
    LIVE_SECTION("shutdown", shutdown, shutdown_shape, "How the program ends."),
    {.key = "$schema",
     .type = CONFIG_STRING,
     .offset = offsetof(struct settings, schema),
     .fallback = "",
     .change = CONFIG_CHANGE_ON_RELOAD,
     .doc = "Where editors find the schema of this file; the hub does not look at it."},
};
const struct config_shape settings_shape = {
    .size = sizeof(struct settings),
    .fields = settings_fields,
    .n_fields = sizeof(settings_fields) / sizeof(settings_fields[0]),
    .check = check_settings,
};

/* --- reading --- */

static bool load(const char *path, struct settings *settings, settings_error_fn say, void *arg)
{
    char *text = NULL;
    size_t len = 0;
    errno = 0;
    enum status status = config_load_file(path, &text, &len);
    if (status != STATUS_OK) {
        char words[160];
        snprintf(words, sizeof(words), "cannot be read (%s)",
                 errno != 0 ? strerror(errno) : status_name(status));
        say(arg, path, words);
        *settings = (struct settings){0};
        return false;
    }
    struct config_errors errors;
    status = config_read((struct str){text, len}, &settings_shape, settings, &errors);
    for (size_t i = 0; i < errors.n_texts; i++) {
        say(arg, path, errors.texts[i]);
    }
    config_errors_release(&errors);
    free(text);
    return status == STATUS_OK;
}

void settings_print_error(void *arg, const char *path, const char *text)
{
    (void)arg;
    fprintf(stderr, "%s: %s\n", path, text);
}

bool settings_load(const char *path, struct settings *settings)
{
    return load(path, settings, settings_print_error, NULL);
}

void settings_release(struct settings *settings)
{
    config_release(&settings_shape, settings);
}

static void end(struct lifetime *lifetime)
{
    struct settings *settings =
        (struct settings *)(void *)((char *)lifetime - offsetof(struct settings, lifetime));
    settings_release(settings);
    free(settings);
}

struct settings *settings_open(const char *path, settings_error_fn say, void *arg)
{
    struct settings *settings = calloc(1, sizeof(*settings));
    if (!settings) {
        say(arg, path, status_name(STATUS_NO_MEMORY));
        return NULL;
    }
    bool is_good = load(path, settings, say, arg);
    lifetime_begin(&settings->lifetime, end);
    if (!is_good) {
        lifetime_release(&settings->lifetime);
    }
    return is_good ? settings : NULL;
}
