/* SPDX-License-Identifier: MIT */
/* Unit api_feeds has no state but that of requests under way. */
#include "protocols/api_feeds.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocols/api_reply.h"

#define RUNS_DEFAULT   20
#define RUNS_MAX       1000
#define NAME_MAX_BYTES 256 /* of an upstream; no name is as long */

/* --- refreshes, and what they left --- */

static void append_ms(struct buf *out, const char *name, int64_t duration_us)
{
    buf_printf(out, ",\"%s\":%lld.%03lld", name, (long long)(duration_us / 1000),
               (long long)(duration_us % 1000));
}

static void append_failure(struct buf *out, const struct feed_upstream_result *u)
{
    if (u->outcome == FEED_FRESH || u->outcome == FEED_CACHED) {
        return;
    }
    enum feed_outcome failure = u->outcome == FEED_STALE ? u->failure : u->outcome;
    buf_printf(out, ",\"failure\":\"%s\",\"error\":", feed_outcome_name(failure));
    if (u->error.len == 0 && u->http_status > 0) {
        buf_printf(out, "\"status %d, expected 200 to 299\"", u->http_status);
    } else {
        json_append_string(out, u->error);
    }
}

static void append_upstream(struct buf *out, const struct feed_upstream_result *u)
{
    json_append_string(out, u->name);
    buf_printf(out, ":{\"status\":%d", u->http_status);
    append_ms(out, "duration_ms", u->duration_us);
    append_ms(out, "queue_ms", u->queue_us);
    append_ms(out, "dns_ms", u->dns_us);
    append_ms(out, "connect_ms", u->connect_us);
    append_ms(out, "first_byte_ms", u->first_byte_us);
    buf_printf(out, ",\"bytes\":%" PRId64 ",\"attempts\":%u,\"age_ms\":", u->n_bytes,
               u->n_attempts);
    if (u->age_ms < 0) {
        buf_literal(out, "null");
    } else {
        buf_append_i64(out, u->age_ms);
    }
    buf_printf(out, ",\"outcome\":\"%s\"", feed_outcome_name(u->outcome));
    append_failure(out, u);
    buf_append_char(out, '}');
}

static void append_upstreams(struct buf *out, const struct feed_result *result)
{
    buf_literal(out, ",\"upstreams\":{");
    for (size_t i = 0; i < result->n_upstreams; i++) {
        buf_append(out, i > 0 ? STR(",") : STR_EMPTY);
        append_upstream(out, &result->upstreams[i]);
    }
    buf_append_char(out, '}');
}

static const char *truth(bool is_true)
{
    return is_true ? "true" : "false";
}

static void append_snapshot(struct buf *out, const struct feed_result *result)
{
    buf_literal(out, "\"feed\":");
    json_append_string(out, result->feed);
    buf_literal(out, ",\"params\":");
    buf_append(out, result->params);
    buf_literal(out, ",\"channel\":");
    json_append_string(out, result->channel);
    buf_literal(out, ",\"offset\":");
    buf_append_u64(out, result->position.offset);
    buf_literal(out, ",\"epoch\":");
    json_append_string(out, str_of(result->position.epoch));
    buf_printf(out, ",\"completed\":%s,\"time\":", truth(result->is_completed));
    buf_append_i64(out, result->time_ms);
    buf_literal(out, ",\"data\":");
    buf_append(out, result->data);
}

/* Written once for all who share the run. */
static void write_refreshed(struct buf *out, const struct feed_result *result)
{
    buf_literal(out, "{\"result\":{");
    append_snapshot(out, result);
    buf_printf(out, ",\"changed\":%s,\"held\":%s", truth(result->is_changed),
               truth(result->is_held));
    append_upstreams(out, result);
    buf_literal(out, "}}");
}

static void refreshed(void *arg, enum status status, const char *detail,
                      const struct feed_result *result)
{
    if (status != STATUS_OK) {
        api_answer_error(arg, status, detail);
        return;
    }
    if (result->answer->len == 0) {
        write_refreshed(result->answer, result);
    }
    api_answer_text(arg, result->answer);
}

