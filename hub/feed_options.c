/* SPDX-License-Identifier: MIT */
/* Unit feed_options is the table of the configuration's sections "feeds" and "upstreams", and all
 * that can be said against a feed before it runs. */
#include "hub/feed_options.h"

#include <regex.h>
#include <stddef.h>
#include <stdio.h>

#include "hub/channel_template.h"
#include "upstreams/address_guard.h"

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
#define MINUTE_MS  INT64_C(60000)
#define HOUR_MS    (60 * MINUTE_MS)
#define YEAR_MS    (365 * 24 * HOUR_MS)

/* --- single values --- */

static const char *text_at(const void *place)
{
    return *(char *const *)place;
}

static const char *accept_name(const void *place)
{
    const char *name = text_at(place);
    size_t n_good = strspn(name, NAME_BYTES);
    return n_good > 0 && name[n_good] == '\0' ? NULL : "a name of letters, digits, '-' and '_'";
}

/* The text is valid until the next call. */
static const char *accept_params(const void *place)
{
    static char expected[256];
    const struct config_list *params = place;
    const struct config_pair *pairs = params->items;
    for (size_t i = 0; i < params->n_items; i++) {
        regex_t regex;
        if (!*pairs[i].name || strchr(pairs[i].name, '.')) {
            return "an object of names without '.', which is for values of upstreams";
        }
        if (regcomp(&regex, pairs[i].text, REG_EXTENDED | REG_NOSUB) != 0) {
            snprintf(expected, sizeof(expected),
                     "an object of POSIX extended regular expressions: %.60s is \"%.100s\"",
                     pairs[i].name, pairs[i].text);
            return expected;
        }
        regfree(&regex);
    }
    return NULL;
}

static const char *accept_channel(const void *place)
{
    struct str rest = str_of(text_at(place));
    struct str piece;
    bool is_param;
    bool is_empty = rest.len == 0;
    while (channel_template_next(&rest, &piece, &is_param)) {
    }
    return is_empty || rest.len > 0 ? "a channel such as \"city:{city}\"" : NULL;
}

/* The text is valid until the next call. */
static const char *accept_hosts(const void *place)
{
    static char expected[256];
    const struct config_list *hosts = place;
    char *const *texts = hosts->items;
    for (size_t i = 0; i < hosts->n_items; i++) {
        const char *expects = address_guard_expects(str_of(texts[i]));
        if (expects) {
            snprintf(expected, sizeof(expected), "a list of hosts: \"%.60s\" is not %s", texts[i],
                     expects);
            return expected;
        }
    }
    return NULL;
}

/* --- one against another --- */

static bool has_param(const struct feed_options *feed, struct str name)
{
    const struct config_pair *pairs = feed->params.items;
    for (size_t i = 0; i < feed->params.n_items; i++) {
        if (str_eq(name, str_of(pairs[i].name))) {
            return true;
        }
    }
    return false;
}

/* False after a complaint. */
static bool check_channel_names(struct config_reader *reader, const struct feed_options *feed)
{
    struct str rest = str_of(feed->channel);
    struct str piece;
    bool is_param;
    while (channel_template_next(&rest, &piece, &is_param)) {
        if (is_param && !has_param(feed, piece)) {
            config_complain(reader, "channel", NULL, "a channel whose {names} stand under params");
            return false;
        }
    }
    return true;
}

static bool channel_has(const struct feed_options *feed, const char *param)
{
    struct str rest = str_of(feed->channel);
    struct str piece;
    bool is_param;
    bool has = false;
    while (!has && channel_template_next(&rest, &piece, &is_param)) {
        has = is_param && str_eq(piece, str_of(param));
    }
    return has;
}

static bool channel_joins_params(const struct feed_options *feed)
{
    struct str rest = str_of(feed->channel);
    struct str piece;
    bool is_param;
    bool was_param = false;
    while (channel_template_next(&rest, &piece, &is_param)) {
        if (is_param && was_param) {
            return true;
        }
        was_param = is_param;
    }
    return false;
}

