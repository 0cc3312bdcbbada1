/* SPDX-License-Identifier: MIT */
#include "tests/bench/frames.h"

#include <stdio.h>

#include "tests/bench/cli.h"
#include "tests/bench/options.h"
#include "tests/bench/wire.h"

void frames_append_upgrade(struct buf *out, struct str suffix)
{
    char path[512];
    int n = snprintf(path, sizeof(path), "%s%.*s", options()->path, STR_ARG(suffix));
    if (n < 0 || (size_t)n >= sizeof(path)) {
        fail("the path is too long: %s", options()->path);
    }
    wire_append_upgrade(out, path, options()->link.port);
}

static void send_frame(struct client *c, enum wire_opcode opcode, struct str payload)
{
    struct buf frame;
    buf_init(&frame, 4096);
    wire_append_frame(&frame, opcode, payload);
    link_send(&c->link, buf_str(&frame));
    buf_release(&frame);
}

void frames_send_text(struct client *c, struct str message)
{
    send_frame(c, WIRE_TEXT, message);
}

static size_t take_upgraded(struct client *c, struct str data)
{
    size_t n = wire_take_upgraded(data);
    if (n > 0) {
        c->stage = CLIENT_GREETING;
    }
    return n;
}

static size_t take_control(struct client *c, const struct wire_head *head, struct str data)
{
    struct str payload = str_head(str_tail(data, head->head_bytes), head->payload_bytes);
    if (head->payload_bytes > WIRE_CONTROL_MAX_BYTES) {
        fail("a frame of kind %u with %zu bytes", head->opcode, head->payload_bytes);
    }
    if (payload.len < head->payload_bytes) {
        return 0;
    }
    switch (head->opcode) {
    case WIRE_PING:
        send_frame(c, WIRE_PONG, payload);
        client_pinged(c);
        break;
    case WIRE_PONG: break;
    case WIRE_CLOSE: wire_fail_closed(payload);
    default: fail("a frame of kind %u", head->opcode);
    }
    return head->head_bytes + head->payload_bytes;
}

static size_t take_head(struct client *c, struct str data)
{
    struct wire_head head;
    if (!wire_read_head(data, &head)) {
        return 0;
    }
    if (head.opcode != WIRE_TEXT) {
        return take_control(c, &head, data);
    }
    c->frame_left = head.payload_bytes;
    return head.head_bytes;
}

size_t frames_take(struct client *c, struct str data,
                   size_t (*take_text)(struct client *c, struct str data))
{
    if (c->stage == CLIENT_OPENING) {
        return take_upgraded(c, data);
    }
    if (c->frame_left == 0) {
        return take_head(c, data);
    }
    size_t n = take_text(c, str_head(data, c->frame_left));
    if (n > 0) {
        c->frame_left -= n + c->n_skipped;
    }
    return n;
}
