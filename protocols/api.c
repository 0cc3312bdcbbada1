/* SPDX-License-Identifier: MIT */
/* Unit api reads what backends post, calls the hub, and writes its answers. */
#include "protocols/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <uv.h>

#include "base/log.h"
#include "hub/publication.h"
#include "protocols/access.h"
#include "protocols/api_clients.h"
#include "protocols/api_feeds.h"
#include "protocols/api_params.h"
#include "protocols/api_reply.h"
#include "protocols/centrifuge_frames.h"

#define BROADCAST_MAX_CHANNELS 10000
#define BROADCAST_MAX_OPEN     64
#define API_HISTORY_MAX_BYTES  ((size_t)16 << 20)

static bool read_channel(struct api_params *params, struct str *ret_channel)
{
    return api_text(params, "channel", ret_channel) &&
           (ret_channel->len > 0 || api_complain(params, "channel", "the name of a channel"));
}

/* The hub's "no" to a request whose other members were good: in words about its channel. */
static void refuse_channel(struct http_request *request, enum status status)
{
    struct api_params params;
    struct str channel = STR_EMPTY;
    api_params_init(&params, http_request_body(request));
    if (status == STATUS_UNKNOWN_CHANNEL && api_text(&params, "channel", &channel)) {
        struct str name = str_head(channel, 64);
        snprintf(params.wrong, sizeof(params.wrong), "the namespace of \"%.*s\" is not configured",
                 STR_ARG(name));
    } else if (status == STATUS_INVALID) {
        api_complain(
            &params, "channel",
            "printable ASCII (or what channel_regex allows), at most channel.max_length of it");
    } else if (status == STATUS_WRONG_FORMAT) {
        api_complain(&params, "data", "a JSON object: the channel's publication_data_format");
    }
    api_reply_error(request, status, params.wrong);
    api_params_release(&params);
}

/* --- publish and broadcast --- */

static void append_position(struct buf *out, const struct storage_position *position)
{
    buf_append_char(out, '{');
    if (position->offset > 0) {
        buf_literal(out, "\"offset\":");
        buf_append_u64(out, position->offset);
        buf_printf(out, ",\"epoch\":\"%s\"", position->epoch);
    }
    buf_append_char(out, '}');
}

/* From one of two members: data, or b64data. */
static bool read_data(struct api_params *params, struct str *ret_data)
{
    struct str data = api_value(params, "data");
    struct str decoded;
    if (!api_base64(params, "b64data", &decoded)) {
        return false;
    }
    if (data.len > 0 && decoded.len > 0) {
        return api_complain(params, "b64data", "nothing, as there is data already");
    }
    if (data.len == 0 && decoded.len == 0) {
        return api_complain(params, "data", "any JSON value, here or in b64data");
    }
    if (decoded.len > 0 && json_check(decoded, NULL) != STATUS_OK) {
        return api_complain(params, "b64data", "the base64 of JSON, which is what channels carry");
    }
    *ret_data = decoded.len > 0 ? json_trim(decoded) : data;
    return true;
}

static bool read_version(struct api_params *params, uint64_t *ret_version)
{
    return (api_u64(params, params->object, "version", ret_version) && *ret_version <= INT64_MAX) ||
           api_complain(params, "version", "a whole number from 0 to 9223372036854775807");
}

/* What publish and broadcast have in common. */
static bool read_publication(struct api_params *params, struct publish_request *publish)
{
    return read_data(params, &publish->data) && api_string_map(params, "tags", &publish->tags) &&
           api_bool(params, "skip_history", &publish->skip_history) &&
           api_bool(params, "delta", &publish->delta) &&
           api_short_text(params, "idempotency_key", PUBLISH_KEY_MAX_BYTES,
                          &publish->idempotency_key) &&
           read_version(params, &publish->version) &&
           api_short_text(params, "version_epoch", PUBLISH_KEY_MAX_BYTES, &publish->version_epoch);
}

