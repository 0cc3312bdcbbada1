/* SPDX-License-Identifier: MIT */
/* Unit api_publish has no state but that of broadcasts under way. Loop's thread only. */
#include "protocols/api_publish.h"

#include <stdio.h>
#include <stdlib.h>

#include "hub/publication.h"
#include "protocols/api_channels.h"
#include "protocols/api_reply.h"

#define BROADCAST_MAX_CHANNELS 10000
#define BROADCAST_MAX_OPEN     64

static void append_report(struct buf *out, const struct delivery_report *report)
{
    buf_printf(out,
               "\"report\":{\"subscribers\":%zu,\"reached\":%zu,\"queued\":%zu,\"dropped\":%zu,"
               "\"filtered\":%zu,\"conflated\":%zu,\"left\":%zu}",
               report->n_subscribers, report->n_reached, report->n_queued, report->n_dropped,
               report->n_filtered, report->n_conflated, report->n_left);
}

/* report: or NULL. */
static void append_published(struct buf *out, const struct storage_position *position,
                             const struct delivery_report *report)
{
    buf_append_char(out, '{');
    if (position->offset > 0) {
        buf_literal(out, "\"offset\":");
        buf_append_u64(out, position->offset);
        buf_printf(out, ",\"epoch\":\"%s\"", position->epoch);
    }
    if (report) {
        buf_append(out, position->offset > 0 ? STR(",") : STR_EMPTY);
        append_report(out, report);
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
    if (data.len > 0 && decoded.len > 0 && json_kind(data) != JSON_KIND_NULL) {
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
           api_bool(params, "report", &publish->report) &&
           api_short_text(params, "idempotency_key", PUBLISH_KEY_MAX_BYTES,
                          &publish->idempotency_key) &&
           read_version(params, &publish->version) &&
           api_short_text(params, "version_epoch", PUBLISH_KEY_MAX_BYTES, &publish->version_epoch);
}

static void published(void *arg, enum status status, const struct storage_position *position,
                      const struct delivery_report *report)
{
    struct api_call *call = arg;
    if (status != STATUS_OK) {
        api_refuse_channel(call, status);
        return;
    }
    struct buf body = api_begin_result();
    append_published(&body, position, report);
    api_answer_result(call, &body);
}

void api_publish(struct api_call *call, struct api_params *params)
{
    struct publish_request publish = {0};
    if (!api_read_channel(params, &publish.channel) || !read_publication(params, &publish)) {
        api_answer_error(call, STATUS_INVALID, params->wrong);
        return;
    }
    hub_publish(call->hub, &publish, published, call);
}

/* One publication for many channels: some at a time, so that neither loop nor storage has to take
 * all at once. Answers are gathered in the order of the channels. */
struct broadcast {
    struct api_call *call;
    struct api_params params;        /* where the channels lie */
    struct json_walk rest;           /* channels not begun */
    struct publish_request publish;  /* all but the channel */
    struct delivery_report *reports; /* one of each part; NULL: not asked for */
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
            append_published(&body, &b->parts[i].position, b->reports ? &b->reports[i] : NULL);
            buf_append_char(&body, '}');
        } else {
            api_append_error(&body, b->parts[i].status, "");
        }
    }
    buf_literal(&body, "]}");
    if (b->was_closed) {
        buf_release(&body);
        api_answer_error(b->call, STATUS_CLOSED, "");
    } else {
        api_answer_result(b->call, &body);
    }
}

static void free_broadcast(struct broadcast *b)
{
    publication_unref(b->publish.text);
    api_params_release(&b->params);
    free(b->reports);
    free(b);
}

static void begin_parts(struct broadcast *b);

static void part_published(void *arg, enum status status, const struct storage_position *position,
                           const struct delivery_report *report)
{
    struct broadcast_part *part = arg;
    struct broadcast *b = part->broadcast;
    part->status = status;
    part->position = *position;
    if (report) {
        b->reports[part - b->parts] = *report;
    }
    b->was_closed |= status == STATUS_CLOSED;
    b->n_open--;
    begin_parts(b);
    if (b->n_open == 0) {
        answer_broadcast(b);
        free_broadcast(b);
    }
}

static void begin_parts(struct broadcast *b)
{
    struct str item;
    while (!b->was_closed && b->n_open < BROADCAST_MAX_OPEN && json_next_element(&b->rest, &item)) {
        struct broadcast_part *part = &b->parts[b->n_begun++];
        struct publish_request publish = b->publish;
        if (!api_decode(&b->params, "channels", item, &publish.channel)) {
            publish.channel = STR_EMPTY; /* is answered as a bad request of this channel */
        }
        part->broadcast = b;
        b->n_open++;
        hub_publish(b->call->hub, &publish, part_published, part);
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

/* NULL when memory is short. */
static struct broadcast *create_broadcast(const struct publish_request *publish, size_t n_parts)
{
    struct broadcast *b = calloc(1, sizeof(*b) + n_parts * sizeof(b->parts[0]));
    if (!b) {
        return NULL;
    }
    api_params_init(&b->params, STR_EMPTY);
    b->publish = *publish;
    b->publish.text = publication_create(publish->data, STR_EMPTY, publish->tags);
    b->reports = publish->report ? calloc(n_parts, sizeof(*b->reports)) : NULL;
    b->n_parts = n_parts;
    if (!b->publish.text || (publish->report && !b->reports)) {
        free_broadcast(b);
        return NULL;
    }
    return b;
}

void api_broadcast(struct api_call *call, struct api_params *params)
{
    struct publish_request publish = {0};
    struct str channels = api_value(params, "channels");
    size_t n;
    if (!count_channels(params, channels, &n) || !read_publication(params, &publish)) {
        api_answer_error(call, STATUS_INVALID, params->wrong);
        return;
    }
    struct broadcast *b = create_broadcast(&publish, n);
    if (!b) {
        api_answer_error(call, STATUS_NO_MEMORY, "");
        return;
    }
    b->call = call;
    b->rest = json_walk(channels);
    api_params_take(params, &b->params);
    begin_parts(b);
}
