/* SPDX-License-Identifier: MIT */
#include "tests/bench/wire.h"

#include <assert.h>

#include "tests/bench/cli.h"
#include "tests/bench/http_head.h"

/* The key of RFC 6455, section 1.3, and the answer that belongs to it. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

void wire_append_upgrade(struct buf *out, const char *path, uint16_t port)
{
    buf_printf(out,
               "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
               "Sec-WebSocket-Version: 13\r\n\r\n",
               path, port);
}

size_t wire_take_upgraded(struct str data)
{
    struct str head;
    if (!http_head_read(data, &head)) {
        return 0;
    }
    if (!str_starts_with(head, STR("HTTP/1.1 101 ")) ||
        !str_eq(http_head_value(head, STR("sec-websocket-accept:")), STR(ACCEPT))) {
        fail("handshake refused: %.*s", STR_ARG(data));
    }
    return head.len;
}

void wire_append_frame(struct buf *out, enum wire_opcode opcode, struct str payload)
{
    static const char mask[4] = {0x37, 0x21, 0x5a, 0x3d};
    assert(payload.len < 65536);
    buf_append_char(out, (char)(0x80 | opcode));
    if (payload.len < 126) {
        buf_append_char(out, (char)(0x80 | payload.len));
    } else {
        buf_append_char(out, (char)(0x80 | 126));
        buf_append_char(out, (char)(payload.len >> 8));
        buf_append_char(out, (char)payload.len);
    }
    buf_append(out, (struct str){mask, sizeof(mask)});
    for (size_t i = 0; i < payload.len; i++) {
        buf_append_char(out, (char)(payload.ptr[i] ^ mask[i % sizeof(mask)]));
    }
    if (buf_failed(out)) {
        fail("no room for a frame of %zu bytes", payload.len);
    }
}

static uint64_t read_big_endian(const unsigned char *bytes, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

bool wire_read_head(struct str data, struct wire_head *ret_head)
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
    if (n_extra > 0) {
        length = read_big_endian(bytes + 2, n_extra);
    }
    *ret_head = (struct wire_head){bytes[0] & 0x0f, length, 2 + n_extra};
    return true;
}

void wire_fail_closed(struct str payload)
{
    const unsigned char *code = (const unsigned char *)payload.ptr;
    if (payload.len < 2) {
        fail("the server closed a client without a code");
    }
    fail("the server closed a client: %u %.*s", (unsigned)read_big_endian(code, 2),
         STR_ARG(str_tail(payload, 2)));
}
