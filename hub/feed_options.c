/* SPDX-License-Identifier: MIT */
/* Unit feed_options is the table of the configuration's sections "feeds" and "upstreams", and all
 * that can be said against a feed before it runs. */
#include "hub/feed_options.h"

#include <regex.h>
#include <stddef.h>
#include <stdio.h>

#include "base/json_span.h"
#include "hub/channel_template.h"
#include "upstreams/url_template.h"

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
#define HOUR_MS    INT64_C(3600000)

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

static const char *accept_select(const void *place)
{
    return json_pointer_valid(str_of(text_at(place))) ? NULL
                                                      : "a JSON Pointer such as \"/items/0\"";
}

static const char *accept_url(const void *place)
{
    struct url_template *url;
    const char *expected;
    if (url_template_create(str_of(text_at(place)), &url, &expected) != STATUS_OK) {
        return expected;
    }
    url_template_destroy(url);
    return NULL;
}

/* The text is valid until the next call. */
static const char *accept_params(const void *place)
{
    static char expected[256];
    const struct config_list *params = place;
    const struct config_pair *pairs = params->items;
    for (size_t i = 0; i < params->n_items; i++) {
        regex_t regex;
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

static void check_channel(struct config_reader *reader, const struct feed_options *feed)
{
    struct str rest = str_of(feed->channel);
    struct str piece;
    bool is_param;
    while (channel_template_next(&rest, &piece, &is_param)) {
        if (is_param && !has_param(feed, piece)) {
            config_complain(reader, "channel", NULL, "a channel whose {names} stand under params");
            return;
        }
    }
}

static void check_url(struct config_reader *reader, const struct feed_options *feed, size_t index)
{
    const struct feed_upstream_options *upstream =
        (const struct feed_upstream_options *)feed->upstreams.items + index;
    struct url_template *url;
    const char *expected = "";
    if (url_template_create(str_of(upstream->url), &url, &expected) != STATUS_OK) {
        return; /* has been said */
    }
    for (size_t i = 0; i < url_template_n_names(url); i++) {
        if (!has_param(feed, url_template_name(url, i))) {
            config_complain_item(reader, "upstreams", index, "url", NULL,
                                 "a URL whose {names} stand under params");
        }
    }
    url_template_destroy(url);
}

static void check_upstreams(struct config_reader *reader, const struct feed_options *feed)
{
    const struct feed_upstream_options *all = feed->upstreams.items;
    for (size_t i = 0; i < feed->upstreams.n_items; i++) {
        if (config_is_good(reader, "params")) {
            check_url(reader, feed, i);
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(all[i].name, all[k].name) == 0) {
                config_complain_item(reader, "upstreams", i, "name", NULL,
                                     "a name that no other upstream of the feed has");
            }
        }
    }
    if (feed->upstreams.n_items == 0) {
        config_complain(reader, "upstreams", NULL, "at least one upstream");
    }
}

static void check_feed(struct config_reader *reader, void *object)
{
    const struct feed_options *feed = object;
    if (config_is_good(reader, "channel") && config_is_good(reader, "params")) {
        check_channel(reader, feed);
    }
    check_upstreams(reader, feed);
}

#define UPSTREAM(key_, type_, member, ...)                                                         \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct feed_upstream_options, member),      \
        __VA_ARGS__                                                                                \
    }

static const struct config_field feed_upstream_fields[] = {
    UPSTREAM("name", CONFIG_STRING, name, .accept = accept_name,
             .expected = "the name of the upstream",
             .doc = "The member of the snapshot that its value becomes."),
    UPSTREAM("url", CONFIG_STRING, url, .accept = accept_url, .expected = "an http or https URL",
             .doc = "What is fetched; {param} in path or query is replaced, percent-encoded."),
    UPSTREAM("select", CONFIG_STRING, select, .accept = accept_select, .fallback = "",
             .doc = "JSON Pointer to the part of the answer that is used."),
    UPSTREAM("timeout", CONFIG_DURATION, timeout_ms, .fallback = "0s", .max = HOUR_MS,
             .doc = "For this upstream's answer; 0: as long as the feed's."),
};
static const struct config_shape feed_upstream_shape = {
    .size = sizeof(struct feed_upstream_options),
    .fields = feed_upstream_fields,
    .n_fields = sizeof(feed_upstream_fields) / sizeof(feed_upstream_fields[0]),
};

#define FEED(key_, type_, member, ...)                                                             \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct feed_options, member), __VA_ARGS__   \
    }

static const struct config_field feed_fields[] = {
    FEED("name", CONFIG_STRING, name, .accept = accept_name, .expected = "the name of the feed",
         .doc = "How the API calls it."),
    FEED("channel", CONFIG_STRING, channel, .accept = accept_channel, .expected = "a channel",
         .doc = "Where snapshots are published; {param} is replaced."),
    FEED("params", CONFIG_PAIRS, params, .accept = accept_params,
         .doc = "Parameter names and the regular expressions that all of a value must match."),
    FEED("timeout", CONFIG_DURATION, timeout_ms, .fallback = "2s", .min = 1, .max = HOUR_MS,
         .doc = "For all upstreams together."),
    FEED("upstreams", CONFIG_LIST, upstreams, .shape = &feed_upstream_shape,
         .doc = "What is fetched, at the same time."),
};
const struct config_shape feed_options_shape = {
    .size = sizeof(struct feed_options),
    .fields = feed_fields,
    .n_fields = sizeof(feed_fields) / sizeof(feed_fields[0]),
    .check = check_feed,
};

#define LIMIT(key_, member, fallback_, max_, doc_)                                                 \
    {                                                                                              \
        .key = key_, .type = CONFIG_INT, .offset = offsetof(struct upstreams_options, member),     \
        .fallback = fallback_, .min = 1, .max = max_, .doc = doc_                                  \
    }

static const struct config_field upstreams_fields[] = {
    LIMIT("max_concurrent", max_concurrent, "256", 10000, "Requests to upstreams at one time."),
    LIMIT("max_waiting", max_waiting, "10000", 1000000, "Requests that wait for a free place."),
    LIMIT("max_body_size", max_body_size, "1048576", 1073741824, "Bytes of one answer."),
    LIMIT("max_refreshes", max_refreshes, "1000", 1000000, "Runs of feeds at one time."),
};
const struct config_shape upstreams_options_shape = {
    .size = sizeof(struct upstreams_options),
    .fields = upstreams_fields,
    .n_fields = sizeof(upstreams_fields) / sizeof(upstreams_fields[0]),
};
