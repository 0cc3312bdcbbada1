/* SPDX-License-Identifier: MIT */
/* The heads of an answer as an upstream sends them: lines as libcurl cuts them. Texts that come out
 * stand in the lines and are of one line; numbers are within their bounds; after the end of the
 * head nothing changes any more. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "upstreams/response_head.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static struct response_head head;

static void check_text(struct str whole, struct str text)
{
    REQUIRE(text.len <= RESPONSE_HEAD_TEXT_MAX);
    REQUIRE(text.len == 0 || str_find_text(whole, text) >= 0);
    REQUIRE(text.len == 0 || str_trim(text).len == text.len);
    REQUIRE(str_find(text, '\n') < 0);
}

static void check_head(struct str whole, const struct fetch_head *h)
{
    check_text(whole, h->etag);
    check_text(whole, h->last_modified);
    check_text(whole, h->content_type);
    REQUIRE(h->http_status == 0 || (h->http_status >= 200 && h->http_status <= 999));
    REQUIRE(h->max_age_s >= -1 && h->max_age_s <= INT64_C(2147483648));
    REQUIRE(h->retry_after_s >= -1 && h->retry_after_s <= INT64_C(2147483648));
    REQUIRE(h->content_length >= -1);
}

static bool is_same(const struct fetch_head *a, const struct fetch_head *b)
{
    return a->http_status == b->http_status && str_eq(a->etag, b->etag) &&
           str_eq(a->content_type, b->content_type) && a->max_age_s == b->max_age_s &&
           a->retry_after_s == b->retry_after_s && a->content_length == b->content_length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str whole = {(const char *)data, size};
    struct str rest = whole;
    response_head_reset(&head);
    while (rest.len > 0) {
        ptrdiff_t end = str_find(rest, '\n');
        size_t len = end < 0 ? rest.len : (size_t)end + 1;
        bool was_complete = head.is_complete;
        struct fetch_head before = head.head;
        response_head_line(&head, str_head(rest, len));
        REQUIRE(!was_complete || is_same(&before, &head.head));
        check_head(whole, &head.head);
        rest = str_tail(rest, len);
    }
    return 0;
}