static void published(void *arg, enum status status, const struct storage_position *position)
{
    struct http_request *request = arg;
    if (status != STATUS_OK) {
        refuse_channel(request, status);
        return;
    }
    struct buf body = api_begin_result();
    append_position(&body, position);
    api_reply_result(request, &body);
}

static void api_publish(struct hub *hub, struct api_params *params, struct http_request *request)
{
    struct publish_request publish = {0};
    if (!read_channel(params, &publish.channel) || !read_publication(params, &publish)) {
        api_reply_error(request, STATUS_INVALID, params->wrong);
        return;
    }
    hub_publish(hub, &publish, published, request);
}

/* One publication for many channels: some at a time, so that neither loop nor storage has to take
 * all at once. Answers are gathered in the order of the channels. */
struct broadcast {
    struct http_request *request;
    struct hub *hub;
    struct api_params params;       /* where the channels lie */
    struct json_walk rest;          /* channels not begun */
    struct publish_request publish; /* all but the channel */
    bool was_closed;
    size_t n_begun;
    size_t n_open;
    size_t n_parts;
    struct broadcast_part {
        struct broadcast *broadcast;
        enum status status;
        struct storage_position position;
    } parts[];
};

static void answer_broadcast(struct broadcast *b)
{
    struct buf body = api_begin_result();
    buf_literal(&body, "{\"responses\":[");
    for (size_t i = 0; i < b->n_parts; i++) {
        buf_append(&body, i > 0 ? STR(",") : STR_EMPTY);
        if (b->parts[i].status == STATUS_OK) {
            buf_literal(&body, "{\"result\":");
            append_position(&body, &b->parts[i].position);
            buf_append_char(&body, '}');
        } else {
            api_append_error(&body, b->parts[i].status, "");
        }
    }
    buf_literal(&body, "]}");
    if (b->was_closed) {
        buf_release(&body);
        api_reply_error(b->request, STATUS_CLOSED, "");
    } else {
        api_reply_result(b->request, &body);
    }
}

static void begin_parts(struct broadcast *b);

static void part_published(void *arg, enum status status, const struct storage_position *position)
{
    struct broadcast_part *part = arg;
    struct broadcast *b = part->broadcast;
    part->status = status;
    part->position = *position;
    b->was_closed |= status == STATUS_CLOSED;
    b->n_open--;
    begin_parts(b);
    if (b->n_open == 0) {
        answer_broadcast(b);
        publication_unref(b->publish.text);
        api_params_release(&b->params);
        free(b);
    }
}

static void begin_parts(struct broadcast *b)
{
    struct str item;
    while (b->n_open < BROADCAST_MAX_OPEN && json_next_element(&b->rest, &item)) {
        struct broadcast_part *part = &b->parts[b->n_begun++];
        struct publish_request publish = b->publish;
        if (!api_decode(&b->params, "channels", item, &publish.channel)) {
            publish.channel = STR_EMPTY; /* is answered as a bad request of this channel */
        }
        part->broadcast = b;
        b->n_open++;
        hub_publish(b->hub, &publish, part_published, part);
    }
}

static bool count_channels(struct api_params *params, struct str channels, size_t *ret_n)
{
    struct json_walk walk = json_walk(channels);
    struct str item;
    size_t n = 0;
    bool is_array = channels.len > 0 && json_kind(channels) == JSON_KIND_ARRAY;
    while (is_array && json_next_element(&walk, &item)) {
        is_array = json_kind(item) == JSON_KIND_STRING;
        n++;
    }
    *ret_n = n;
    if (!is_array || n == 0 || n > BROADCAST_MAX_CHANNELS) {
        snprintf(params->wrong, sizeof(params->wrong),
                 "channels: expected a list of 1 to %d strings", BROADCAST_MAX_CHANNELS);
        return false;
    }
    return true;
}

