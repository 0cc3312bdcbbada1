/* SPDX-License-Identifier: MIT */
/* Unit centrifuge_pushes writes the pushes of the Centrifugo JSON protocol, once for all who get
 * one in the same format. Payloads go in as they are: checked JSON on one line. No state. */
#include "protocols/centrifuge_pushes.h"

#include "base/json_span.h"
#include "hub/client.h"
#include "protocols/centrifuge_members.h"

static void append_data(struct buf *out, struct str data, enum publication_form form,
                        struct str patch)
{
    switch (form) {
    case FORM_TEXT: json_append_string(out, data); break;
    case FORM_DELTA: json_append_string(out, patch); break;
    default: buf_append(out, data); break;
    }
}

void centrifuge_append_publication(struct buf *out, struct str data, struct str info,
                                   struct str tags, uint64_t offset, enum publication_form form,
                                   struct str patch)
{
    buf_literal(out, "{\"data\":");
    append_data(out, data, form, patch);
    centrifuge_append_json(out, "info", info);
    centrifuge_append_number(out, "offset", offset);
    centrifuge_append_json(out, "tags", tags);
    centrifuge_append_bool(out, "delta", form == FORM_DELTA);
    buf_append_char(out, '}');
}

/* --- envelopes --- */

static void begin_push(const struct wire_format *format, struct buf *out)
{
    buf_append(out, format->is_unidirectional ? STR("{") : STR("{\"push\":{"));
}

static void end_push(const struct wire_format *format, struct buf *out)
{
    buf_append(out, format->is_unidirectional ? STR("}") : STR("}}"));
}

static void begin_channel_push(const struct wire_format *format, struct buf *out,
                               struct str channel, const char *kind)
{
    begin_push(format, out);
    buf_literal(out, "\"channel\":");
    json_append_string(out, channel);
    buf_literal(out, ",\"");
    buf_append(out, str_of(kind));
    buf_literal(out, "\":");
}

/* --- pushes --- */

static void write_publication(const struct wire_format *format, struct buf *out, struct str channel,
                              const struct publication *p, enum publication_form form,
                              struct str patch)
{
    begin_channel_push(format, out, channel, "pub");
    centrifuge_append_publication(out, p->data, p->info, p->tags, p->offset, form, patch);
    end_push(format, out);
}

static void write_info(const struct wire_format *format, struct buf *out, struct str channel,
                       const char *kind, struct str info)
{
    begin_channel_push(format, out, channel, kind);
    buf_literal(out, "{\"info\":");
    buf_append(out, info);
    buf_append_char(out, '}');
    end_push(format, out);
}

static void write_join(const struct wire_format *format, struct buf *out, struct str channel,
                       struct str info)
{
    write_info(format, out, channel, "join", info);
}

static void write_leave(const struct wire_format *format, struct buf *out, struct str channel,
                        struct str info)
{
    write_info(format, out, channel, "leave", info);
}

static void write_subscribe(const struct wire_format *format, struct buf *out, struct str channel,
                            const struct subscribe_result *result)
{
    begin_channel_push(format, out, channel, "subscribe");
    size_t start = centrifuge_open_object(out);
    centrifuge_append_bool(out, "recoverable", result->recoverable);
    if (result->positioned) {
        centrifuge_append_text(out, "epoch", str_of(result->position.epoch));
        centrifuge_append_number(out, "offset", result->position.offset);
    }
    centrifuge_append_bool(out, "positioned", result->positioned);
    centrifuge_append_json(out, "data", result->data);
    centrifuge_close_object(out, start);
    end_push(format, out);
}

/* The reason may be a backend's. */
static void append_why(struct buf *out, const struct disconnect *why)
{
    size_t start = centrifuge_open_object(out);
    centrifuge_append_number(out, "code", why->code);
    centrifuge_append_text(out, "reason", str_of(why->reason));
    centrifuge_close_object(out, start);
}

static void write_unsubscribe(const struct wire_format *format, struct buf *out, struct str channel,
                              const struct disconnect *why)
{
    begin_channel_push(format, out, channel, "unsubscribe");
    append_why(out, why);
    end_push(format, out);
}

static void write_refresh(const struct wire_format *format, struct buf *out, bool expires,
                          int64_t ttl_s)
{
    begin_push(format, out);
    buf_literal(out, "\"refresh\":");
    size_t start = centrifuge_open_object(out);
    centrifuge_append_bool(out, "expires", expires);
    centrifuge_append_number(out, "ttl", ttl_s > 0 ? (uint64_t)ttl_s : 0);
    centrifuge_close_object(out, start);
    end_push(format, out);
}

static void write_disconnect(const struct wire_format *format, struct buf *out,
                             const struct disconnect *why)
{
    begin_push(format, out);
    buf_literal(out, "\"disconnect\":");
    append_why(out, why);
    end_push(format, out);
}

/* --- formats --- */

#define PUSHES                                                                                     \
    .ping = {"{}", 2}, .publication = write_publication, .join = write_join, .leave = write_leave, \
    .subscribe = write_subscribe, .unsubscribe = write_unsubscribe, .refresh = write_refresh,      \
    .disconnect = write_disconnect

const struct wire_format centrifuge_websocket_format = {
    .index = 0,
    .joins = true,
    .between = {"\n", 1},
    PUSHES,
};

const struct wire_format centrifuge_http_stream_format = {
    .index = 1,
    .joins = true,
    .after = {"\n", 1},
    PUSHES,
};

const struct wire_format centrifuge_sse_format = {
    .index = 2,
    .joins = true,
    .before = {"data: ", 6},
    .after = {"\n\n", 2},
    PUSHES,
};

const struct wire_format centrifuge_uni_websocket_format = {
    .index = 3,
    .is_unidirectional = true,
    PUSHES,
};

const struct wire_format centrifuge_uni_websocket_joined_format = {
    .index = 4,
    .is_unidirectional = true,
    .joins = true,
    .between = {"\n", 1},
    PUSHES,
};

const struct wire_format centrifuge_uni_http_stream_format = {
    .index = 5,
    .is_unidirectional = true,
    .joins = true,
    .after = {"\n", 1},
    PUSHES,
};

const struct wire_format centrifuge_uni_sse_format = {
    .index = 6,
    .is_unidirectional = true,
    .joins = true,
    .before = {"data: ", 6},
    .after = {"\n\n", 2},
    PUSHES,
};
