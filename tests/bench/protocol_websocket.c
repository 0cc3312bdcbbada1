/* SPDX-License-Identifier: MIT */
/* A bare WebSocket: whoever connects to a channel's path is subscribed to it, each message is what
 * was published, and that is what was posted to the channel's other path. */
#include "tests/bench/cli.h"
#include "tests/bench/frames.h"
#include "tests/bench/http_publish.h"
#include "tests/bench/protocol.h"
#include "tests/bench/stamp.h"

static size_t take_message(struct client *c, struct str data)
{
    if (data.len < stamp_front_bytes(c->frame_left)) {
        return 0;
    }
    if (c->frame_left != c->payload_bytes) {
        fail("a message of %zu bytes: %.*s", c->frame_left, STR_ARG(str_head(data, 256)));
    }
    client_received(c, data);
    c->n_skipped = c->frame_left - data.len;
    return data.len;
}

static size_t take(struct client *c, struct str data)
{
    bool was_opening = c->stage == CLIENT_OPENING;
    size_t n = frames_take(c, data, take_message);
    if (was_opening && c->stage != CLIENT_OPENING) {
        c->stage = CLIENT_SUBSCRIBED;
        client_subscribed(c);
    }
    return n;
}

const struct protocol protocol_websocket = {
    .name = "websocket",
    .path = "/sub/",
    .publish_path = "/publish/",
    .has_pings = true,
    .append_opening = frames_append_upgrade,
    .take = take,
    .append_publish = http_publish_append,
    .take_answer = http_publish_take_answer,
};