static void api_broadcast(struct hub *hub, struct api_params *params, struct http_request *request)
{
    struct publish_request publish = {0};
    struct str channels = api_value(params, "channels");
    size_t n;
    if (!count_channels(params, channels, &n) || !read_publication(params, &publish)) {
        api_reply_error(request, STATUS_INVALID, params->wrong);
        return;
    }
    struct broadcast *b = calloc(1, sizeof(*b) + n * sizeof(b->parts[0]));
    struct publication *text = publication_create(publish.data, STR_EMPTY, publish.tags);
    if (!b || !text) {
        free(b);
        publication_unref(text);
        api_reply_error(request, STATUS_NO_MEMORY, "");
        return;
    }
    b->request = request;
    b->hub = hub;
    b->publish = publish;
    b->publish.text = text;
    b->n_parts = n;
    b->rest = json_walk(channels);
    api_params_take(params, &b->params);
    begin_parts(b);
}

/* --- history, presence, channels, info --- */

static void history_read(void *arg, enum status status, const struct storage_history *history)
{
    struct http_request *request = arg;
    if (status != STATUS_OK) {
        refuse_channel(request, status);
        return;
    }
    struct buf body = api_begin_result();
    centrifuge_append_history(&body, history);
    api_reply_result(request, &body);
}

/* The position that a history request begins behind, and what does not go together. */
static bool read_since(struct api_params *params, struct history_request *h)
{
    struct str since;
    struct str epoch = STR_EMPTY;
    if (!api_object(params, "since", &since)) {
        return false;
    }
    h->has_since = since.len > 0;
    if (h->has_since && !api_u64(params, since, "offset", &h->since)) {
        return api_complain(params, "since.offset", "a whole number, not negative");
    }
    if (h->has_since && json_member(since, STR("epoch"), &epoch) &&
        !api_decode(params, "since.epoch", epoch, &h->epoch)) {
        return false;
    }
    if (h->has_since && h->reverse && h->since == 0) {
        return api_complain(params, "since.offset", "1 or more with reverse");
    }
    return h->limit >= -1 || api_complain(params, "limit", "-1 or more");
}

static void api_history(struct hub *hub, struct api_params *params, struct http_request *request)
{
    struct history_request h = {.max_bytes = API_HISTORY_MAX_BYTES};
    if (!read_channel(params, &h.channel) || !api_i64(params, "limit", &h.limit) ||
        !api_bool(params, "reverse", &h.reverse) || !read_since(params, &h)) {
        api_reply_error(request, STATUS_INVALID, params->wrong);
        return;
    }
    hub_history(hub, &h, history_read, request);
}

static void history_removed(void *arg, enum status status)
{
    struct http_request *request = arg;
    if (status != STATUS_OK) {
        refuse_channel(request, status);
        return;
    }
    struct buf body = api_begin_result();
    buf_literal(&body, "{}");
    api_reply_result(request, &body);
}

static void api_history_remove(struct hub *hub, struct api_params *params,
                               struct http_request *request)
{
    struct str channel;
    if (!read_channel(params, &channel)) {
        api_reply_error(request, STATUS_INVALID, params->wrong);
        return;
    }
    hub_history_remove(hub, channel, history_removed, request);
}

typedef enum status (*presence_writer_fn)(struct buf *out, struct hub *hub, struct str channel);

static void answer_presence(struct hub *hub, struct api_params *params,
                            struct http_request *request, presence_writer_fn write)
{
    struct str channel;
    if (!read_channel(params, &channel)) {
        api_reply_error(request, STATUS_INVALID, params->wrong);
        return;
    }
    struct buf body = api_begin_result();
    enum status status = write(&body, hub, channel);
    if (status == STATUS_OK) {
        api_reply_result(request, &body);
    } else {
        buf_release(&body);
        refuse_channel(request, status);
    }
}

static void api_presence(struct hub *hub, struct api_params *params, struct http_request *request)
{
    answer_presence(hub, params, request, centrifuge_append_presence);
}

