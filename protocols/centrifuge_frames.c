/* SPDX-License-Identifier: MIT */
/* Unit centrifuge_frames writes the replies of the Centrifugo JSON protocol. Payloads go in as they
 * are: checked JSON on one line. */
#include "protocols/centrifuge_frames.h"

#include "base/clock.h"
#include "base/json_span.h"
#include "hub/delta.h"
#include "protocols/centrifuge_members.h"
#include "protocols/centrifuge_pushes.h"

#define PATCH_MAX_BYTES ((size_t)64 << 20)
/* Of one reply: making deltas of more would hold the loop too long. */
#define COMPARE_MAX_BYTES ((size_t)1 << 20)

/* --- replies --- */

static void begin_reply(struct buf *out, uint32_t id, const char *method)
{
    buf_literal(out, "{\"id\":");
    buf_append_u64(out, id);
    buf_literal(out, ",\"");
    buf_append(out, str_of(method));
    buf_literal(out, "\":");
}

void centrifuge_write_error(struct buf *out, uint32_t id, const struct client_error *error)
{
    begin_reply(out, id, "error");
    buf_printf(out, "{\"code\":%u,\"message\":", error->code);
    json_append_string(out, str_of(error->message));
    centrifuge_append_bool(out, "temporary", error->is_temporary);
    buf_literal(out, "}}");
}

void centrifuge_write_empty(struct buf *out, uint32_t id, const char *method)
{
    begin_reply(out, id, method);
    buf_literal(out, "{}}");
}

void centrifuge_write_data(struct buf *out, uint32_t id, const char *method, struct str data)
{
    begin_reply(out, id, method);
    size_t start = centrifuge_open_object(out);
    centrifuge_append_json(out, "data", data);
    centrifuge_close_object(out, start);
    buf_append_char(out, '}');
}

/* --- subscribe --- */

static void append_expiry(struct buf *out, bool expires, int64_t ttl_s)
{
    centrifuge_append_bool(out, "expires", expires);
    centrifuge_append_number(out, "ttl", ttl_s > 0 ? (uint64_t)ttl_s : 0);
}

/* With deltas agreed: the first in full, each next one from its predecessor where that was
 * published so. */
static void append_in_form(struct buf *out, const struct publication *p,
                           const struct publication *base, struct buf *patch)
{
    buf_clear(patch);
    bool is_delta = base && p->delta && delta_make(base->data, p->data, patch);
    centrifuge_append_publication(out, p->data, p->info, p->tags, p->offset,
                                  is_delta ? FORM_DELTA : FORM_TEXT, buf_str(patch));
}

static void append_recovered(struct buf *out, const struct subscribe_result *result)
{
    size_t n_compared = 0;
    struct buf patch;
    buf_init(&patch, PATCH_MAX_BYTES);
    for (size_t i = 0; i < result->n_publications; i++) {
        const struct publication *p = result->publications[i];
        buf_append(out, i > 0 ? STR(",") : STR(",\"publications\":["));
        if (result->delta) {
            bool has_time = i > 0 && n_compared + p->data.len <= COMPARE_MAX_BYTES;
            append_in_form(out, p, has_time ? result->publications[i - 1] : NULL, &patch);
            n_compared += has_time ? p->data.len : 0;
        } else {
            centrifuge_append_publication(out, p->data, p->info, p->tags, p->offset, FORM_JSON,
                                          STR_EMPTY);
        }
    }
    if (result->n_publications > 0) {
        buf_append_char(out, ']');
    }
    buf_release(&patch);
}

static void append_subscribe_result(struct buf *out, const struct subscribe_result *result)
{
    size_t start = centrifuge_open_object(out);
    append_expiry(out, result->expires, result->ttl_s);
    centrifuge_append_bool(out, "recoverable", result->recoverable);
    if (result->positioned) {
        buf_printf(out, ",\"epoch\":\"%s\"", result->position.epoch);
    }
    append_recovered(out, result);
    centrifuge_append_bool(out, "recovered", result->recovered);
    centrifuge_append_number(out, "offset", result->positioned ? result->position.offset : 0);
    centrifuge_append_bool(out, "positioned", result->positioned);
    centrifuge_append_json(out, "data", result->data);
    centrifuge_append_bool(out, "was_recovering", result->was_recovering);
    centrifuge_append_bool(out, "delta", result->delta);
    centrifuge_close_object(out, start);
}

void centrifuge_write_subscribe(struct buf *out, uint32_t id, const struct subscribe_result *result)
{
    begin_reply(out, id, "subscribe");
    append_subscribe_result(out, result);
    buf_append_char(out, '}');
}

