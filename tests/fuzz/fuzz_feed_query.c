/* SPDX-License-Identifier: MIT */
/* An input is what stands behind the "?": arguments, with a NUL after each. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "protocols/feed_pages.h"
#include "protocols/feed_query.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What was taken is a checked object of strings in which no name is there twice. */
static void is_object_of_strings(struct str params)
{
    struct json_walk walk = json_walk(params);
    struct str key;
    struct str item;
    REQUIRE(json_check(params, NULL) == STATUS_OK);
    REQUIRE(json_kind(params) == JSON_KIND_OBJECT);
    while (json_next_member(&walk, &key, &item)) {
        struct json_walk behind = walk;
        struct str other;
        struct str ignored;
        REQUIRE(json_kind(item) == JSON_KIND_STRING);
        while (json_next_member(&behind, &other, &ignored)) {
            REQUIRE(!str_eq(other, key));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    struct feed_query query;
    struct buf why;

    buf_init(&why, 1000);
    if (feed_query_read(input, &query, &why) == STATUS_OK) {
        REQUIRE(why.len == 0);
        is_object_of_strings(buf_str(&query.params));
        feed_query_release(&query);
    } else {
        REQUIRE(why.len > 0);
    }
    (void)feed_pages_accepts_events(input);
    (void)feed_pages_has_etag(input, STR("\"etag\""));
    buf_release(&why);
    return 0;
}
