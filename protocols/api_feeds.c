/* SPDX-License-Identifier: MIT */
#include "protocols/api_feeds.h"

#include "protocols/api_reply.h"

static void append_duration_ms(struct buf *out, int64_t duration_us)
{
    buf_printf(out, "%lld.%03lld", (long long)(duration_us / 1000),
               (long long)(duration_us % 1000));
}

static void append_upstream(struct buf *out, const struct feed_upstream_result *u)
{
    json_append_string(out, u->name);
    buf_printf(out, ":{\"status\":%d,\"duration_ms\":", u->http_status);
    append_duration_ms(out, u->duration_us);
    buf_printf(out, ",\"outcome\":\"%s\"", feed_outcome_name(u->outcome));
    if (u->outcome != FEED_FRESH) {
        buf_printf(out, ",\"failure\":\"%s\",\"error\":", feed_outcome_name(u->failure));
        json_append_string(out, u->error);
    }
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
    buf_printf(out, ",\"completed\":%s,\"time\":", result->is_completed ? "true" : "false");
    buf_append_i64(out, result->time_ms);
    buf_literal(out, ",\"data\":");
    buf_append(out, result->data);
}

/* Written once for all who share the run. */
static void write_refreshed(struct buf *out, const struct feed_result *result)
{
    buf_literal(out, "{\"result\":{");
    append_snapshot(out, result);
    buf_printf(out, ",\"changed\":%s", result->is_changed ? "true" : "false");
    append_upstreams(out, result);
    buf_literal(out, "}}");
}

static void refreshed(void *arg, enum status status, const char *detail,
                      const struct feed_result *result)
{
    if (status != STATUS_OK) {
        api_reply_error(arg, status, detail);
        return;
    }
    if (result->answer->len == 0) {
        write_refreshed(result->answer, result);
    }
    api_reply_text(arg, result->answer);
}

static void got(void *arg, enum status status, const char *detail, const struct feed_result *result)
{
    if (status != STATUS_OK) {
        api_reply_error(arg, status, detail);
        return;
    }
    struct buf body = api_begin_result();
    buf_append_char(&body, '{');
    append_snapshot(&body, result);
    buf_append_char(&body, '}');
    api_reply_result(arg, &body);
}

typedef void (*feed_call_fn)(struct hub *hub, struct str feed, struct str params, feed_done_fn done,
                             void *arg);

static void call(struct hub *hub, struct api_params *params, struct http_request *request,
                 feed_call_fn ask, feed_done_fn done)
{
    struct str feed;
    struct str values;
    if (api_text(params, "feed", &feed) && api_object(params, "params", &values)) {
        ask(hub, feed, values, done, request);
    } else {
        api_reply_error(request, STATUS_INVALID, params->wrong);
    }
}

void api_feed_refresh(struct hub *hub, struct api_params *params, struct http_request *request)
{
    call(hub, params, request, hub_feed_refresh, refreshed);
}

void api_feed_get(struct hub *hub, struct api_params *params, struct http_request *request)
{
    call(hub, params, request, hub_feed_get, got);
}

/* --- the list --- */

static void append_names(struct buf *out, const struct feed_options *options)
{
    const struct config_pair *pairs = options->params.items;
    buf_literal(out, ",\"params\":{");
    for (size_t i = 0; i < options->params.n_items; i++) {
        buf_append(out, i > 0 ? STR(",") : STR_EMPTY);
        json_append_string(out, str_of(pairs[i].name));
        buf_append_char(out, ':');
        json_append_string(out, str_of(pairs[i].text));
    }
    const struct feed_upstream_options *upstreams = options->upstreams.items;
    buf_literal(out, "},\"upstreams\":[");
    for (size_t i = 0; i < options->upstreams.n_items; i++) {
        buf_append(out, i > 0 ? STR(",") : STR_EMPTY);
        json_append_string(out, str_of(upstreams[i].name));
    }
    buf_append_char(out, ']');
}

static void append_feed(void *arg, const struct feed_options *options,
                        const struct feed_stats *stats)
{
    struct buf *out = arg;
    if (out->len > 0 && out->ptr[out->len - 1] == '}') {
        buf_append_char(out, ',');
    }
    buf_literal(out, "{\"name\":");
    json_append_string(out, str_of(options->name));
    buf_literal(out, ",\"channel\":");
    json_append_string(out, str_of(options->channel));
    append_names(out, options);
    buf_printf(out,
               ",\"state\":{\"running\":%zu,\"refreshes\":%llu,\"shared\":%llu,\"changed\":%llu,"
               "\"incomplete\":%llu,\"failed\":%llu,\"last_time\":%lld,\"last_duration_ms\":",
               stats->n_running, (unsigned long long)stats->n_refreshes,
               (unsigned long long)stats->n_shared, (unsigned long long)stats->n_changed,
               (unsigned long long)stats->n_incomplete, (unsigned long long)stats->n_failed,
               (long long)stats->last_time_ms);
    append_duration_ms(out, stats->last_duration_us);
    buf_literal(out, "}}");
}

void api_feeds(struct hub *hub, struct api_params *params, struct http_request *request)
{
    (void)params;
    struct buf body = api_begin_result();
    buf_literal(&body, "{\"feeds\":[");
    hub_feeds(hub, append_feed, &body);
    buf_literal(&body, "]}");
    api_reply_result(request, &body);
}
