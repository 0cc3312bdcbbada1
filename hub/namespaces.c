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
        FLAG("presence", presence, "Who is subscribed can be asked."),                             \
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

static void check_namespace(struct config_reader *reader, void *object)
{
    const struct namespace_options *ns = object;
    if ((ns->history_size > 0) != (ns->history_ttl_ms > 0)) {
        config_complain(reader, ns->history_size > 0 ? "history_ttl" : "history_size", NULL,
                        "a value above 0: history_size and history_ttl are set together");
    }
    bool wants_history = ns->force_recovery || ns->force_positioning;
    if (wants_history && !namespace_has_history(ns)) {
        config_complain(reader, ns->force_recovery ? "force_recovery" : "force_positioning", NULL,
                        "false, or history_size and history_ttl above 0");
    }
    if (ns->auto_cache_recover && !(ns->force_recovery && ns->recovery_mode == RECOVERY_CACHE)) {
        config_complain(reader, "auto_cache_recover", NULL,
                        "false, or force_recovery true and force_recovery_mode \"cache\"");
    }
    if (ns->history_meta_ttl_ms > 0 && ns->history_meta_ttl_ms < ns->history_ttl_ms) {
        config_complain(reader, "history_meta_ttl", NULL, "at least history_ttl");
    }
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
    if (outlives_its_position(options, &options->without_namespace)) {
        config_complain(reader, "history_meta_ttl", NULL, "at least without_namespace.history_ttl");
    }
    for (size_t i = 0; i < options->namespaces.n_items; i++) {
        if (outlives_its_position(options, &all[i])) {
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

static const struct config_field channel_fields[] = {
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

static bool is_printable_ascii(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

bool channel_is_private(struct str channel)
{
    return channel.len > 0 && channel.ptr[0] == '$';
}

struct str namespace_name_in(struct str channel)
{
    struct str rest = channel_is_private(channel) ? str_tail(channel, 1) : channel;
    ptrdiff_t colon = str_find(rest, ':');
    return colon < 0 ? STR_EMPTY : str_head(rest, (size_t)colon);
}

enum status namespace_find(const struct channel_options *options, struct str channel,
                           const struct namespace_options **ret_ns)
{
    if (channel.len == 0 || channel.len > (size_t)options->max_length ||
        !is_printable_ascii(channel)) {
        return STATUS_INVALID;
    }
    if (str_find(channel, ':') < 0) {
        *ret_ns = &options->without_namespace;
        return STATUS_OK;
    }
    struct str name = namespace_name_in(channel);
    const struct namespace_options *all = options->namespaces.items;
    for (size_t i = 0; i < options->namespaces.n_items; i++) {
        if (str_eq(name, str_of(all[i].name))) {
            *ret_ns = &all[i];
            return STATUS_OK;
        }
    }
    return STATUS_UNKNOWN_CHANNEL;
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