static void got(void *arg, enum status status, const char *detail, const struct feed_result *result)
{
    if (status != STATUS_OK) {
        api_answer_error(arg, status, detail);
        return;
    }
    struct buf body = api_begin_result();
    buf_append_char(&body, '{');
    append_snapshot(&body, result);
    buf_append_char(&body, '}');
    api_answer_result(arg, &body);
}

static bool read_feed(struct api_params *params, struct str *ret_name)
{
    return api_text(params, "feed", ret_name) &&
           (ret_name->len > 0 || api_complain(params, "feed", "the name of a feed"));
}

typedef void (*feed_call_fn)(struct hub *hub, struct str feed, struct str params, feed_done_fn done,
                             void *arg);

static void ask(struct api_call *call, struct api_params *params, feed_call_fn begin,
                feed_done_fn done)
{
    struct str feed;
    struct str values;
    if (read_feed(params, &feed) && api_object(params, "params", &values)) {
        begin(call->hub, feed, values, done, call);
    } else {
        api_answer_error(call, STATUS_INVALID, params->wrong);
    }
}

void api_feed_refresh(struct api_call *call, struct api_params *params)
{
    ask(call, params, hub_feed_refresh, refreshed);
}

void api_feed_get(struct api_call *call, struct api_params *params)
{
    ask(call, params, hub_feed_get, got);
}

/* --- the list --- */

static void append_params(struct buf *out, const struct feed_options *options)
{
    const struct config_pair *pairs = options->params.items;
    buf_literal(out, ",\"params\":{");
    for (size_t i = 0; i < options->params.n_items; i++) {
        buf_append(out, i > 0 ? STR(",") : STR_EMPTY);
        json_append_string(out, str_of(pairs[i].name));
        buf_append_char(out, ':');
        json_append_string(out, str_of(pairs[i].text));
    }
    buf_append_char(out, '}');
}

static void append_u64(struct buf *out, const char *name, uint64_t number)
{
    buf_printf(out, ",\"%s\":%" PRIu64, name, number);
}

/* 0: nothing was measured yet. */
static void append_percentile(struct buf *out, const char *name, int64_t duration_us)
{
    if (duration_us > 0) {
        append_ms(out, name, duration_us);
    } else {
        buf_printf(out, ",\"%s\":null", name);
    }
}

static void append_outcomes(struct buf *out, const struct upstream_stats *stats)
{
    buf_literal(out, ",\"outcomes\":{");
    for (int i = 0; i < N_UPSTREAM_OUTCOMES; i++) {
        buf_printf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "",
                   upstream_outcome_name((enum upstream_outcome)i), stats->n_outcomes[i]);
    }
    buf_append_char(out, '}');
}

/* Between two objects of a list. */
static void separate(struct buf *out)
{
    if (out->len > 0 && out->ptr[out->len - 1] == '}') {
        buf_append_char(out, ',');
    }
}

static void append_upstream_state(void *arg, const struct feed_upstream_options *options,
                                  const struct upstream_stats *stats)
{
    struct buf *out = arg;
    separate(out);
    buf_literal(out, "{\"name\":");
    json_append_string(out, str_of(options->name));
    buf_printf(out, ",\"breaker\":\"%s\"", breaker_state_name(stats->breaker));
    append_u64(out, "breaker_opened", stats->n_opened);
    append_u64(out, "calls", stats->n_calls);
    append_outcomes(out, stats);
    append_u64(out, "attempts", stats->n_attempts);
    append_u64(out, "retries", stats->n_retries);
    append_u64(out, "hedges", stats->n_hedges);
    append_u64(out, "hedges_won", stats->n_hedges_won);
    append_u64(out, "budget_spent", stats->n_budget_spent);
    append_u64(out, "active", stats->n_active);
    append_u64(out, "waiting", stats->n_waiting);
    append_percentile(out, "p50_ms", upstream_quantile(stats->upstream, 50));
    append_percentile(out, "p90_ms", upstream_quantile(stats->upstream, 90));
    append_percentile(out, "p99_ms", upstream_quantile(stats->upstream, 99));
    buf_append_char(out, '}');
}

