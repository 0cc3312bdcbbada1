/* SPDX-License-Identifier: MIT */
/* Unit namespaces knows channel names and the options that come with them. Everything is read once
 * from the configuration and never changes; lookups walk the list, which has a handful of entries.
 */
#include "hub/namespaces.h"

#include <ctype.h>
#include <stdio.h>

#define FIELD(type_, key_, member, ...)                                                            \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct namespace_options, member),          \
        __VA_ARGS__                                                                                \
    }
#define FLAG(key_, member, doc_) FIELD(CONFIG_BOOL, key_, member, .fallback = "false", .doc = doc_)

#define PROXY(name_, member, what)                                                                 \
    FLAG(name_ "_proxy_enabled", member.enabled, "The backend is asked " what "."),                \
        FIELD(CONFIG_STRING, name_ "_proxy_name", member.name, .fallback = "default",              \
              .doc = "Which one: a name under proxies; default: channel.proxy." name_ ".")

#define DAY_MS INT64_C(86400000)

static const char *const data_formats[] = {
    [DATA_ANY] = "", [DATA_JSON] = "json", [DATA_JSON_OBJECT] = "json_object", NULL};

static const char *accept_delta_types(const void *place)
{
    const struct config_list *types = place;
    char *const *names = types->items;
    for (size_t i = 0; i < types->n_items; i++) {
        if (strcmp(names[i], "fossil") != 0) {
            return "an empty list or [\"fossil\"]";
        }
    }
    return NULL;
}

static const char *accept_pattern(const void *place)
{
    static char expected[200]; /* valid until the next call */
    struct pattern_error wrong;
    struct pattern *pattern = NULL;
    const char *text = *(char *const *)place;
    if (!*text || pattern_create(str_of(text), &pattern, &wrong) == STATUS_OK) {
        pattern_destroy(pattern);
        return NULL;
    }
    snprintf(expected, sizeof(expected), "a regular expression (at byte %zu: %s)", wrong.offset,
             wrong.words);
    return expected;
}

static const char *const recovery_modes[] = {
    [RECOVERY_DEFAULT] = "", [RECOVERY_STREAM] = "stream", [RECOVERY_CACHE] = "cache", NULL};

