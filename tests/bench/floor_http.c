/* SPDX-License-Identifier: MIT */
#include "tests/bench/floor_http.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "tests/bench/cli.h"
#include "tests/bench/http_head.h"

#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, section 1.3 */
#define OPCODE_TEXT 0x81

bool floor_http_read(struct str data, struct floor_http_request *ret_request)
{
    struct str head;
    uint64_t body_bytes = 0;
    if (!http_head_read(data, &head)) {
        return false;
    }
    struct str length = http_head_value(head, STR("content-length:"));
    struct str path = str_tail(head, (size_t)(str_find(head, ' ') + 1));
    if (length.len > 0 && !str_to_u64(length, &body_bytes)) {
        fail("not a usable Content-Length: %.*s", STR_ARG(head));
    }
    *ret_request = (struct floor_http_request){
        .path = str_head(path, (size_t)str_find(path, ' ')),
        .key = http_head_value(head, STR("sec-websocket-key:")),
        .body = str_head(str_tail(data, head.len), body_bytes),
        .size_bytes = head.len + body_bytes,
    };
    return data.len >= ret_request->size_bytes;
}

void floor_http_append_upgraded(struct buf *out, struct str key)
{
    char text[128];
    unsigned char digest[SHA_DIGEST_LENGTH], accept[32];
    int n = snprintf(text, sizeof(text), "%.*s" ACCEPT_GUID, STR_ARG(key));
    if (n < 0 || (size_t)n >= sizeof(text)) {
        fail("a key that is too long: %.*s", STR_ARG(key));
    }
    SHA1((unsigned char *)text, (size_t)n, digest);
    EVP_EncodeBlock(accept, digest, sizeof(digest));
    buf_printf(out,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\n\r\n",
               (char *)accept);
}

void floor_http_append_frame(struct buf *out, struct str payload)
{
    size_t n_length = payload.len < 126 ? 0 : payload.len < 65536 ? 2 : 8;
    buf_append_char(out, (char)OPCODE_TEXT);
    buf_append_char(out, (char)(n_length == 0 ? payload.len : n_length == 2 ? 126 : 127));
    for (size_t i = n_length; i > 0; i--) {
        buf_append_char(out, (char)(payload.len >> (8 * (i - 1))));
    }
    buf_append(out, payload);
}