static void append_state(struct buf *out, const struct feed_stats *stats)
{
    buf_printf(out, ",\"state\":{\"running\":%zu", stats->n_running);
    append_u64(out, "refreshes", stats->n_refreshes);
    append_u64(out, "shared", stats->n_shared);
    append_u64(out, "changed", stats->n_changed);
    append_u64(out, "incomplete", stats->n_incomplete);
    append_u64(out, "failed", stats->n_failed);
    append_u64(out, "scheduled", stats->n_scheduled);
    append_u64(out, "not_modified", stats->n_not_modified);
    append_u64(out, "watched", stats->n_watched);
    buf_printf(out, ",\"last_time\":%" PRId64, stats->last_time_ms);
    append_ms(out, "last_duration_ms", stats->last_duration_us);
    buf_append_char(out, '}');
}

struct listing {
    struct hub *hub;
    struct buf *out;
};

static void append_feed(void *arg, const struct feed_options *options,
                        const struct feed_stats *stats)
{
    const struct listing *listing = arg;
    struct buf *out = listing->out;
    separate(out);
    buf_literal(out, "{\"name\":");
    json_append_string(out, str_of(options->name));
    buf_literal(out, ",\"channel\":");
    json_append_string(out, str_of(options->channel));
    append_params(out, options);
    buf_literal(out, ",\"upstreams\":[");
    hub_feed_upstreams(listing->hub, options, append_upstream_state, out);
    buf_append_char(out, ']');
    append_state(out, stats);
    buf_append_char(out, '}');
}

void api_feeds(struct api_call *call, struct api_params *params)
{
    (void)params;
    struct buf body = api_begin_result();
    struct listing listing = {call->hub, &body};
    buf_literal(&body, "{\"feeds\":[");
    hub_feeds(call->hub, append_feed, &listing);
    buf_literal(&body, "]}");
    api_answer_result(call, &body);
}

/* --- feed_purge --- */

static void purged(void *arg, enum status status, const char *detail, uint64_t n_forgotten)
{
    if (status != STATUS_OK) {
        api_answer_error(arg, status, detail);
        return;
    }
    struct buf body = api_begin_result();
    buf_printf(&body, "{\"removed\":%" PRIu64 "}", n_forgotten);
    api_answer_result(arg, &body);
}

void api_feed_purge(struct api_call *call, struct api_params *params)
{
    struct str feed;
    struct str values;
    if (read_feed(params, &feed) && api_object(params, "params", &values)) {
        hub_feed_purge(call->hub, feed, values, purged, call);
    } else {
        api_answer_error(call, STATUS_INVALID, params->wrong);
    }
}

/* --- feed_runs --- */

struct runs_call {
    struct api_call *call;
    char upstream[NAME_MAX_BYTES]; /* "": all */
};

/* Those entries of a run's list that are the upstream's: there is one, or none where the feed has
 * been configured otherwise since. */
static void append_entries_of(struct buf *out, struct str entries, struct str upstream)
{
    struct json_walk walk = json_walk(entries);
    struct str entry;
    struct str name;
    bool is_first = true;
    buf_append_char(out, '[');
    while (json_next_element(&walk, &entry)) {
        if (json_member(entry, STR("name"), &name) && name.len >= 2 &&
            json_key_is(str_tail(str_head(name, name.len - 1), 1), upstream)) {
            buf_append(out, is_first ? STR_EMPTY : STR(","));
            buf_append(out, entry);
            is_first = false;
        }
    }
    buf_append_char(out, ']');
}

static void append_run_text(struct buf *out, struct str text, struct str upstream)
{
    struct json_walk walk = json_walk(text);
    struct str name;
    struct str value;
    while (json_next_member(&walk, &name, &value)) {
        buf_literal(out, ",\"");
        buf_append(out, name);
        buf_literal(out, "\":");
        if (upstream.len > 0 && json_key_is(name, STR("upstreams"))) {
            append_entries_of(out, value, upstream);
        } else {
            buf_append(out, value);
        }
    }
}