/* The same options for channels with and without a namespace; only the name is not. */
#define NAMESPACE_FIELDS                                                                           \
    FIELD(CONFIG_INT, "history_size", history_size, .fallback = "0", .max = 1000000,               \
          .doc = "Publications kept per channel; 0: none."),                                       \
        FIELD(CONFIG_DURATION, "history_ttl", history_ttl_ms, .fallback = "0s",                    \
              .max = INT64_C(31536000000), .doc = "How long after the last one they are kept."),   \
        FIELD(CONFIG_DURATION, "history_meta_ttl", history_meta_ttl_ms, .fallback = "0s",          \
              .max = INT64_C(315360000000),                                                        \
              .doc = "How long a channel's position is kept; 0: channel.history_meta_ttl."),       \
        FLAG("force_recovery", force_recovery, "Every subscription recovers what it missed."),     \
        FLAG("allow_recovery", allow_recovery, "A client may ask for recovery."),                  \
        FIELD(CONFIG_CHOICE, "force_recovery_mode", recovery_mode, .fallback = "",                 \
              .choices = recovery_modes, .expected = "\"stream\" or \"cache\"",                    \
              .doc = "stream (or empty): all that was missed; cache: only the newest."),           \
        FLAG("auto_cache_recover", auto_cache_recover,                                             \
             "Who subscribes gets the newest publication without asking for it."),                 \
        FLAG("force_positioning", force_positioning, "Every subscription knows its position."),    \
        FLAG("allow_positioning", allow_positioning, "A client may ask for a position."),          \
        FLAG("delta_publish", delta_publish, "All publications may be sent as deltas."),           \
        FIELD(CONFIG_STRINGS, "allowed_delta_types", allowed_delta_types, .fallback = "",          \
              .accept = accept_delta_types,                                                        \
              .doc = "\"fossil\": subscribers may ask for deltas instead of whole publications."), \
        FLAG("allow_tags_filter", allow_tags_filter,                                               \
             "Subscribers may ask for publications with certain tags only."),                      \
        FIELD(CONFIG_DURATION, "conflate", conflate_ms, .fallback = "0s", .max = DAY_MS,           \
              .doc = "Between two publications that a subscriber gets; those in between give way " \
                     "to the newest. 0: all are delivered."),                                      \
        FIELD(CONFIG_CHOICE, "publication_data_format", publication_data_format, .fallback = "",   \
              .choices = data_formats,                                                             \
              .expected = "\"json\" or \"json_object\" (JSON is what "                             \
                          "the hub stores and sends: binary is not)",                              \
              .doc = "json (or empty): any JSON value; json_object: objects only."),               \
        FIELD(CONFIG_STRING, "channel_regex", channel_regex, .fallback = "",                       \
              .accept = accept_pattern,                                                            \
              .doc = "What the name behind the namespace must match; empty: printable ASCII."),    \
        FLAG("presence", presence, "Who is subscribed can be asked."),                             \
        FLAG("join_leave", join_leave, "Who comes and goes is told to those who ask for it."),     \
        FLAG("force_push_join_leave", force_push_join_leave, "To all subscribers."),               \
        FLAG("allow_user_limited_channels", allow_user_limited_channels,                           \
             "Behind a '#' stand the users who may subscribe: dialog#42,567."),                    \
        PROXY("subscribe", subscribe_proxy, "who may subscribe"),                                  \
        PROXY("publish", publish_proxy, "what clients may publish"),                               \
        PROXY("sub_refresh", sub_refresh_proxy, "whether a subscription that ends goes on"),       \
        FLAG("allow_subscribe_for_client", subscribe.for_client, "Users may subscribe."),          \
        FLAG("allow_subscribe_for_anonymous", subscribe.for_anonymous,                             \
             "So may clients without a user."),                                                    \
        FLAG("allow_publish_for_client", publish.for_client, "Users may publish."),                \
        FLAG("allow_publish_for_subscriber", publish.for_subscriber, "Subscribers may publish."),  \
        FLAG("allow_publish_for_anonymous", publish.for_anonymous,                                 \
             "So may clients without a user."),                                                    \
        FLAG("allow_presence_for_client", presence_access.for_client,                              \
             "Users may ask who is there."),                                                       \
        FLAG("allow_presence_for_subscriber", presence_access.for_subscriber,                      \
             "Subscribers may ask who is there."),                                                 \
        FLAG("allow_presence_for_anonymous", presence_access.for_anonymous,                        \
             "So may clients without a user."),                                                    \
        FLAG("allow_history_for_client", history_access.for_client, "Users may read history."),    \
        FLAG("allow_history_for_subscriber", history_access.for_subscriber,                        \
             "Subscribers may read history."),                                                     \
        FLAG("allow_history_for_anonymous", history_access.for_anonymous,                          \
             "So may clients without a user.")

static void check_history(struct config_reader *reader, const struct namespace_options *ns)
{
    if (!config_is_good(reader, "history_size") || !config_is_good(reader, "history_ttl")) {
        return;
    }
    if ((ns->history_size > 0) != (ns->history_ttl_ms > 0)) {
        config_complain(reader, ns->history_size > 0 ? "history_ttl" : "history_size", NULL,
                        "a value above 0: history_size and history_ttl are set together");
    }
    bool wants_history = ns->force_recovery || ns->force_positioning;
    if (wants_history && !namespace_has_history(ns)) {
        config_complain(reader, ns->force_recovery ? "force_recovery" : "force_positioning", NULL,
                        "false, or history_size and history_ttl above 0");
    }
    if (ns->history_meta_ttl_ms > 0 && ns->history_meta_ttl_ms < ns->history_ttl_ms) {
        config_complain(reader, "history_meta_ttl", NULL, "at least history_ttl");
    }
}