static void api_presence_stats(struct hub *hub, struct api_params *params,
                               struct http_request *request)
{
    answer_presence(hub, params, request, centrifuge_append_presence_stats);
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

static void api_channels(struct hub *hub, struct api_params *params, struct http_request *request)
{
    struct str pattern;
    if (!api_text(params, "pattern", &pattern)) {
        api_reply_error(request, STATUS_INVALID, params->wrong);
        return;
    }
    struct buf body = api_begin_result();
    buf_literal(&body, "{\"channels\":{");
    hub_channels(hub, pattern, append_channel, &body);
    buf_literal(&body, "}}");
    api_reply_result(request, &body);
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

static void api_info(struct hub *hub, struct api_params *params, struct http_request *request)
{
    (void)params;
    struct hub_stats stats;
    hub_stats(hub, &stats);
    struct buf body = api_begin_result();
    buf_printf(&body,
               "{\"nodes\":[{\"uid\":\"%s\",\"name\":\"belfry\",\"version\":\"%s\","
               "\"num_clients\":%zu,\"num_users\":%zu,\"num_subs\":%zu,\"num_channels\":%zu,"
               "\"uptime\":%lld,",
               stats.node, hub_version(hub), stats.n_clients, stats.n_users, stats.n_subscriptions,
               stats.n_channels, (long long)stats.uptime_s);
    append_process(&body);
    buf_literal(&body, "}]}");
    api_reply_result(request, &body);
}

/* --- the way in --- */

static const struct {
    struct str name;
    void (*handle)(struct hub *hub, struct api_params *params, struct http_request *request);
} methods[] = {
    {STR("publish"), api_publish},
    {STR("broadcast"), api_broadcast},
    {STR("history"), api_history},
    {STR("history_remove"), api_history_remove},
    {STR("presence"), api_presence},
    {STR("presence_stats"), api_presence_stats},
    {STR("channels"), api_channels},
    {STR("info"), api_info},
    {STR("subscribe"), api_subscribe},
    {STR("unsubscribe"), api_unsubscribe},
    {STR("disconnect"), api_disconnect},
    {STR("refresh"), api_refresh},
    {STR("feed_refresh"), api_feed_refresh},
    {STR("feed_get"), api_feed_get},
    {STR("feeds"), api_feeds},
    {STR("feed_purge"), api_feed_purge},
    {STR("feed_runs"), api_feed_runs},
    {STR("fanout"), api_fanout},
};

static void call(struct hub *hub, size_t method, struct http_request *request)
{
    struct str body = http_request_body(request);
    struct json_error wrong;
    if (json_check(body, &wrong) != STATUS_OK) {
        char text[160];
        snprintf(text, sizeof(text), "malformed JSON at byte %zu: expected %s\n", wrong.offset,
                 wrong.expected);
        api_reply_bad(request, text);
        return;
    }
    struct api_params params;
    api_params_init(&params, body);
    if (json_kind(params.object) == JSON_KIND_OBJECT) {
        methods[method].handle(hub, &params, request);
    } else {
        api_reply_bad(request, "expected a JSON object\n");
    }
    api_params_release(&params);
}

static void reply_text(struct http_request *request, int status, const char *headers,
                       const char *text)
{
    http_reply(request, &(struct http_reply){.status = status,
                                             .content_type = "text/plain; charset=utf-8",
                                             .headers = headers,
                                             .body = str_of(text)});
}

/* As Centrifugo does: without a word to the stranger. The log has it. */
static void refuse_key(struct http_request *request)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_info("api", "key_refused", log_s("expected", "http_api.key in the header X-API-Key"),
                 log_i("left_out", limit.n_left_out));
    }
    http_reply(request, &(struct http_reply){.status = 401});
}

void api_handle(struct hub *hub, const struct http_api_options *options, struct str method,
                struct http_request *request)
{
    if (http_request_method(request) != HTTP_POST) {
        reply_text(request, 405, "Allow: POST\r\n", "the API is called with POST\n");
        return;
    }
    if (!access_has_key(options, request)) {
        refuse_key(request);
        return;
    }
    if (hub_is_stopping(hub)) {
        api_reply_error(request, STATUS_CLOSED, "");
        return;
    }
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (str_eq(method, methods[i].name)) {
            call(hub, i, request);
            return;
        }
    }
    reply_text(request, 404, NULL, "the API has no such method\n");
}