/* Of a subscriber only the name of the channel is known: it must tell what to refresh for him.
 * because: the key that asks for it. */
static void check_channel_tells(struct config_reader *reader, const struct feed_options *feed,
                                const char *because)
{
    const struct config_pair *params = feed->params.items;
    char expected[200];
    for (size_t i = 0; i < feed->params.n_items; i++) {
        if (!channel_has(feed, params[i].name)) {
            snprintf(expected, sizeof(expected),
                     "a channel with {%.60s}: %s needs one that tells every parameter",
                     params[i].name, because);
            config_complain(reader, "channel", NULL, expected);
            return;
        }
    }
    if (channel_joins_params(feed)) {
        snprintf(expected, sizeof(expected),
                 "a channel with text between its {names}: %s needs one that tells them apart",
                 because);
        config_complain(reader, "channel", NULL, expected);
    }
}

static void check_channel(struct config_reader *reader, const struct feed_options *feed)
{
    bool is_refreshed = feed->refresh.every_ms > 0;
    if (check_channel_names(reader, feed) && (is_refreshed || feed->max_age_ms > 0)) {
        check_channel_tells(reader, feed, is_refreshed ? "refresh.every" : "max_age");
    }
}

static void check_refresh(struct config_reader *reader, const struct feed_options *feed)
{
    if (feed->refresh.ever != FEED_WHILE_ALWAYS) {
        return;
    }
    if (feed->params.n_items > 0 && config_is_good(reader, "params")) {
        config_complain(reader, "refresh.while", NULL,
                        "\"watched\", which is all that a feed with params can be");
    }
    if (feed->refresh.every_ms == 0) {
        config_complain_need(reader, "refresh.every", "a duration, because while is \"always\"");
    }
}

static void check_meta(struct config_reader *reader, const struct feed_options *feed)
{
    if (feed->meta && feed->merge == FEED_MERGE_ARRAY) {
        config_complain(reader, "meta", NULL, "false: an array has no place for \"_meta\"");
    }
}

static void check_feed(struct config_reader *reader, void *object)
{
    const struct feed_options *feed = object;
    if (config_is_good(reader, "channel") && config_is_good(reader, "params")) {
        check_channel(reader, feed);
    }
    check_refresh(reader, feed);
    check_meta(reader, feed);
    feed_upstreams_check(reader, &feed->upstreams, &feed->params);
    if (feed->upstreams.n_items == 0) {
        config_complain(reader, "upstreams", NULL, "at least one upstream");
    }
}

/* What a request cannot say is empty. It is not released. */
static void check_fanout(struct config_reader *reader, void *object)
{
    static char none[1];
    struct feed_options *feed = object;
    feed->name = none;
    feed->hook_secret = none;
    check_meta(reader, feed);
    feed_upstreams_check(reader, &feed->upstreams, NULL);
    if (feed->upstreams.n_items == 0) {
        config_complain(reader, "upstreams", NULL, "a list of 1 to 100 upstreams");
    }
}

/* --- the tables --- */

#define REFRESH(key_, type_, member, ...)                                                          \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct feed_refresh_options, member),       \
        __VA_ARGS__                                                                                \
    }

