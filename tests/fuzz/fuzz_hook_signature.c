/* SPDX-License-Identifier: MIT */
/* The first line of an input is a signature, the rest a body. No input is signed with the key, so
 * none may pass, but for one that is replayed: what webhook_sign() has made, and GitHub's example.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "hub/webhook_signature.h"
#include "protocols/feed_hooks.h"

#define NOW_S INT64_C(1767225600)

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const struct str key = STR("It's a Secret to Everybody");

static void own_signature_passes_only_for_its_body(struct str body)
{
    char text[WEBHOOK_SIGNATURE_SIZE];
    REQUIRE(webhook_sign(key, NOW_S, body, text) == STATUS_OK);
    REQUIRE(webhook_verify(key, NOW_S, body, str_of(text)) == STATUS_OK);
    REQUIRE(webhook_verify(key, NOW_S, str_tail(body, 1), str_of(text)) ==
            (body.len == 0 ? STATUS_OK : STATUS_UNAUTHORIZED));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str example = STR("Hello, World!");
    struct str input = {(const char *)data, size};
    ptrdiff_t line_end = str_find(input, '\n');
    struct str signature = line_end < 0 ? input : str_head(input, (size_t)line_end);
    struct str body = line_end < 0 ? STR_EMPTY : str_tail(input, (size_t)(line_end + 1));
    const char *why = NULL;

    enum status status = feed_hooks_verify(key, NOW_S, body, signature, STR_EMPTY, &why);
    REQUIRE(status != STATUS_OK && why);
    status = feed_hooks_verify(key, NOW_S, body, STR_EMPTY, signature, &why);
    REQUIRE(status != STATUS_OK || str_eq(body, example));
    own_signature_passes_only_for_its_body(body);
    return 0;
}
