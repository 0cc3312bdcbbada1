/* SPDX-License-Identifier: MIT */
/* As much of HTTP/1.1 as the servers of the benchmark answer with. An answer is taken when all of
 * it is there; it is short. */
#include "tests/bench/http_publish.h"

#include "tests/bench/cli.h"
#include "tests/bench/http_head.h"
#include "tests/bench/options.h"

void http_publish_append(struct buf *out, struct str suffix, struct str body)
{
    buf_printf(out, "POST %s%.*s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", options()->publish_path,
               STR_ARG(suffix), (unsigned)options()->link.port);
    if (options()->key[0] != '\0') {
        buf_printf(out, "X-API-Key: %s\r\n", options()->key);
    }
    buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body.len);
    buf_append(out, body);
}

/* False while the line with the size is incomplete. */
static bool read_chunk_size(struct str data, size_t *ret_line_bytes, size_t *ret_size)
{
    size_t i = 0, size = 0;
    for (; i < data.len && data.ptr[i] != '\r'; i++) {
        char c = data.ptr[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
        if (digit < 0 || digit > 15 || size > 1u << 20) {
            fail("not the size of a chunk: %.*s", STR_ARG(str_head(data, 32)));
        }
        size = size * 16 + (size_t)digit;
    }
    *ret_line_bytes = i + 2;
    *ret_size = size;
    return data.len >= i + 2;
}

/* Bytes of a whole body in chunks, 0 while it is incomplete. */
static size_t chunked_bytes(struct str body)
{
    size_t line_bytes, size, total = 0;
    do {
        if (!read_chunk_size(str_tail(body, total), &line_bytes, &size)) {
            return 0;
        }
        total += line_bytes + size + 2;
    } while (size > 0 && total < body.len);
    return size == 0 && total <= body.len ? total : 0;
}

static bool body_is_whole(struct str head, struct str rest, size_t *ret_bytes)
{
    struct str value = http_head_value(head, STR("content-length:"));
    uint64_t length = 0;
    if (http_head_value(head, STR("transfer-encoding:")).len > 0) {
        *ret_bytes = chunked_bytes(rest);
        return *ret_bytes > 0;
    }
    if (!str_starts_with(head, STR("HTTP/1.1 204")) && !str_to_u64(value, &length)) {
        fail("an answer without the length of its body: %.*s", STR_ARG(head));
    }
    *ret_bytes = length;
    return rest.len >= length;
}

size_t http_publish_take_answer(struct str data, bool *ret_acknowledged)
{
    size_t body_bytes;
    struct str head;
    if (!http_head_read(data, &head) ||
        !body_is_whole(head, str_tail(data, head.len), &body_bytes)) {
        return 0;
    }
    struct str body = str_head(str_tail(data, head.len), body_bytes);
    if (!str_starts_with(head, STR("HTTP/1.1 2")) ||
        (body.len > 0 && memmem(body.ptr, body.len, "\"error\"", 7))) {
        fail("not published: %.*s", STR_ARG(str_head(data, head.len + body_bytes)));
    }
    *ret_acknowledged = true;
    return head.len + body_bytes;
}
