/* SPDX-License-Identifier: MIT */
/* An input is the body of POST /api. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "protocols/api_stream.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What was found good is as many objects as was said, and nothing but blanks between them. */
static void is_objects(struct str rest, size_t n)
{
    const char *end = rest.ptr;
    struct str object;
    for (size_t i = 0; i < n; i++) {
        REQUIRE(api_stream_next(&rest, &object));
        REQUIRE(json_check(object, NULL) == STATUS_OK);
        REQUIRE(json_kind(object) == JSON_KIND_OBJECT);
        REQUIRE(json_trim((struct str){end, (size_t)(object.ptr - end)}).len == 0);
        end = object.ptr + object.len;
    }
    REQUIRE(!api_stream_next(&rest, &object));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    struct api_stream_fault fault = {SIZE_MAX, NULL};
    size_t n = 0;
    enum status status = api_stream_check(input, 5, &n, &fault);
    if (status == STATUS_OK) {
        REQUIRE(n > 0 && n <= 5);
        is_objects(input, n);
    } else if (status == STATUS_INVALID) {
        REQUIRE(fault.offset <= size && fault.expected);
    }
    return 0;
}
