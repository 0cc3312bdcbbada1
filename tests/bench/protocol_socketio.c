/* SPDX-License-Identifier: MIT */
/* Socket.IO 4 over its WebSocket transport: the path's query names the channel, each publication is
 * the event "m", and what was posted to the channel's other path. */
#include "tests/bench/cli.h"
#include "tests/bench/frames.h"
#include "tests/bench/http_publish.h"
#include "tests/bench/protocol.h"
#include "tests/bench/stamp.h"

#define EVENT STR("42[\"m\",")

static void take_packet(struct client *c, struct str packet)
{
    if (str_eq(packet, STR("2"))) {
        frames_send_text(c, STR("3"));
        client_pinged(c);
    } else if (c->stage == CLIENT_GREETING && str_starts_with(packet, STR("0{"))) {
        frames_send_text(c, STR("40"));
    } else if (c->stage == CLIENT_GREETING && str_starts_with(packet, STR("40{"))) {
        c->stage = CLIENT_SUBSCRIBED;
        client_subscribed(c);
    } else {
        fail("not the packet to expect: %.*s", STR_ARG(packet));
    }
}

static size_t take_event(struct client *c, struct str data)
{
    size_t needed = EVENT.len + STAMP_FRONT_BYTES;
    if (data.len < needed && data.len < c->frame_left) {
        return 0;
    }
    if (c->frame_left != EVENT.len + c->payload_bytes + 1) {
        fail("a message of %zu bytes: %.*s", c->frame_left, STR_ARG(str_head(data, 256)));
    }
    client_received(c, str_tail(data, EVENT.len));
    c->n_skipped = c->frame_left - data.len;
    return data.len;
}

static size_t take_text(struct client *c, struct str data)
{
    if (str_starts_with(data, EVENT)) {
        return take_event(c, data);
    }
    if (data.len < c->frame_left) {
        return 0;
    }
    take_packet(c, data);
    return data.len;
}

static size_t take(struct client *c, struct str data)
{
    return frames_take(c, data, take_text);
}

const struct protocol protocol_socketio = {
    .name = "socketio",
    .path = "/socket.io/?EIO=4&transport=websocket&channel=",
    .publish_path = "/publish/",
    .has_pings = true,
    .append_opening = frames_append_upgrade,
    .take = take,
    .append_publish = http_publish_append,
    .take_answer = http_publish_take_answer,
};
