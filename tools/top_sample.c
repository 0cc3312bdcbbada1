/* SPDX-License-Identifier: MIT */
/* Reading the answers of the server API. No state: a sample is its caller's. */
#include "tools/top_sample.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/json_span.h"

#define NUMBER_BYTES 64

#define HUB(name_, member)                                                                         \
    {                                                                                              \
        name_, offsetof(struct top_hub, member)                                                    \
    }
const struct top_member top_hub_members[] = {
    HUB("num_clients", n_clients),    HUB("num_users", n_users),
    HUB("num_subs", n_subscriptions), HUB("num_channels", n_channels),
    HUB("uptime", uptime_s),          HUB("cpu", cpu_s),
    HUB("rss", memory_bytes),         {NULL, 0},
};

#define FEED(member)                                                                               \
    {                                                                                              \
#member, offsetof(struct top_feed, member)                                                 \
    }
const struct top_member top_feed_members[] = {
    FEED(running),    FEED(refreshes), FEED(shared),           FEED(changed),
    FEED(incomplete), FEED(failed),    FEED(scheduled),        FEED(not_modified),
    FEED(watched),    FEED(last_time), FEED(last_duration_ms), {NULL, 0},
};

#define UPSTREAM(member)                                                                           \
    {                                                                                              \
#member, offsetof(struct top_upstream, member)                                             \
    }
const struct top_member top_upstream_members[] = {
    UPSTREAM(breaker_opened),
    UPSTREAM(calls),
    UPSTREAM(attempts),
    UPSTREAM(retries),
    UPSTREAM(hedges),
    UPSTREAM(hedges_won),
    UPSTREAM(budget_spent),
    UPSTREAM(active),
    UPSTREAM(waiting),
    UPSTREAM(p50_ms),
    UPSTREAM(p90_ms),
    UPSTREAM(p99_ms),
    {NULL, 0},
};

double top_member_of(const struct top_member *member, const void *figures)
{
    return *(const double *)(const void *)((const char *)figures + member->offset);
}

/* --- values --- */

static void set(const struct top_member *member, void *figures, double number)
{
    *(double *)(void *)((char *)figures + member->offset) = number;
}

static void forget(const struct top_member *members, void *figures)
{
    for (; members->name; members++) {
        set(members, figures, NAN);
    }
}

static double number_of(struct str value)
{
    char text[NUMBER_BYTES];
    if (json_kind(value) != JSON_KIND_NUMBER || value.len >= sizeof(text)) {
        return NAN;
    }
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    return strtod(text, NULL);
}

/* Between its quotes, escapes as they are: names have none. */
static struct str text_of(struct str object, struct str name)
{
    struct str value;
    bool is_text =
        json_member(object, name, &value) && json_kind(value) == JSON_KIND_STRING && value.len >= 2;
    return is_text ? str_tail(str_head(value, value.len - 1), 1) : STR_EMPTY;
}

static void read_members(struct str object, const struct top_member *members, void *figures)
{
    struct json_walk walk = json_walk(object);
    struct str key;
    struct str value;
    while (json_next_member(&walk, &key, &value)) {
        for (const struct top_member *m = members; m->name; m++) {
            if (json_key_is(key, str_of(m->name))) {
                set(m, figures, number_of(value));
            }
        }
    }
}

/* --- info --- */

static bool read_info(struct top_sample *sample, struct str info)
{
    struct str node;
    struct str process;
    if (!json_pointer(info, STR("/nodes/0"), &node)) {
        return false;
    }
    sample->hub.version = text_of(node, STR("version"));
    forget(top_hub_members, &sample->hub);
    read_members(node, top_hub_members, &sample->hub);
    if (json_member(node, STR("process"), &process)) {
        read_members(process, top_hub_members, &sample->hub);
    }
    sample->has_hub = true;
    return true;
}

/* --- feeds --- */

static void read_outcomes(struct str outcomes, struct top_upstream *upstream)
{
    for (int i = 0; i < N_UPSTREAM_OUTCOMES; i++) {
        struct str value;
        const char *name = upstream_outcome_name((enum upstream_outcome)i);
        upstream->outcomes[i] = json_member(outcomes, str_of(name), &value) ? number_of(value) : 0;
    }
}

static void read_upstream(struct str object, struct str feed, struct top_upstream *upstream)
{
    struct str outcomes;
    upstream->feed = feed;
    upstream->name = text_of(object, STR("name"));
    upstream->breaker = text_of(object, STR("breaker"));
    forget(top_upstream_members, upstream);
    read_members(object, top_upstream_members, upstream);
    if (json_member(object, STR("outcomes"), &outcomes)) {
        read_outcomes(outcomes, upstream);
    }
}

