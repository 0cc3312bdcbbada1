/* SPDX-License-Identifier: MIT */
/* Unit api_channels has no state: it reads what backends ask about channels, and writes what the
 * hub answers. Loop's thread only. */
#include "protocols/api_channels.h"

#include <stdio.h>
#include <sys/resource.h>
#include <uv.h>

#include "protocols/api_reply.h"
#include "protocols/centrifuge_frames.h"

#define API_HISTORY_MAX_BYTES ((size_t)16 << 20)
#define PAGE_MAX_CHANNELS     10000
#define CURSOR_MAX_BYTES      8192 /* more than the longest name of a channel takes */

bool api_read_channel(struct api_params *params, struct str *ret_channel)
{
    return api_text(params, "channel", ret_channel) &&
           (ret_channel->len > 0 || api_complain(params, "channel", "the name of a channel"));
}

void api_refuse_channel(struct api_call *call, enum status status)
{
    struct api_params params;
    struct str channel = STR_EMPTY;
    api_params_init(&params, call->params);
    if (status == STATUS_UNKNOWN_CHANNEL && api_text(&params, "channel", &channel)) {
        struct str name = str_head(channel, 64);
        snprintf(params.wrong, sizeof(params.wrong), "the namespace of \"%.*s\" is not configured",
                 STR_ARG(name));
    } else if (status == STATUS_INVALID) {
        api_complain(
            &params, "channel",
            "printable ASCII (or what channel_regex allows), at most channel.max_length of it");
    } else if (status == STATUS_NOT_AVAILABLE) {
        bool is_presence = call->method == API_PRESENCE || call->method == API_PRESENCE_STATS;
        snprintf(params.wrong, sizeof(params.wrong), "the channel's namespace has no %s",
                 is_presence ? "presence" : "history");
    } else if (status == STATUS_WRONG_FORMAT) {
        api_complain(&params, "data", "a JSON object: the channel's publication_data_format");
    }
    api_answer_error(call, status, params.wrong);
    api_params_release(&params);
}

/* --- history --- */

static void history_read(void *arg, enum status status, const struct storage_history *history)
{
    struct api_call *call = arg;
    if (status != STATUS_OK) {
        api_refuse_channel(call, status);
        return;
    }
    struct buf body = api_begin_result();
    centrifuge_append_history(&body, history);
    api_answer_result(call, &body);
}

/* The position that a history request begins behind, and what does not go together. */
static bool read_since(struct api_params *params, struct history_request *h)
{
    struct str since;
    if (!api_object(params, "since", &since)) {
        return false;
    }
    h->has_since = since.len > 0;
    if (h->has_since && !api_u64(params, since, "offset", &h->since)) {
        return api_complain(params, "since.offset", "a whole number, not negative");
    }
    if (h->has_since && !api_inner_text(params, since, "since.epoch", &h->epoch)) {
        return false;
    }
    if (h->has_since && h->reverse && h->since == 0) {
        return api_complain(params, "since.offset", "1 or more with reverse");
    }
    return h->limit >= -1 || api_complain(params, "limit", "-1 or more");
}

void api_history(struct api_call *call, struct api_params *params)
{
    struct history_request h = {.max_bytes = API_HISTORY_MAX_BYTES};
    if (!api_read_channel(params, &h.channel) || !api_i64(params, "limit", &h.limit) ||
        !api_bool(params, "reverse", &h.reverse) || !read_since(params, &h)) {
        api_answer_error(call, STATUS_INVALID, params->wrong);
        return;
    }
    hub_history(call->hub, &h, history_read, call);
}

static void history_removed(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status != STATUS_OK) {
        api_refuse_channel(call, status);
        return;
    }
    struct buf body = api_begin_result();
    buf_literal(&body, "{}");
    api_answer_result(call, &body);
}

void api_history_remove(struct api_call *call, struct api_params *params)
{
    struct str channel;
    if (!api_read_channel(params, &channel)) {
        api_answer_error(call, STATUS_INVALID, params->wrong);
        return;
    }
    hub_history_remove(call->hub, channel, history_removed, call);
}

