/* SPDX-License-Identifier: MIT */
/* Any text as a configuration, against a shape with a field of every type. The object must be
 * filled and every complaint must be one clean line, whatever the text. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/config.h"
#include "base/utf8.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct inner {
    int64_t n;
    char *s;
    struct config_list pairs;
};

struct outer {
    bool b;
    int choice;
    int64_t duration_ms;
    struct config_list strings;
    struct inner inner;
    struct config_list list;
};

static void check_inner(struct config_reader *reader, void *object)
{
    const struct inner *inner = object;

    REQUIRE(inner->n >= -5 && inner->n <= 99);
    if (inner->s[0] == 'x') {
        config_complain(reader, "s", NULL, "a text that does not begin with x");
    }
}

static void check_outer(struct config_reader *reader, void *object)
{
    const struct outer *outer = object;

    REQUIRE(outer->choice == 0 || outer->choice == 1);
    if (outer->list.n_items > 1) {
        config_complain_item(reader, "list", 1, "n", NULL, "alone");
    }
}

static const struct config_field inner_fields[] = {
    {.key = "n", .type = CONFIG_INT, .offset = offsetof(struct inner, n), .min = -5, .max = 99},
    {.key = "s",
     .type = CONFIG_STRING,
     .offset = offsetof(struct inner, s),
     .fallback = "",
     .min = 2,
     .max = 20},
    {.key = "pairs", .type = CONFIG_PAIRS, .offset = offsetof(struct inner, pairs), .secret = true},
};
static const struct config_shape inner_shape = {.size = sizeof(struct inner),
                                                .fields = inner_fields,
                                                .n_fields = 3,
                                                .check = check_inner,
                                                .release = NULL};

static const char *const choices[] = {"one", "two", NULL};

static const struct config_field outer_fields[] = {
    {.key = "b", .type = CONFIG_BOOL, .offset = offsetof(struct outer, b), .fallback = "true"},
    {.key = "choice",
     .type = CONFIG_CHOICE,
     .offset = offsetof(struct outer, choice),
     .fallback = "two",
     .choices = choices},
    {.key = "duration",
     .type = CONFIG_DURATION,
     .offset = offsetof(struct outer, duration_ms),
     .fallback = "1m"},
    {.key = "strings", .type = CONFIG_STRINGS, .offset = offsetof(struct outer, strings)},
    {.key = "inner",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct outer, inner),
     .shape = &inner_shape},
    {.key = "list",
     .type = CONFIG_LIST,
     .offset = offsetof(struct outer, list),
     .shape = &inner_shape},
};
static const struct config_shape outer_shape = {.size = sizeof(struct outer),
                                                .fields = outer_fields,
                                                .n_fields = 6,
                                                .check = check_outer,
                                                .release = NULL};

static void require_clean_line(struct str text)
{
    REQUIRE(text.len > 0 && utf8_valid(text));
    for (size_t i = 0; i < text.len; i++) {
        REQUIRE((unsigned char)text.ptr[i] >= 0x20);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct outer outer;
    struct config_errors errors;
    enum status status = config_read(text, &outer_shape, &outer, &errors);

    REQUIRE((status == STATUS_OK) == (errors.n_texts == 0));
    REQUIRE(status == STATUS_OK || status == STATUS_INVALID);
    for (size_t i = 0; i < errors.n_texts; i++) {
        require_clean_line(str_of(errors.texts[i]));
    }
    REQUIRE(outer.inner.s);
    for (size_t i = 0; i < outer.list.n_items; i++) {
        REQUIRE(((struct inner *)outer.list.items)[i].s);
    }
    config_errors_release(&errors);
    config_release(&outer_shape, &outer);
    return 0;
}
