/* SPDX-License-Identifier: MIT */
/* The first byte says how large the pieces are in which the rest comes. Whatever that is, the
 * pieces make no difference, everything told lies in the input, and it ends. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "upstreams/http1_response.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct reading {
    struct http1_response response;
    enum http1_event last;
    size_t n_lines;
    size_t n_line_bytes;
    size_t n_body_bytes;
    uint64_t sum; /* of lines and body */
    size_t n_taken;
};

static void note(struct reading *r, enum http1_event event, struct str piece)
{
    REQUIRE(piece.len > 0);
    if (event == HTTP1_LINE) {
        r->n_lines++;
        r->n_line_bytes += piece.len;
        REQUIRE(piece.ptr[piece.len - 1] == '\n');
    } else {
        r->n_body_bytes += piece.len;
    }
    for (size_t i = 0; i < piece.len; i++) {
        r->sum = r->sum * 31 + (unsigned char)piece.ptr[i];
    }
}

static void take_all(struct reading *r, struct str *input)
{
    for (;;) {
        struct str piece = STR_EMPTY;
        struct str before = *input;
        r->last = http1_response_next(&r->response, input, &piece);
        REQUIRE(input->len <= before.len);
        if (r->last != HTTP1_LINE && r->last != HTTP1_BODY) {
            return;
        }
        REQUIRE(piece.ptr >= before.ptr && piece.ptr + piece.len <= before.ptr + before.len);
        note(r, r->last, piece);
    }
}

static struct reading read_in_pieces(struct str text, size_t n)
{
    struct reading r = {.last = HTTP1_NEEDS_MORE};
    size_t to = 0;
    http1_response_init(&r.response);
    while (r.last == HTTP1_NEEDS_MORE && to < text.len) {
        to = to + n < text.len ? to + n : text.len;
        struct str input = {text.ptr + r.n_taken, to - r.n_taken};
        take_all(&r, &input);
        r.n_taken = to - input.len;
    }
    if (r.last == HTTP1_NEEDS_MORE) {
        r.last = http1_response_close(&r.response);
    }
    return r;
}

static void check(const struct reading *r, struct str text)
{
    REQUIRE(r->last == HTTP1_END || r->last == HTTP1_BROKEN);
    REQUIRE((r->last == HTTP1_BROKEN) == (r->response.error[0] != '\0'));
    REQUIRE(r->n_line_bytes + r->n_body_bytes <= text.len);
    REQUIRE(r->response.head_bytes <= HTTP1_HEAD_BYTES_MAX);
    if (r->last == HTTP1_END) {
        REQUIRE(r->response.status >= 200 && r->response.status <= 999);
        REQUIRE(r->n_lines >= 2);
    } else {
        REQUIRE(!http1_response_keeps(&r->response));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct str text = {(const char *)data + 1, size - 1};
    struct reading whole = read_in_pieces(text, text.len + 1);
    struct reading cut = read_in_pieces(text, (size_t)data[0] + 1);
    check(&whole, text);
    check(&cut, text);
    REQUIRE(whole.last == cut.last);
    REQUIRE(whole.n_lines == cut.n_lines && whole.n_body_bytes == cut.n_body_bytes);
    REQUIRE(whole.sum == cut.sum);
    REQUIRE(http1_response_keeps(&whole.response) == http1_response_keeps(&cut.response));
    return 0;
}