void centrifuge_write_sub_refresh(struct buf *out, uint32_t id,
                                  const struct subscribe_result *result)
{
    begin_reply(out, id, "sub_refresh");
    size_t start = centrifuge_open_object(out);
    append_expiry(out, result->expires, result->ttl_s);
    centrifuge_close_object(out, start);
    buf_append_char(out, '}');
}

/* --- connect --- */

static void append_subs(struct buf *out, const struct connect_result *result)
{
    for (size_t i = 0; i < result->n_subs; i++) {
        buf_append(out, i > 0 ? STR(",") : STR(",\"subs\":{"));
        json_append_string(out, result->subs[i].channel);
        buf_append_char(out, ':');
        append_subscribe_result(out, result->subs[i].result);
    }
    if (result->n_subs > 0) {
        buf_append_char(out, '}');
    }
}

/* In whole seconds, rounded up: the client waits this long and a margin before it gives up. */
static void append_pings(struct buf *out, const struct client *client)
{
    const struct client_options *options = hub_client_options(client_hub(client));
    const struct client_transport *transport = client_transport(client);
    if (!transport->ping) {
        centrifuge_append_number(out, "ping", (uint64_t)(options->ping_interval_ms + 999) / 1000);
        centrifuge_append_bool(out, "pong", transport->pongs);
    }
}

static void append_connect_result(struct buf *out, const struct client *client,
                                  const struct connect_result *result, const char *session)
{
    struct hub *hub = client_hub(client);
    char uuid[RNG_UUID_SIZE];
    client_id(client, uuid);
    buf_printf(out, "{\"client\":\"%s\",\"version\":\"Belfry %s\"", uuid, hub_version(hub));
    append_expiry(out, result->expires, result->ttl_s);
    centrifuge_append_json(out, "data", result->data);
    append_subs(out, result);
    append_pings(out, client);
    if (session) {
        centrifuge_append_text(out, "session", str_of(session));
    }
    if (session && !client_wire_format(client)->is_unidirectional) { /* commands name both */
        centrifuge_append_text(out, "node", str_of(hub_node(hub)));
    }
    if (hub_client_options(hub)->connect_include_server_time) {
        centrifuge_append_number(out, "time", (uint64_t)clock_wall_ms());
    }
    buf_append_char(out, '}');
}

void centrifuge_write_connect(struct buf *out, uint32_t id, const struct client *client,
                              const struct connect_result *result, const char *session)
{
    begin_reply(out, id, "connect");
    append_connect_result(out, client, result, session);
    buf_append_char(out, '}');
}

void centrifuge_write_connect_push(struct buf *out, const struct client *client,
                                   const struct connect_result *result, const char *session)
{
    buf_literal(out, "{\"connect\":");
    append_connect_result(out, client, result, session);
    buf_append_char(out, '}');
}

void centrifuge_write_refresh(struct buf *out, uint32_t id, const struct client *client,
                              const struct connect_result *result)
{
    char uuid[RNG_UUID_SIZE];
    client_id(client, uuid);
    begin_reply(out, id, "refresh");
    buf_printf(out, "{\"client\":\"%s\",\"version\":\"Belfry %s\"", uuid,
               hub_version(client_hub(client)));
    append_expiry(out, result->expires, result->ttl_s);
    buf_literal(out, "}}");
}

/* --- results that client commands and the server API share --- */

void centrifuge_append_history(struct buf *out, const struct storage_history *history)
{
    buf_literal(out, "{\"publications\":[");
    for (size_t i = 0; i < history->n_items; i++) {
        const struct storage_item *item = &history->items[i];
        buf_append(out, i > 0 ? STR(",") : STR_EMPTY);
        centrifuge_append_publication(out, item->data, item->info, item->tags, item->offset,
                                      FORM_JSON, STR_EMPTY);
    }
    buf_printf(out, "],\"epoch\":\"%s\",\"offset\":", history->top.epoch);
    buf_append_u64(out, history->top.offset);
    buf_append_char(out, '}');
}

struct presence_list {
    struct buf *out;
    size_t n;
};

static void append_present(void *arg, const struct client *client, const struct channel *channel)
{
    struct presence_list *list = arg;
    char uuid[RNG_UUID_SIZE];
    client_id(client, uuid);
    buf_append(list->out, list->n++ > 0 ? STR(",") : STR_EMPTY);
    buf_printf(list->out, "\"%s\":", uuid);
    client_append_info(client, channel, list->out);
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