static void check_namespace(struct config_reader *reader, void *object)
{
    struct namespace_options *ns = object;
    ns->allows_delta = ns->allowed_delta_types.n_items > 0;
    if (*ns->channel_regex &&
        pattern_create(str_of(ns->channel_regex), &ns->channel_pattern, NULL) != STATUS_OK) {
        config_complain(reader, "channel_regex", NULL, "a regular expression");
    }
    check_history(reader, ns);
    if (ns->auto_cache_recover && !(ns->force_recovery && ns->recovery_mode == RECOVERY_CACHE) &&
        config_is_good(reader, "force_recovery") && config_is_good(reader, "force_recovery_mode")) {
        config_complain(reader, "auto_cache_recover", NULL,
                        "false, or force_recovery true and force_recovery_mode \"cache\"");
    }
    if (ns->force_push_join_leave && !ns->join_leave && config_is_good(reader, "join_leave")) {
        config_complain(reader, "force_push_join_leave", NULL, "false, or join_leave true");
    }
}

static void release_namespace(void *object)
{
    struct namespace_options *ns = object;
    pattern_destroy(ns->channel_pattern);
}

static const char *accept_name(const void *place)
{
    const char *name = *(char *const *)place;
    size_t len = strlen(name);
    for (size_t i = 0; name[i] && len > 0; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i])) {
            len = 0;
        }
    }
    return len >= 2 ? NULL : "two or more letters, digits, '-', '_' or '.'";
}

static const struct config_field without_namespace_fields[] = {NAMESPACE_FIELDS};
static const struct config_shape without_namespace_shape = {
    .size = sizeof(struct namespace_options),
    .fields = without_namespace_fields,
    .n_fields = sizeof(without_namespace_fields) / sizeof(without_namespace_fields[0]),
    .check = check_namespace,
    .release = release_namespace,
};

static const struct config_field namespace_fields[] = {
    FIELD(CONFIG_STRING, "name", name, .accept = accept_name,
          .expected = "the name of the namespace",
          .doc = "The text before ':' in a channel's name."),
    NAMESPACE_FIELDS,
};
static const struct config_shape namespace_shape = {
    .size = sizeof(struct namespace_options),
    .fields = namespace_fields,
    .n_fields = sizeof(namespace_fields) / sizeof(namespace_fields[0]),
    .check = check_namespace,
    .release = release_namespace,
};

static bool outlives_its_position(const struct channel_options *options,
                                  const struct namespace_options *ns)
{
    return ns->history_meta_ttl_ms == 0 && ns->history_ttl_ms > options->history_meta_ttl_ms;
}

static void check_channel_options(struct config_reader *reader, void *object)
{
    const struct channel_options *options = object;
    const struct namespace_options *all = options->namespaces.items;
    bool ttl_is_good = config_is_good(reader, "history_meta_ttl");
    if (ttl_is_good && outlives_its_position(options, &options->without_namespace) &&
        config_is_good(reader, "without_namespace.history_ttl") &&
        config_is_good(reader, "without_namespace.history_meta_ttl")) {
        config_complain(reader, "history_meta_ttl", NULL, "at least without_namespace.history_ttl");
    }
    for (size_t i = 0; i < options->namespaces.n_items; i++) {
        char own_ttl[64];
        snprintf(own_ttl, sizeof(own_ttl), "namespaces[%zu].history_meta_ttl", i);
        if (ttl_is_good && outlives_its_position(options, &all[i]) &&
            config_is_good(reader, own_ttl)) {
            config_complain_item(reader, "namespaces", i, "history_ttl", NULL,
                                 "at most channel.history_meta_ttl, or its own history_meta_ttl");
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(all[i].name, all[k].name) == 0) {
                config_complain_item(reader, "namespaces", i, "name", NULL,
                                     "a name that no other namespace has");
            }
        }
    }
}

static const char *accept_boundary(const void *place)
{
    const char *text = *(char *const *)place;
    return *text ? NULL : "one or more characters";
}

#define BOUNDARY(key_, fallback_, doc_)                                                            \
    {                                                                                              \
        .key = #key_, .type = CONFIG_STRING, .offset = offsetof(struct channel_options, key_),     \
        .fallback = fallback_, .min = 1, .max = 16, .accept = accept_boundary, .doc = doc_         \
    }

#define DEFAULT_PROXY(member, doc_)                                                                \
    {                                                                                              \
        .key = #member, .type = CONFIG_OBJECT,                                                     \
        .offset = offsetof(struct channel_proxy_options, member), .shape = &proxy_options_shape,   \
        .doc = doc_                                                                                \
    }

