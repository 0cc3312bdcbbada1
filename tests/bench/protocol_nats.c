/* SPDX-License-Identifier: MIT */
/* NATS over TCP: lines, of which MSG has a payload behind it. What was asked for before a PING has
 * been done when its PONG comes. */
#include <inttypes.h>

#include "tests/bench/cli.h"
#include "tests/bench/protocol.h"
#include "tests/bench/stamp.h"

#define CONNECT   "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n"
#define END_BYTES 2 /* of a line, and of a payload */

static void append_opening(struct buf *out, struct str channel)
{
    buf_printf(out, CONNECT "SUB %.*s 1\r\nPING\r\n", STR_ARG(channel));
}

/* Without its end; false while it is incomplete. */
static bool first_line(struct str data, struct str *ret_line)
{
    ptrdiff_t end = str_find(data, '\n');
    if (end < 1) {
        return false;
    }
    *ret_line = str_head(data, (size_t)end - 1);
    return true;
}

/* MSG SUBJECT SUBSCRIPTION BYTES, and at least the payload's front. */
static size_t take_message(struct client *c, struct str line, struct str data)
{
    struct str payload = str_head(str_tail(data, line.len + END_BYTES), c->payload_bytes);
    size_t needed = stamp_front_bytes(c->payload_bytes);
    uint64_t n_bytes;
    size_t digits = 0;
    while (digits < line.len && line.ptr[line.len - 1 - digits] != ' ') {
        digits++;
    }
    if (!str_to_u64(str_tail(line, line.len - digits), &n_bytes) || n_bytes != c->payload_bytes) {
        fail("not a message of %zu bytes: %.*s", c->payload_bytes, STR_ARG(line));
    }
    if (payload.len < needed) {
        return 0;
    }
    client_received(c, payload);
    c->n_skipped = c->payload_bytes - payload.len + END_BYTES;
    return line.len + END_BYTES + payload.len;
}

static void take_line(struct client *c, struct str line)
{
    if (str_eq(line, STR("PING"))) {
        link_send(&c->link, STR("PONG\r\n"));
        client_pinged(c);
    } else if (str_eq(line, STR("PONG")) && c->stage == CLIENT_OPENING) {
        c->stage = CLIENT_SUBSCRIBED;
        client_subscribed(c);
    } else if (!str_starts_with(line, STR("INFO "))) {
        fail("not what to expect: %.*s", STR_ARG(line));
    }
}

static size_t take(struct client *c, struct str data)
{
    struct str line;
    if (!first_line(data, &line)) {
        return 0;
    }
    if (str_starts_with(line, STR("MSG "))) {
        return take_message(c, line, data);
    }
    take_line(c, line);
    return line.len + END_BYTES;
}

static void append_greeting(struct buf *out)
{
    buf_literal(out, CONNECT);
}

static void append_publish(struct buf *out, struct str channel, struct str payload)
{
    buf_printf(out, "PUB %.*s %zu\r\n", STR_ARG(channel), payload.len);
    buf_append(out, payload);
    buf_literal(out, "\r\nPING\r\n");
}

/* The server may ping a publisher too; it forgives a few that are not answered. */
static size_t take_answer(struct str data, bool *ret_acknowledged)
{
    struct str line;
    if (!first_line(data, &line)) {
        return 0;
    }
    if (str_eq(line, STR("PONG"))) {
        *ret_acknowledged = true;
    } else if (!str_starts_with(line, STR("INFO ")) && !str_eq(line, STR("PING"))) {
        fail("not published: %.*s", STR_ARG(line));
    }
    return line.len + END_BYTES;
}

const struct protocol protocol_nats = {
    .name = "nats",
    .has_pings = true,
    .append_opening = append_opening,
    .take = take,
    .append_greeting = append_greeting,
    .append_publish = append_publish,
    .take_answer = take_answer,
};
