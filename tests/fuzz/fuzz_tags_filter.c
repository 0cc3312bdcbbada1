/* SPDX-License-Identifier: MIT */
/* The first line of an input is a filter, the rest tags. "not" in front of a filter matches what it
 * does not. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/json_span.h"
#include "hub/tags_filter.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static bool is_tags(struct str text)
{
    return json_check(text, NULL) == STATUS_OK && json_kind(json_trim(text)) == JSON_KIND_OBJECT;
}

static void not_is_the_opposite(struct str json, struct str tags, bool is_match)
{
    struct buf text;
    struct tags_filter *filter = NULL;

    buf_init(&text, json.len + 100);
    buf_literal(&text, "{\"op\":\"not\",\"nodes\":[");
    buf_append(&text, json);
    buf_literal(&text, "]}");
    if (tags_filter_create(buf_str(&text), &filter) == STATUS_OK) { /* it may be too deep now */
        REQUIRE(tags_filter_matches(filter, tags) != is_match);
    }
    tags_filter_destroy(filter);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    ptrdiff_t line_end = str_find(input, '\n');
    struct str json = line_end < 0 ? input : str_head(input, (size_t)line_end);
    struct str tags = line_end < 0 ? STR_EMPTY : str_tail(input, (size_t)(line_end + 1));
    struct tags_filter *filter = NULL;

    if (json_check(json, NULL) != STATUS_OK ||
        tags_filter_create(json_trim(json), &filter) != STATUS_OK) {
        REQUIRE(!filter);
        return 0;
    }
    (void)tags_filter_matches(filter, STR_EMPTY);
    if (is_tags(tags)) {
        not_is_the_opposite(json, json_trim(tags), tags_filter_matches(filter, json_trim(tags)));
    }
    tags_filter_destroy(filter);
    return 0;
}