static const struct config_field channel_proxy_fields[] = {
    DEFAULT_PROXY(subscribe, "Asked about subscriptions, where subscribe_proxy_enabled says so."),
    DEFAULT_PROXY(publish,
                  "Asked about what clients publish, where publish_proxy_enabled says so."),
    DEFAULT_PROXY(sub_refresh,
                  "Asked about subscriptions that end, where sub_refresh_proxy_enabled says so."),
};
static const struct config_shape channel_proxy_shape = {
    .size = sizeof(struct channel_proxy_options),
    .fields = channel_proxy_fields,
    .n_fields = sizeof(channel_proxy_fields) / sizeof(channel_proxy_fields[0]),
};

static const struct config_field channel_fields[] = {
    {.key = "proxy",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct channel_options, proxy),
     .shape = &channel_proxy_shape,
     .doc = "The backends that the namespaces' proxies are by default."},
    BOUNDARY(private_prefix, "$", "Channels that begin so need a subscription token."),
    BOUNDARY(namespace_boundary, ":", "Ends the namespace in a channel's name."),
    BOUNDARY(user_boundary, "#", "Begins the users in the name of a user-limited channel."),
    BOUNDARY(user_separator, ",", "Between two of them."),
    {.key = "without_namespace",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct channel_options, without_namespace),
     .shape = &without_namespace_shape,
     .doc = "Options of channels whose name has no ':'."},
    {.key = "namespaces",
     .type = CONFIG_LIST,
     .offset = offsetof(struct channel_options, namespaces),
     .shape = &namespace_shape,
     .doc = "Options of channels called 'name:...'."},
    {.key = "max_length",
     .type = CONFIG_INT,
     .offset = offsetof(struct channel_options, max_length),
     .fallback = "255",
     .min = 1,
     .max = 4096,
     .doc = "Bytes in a channel's name."},
    {.key = "history_meta_ttl",
     .type = CONFIG_DURATION,
     .offset = offsetof(struct channel_options, history_meta_ttl_ms),
     .fallback = "720h",
     .min = 1000,
     .max = INT64_C(315360000000),
     .doc = "How long the position of a channel outlives its last use."},
    {.key = "tail_max_size",
     .type = CONFIG_INT,
     .offset = offsetof(struct channel_options, tail_max_size),
     .fallback = "65536",
     .max = INT64_C(1073741824),
     .doc = "Bytes of recent publications kept in memory per channel; above 0, for ten seconds "
            "after a recovery that read more, client.history_max_size."},
    {.key = "tail_total_max_size",
     .type = CONFIG_INT,
     .offset = offsetof(struct channel_options, tail_total_max_size),
     .fallback = "67108864",
     .max = INT64_C(1099511627776),
     .doc = "The same for all channels together; beyond it the least recently used go."},
    {.key = "idle_timeout",
     .type = CONFIG_DURATION,
     .offset = offsetof(struct channel_options, idle_timeout_ms),
     .fallback = "60s",
     .max = INT64_C(31536000000),
     .doc = "How long a channel with history stays in memory after its last subscriber has left."},
};
const struct config_shape channel_options_shape = {
    .size = sizeof(struct channel_options),
    .fields = channel_fields,
    .n_fields = sizeof(channel_fields) / sizeof(channel_fields[0]),
    .check = check_channel_options,
};

/* Names go into JSON and into logs: no control characters, and ASCII unless a pattern says more. */
static bool is_printable(struct str s, bool only_ascii)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char byte = (unsigned char)s.ptr[i];
        if (byte < 0x20 || byte == 0x7f || (only_ascii && byte > 0x7e)) {
            return false;
        }
    }
    return true;
}

bool channel_is_private(const struct channel_options *options, struct str channel)
{
    return str_starts_with(channel, str_of(options->private_prefix));
}

/* Where the boundary of the namespace is in the name; -1: in none. */
static ptrdiff_t find_boundary(const struct channel_options *options, struct str channel,
                               struct str *ret_name)
{
    struct str rest = channel_is_private(options, channel)
                          ? str_tail(channel, strlen(options->private_prefix))
                          : channel;
    *ret_name = rest;
    return str_find_text(rest, str_of(options->namespace_boundary));
}

