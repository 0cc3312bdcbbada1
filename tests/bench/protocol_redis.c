/* SPDX-License-Identifier: MIT */
/* Redis over TCP (RESP 2): a client is told that it is subscribed, and then an array of three bulk
 * strings, "message", the channel and the payload, for each publication. */
#include <inttypes.h>

#include "tests/bench/cli.h"
#include "tests/bench/protocol.h"
#include "tests/bench/stamp.h"

#define END_BYTES      2
#define LINE_MAX_BYTES 64

/* Moves rest behind a line of kind and a number. */
static bool take_number(struct str *rest, char kind, uint64_t *ret_number)
{
    ptrdiff_t end = str_find(str_head(*rest, LINE_MAX_BYTES), '\n');
    if (end < 0 && rest->len < LINE_MAX_BYTES) {
        return false;
    }
    struct str line = str_head(*rest, end < 0 ? LINE_MAX_BYTES : (size_t)end);
    if (end < 3 || line.ptr[0] != kind ||
        !str_to_u64(str_head(str_tail(line, 1), line.len - END_BYTES), ret_number)) {
        fail("not what to expect: %.*s", STR_ARG(line));
    }
    *rest = str_tail(*rest, (size_t)end + 1);
    return true;
}

/* Moves rest behind a whole bulk string. */
static bool take_bulk(struct str *rest, struct str *ret_text)
{
    uint64_t length;
    if (!take_number(rest, '$', &length) || rest->len < length + END_BYTES) {
        return false;
    }
    *ret_text = str_head(*rest, length);
    *rest = str_tail(*rest, length + END_BYTES);
    return true;
}

static void append_bulk(struct buf *out, struct str text)
{
    buf_printf(out, "$%zu\r\n", text.len);
    buf_append(out, text);
    buf_literal(out, "\r\n");
}

static void append_opening(struct buf *out, struct str channel)
{
    buf_literal(out, "*2\r\n");
    append_bulk(out, STR("SUBSCRIBE"));
    append_bulk(out, channel);
}

static bool take_payload(struct client *c, struct str *rest)
{
    size_t needed = stamp_front_bytes(c->payload_bytes);
    uint64_t length;
    if (!take_number(rest, '$', &length) || rest->len < needed) {
        return false;
    }
    if (length != c->payload_bytes) {
        fail("a message of %" PRIu64 " bytes, not %zu", length, c->payload_bytes);
    }
    struct str payload = str_head(*rest, length);
    client_received(c, payload);
    *rest = str_tail(*rest, payload.len);
    c->n_skipped = length - payload.len + END_BYTES;
    return true;
}

static bool take_count(struct client *c, struct str *rest)
{
    uint64_t n_channels;
    if (!take_number(rest, ':', &n_channels)) {
        return false;
    }
    c->stage = CLIENT_SUBSCRIBED;
    client_subscribed(c);
    return true;
}

static size_t take(struct client *c, struct str data)
{
    struct str rest = data;
    struct str kind, channel;
    uint64_t n_items;
    if (!take_number(&rest, '*', &n_items) || !take_bulk(&rest, &kind) ||
        !take_bulk(&rest, &channel)) {
        return 0;
    }
    bool is_message = str_eq(kind, STR("message"));
    if (n_items != 3 || (!is_message && !str_eq(kind, STR("subscribe")))) {
        fail("not what to expect: %.*s", STR_ARG(str_head(data, 256)));
    }
    bool is_taken = is_message ? take_payload(c, &rest) : take_count(c, &rest);
    return is_taken ? data.len - rest.len : 0;
}

static void append_publish(struct buf *out, struct str channel, struct str payload)
{
    buf_literal(out, "*3\r\n");
    append_bulk(out, STR("PUBLISH"));
    append_bulk(out, channel);
    append_bulk(out, payload);
}

static size_t take_answer(struct str data, bool *ret_acknowledged)
{
    struct str rest = data;
    uint64_t n_receivers;
    if (!take_number(&rest, ':', &n_receivers)) {
        return 0;
    }
    *ret_acknowledged = true;
    return data.len - rest.len;
}

const struct protocol protocol_redis = {
    .name = "redis",
    .append_opening = append_opening,
    .take = take,
    .append_publish = append_publish,
    .take_answer = take_answer,
};
