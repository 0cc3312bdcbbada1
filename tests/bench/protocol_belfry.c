/* SPDX-License-Identifier: MIT */
/* The Centrifugo JSON protocol: connect and subscribe in one frame, pings that are answered,
 * pushes. Each message is a line, and a frame has one or several of them. Of a push only the front
 * is looked at; how long the rest is follows from the size of what was published. */
#include "base/json_span.h"
#include "tests/bench/cli.h"
#include "tests/bench/frames.h"
#include "tests/bench/http_publish.h"
#include "tests/bench/options.h"
#include "tests/bench/protocol.h"
#include "tests/bench/stamp.h"

#define N_COMMANDS 2

/* A push's members before the data, the channel's name among them, and those behind it. */
#define PUSH_FRONT_MAX_BYTES 512
#define PUSH_TAIL_MAX_BYTES  256

static void append_opening(struct buf *out, struct str channel)
{
    (void)channel;
    frames_append_upgrade(out, STR_EMPTY);
}

static void send_commands(struct client *c)
{
    struct buf channel, commands;
    buf_init(&channel, 256);
    buf_init(&commands, 32768);
    options_channel(&channel, c->index);
    buf_literal(&commands, "{\"id\":1,\"connect\":{");
    struct str token = options_token(c->index);
    if (token.len > 0) {
        buf_literal(&commands, "\"token\":");
        json_append_string(&commands, token);
    }
    buf_literal(&commands, "}}\n{\"id\":2,\"subscribe\":{\"channel\":");
    json_append_string(&commands, buf_str(&channel));
    buf_literal(&commands, "}}");
    if (buf_failed(&channel) || buf_failed(&commands)) {
        fail("the channel's name is too long");
    }
    frames_send_text(c, buf_str(&commands));
    buf_release(&channel);
    buf_release(&commands);
}

/* Replies come in the order of the commands. */
static void take_reply(struct client *c, struct str reply)
{
    struct str id, error;
    uint64_t number;
    if (json_check(reply, NULL) != STATUS_OK || json_member(reply, STR("error"), &error) ||
        !json_member(reply, STR("id"), &id) || !json_to_u64(id, &number) ||
        number != ++c->n_replies) {
        fail("not the reply to expect: %.*s", STR_ARG(reply));
    }
    if (c->n_replies == N_COMMANDS) {
        c->stage = CLIENT_SUBSCRIBED;
        client_subscribed(c);
    }
}

/* Up to and with the data. */
static size_t take_push(struct client *c, struct str data)
{
    struct str name = STR("\"data\":");
    struct str front = str_head(data, PUSH_FRONT_MAX_BYTES);
    const char *found = memmem(front.ptr, front.len, name.ptr, name.len);
    size_t start = found ? (size_t)(found - front.ptr) + name.len : 0;
    size_t needed = start + stamp_front_bytes(c->payload_bytes);
    if (!found || front.len < needed) {
        if (front.len == PUSH_FRONT_MAX_BYTES || front.len == c->frame_left) {
            fail("a push without data: %.*s", STR_ARG(front));
        }
        return 0;
    }
    size_t end = start + c->payload_bytes;
    if (end >= c->frame_left) {
        fail("a push with less data than was published: %.*s", STR_ARG(front));
    }
    client_received(c, str_tail(front, start));
    c->in_tail = true;
    c->n_skipped = end > data.len ? end - data.len : 0;
    return end - c->n_skipped;
}

/* What closes a push. */
static void check_tail(struct str tail)
{
    struct str end = STR("}}}");
    if (!str_starts_with(tail, STR(",\"offset\":")) && !str_eq(tail, end)) {
        fail("not the end of a push: %.*s", STR_ARG(tail));
    }
}

static void take_line(struct client *c, struct str line)
{
    if (c->in_tail) {
        check_tail(line);
        c->in_tail = false;
    } else if (str_eq(line, STR("{}"))) {
        frames_send_text(c, STR("{}"));
        client_pinged(c);
    } else {
        take_reply(c, line);
    }
}

static size_t take_text(struct client *c, struct str data)
{
    if (!c->in_tail && str_starts_with(data, STR("{\"push\":"))) {
        return take_push(c, data);
    }
    ptrdiff_t end = str_find(c->in_tail ? str_head(data, PUSH_TAIL_MAX_BYTES) : data, '\n');
    if (end >= 0) {
        take_line(c, str_head(data, (size_t)end));
        return (size_t)end + 1;
    }
    if (c->in_tail && data.len > PUSH_TAIL_MAX_BYTES) {
        fail("a push with more data than was published: %.*s", STR_ARG(str_head(data, 256)));
    }
    if (data.len < c->frame_left) {
        return 0;
    }
    take_line(c, data);
    return data.len;
}

static size_t take(struct client *c, struct str data)
{
    bool was_opening = c->stage == CLIENT_OPENING;
    size_t n = frames_take(c, data, take_text);
    if (was_opening && c->stage == CLIENT_GREETING) {
        send_commands(c);
    }
    return n;
}

static void append_publish(struct buf *out, struct str channel, struct str payload)
{
    struct buf body;
    buf_init(&body, STAMP_MAX_BYTES + 1024);
    buf_literal(&body, "{\"channel\":");
    json_append_string(&body, channel);
    buf_literal(&body, ",\"data\":");
    buf_append(&body, payload);
    buf_append_char(&body, '}');
    if (buf_failed(&body)) {
        fail("no room for a publication");
    }
    http_publish_append(out, STR_EMPTY, buf_str(&body));
    buf_release(&body);
}

const struct protocol protocol_belfry = {
    .name = "belfry",
    .path = "/connection/websocket",
    .publish_path = "/api/publish",
    .has_pings = true,
    .append_opening = append_opening,
    .take = take,
    .append_publish = append_publish,
    .take_answer = http_publish_take_answer,
};