static void take_slowest(struct top_feed *feed, const struct top_upstream *upstream)
{
    if (upstream->p99_ms > feed->p99_ms || isnan(feed->p99_ms)) {
        feed->p50_ms = upstream->p50_ms;
        feed->p90_ms = upstream->p90_ms;
        feed->p99_ms = upstream->p99_ms;
    }
}

static bool read_feed_upstreams(struct top_sample *sample, struct top_feed *feed, struct str list)
{
    struct json_walk walk = json_walk(list);
    struct str object;
    size_t n = sample->n_upstreams + json_count(list);
    struct top_upstream *more = reallocarray(sample->upstreams, n + 1, sizeof(*more));
    if (!more) {
        return false;
    }
    sample->upstreams = more;
    while (sample->n_upstreams < n && json_next_element(&walk, &object)) {
        struct top_upstream *upstream = &more[sample->n_upstreams++];
        *upstream = (struct top_upstream){.calls_per_s = NAN, .failures_per_s = NAN};
        read_upstream(object, feed->name, upstream);
        take_slowest(feed, upstream);
    }
    return true;
}

static bool read_feed(struct top_sample *sample, struct str object, struct top_feed *feed)
{
    struct str part;
    *feed = (struct top_feed){.p50_ms = NAN, .p90_ms = NAN, .p99_ms = NAN, .refreshes_per_s = NAN};
    feed->name = text_of(object, STR("name"));
    forget(top_feed_members, feed);
    if (json_member(object, STR("state"), &part)) {
        read_members(part, top_feed_members, feed);
    }
    return !json_member(object, STR("upstreams"), &part) || read_feed_upstreams(sample, feed, part);
}

static enum status read_feeds(struct top_sample *sample, struct str result)
{
    struct str list;
    struct str object;
    if (!json_member(result, STR("feeds"), &list) || json_kind(list) != JSON_KIND_ARRAY) {
        return STATUS_INVALID;
    }
    sample->feeds = calloc(json_count(list) + 1, sizeof(*sample->feeds));
    if (!sample->feeds) {
        return STATUS_NO_MEMORY;
    }
    struct json_walk walk = json_walk(list);
    while (json_next_element(&walk, &object)) {
        if (!read_feed(sample, object, &sample->feeds[sample->n_feeds++])) {
            return STATUS_NO_MEMORY;
        }
    }
    sample->has_feeds = true;
    return STATUS_OK;
}

/* --- the answer --- */

static struct str refusal_of(struct str reply)
{
    struct str error;
    struct str words =
        json_member(reply, STR("error"), &error) ? text_of(error, STR("message")) : STR_EMPTY;
    return words.len > 0 ? words : STR("not told by the hub");
}

static enum status read_replies(struct top_sample *sample, struct str answer)
{
    struct str info;
    struct str feeds;
    struct str result;
    if (!json_pointer(answer, STR("/replies/0"), &info) ||
        !json_pointer(answer, STR("/replies/1"), &feeds)) {
        return STATUS_INVALID;
    }
    if (!json_member(info, STR("info"), &result)) {
        sample->hub_refused = refusal_of(info);
    } else if (!read_info(sample, result)) {
        return STATUS_INVALID;
    }
    if (!json_member(feeds, STR("feeds"), &result)) {
        sample->feeds_refused = refusal_of(feeds);
        return STATUS_OK;
    }
    return read_feeds(sample, result);
}

enum status top_sample_read_answer(struct top_sample *sample, struct str text)
{
    if (json_check(text, NULL) != STATUS_OK) {
        return STATUS_INVALID;
    }
    sample->text = str_dup(text);
    return sample->text ? read_replies(sample, (struct str){sample->text, text.len})
                        : STATUS_NO_MEMORY;
}

/* --- life --- */

void top_sample_init(struct top_sample *sample, int64_t time_us)
{
    *sample = (struct top_sample){.time_us = time_us};
    forget(top_hub_members, &sample->hub);
    forget(top_figure_members, &sample->figures);
    top_sample_compare(sample, NULL);
}

void top_sample_release(struct top_sample *sample)
{
    free(sample->feeds);
    free(sample->upstreams);
    free(sample->text);
    *sample = (struct top_sample){.time_us = 0};
}