static const char *const whiles[] = {"watched", "always", NULL};
static const struct config_field refresh_fields[] = {
    REFRESH("every", CONFIG_DURATION, every_ms, .fallback = "0s", .min = 100, .max = YEAR_MS,
            .doc = "Between two refreshes; 0: only when asked."),
    REFRESH("while", CONFIG_CHOICE, ever, .fallback = "watched", .choices = whiles,
            .doc = "watched: somebody is in its channel, or reads its event stream; always: only "
                   "without params."),
    REFRESH("jitter", CONFIG_INT, jitter, .fallback = "10", .min = 0, .max = 100,
            .doc = "Percent of every by which the time varies, half of it to either side."),
    REFRESH("grace", CONFIG_DURATION, grace_ms, .fallback = "10s", .max = HOUR_MS,
            .doc = "How long it goes on after the last one has gone."),
    REFRESH("respect_cache", CONFIG_BOOL, respect_cache, .fallback = "false",
            .doc = "An upstream is not asked before its Cache-Control or Retry-After says so."),
};
static const struct config_shape refresh_shape = {
    .size = sizeof(struct feed_refresh_options),
    .fields = refresh_fields,
    .n_fields = sizeof(refresh_fields) / sizeof(refresh_fields[0]),
};

#define FEED(key_, type_, member, ...)                                                             \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct feed_options, member), __VA_ARGS__   \
    }

static const char *const merges[] = {"object", "flat", "array", NULL};
#define MERGE_FIELDS                                                                               \
    FEED("merge", CONFIG_CHOICE, merge, .fallback = "object", .choices = merges,                   \
         .doc = "object: a member for each upstream; flat: the members of all; array: the "        \
                "elements of all."),                                                               \
        FEED("meta", CONFIG_BOOL, meta, .fallback = "false",                                       \
             .doc = "The snapshot has a member _meta: whether it is complete, and outcome and "    \
                    "age of each upstream.")

static const char *const pushes[] = {"changes", "always", NULL};
static const char *const accesses[] = {"key", "token", "public", NULL};
static const struct config_field feed_fields[] = {
    FEED("name", CONFIG_STRING, name, .accept = accept_name, .expected = "the name of the feed",
         .doc = "How the API calls it."),
    FEED("channel", CONFIG_STRING, channel, .accept = accept_channel, .expected = "a channel",
         .doc = "Where snapshots are published; {param} is replaced."),
    FEED("params", CONFIG_PAIRS, params, .accept = accept_params,
         .doc = "Parameter names and the regular expressions that all of a value must match."),
    FEED("timeout", CONFIG_DURATION, timeout_ms, .fallback = "2s", .min = 1, .max = HOUR_MS,
         .doc = "For all upstreams together."),
    FEED("refresh", CONFIG_OBJECT, refresh, .shape = &refresh_shape,
         .doc = "When it is refreshed by itself."),
    FEED("max_age", CONFIG_DURATION, max_age_ms, .fallback = "0s", .max = YEAR_MS,
         .doc = "Who subscribes or reads and finds an older snapshot starts a refresh; 0: as "
                "refresh.every, where there is one."),
    MERGE_FIELDS,
    FEED("push", CONFIG_CHOICE, push, .fallback = "changes", .choices = pushes,
         .doc = "changes: a snapshot is published when it differs from the one before; always: "
                "after each refresh."),
    FEED("min_interval", CONFIG_DURATION, min_interval_ms, .fallback = "0s", .max = YEAR_MS,
         .doc = "Between two publications; the newest waits for its time."),
    FEED("access", CONFIG_CHOICE, access, .fallback = "key", .choices = accesses,
         .doc = "Who may read GET /feeds/NAME: who has the API key; a token; everybody."),
    FEED("stale_while_revalidate", CONFIG_DURATION, stale_while_revalidate_ms, .fallback = "0s",
         .max = YEAR_MS, .doc = "Said in Cache-Control of GET /feeds/NAME; 0: not."),
    FEED("hook_secret", CONFIG_STRING, hook_secret, .fallback = "", .secret = true,
         .doc = "Signs POST /hooks/feeds/NAME, by which an upstream says that it has changed; "
                "empty: there is no such hook."),
    FEED("snapshot_limit", CONFIG_INT, snapshot_limit, .fallback = "10000", .min = 1,
         .max = INT64_C(1000000000),
         .doc = "Parameter values whose snapshot is kept; beyond it the oldest is forgotten."),
    FEED("runs_size", CONFIG_INT, runs_size, .fallback = "100", .min = 0, .max = 1000000,
         .doc = "Last refreshes that are remembered; 0: none."),
    FEED("runs_ttl", CONFIG_DURATION, runs_ttl_ms, .fallback = "168h", .min = 1000,
         .max = 10 * YEAR_MS, .doc = "How long they are."),
    FEED("upstreams", CONFIG_LIST, upstreams, .shape = &feed_upstream_shape,
         .doc = "What is fetched, at the same time."),
};
const struct config_shape feed_options_shape = {
    .size = sizeof(struct feed_options),
    .fields = feed_fields,
    .n_fields = sizeof(feed_fields) / sizeof(feed_fields[0]),
    .check = check_feed,
};

