/* SPDX-License-Identifier: MIT */
#include "tests/bench/frames.h"

#include <stdio.h>

#include "tests/bench/cli.h"
#include "tests/bench/http_head.h"
#include "tests/bench/options.h"
#include "tests/bench/websocket.h"

#define CONTROL_MAX_BYTES 125

enum { OPCODE_TEXT = 1, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

struct head {
    unsigned opcode;
    size_t payload_bytes;
    size_t head_bytes;
};

void frames_append_upgrade(struct buf *out, struct str suffix)
{
    char path[512];
    int n = snprintf(path, sizeof(path), "%s%.*s", options()->path, STR_ARG(suffix));
    if (n < 0 || (size_t)n >= sizeof(path)) {
        fail("the path is too long: %s", options()->path);
    }
    websocket_append_handshake(out, path, options()->link.port);
}

void frames_send_text(struct client *c, struct str message)
{
    struct buf frame;
    buf_init(&frame, 4096);
    websocket_append_text(&frame, message);
    link_send(&c->link, buf_str(&frame));
    buf_release(&frame);
}

static size_t take_upgraded(struct client *c, struct str data)
{
    struct str head;
    if (!http_head_read(data, &head)) {
        return 0;
    }
    if (!str_starts_with(head, STR("HTTP/1.1 101 "))) {
        fail("handshake refused: %.*s", STR_ARG(data));
    }
    c->stage = CLIENT_GREETING;
    return head.len;
}

/* False while the head is incomplete. */
static bool head_read(struct str data, struct head *ret_head)
{
    const unsigned char *bytes = (const unsigned char *)data.ptr;
    if (data.len < 2) {
        return false;
    }
    uint64_t length = bytes[1] & 0x7f;
    size_t n_extra = length == 127 ? 8 : length == 126 ? 2 : 0;
    if (data.len < 2 + n_extra) {
        return false;
    }
    if ((bytes[0] & 0xf0) != 0x80 || (bytes[1] & 0x80)) {
        fail("a frame that is masked, fragmented or compressed");
    }
    for (size_t i = 0; i < n_extra; i++) {
        length = (i > 0 ? length << 8 : 0) | bytes[2 + i];
    }
    *ret_head = (struct head){bytes[0] & 0x0f, length, 2 + n_extra};
    return true;
}

static _Noreturn void fail_closed(struct str payload)
{
    const unsigned char *code = (const unsigned char *)payload.ptr;
    if (payload.len < 2) {
        fail("the server closed a client without a code");
    }
    fail("the server closed a client: %u %.*s", (unsigned)code[0] << 8 | code[1],
         STR_ARG(str_tail(payload, 2)));
}

static void answer_ping(struct client *c, struct str payload)
{
    static const char mask[4] = {0x37, 0x21, 0x5a, 0x3d};
    char pong[6 + CONTROL_MAX_BYTES] = {(char)(0x80 | OPCODE_PONG), (char)(0x80 | payload.len)};
    memcpy(pong + 2, mask, sizeof(mask));
    for (size_t i = 0; i < payload.len; i++) {
        pong[6 + i] = (char)(payload.ptr[i] ^ mask[i % sizeof(mask)]);
    }
    link_send(&c->link, (struct str){pong, 6 + payload.len});
    client_pinged(c);
}

static size_t take_control(struct client *c, const struct head *head, struct str data)
{
    struct str payload = str_head(str_tail(data, head->head_bytes), head->payload_bytes);
    if (head->payload_bytes > CONTROL_MAX_BYTES) {
        fail("a frame of kind %u with %zu bytes", head->opcode, head->payload_bytes);
    }
    if (payload.len < head->payload_bytes) {
        return 0;
    }
    switch (head->opcode) {
    case OPCODE_PING: answer_ping(c, payload); break;
    case OPCODE_PONG: break;
    case OPCODE_CLOSE: fail_closed(payload);
    default: fail("a frame of kind %u", head->opcode);
    }
    return head->head_bytes + head->payload_bytes;
}

static size_t take_head(struct client *c, struct str data)
{
    struct head head;
    if (!head_read(data, &head)) {
        return 0;
    }
    if (head.opcode != OPCODE_TEXT) {
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
