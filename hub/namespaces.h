/* What channels are: their names, their namespaces' options, and who may do what in them. The
 * configuration's section "channel". */
#ifndef BELFRY_HUB_NAMESPACES_H
#define BELFRY_HUB_NAMESPACES_H

#include "base/config.h"
#include "base/pattern.h"
#include "base/status.h"
#include "base/str.h"
#include "hub/proxy_options.h"
#include "storage/storage.h"

/* Two ways to be allowed something: as any client, or as one that is subscribed; and whether a
 * client without a user (anonymous) counts. */
struct access_options {
    bool for_client;
    bool for_subscriber;
    bool for_anonymous;
};

enum recovery_mode {
    RECOVERY_DEFAULT, /* as RECOVERY_STREAM */
    RECOVERY_STREAM,  /* what was missed, all of it or none */
    RECOVERY_CACHE,   /* the newest publication */
};

enum data_format {
    DATA_ANY, /* any JSON */
    DATA_JSON,
    DATA_JSON_OBJECT,
};

/* Whether, and whom, the backend is asked. */
struct namespace_proxy {
    bool enabled;
    char *name; /* of one of "proxies"; "default": channel.proxy's */
};

struct namespace_options {
    char *name; /* "" for channels without a namespace */
    int64_t history_size;
    int64_t history_ttl_ms;
    int64_t history_meta_ttl_ms; /* 0: channel.history_meta_ttl */
    bool force_recovery;
    bool allow_recovery;
    int recovery_mode;       /* enum recovery_mode */
    bool auto_cache_recover; /* also those who did not ask for it get the newest publication */
    bool force_positioning;
    bool allow_positioning;
    bool delta_publish;                     /* all publications may be sent as deltas */
    struct config_list allowed_delta_types; /* of char *: "fossil" */
    bool allows_delta;
    bool allow_tags_filter;
    bool presence;
    bool join_leave;            /* coming and going is told */
    bool force_push_join_leave; /* to all, not only to who asked */
    bool allow_user_limited_channels;
    char *channel_regex;             /* "": none; of the name behind the namespace */
    struct pattern *channel_pattern; /* made of it; NULL: none */
    int publication_data_format;     /* enum data_format */
    int64_t conflate_ms;             /* between two publications that a subscriber gets; 0: all */
    struct access_options subscribe, publish, presence_access, history_access;
    struct namespace_proxy subscribe_proxy, publish_proxy, sub_refresh_proxy;
};

/* The backends that the namespaces' proxies are by default. */
struct channel_proxy_options {
    struct proxy_options subscribe;
    struct proxy_options publish;
    struct proxy_options sub_refresh;
};

struct channel_options {
    struct namespace_options without_namespace;
    struct config_list namespaces; /* of struct namespace_options */
    struct channel_proxy_options proxy;
    char *private_prefix;
    char *namespace_boundary;
    char *user_boundary;
    char *user_separator;
    int64_t max_length;
    int64_t history_meta_ttl_ms;
    int64_t tail_max_size;       /* bytes of recent publications that a channel keeps in memory */
    int64_t tail_total_max_size; /* all channels together */
    int64_t idle_timeout_ms;     /* that a channel without subscribers stays in memory; 0: not */
};

extern const struct config_shape channel_options_shape;

/* Of a channel that is still in use when the configuration has lost its namespace: nothing is kept
 * and nothing allowed. */
extern const struct namespace_options namespace_gone;

/* The options for a channel's name. STATUS_INVALID: the name is empty, too long, not printable
 * ASCII or does not match the namespace's channel_regex (with which it may be any text without
 * control characters); STATUS_UNKNOWN_CHANNEL: its namespace is not configured. */
enum status namespace_find(const struct channel_options *options, struct str channel,
                           const struct namespace_options **ret_ns) MUST_CHECK;

/* The text before the first boundary ':' (without a leading '$'); empty where there is none. */
struct str namespace_name_in(const struct channel_options *options, struct str channel);

/* "$secret:room": only with a subscription token (or a proxy's consent). */
bool channel_is_private(const struct channel_options *options, struct str channel);

/* "dialog#42,567": the users behind the last boundary, in a namespace that knows them. */
enum user_limit {
    USER_NOT_LIMITED,
    USER_IS_LISTED,
    USER_IS_NOT_LISTED,
};
enum user_limit channel_user_limit(const struct channel_options *options,
                                   const struct namespace_options *ns, struct str channel,
                                   struct str user);

static inline bool namespace_has_history(const struct namespace_options *ns)
{
    return ns->history_size > 0 && ns->history_ttl_ms > 0;
}

struct storage_retention namespace_retention(const struct channel_options *options,
                                             const struct namespace_options *ns);

enum access_action { ACCESS_SUBSCRIBE, ACCESS_PUBLISH, ACCESS_PRESENCE, ACCESS_HISTORY };

bool namespace_allows(const struct namespace_options *ns, enum access_action action,
                      bool is_anonymous, bool is_subscribed);

#endif