typedef enum status (*presence_writer_fn)(struct buf *out, struct hub *hub, struct str channel);

static void answer_presence(struct api_call *call, struct api_params *params,
                            presence_writer_fn write)
{
    struct str channel;
    if (!api_read_channel(params, &channel)) {
        api_answer_error(call, STATUS_INVALID, params->wrong);
        return;
    }
    struct buf body = api_begin_result();
    enum status status = write(&body, call->hub, channel);
    if (status == STATUS_OK) {
        api_answer_result(call, &body);
    } else {
        buf_release(&body);
        api_refuse_channel(call, status);
    }
}

void api_presence(struct api_call *call, struct api_params *params)
{
    answer_presence(call, params, centrifuge_append_presence);
}

void api_presence_stats(struct api_call *call, struct api_params *params)
{
    answer_presence(call, params, centrifuge_append_presence_stats);
}

static void append_channel(void *arg, struct str channel, size_t n_clients)
{
    struct buf *out = arg;
    if (out->ptr[out->len - 1] == '}') {
        buf_append_char(out, ',');
    }
    json_append_string(out, channel);
    buf_printf(out, ":{\"num_clients\":%zu}", n_clients);
}

static bool read_page(struct api_params *params, struct channels_page *page)
{
    int64_t limit = 0;
    bool has_limit = api_has(params, "limit");
    if (!api_text(params, "pattern", &page->pattern) ||
        !api_text(params, "cursor", &page->cursor) || !api_i64(params, "limit", &limit)) {
        return false;
    }
    if (has_limit ? limit < 1 || limit > PAGE_MAX_CHANNELS : page->cursor.len > 0) {
        return api_complain(params, "limit", "a number from 1 to 10000");
    }
    page->limit = (size_t)limit;
    return true;
}

/* false: the cursor is not one. */
static bool append_page(struct hub *hub, const struct channels_page *page, struct buf *out)
{
    struct buf cursor;
    buf_init(&cursor, CURSOR_MAX_BYTES);
    enum status status = hub_channels_page(hub, page, append_channel, out, &cursor);
    buf_append_char(out, '}');
    if (cursor.len > 0) {
        buf_literal(out, ",\"next_cursor\":");
        json_append_string(out, buf_str(&cursor));
    }
    buf_release(&cursor);
    return status == STATUS_OK;
}

void api_channels(struct api_call *call, struct api_params *params)
{
    struct channels_page page;
    if (!read_page(params, &page)) {
        api_answer_error(call, STATUS_INVALID, params->wrong);
        return;
    }
    struct buf body = api_begin_result();
    buf_literal(&body, "{\"channels\":{");
    if (page.limit == 0) {
        hub_channels(call->hub, page.pattern, append_channel, &body);
        buf_append_char(&body, '}');
    } else if (!append_page(call->hub, &page, &body)) {
        buf_release(&body);
        api_answer_error(call, STATUS_INVALID, "cursor: expected the next_cursor of a page");
        return;
    }
    buf_append_char(&body, '}');
    api_answer_result(call, &body);
}

static void append_process(struct buf *out)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    size_t rss = 0;
    uv_resident_set_memory(&rss);
    buf_printf(out, "\"process\":{\"cpu\":%.2f,\"rss\":%zu}", cpu_s, rss);
}

void api_info(struct api_call *call, struct api_params *params)
{
    (void)params;
    struct hub_stats stats;
    hub_stats(call->hub, &stats);
    struct buf body = api_begin_result();
    buf_printf(&body,
               "{\"nodes\":[{\"uid\":\"%s\",\"name\":\"belfry\",\"version\":\"%s\","
               "\"num_clients\":%zu,\"num_users\":%zu,\"num_subs\":%zu,\"num_channels\":%zu,"
               "\"uptime\":%lld,",
               stats.node, hub_version(call->hub), stats.n_clients, stats.n_users,
               stats.n_subscriptions, stats.n_channels, (long long)stats.uptime_s);
    append_process(&body);
    buf_literal(&body, "}]}");
    api_answer_result(call, &body);
}
