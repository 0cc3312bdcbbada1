/* SPDX-License-Identifier: MIT */
#include "tests/bench/stamp.h"

#include <inttypes.h>
#include <time.h>

#include "tests/bench/cli.h"

uint64_t stamp_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void stamp_write(struct buf *out, struct stamp stamp, size_t size_bytes)
{
    struct str end = STR("\"}");
    buf_clear(out);
    buf_printf(out, "{\"n\":%" PRIu64 ",\"t\":%" PRIu64 ",\"x\":\"", stamp.n, stamp.sent_ns);
    if (out->len + end.len > size_bytes || buf_reserve(out, size_bytes - out->len) != STATUS_OK) {
        fail("no room for a payload of %zu bytes", size_bytes);
    }
    memset(out->ptr + out->len, 'x', size_bytes - out->len);
    memcpy(out->ptr + size_bytes - end.len, end.ptr, end.len);
    out->len = size_bytes;
}

size_t stamp_front_bytes(size_t size_bytes)
{
    return size_bytes < STAMP_FRONT_BYTES ? size_bytes : STAMP_FRONT_BYTES;
}

/* Moves rest behind name and the digits that follow it. */
static bool take_member(struct str *rest, struct str name, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t i = name.len;
    if (!str_starts_with(*rest, name)) {
        return false;
    }
    for (; i < rest->len && rest->ptr[i] >= '0' && rest->ptr[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(rest->ptr[i] - '0');
    }
    *rest = str_tail(*rest, i);
    *ret_number = number;
    return i > name.len;
}

struct stamp stamp_read(struct str front)
{
    struct stamp stamp;
    struct str rest = front;
    if (!take_member(&rest, STR("{\"n\":"), &stamp.n) ||
        !take_member(&rest, STR(",\"t\":"), &stamp.sent_ns) ||
        !str_starts_with(rest, STR(",\"x\":\""))) {
        fail("not a payload of ours: %.*s", STR_ARG(front));
    }
    return stamp;
}