static const struct config_field fanout_fields[] = {
    FEED("upstreams", CONFIG_LIST, upstreams, .shape = &feed_fanout_upstream_shape, .max = 100,
         .expected = "a list of 1 to 100 upstreams", .doc = "What is fetched, at the same time."),
    MERGE_FIELDS,
    FEED("timeout", CONFIG_DURATION, timeout_ms, .fallback = "2s", .min = 1, .max = MINUTE_MS,
         .doc = "For all upstreams together."),
    FEED("channel", CONFIG_STRING, channel, .fallback = "",
         .doc = "Where the document is published; empty: nowhere."),
};
const struct config_shape fanout_request_shape = {
    .size = sizeof(struct feed_options),
    .fields = fanout_fields,
    .n_fields = sizeof(fanout_fields) / sizeof(fanout_fields[0]),
    .check = check_fanout,
};

#define LIMIT(key_, member, fallback_, min_, max_, ...)                                            \
    {                                                                                              \
        .key = key_, .type = CONFIG_INT, .offset = offsetof(struct upstreams_options, member),     \
        .fallback = fallback_, .min = min_, .max = max_, .doc = __VA_ARGS__                        \
    }

static const struct config_field upstreams_fields[] = {
    LIMIT("max_concurrent", max_concurrent, "256", 1, 10000, "Requests to upstreams at one time.",
          .change = CONFIG_CHANGE_AT_START),
    LIMIT("max_concurrent_per_host", max_concurrent_per_host, "0", 0, 10000,
          "Of these to one host and port; 0: no limit of its own.",
          .change = CONFIG_CHANGE_AT_START),
    LIMIT("max_waiting", max_waiting, "10000", 1, 1000000, "Requests that wait for a free place.",
          .change = CONFIG_CHANGE_AT_START),
    LIMIT("max_body_size", max_body_size, "1048576", 1, 1073741824, "Bytes of one answer."),
    LIMIT("max_refreshes", max_refreshes, "1000", 1, 1000000, "Runs of feeds at one time."),
    LIMIT("max_watched", max_watched, "1000", 1, 1000000,
          "Feeds, with their parameters, that are refreshed by themselves."),
    LIMIT("memory_max_size", memory_max_size, "67108864", 1024, INT64_C(1099511627776),
          "Bytes of snapshots and values kept in memory; beyond it they are read back from the "
          "storage."),
    {.key = "allow_hosts",
     .type = CONFIG_STRINGS,
     .offset = offsetof(struct upstreams_options, allow_hosts),
     .accept = accept_hosts,
     .doc = "Hosts that POST /api/fanout and GET /proxy may ask: names, *.names, addresses, "
            "networks, with a port or without."},
    {.key = "direct",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct upstreams_options, direct),
     .fallback = "true",
     .change = CONFIG_CHANGE_AT_START,
     .doc =
         "Plain GETs of http URLs go without libcurl, which is faster; false: all go through it."},
};
const struct config_shape upstreams_options_shape = {
    .size = sizeof(struct upstreams_options),
    .fields = upstreams_fields,
    .n_fields = sizeof(upstreams_fields) / sizeof(upstreams_fields[0]),
};
