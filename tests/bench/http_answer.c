/* SPDX-License-Identifier: MIT */
/* What does not fit the expected form is refused rather than guessed. */
#include "tests/bench/http_answer.h"

#include "tests/bench/cli.h"
#include "tests/bench/http_head.h"

#define MAX_BODY_BYTES (16u << 20)
#define STATUS_AT      9 /* behind "HTTP/1.1 " */

static size_t content_length(struct str head)
{
    uint64_t length;
    if (!str_to_u64(http_head_value(head, STR("content-length:")), &length) ||
        length >= MAX_BODY_BYTES) {
        fail("an answer without a usable Content-Length: %.*s", STR_ARG(head));
    }
    return length;
}

static int status_of(struct str head)
{
    uint64_t status;
    if (!str_starts_with(head, STR("HTTP/1.1 ")) ||
        !str_to_u64(str_head(str_tail(head, STATUS_AT), 3), &status)) {
        fail("not an answer of HTTP/1.1: %.*s", STR_ARG(head));
    }
    return (int)status;
}

bool http_answer_read(struct str bytes, struct http_answer *ret_answer)
{
    struct str head;
    if (!http_head_read(bytes, &head)) {
        return false;
    }
    size_t length = content_length(head);
    if (bytes.len - head.len < length) {
        return false;
    }
    *ret_answer = (struct http_answer){
        .status = status_of(head),
        .body = str_head(str_tail(bytes, head.len), length),
        .size = head.len + length,
    };
    return true;
}
