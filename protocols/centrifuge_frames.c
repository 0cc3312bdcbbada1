/* SPDX-License-Identifier: MIT */
/* Unit centrifuge_frames writes the Centrifugo JSON protocol. Payloads go in as they are: checked
 * JSON on one line. */
#include "protocols/centrifuge_frames.h"

#include "base/json_span.h"

/* --- members --- */

static void append_bool(struct buf *out, const char *key, bool truth)
{
    if (truth) {
        buf_printf(out, ",\"%s\":true", key);
    }
}

static void append_number(struct buf *out, const char *key, uint64_t number)
{
    if (number > 0) {
        buf_append_char(out, ',');
        buf_append_char(out, '"');
        buf_append(out, str_of(key));
        buf_literal(out, "\":");
        buf_append_u64(out, number);
    }
}

/* Drops the comma in front of the first member: members are written with one each. */
static void close_object(struct buf *out, size_t start)
{
    if (out->len > start && !buf_failed(out) && out->ptr[start] == ',') {
        memmove(out->ptr + start, out->ptr + start + 1, out->len - start - 1);
        out->len--;
    }
    buf_append_char(out, '}');
}

static size_t open_object(struct buf *out)
{
    buf_append_char(out, '{');
    return out->len;
}

static void append_publication(struct buf *out, struct str data, struct str info, struct str tags,
                               uint64_t offset)
{
    buf_literal(out, "{\"data\":");
    buf_append(out, data);
    if (info.len > 0) {
        buf_literal(out, ",\"info\":");
        buf_append(out, info);
    }
    append_number(out, "offset", offset);
    if (tags.len > 0) {
        buf_literal(out, ",\"tags\":");
        buf_append(out, tags);
    }
    buf_append_char(out, '}');
}

/* --- pushes --- */

static void begin_push(struct buf *out, struct str channel)
{
    buf_literal(out, "{\"push\":{\"channel\":");
    json_append_string(out, channel);
}

static void write_publication(struct buf *out, struct str channel, const struct publication *p)
{
    begin_push(out, channel);
    buf_literal(out, ",\"pub\":");
    append_publication(out, p->data, p->info, p->tags, p->offset);
    buf_literal(out, "}}");
}

static void write_unsubscribe(struct buf *out, struct str channel, const struct disconnect *why)
{
    begin_push(out, channel);
    buf_printf(out, ",\"unsubscribe\":{\"code\":%u,\"reason\":\"%s\"}}}", why->code, why->reason);
}

const struct wire_format centrifuge_format = {
    .index = 0,
    .separator = '\n',
    .publication = write_publication,
    .unsubscribe = write_unsubscribe,
    .ping = {"{}", 2},
};

/* --- replies --- */

static void begin_reply(struct buf *out, uint32_t id, const char *method)
{
    buf_literal(out, "{\"id\":");
    buf_append_u64(out, id);
    buf_literal(out, ",\"");
    buf_append(out, str_of(method));
    buf_literal(out, "\":");
}

void centrifuge_write_error(struct buf *out, uint32_t id, const struct protocol_error *error)
{
    begin_reply(out, id, "error");
    buf_printf(out, "{\"code\":%u,\"message\":\"%s\"", error->code, error->message);
    append_bool(out, "temporary", error->is_temporary);
    buf_literal(out, "}}");
}

void centrifuge_write_empty(struct buf *out, uint32_t id, const char *method)
{
    begin_reply(out, id, method);
    buf_literal(out, "{}}");
}

static void append_connect_result(struct buf *out, const struct client *client,
                                  const struct connect_result *result)
{
    char uuid[RNG_UUID_SIZE];
    client_id(client, uuid);
    buf_printf(out, "{\"client\":\"%s\",\"version\":\"Belfry %s\"", uuid,
               hub_version(client_hub(client)));
    append_bool(out, "expires", result->expires);
    append_number(out, "ttl", result->ttl_s > 0 ? (uint64_t)result->ttl_s : 0);
}

void centrifuge_write_connect(struct buf *out, uint32_t id, const struct client *client,
                              const struct connect_result *result)
{
    const struct client_options *options = hub_client_options(client_hub(client));
    begin_reply(out, id, "connect");
    append_connect_result(out, client, result);
    /* In whole seconds, rounded up: the client waits this long and a margin before it gives up. */
    append_number(out, "ping", (uint64_t)(options->ping_interval_ms + 999) / 1000);
    buf_literal(out, ",\"pong\":true}}");
}

