/* WebSocket (RFC 6455) as bytes, as a client writes and reads them towards a server that it trusts:
 * the upgrade's key and the mask are constants, so that what many clients say is built once. What a
 * server must not send ends the program (see cli.h). */
#ifndef BELFRY_BENCH_WIRE_H
#define BELFRY_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define WIRE_CONTROL_MAX_BYTES 125

enum wire_opcode { WIRE_TEXT = 1, WIRE_CLOSE = 8, WIRE_PING = 9, WIRE_PONG = 10 };

/* Of one frame. */
struct wire_head {
    unsigned opcode;
    size_t payload_bytes;
    size_t head_bytes;
};

/* The request of an upgrade to path. */
void wire_append_upgrade(struct buf *out, const char *path, uint16_t port);
/* Bytes of the upgrade's answer, 0 while it is incomplete. */
size_t wire_take_upgraded(struct str data);

/* A whole masked frame. */
void wire_append_frame(struct buf *out, enum wire_opcode opcode, struct str payload);
/* False while the head is incomplete. */
bool wire_read_head(struct str data, struct wire_head *ret_head);
/* Says what the payload of a close frame says. */
_Noreturn void wire_fail_closed(struct str payload);

#endif
