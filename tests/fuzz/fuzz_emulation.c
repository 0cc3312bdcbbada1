/* SPDX-License-Identifier: MIT */
/* Any body of POST /emulation. What is taken must be texts that the body has: decoded they are no
 * longer than it, valid UTF-8, and none of them moves while another is decoded. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "base/utf8.h"
#include "protocols/client_head.h"
#include "protocols/cors.h"
#include "protocols/emulation.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A second reading: each text by itself. */
static void require_same(struct str body, struct str name, struct str expected)
{
    struct str value;
    struct buf decoded;
    buf_init(&decoded, body.len + 1);
    REQUIRE(json_member(json_trim(body), name, &value));
    REQUIRE(json_decode_string(value, &decoded) == STATUS_OK);
    REQUIRE(str_eq(buf_str(&decoded), expected));
    REQUIRE(utf8_valid(expected));
    buf_release(&decoded);
}

static void check_emulation(struct str body)
{
    struct emulation_message message;
    struct buf decoded;
    buf_init(&decoded, body.len + 1);
    const char *refusal = emulation_read(body, &decoded, &message);
    if (refusal) {
        REQUIRE(refusal[strlen(refusal) - 1] == '\n');
    } else {
        require_same(body, STR("session"), message.session);
        require_same(body, STR("node"), message.node);
        require_same(body, STR("data"), message.data);
    }
    buf_release(&decoded);
}

/* No origin and no list of headers gets a line of its own into the answer. */
static void check_cors(struct str text)
{
    char glob[] = "*";
    char *globs[] = {glob};
    struct config_list all = {.items = globs, .n_items = 1};
    struct buf out;
    buf_init(&out, 2 * text.len + 1000);
    cors_append(&out, &all, text, text);
    REQUIRE(!buf_failed(&out));
    size_t n_lines = 0;
    for (size_t i = 0; i < out.len; i++) {
        n_lines += out.ptr[i] == '\n';
        REQUIRE((out.ptr[i] == '\n') == (i > 0 && out.ptr[i - 1] == '\r'));
        REQUIRE(out.ptr[i] != '\0');
    }
    REQUIRE(n_lines == 1 || n_lines == 3 || n_lines == 4);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    check_emulation(input);
    check_cors(input);
    struct str found = client_head_find(input, STR("a"));
    REQUIRE(found.len <= input.len && str_find(found, '\0') < 0);
    return 0;
}