void centrifuge_write_refresh(struct buf *out, uint32_t id, const struct client *client,
                              const struct connect_result *result)
{
    begin_reply(out, id, "refresh");
    append_connect_result(out, client, result);
    buf_literal(out, "}}");
}

static void append_recovered(struct buf *out, const struct subscribe_result *result)
{
    if (result->n_publications == 0) {
        return;
    }
    buf_literal(out, ",\"publications\":[");
    for (size_t i = 0; i < result->n_publications; i++) {
        const struct publication *p = result->publications[i];
        buf_append(out, i > 0 ? STR(",") : STR_EMPTY);
        append_publication(out, p->data, p->info, p->tags, p->offset);
    }
    buf_append_char(out, ']');
}

void centrifuge_write_subscribe(struct buf *out, uint32_t id, const struct subscribe_result *result)
{
    begin_reply(out, id, "subscribe");
    size_t start = open_object(out);
    append_bool(out, "recoverable", result->recoverable);
    if (result->positioned) {
        buf_printf(out, ",\"epoch\":\"%s\"", result->position.epoch);
    }
    append_recovered(out, result);
    append_bool(out, "recovered", result->recovered);
    append_number(out, "offset", result->positioned ? result->position.offset : 0);
    append_bool(out, "positioned", result->positioned);
    append_bool(out, "was_recovering", result->was_recovering);
    close_object(out, start);
    buf_append_char(out, '}');
}

/* --- results that client commands and the server API share --- */

void centrifuge_append_history(struct buf *out, const struct storage_history *history)
{
    buf_literal(out, "{\"publications\":[");
    for (size_t i = 0; i < history->n_items; i++) {
        const struct storage_item *item = &history->items[i];
        buf_append(out, i > 0 ? STR(",") : STR_EMPTY);
        append_publication(out, item->data, item->info, item->tags, item->offset);
    }
    buf_printf(out, "],\"epoch\":\"%s\",\"offset\":", history->top.epoch);
    buf_append_u64(out, history->top.offset);
    buf_append_char(out, '}');
}

struct presence_list {
    struct buf *out;
    size_t n;
};

static void append_present(void *arg, const struct client *client)
{
    struct presence_list *list = arg;
    char uuid[RNG_UUID_SIZE];
    client_id(client, uuid);
    buf_append(list->out, list->n++ > 0 ? STR(",") : STR_EMPTY);
    buf_printf(list->out, "\"%s\":", uuid);
    client_append_info(client, list->out);
}

enum status centrifuge_append_presence(struct buf *out, struct hub *hub, struct str channel)
{
    size_t start = out->len;
    struct presence_list list = {.out = out};
    buf_literal(out, "{\"presence\":{");
    enum status status = hub_presence(hub, channel, append_present, &list);
    buf_literal(out, "}}");
    if (status != STATUS_OK) {
        out->len = start;
    }
    return status;
}

enum status centrifuge_append_presence_stats(struct buf *out, struct hub *hub, struct str channel)
{
    size_t n_clients;
    size_t n_users;
    enum status status = hub_presence_stats(hub, channel, &n_clients, &n_users);
    if (status == STATUS_OK) {
        buf_printf(out, "{\"num_clients\":%zu,\"num_users\":%zu}", n_clients, n_users);
    }
    return status;
}

void centrifuge_write_history(struct buf *out, uint32_t id, const struct storage_history *history)
{
    begin_reply(out, id, "history");
    centrifuge_append_history(out, history);
    buf_append_char(out, '}');
}

typedef enum status (*append_fn)(struct buf *out, struct hub *hub, struct str channel);

static enum status write_result(struct buf *out, uint32_t id, const char *method, append_fn append,
                                struct hub *hub, struct str channel)
{
    size_t start = out->len;
    begin_reply(out, id, method);
    enum status status = append(out, hub, channel);
    buf_append_char(out, '}');
    if (status != STATUS_OK) {
        out->len = start;
    }
    return status;
}

enum status centrifuge_write_presence(struct buf *out, uint32_t id, struct hub *hub,
                                      struct str channel)
{
    return write_result(out, id, "presence", centrifuge_append_presence, hub, channel);
}

enum status centrifuge_write_presence_stats(struct buf *out, uint32_t id, struct hub *hub,
                                            struct str channel)
{
    return write_result(out, id, "presence_stats", centrifuge_append_presence_stats, hub, channel);
}
