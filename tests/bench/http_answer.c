/* SPDX-License-Identifier: MIT */
/* What does not fit the expected form is refused rather than guessed. */
#include "tests/bench/http_answer.h"

#include "tests/bench/cli.h"

#define MAX_BODY_BYTES (16u << 20)
#define STATUS_AT      9 /* behind "HTTP/1.1 " */

/* The head with its empty line, once it is there. */
static bool find_head(struct str bytes, struct str *ret_head)
{
    const char *end = bytes.len > 0 ? memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4) : NULL;
    if (!end) {
        return false;
    }
    *ret_head = str_head(bytes, (size_t)(end - bytes.ptr) + 4);
    return true;
}

static size_t content_length(struct str head)
{
    struct str name = STR("content-length:");
    struct str rest = head;
    for (ptrdiff_t end; (end = str_find(rest, '\r')) > 0; rest = str_tail(rest, (size_t)end + 2)) {
        struct str line = str_head(rest, (size_t)end);
        uint64_t length;
        if (str_eq_nocase(str_head(line, name.len), name) &&
            str_to_u64(str_trim(str_tail(line, name.len)), &length) && length < MAX_BODY_BYTES) {
            return length;
        }
    }
    fail("an answer without a usable Content-Length: %.*s", STR_ARG(head));
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
    if (!find_head(bytes, &head)) {
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