struct str namespace_name_in(const struct channel_options *options, struct str channel)
{
    struct str name;
    ptrdiff_t boundary = find_boundary(options, channel, &name);
    return boundary < 0 ? STR_EMPTY : str_head(name, (size_t)boundary);
}

static const struct namespace_options *find_named(const struct channel_options *options,
                                                  struct str name)
{
    const struct namespace_options *all = options->namespaces.items;
    for (size_t i = 0; i < options->namespaces.n_items; i++) {
        if (str_eq(name, str_of(all[i].name))) {
            return &all[i];
        }
    }
    return NULL;
}

const struct namespace_options namespace_gone = {.name = ""};

enum status namespace_find(const struct channel_options *options, struct str channel,
                           const struct namespace_options **ret_ns)
{
    if (channel.len == 0 || channel.len > (size_t)options->max_length) {
        return STATUS_INVALID;
    }
    struct str rest;
    ptrdiff_t boundary = find_boundary(options, channel, &rest);
    const struct namespace_options *ns = &options->without_namespace;
    if (boundary >= 0) {
        ns = find_named(options, str_head(rest, (size_t)boundary));
        rest = str_tail(rest, (size_t)boundary + strlen(options->namespace_boundary));
    }
    if (!is_printable(channel, !ns || !ns->channel_pattern)) {
        return STATUS_INVALID;
    }
    if (!ns) {
        return STATUS_UNKNOWN_CHANNEL;
    }
    if (ns->channel_pattern && !pattern_matches(ns->channel_pattern, rest)) {
        return STATUS_INVALID;
    }
    *ret_ns = ns;
    return STATUS_OK;
}

/* What stands behind the last boundary. */
static bool find_users(const struct channel_options *options, struct str channel,
                       struct str *ret_users)
{
    struct str boundary = str_of(options->user_boundary);
    bool found = false;
    for (ptrdiff_t at = str_find_text(channel, boundary); at >= 0;
         at = str_find_text(channel, boundary)) {
        channel = str_tail(channel, (size_t)at + boundary.len);
        found = true;
    }
    *ret_users = channel;
    return found;
}

enum user_limit channel_user_limit(const struct channel_options *options,
                                   const struct namespace_options *ns, struct str channel,
                                   struct str user)
{
    struct str users;
    if (!ns->allow_user_limited_channels || !find_users(options, channel, &users)) {
        return USER_NOT_LIMITED;
    }
    struct str separator = str_of(options->user_separator);
    while (user.len > 0) {
        ptrdiff_t end = str_find_text(users, separator);
        if (str_eq(end < 0 ? users : str_head(users, (size_t)end), user)) {
            return USER_IS_LISTED;
        }
        if (end < 0) {
            break;
        }
        users = str_tail(users, (size_t)end + separator.len);
    }
    return USER_IS_NOT_LISTED;
}

struct storage_retention namespace_retention(const struct channel_options *options,
                                             const struct namespace_options *ns)
{
    int64_t meta_ttl_ms =
        ns->history_meta_ttl_ms > 0 ? ns->history_meta_ttl_ms : options->history_meta_ttl_ms;
    return (struct storage_retention){
        .size = ns->history_size, .ttl_ms = ns->history_ttl_ms, .meta_ttl_ms = meta_ttl_ms};
}

static const struct access_options *access_of(const struct namespace_options *ns,
                                              enum access_action action)
{
    switch (action) {
    case ACCESS_SUBSCRIBE: return &ns->subscribe;
    case ACCESS_PUBLISH: return &ns->publish;
    case ACCESS_PRESENCE: return &ns->presence_access;
    case ACCESS_HISTORY: return &ns->history_access;
    }
    return NULL;
}

bool namespace_allows(const struct namespace_options *ns, enum access_action action,
                      bool is_anonymous, bool is_subscribed)
{
    const struct access_options *access = access_of(ns, action);
    if (is_anonymous && !access->for_anonymous) {
        return false;
    }
    return access->for_client || (access->for_subscriber && is_subscribed);
}