static void append_run(struct buf *out, const struct storage_run *run, struct str upstream)
{
    buf_literal(out, "{\"params\":");
    buf_append(out, run->params);
    buf_printf(out, ",\"time\":%" PRId64, run->time_ms);
    append_ms(out, "duration_ms", run->duration_us);
    append_run_text(out, run->text, upstream);
    buf_append_char(out, '}');
}

static void runs_read(void *arg, enum status status, const char *detail,
                      const struct storage_runs_read *read)
{
    struct runs_call *runs = arg;
    if (status != STATUS_OK) {
        api_answer_error(runs->call, status, detail);
        free(runs);
        return;
    }
    struct buf body = api_begin_result();
    buf_literal(&body, "{\"runs\":[");
    for (size_t i = 0; i < read->n_runs; i++) {
        buf_append(&body, i > 0 ? STR(",") : STR_EMPTY);
        append_run(&body, &read->runs[i], str_of(runs->upstream));
    }
    buf_literal(&body, "]}");
    api_answer_result(runs->call, &body);
    free(runs);
}

static bool read_limit(struct api_params *params, size_t *ret_limit)
{
    int64_t limit = RUNS_DEFAULT;
    if (api_has(params, "limit") && !api_i64(params, "limit", &limit)) {
        return false;
    }
    if (limit < 1 || limit > RUNS_MAX) {
        return api_complain(params, "limit", "a number from 1 to 1000");
    }
    *ret_limit = (size_t)limit;
    return true;
}

/* An unknown feed is the hub's to refuse. */
static bool read_upstream(struct hub *hub, struct api_params *params, struct str feed,
                          struct str *ret_upstream)
{
    const struct feed_options *options = hub_feed_options(hub, feed);
    if (!api_short_text(params, "upstream", NAME_MAX_BYTES - 1, ret_upstream)) {
        return false;
    }
    const struct feed_upstream_options *upstreams = options ? options->upstreams.items : NULL;
    for (size_t i = 0; options && i < options->upstreams.n_items; i++) {
        if (str_eq(str_of(upstreams[i].name), *ret_upstream)) {
            return true;
        }
    }
    return !options || ret_upstream->len == 0 ||
           api_complain(params, "upstream", "the name of an upstream of this feed");
}

void api_feed_runs(struct api_call *call, struct api_params *params)
{
    struct feed_runs_request wanted = {.limit = 0};
    struct str upstream;
    if (!read_feed(params, &wanted.feed) || !api_object(params, "params", &wanted.params) ||
        !read_limit(params, &wanted.limit) ||
        !read_upstream(call->hub, params, wanted.feed, &upstream)) {
        api_answer_error(call, STATUS_INVALID, params->wrong);
        return;
    }
    struct runs_call *runs = calloc(1, sizeof(*runs));
    if (!runs) {
        api_answer_error(call, STATUS_NO_MEMORY, "");
        return;
    }
    runs->call = call;
    snprintf(runs->upstream, sizeof(runs->upstream), "%.*s", STR_ARG(upstream));
    hub_feed_runs(call->hub, &wanted, runs_read, runs);
}

/* --- fanout --- */

static void append_publication(struct buf *out, const struct feed_result *result)
{
    if (result->channel.len == 0) {
        return;
    }
    buf_literal(out, ",\"channel\":");
    json_append_string(out, result->channel);
    append_u64(out, "offset", result->position.offset);
    buf_literal(out, ",\"epoch\":");
    json_append_string(out, str_of(result->position.epoch));
}

static void fanned_out(void *arg, enum status status, const char *detail,
                       const struct feed_result *result)
{
    if (status != STATUS_OK) {
        api_answer_error(arg, status, detail);
        return;
    }
    struct buf body = api_begin_result();
    buf_literal(&body, "{\"data\":");
    buf_append(&body, result->data);
    buf_printf(&body, ",\"completed\":%s", truth(result->is_completed));
    append_publication(&body, result);
    append_upstreams(&body, result);
    buf_append_char(&body, '}');
    api_answer_result(arg, &body);
}

void api_fanout(struct api_call *call, struct api_params *params)
{
    hub_fanout(call->hub, params->object, fanned_out, call);
}
