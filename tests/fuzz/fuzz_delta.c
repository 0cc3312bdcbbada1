/* SPDX-License-Identifier: MIT */
/* The first line of an input is a base, the rest a target. A patch must make the one of the other,
 * and be a smaller text. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "hub/delta.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static size_t take_number(struct str *s)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
    size_t number = 0;
    const char *digit;
    while (s->len > 0 && s->ptr[0] != '\0' && (digit = strchr(digits, s->ptr[0]))) {
        number = number * 64 + (size_t)(digit - digits);
        *s = str_tail(*s, 1);
    }
    return number;
}

static char take_char(struct str *s)
{
    REQUIRE(s->len > 0);
    char c = s->ptr[0];
    *s = str_tail(*s, 1);
    return c;
}

/* Compares while it goes: the target needs no copy. */
static void take_text(struct str *target, struct str text)
{
    REQUIRE(str_starts_with(*target, text));
    *target = str_tail(*target, text.len);
}

static void apply(struct str base, struct str patch, struct str target)
{
    REQUIRE(take_number(&patch) == target.len);
    REQUIRE(take_char(&patch) == '\n');
    for (;;) {
        size_t n = take_number(&patch);
        char command = take_char(&patch);
        if (command == ';') {
            break;
        }
        REQUIRE(n > 0);
        if (command == '@') {
            size_t at = take_number(&patch);
            REQUIRE(take_char(&patch) == ',');
            REQUIRE(at <= base.len && n <= base.len - at);
            take_text(&target, (struct str){base.ptr + at, n});
        } else {
            REQUIRE(command == ':' && n <= patch.len);
            take_text(&target, str_head(patch, n));
            patch = str_tail(patch, n);
        }
    }
    REQUIRE(patch.len == 0 && target.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    ptrdiff_t line_end = str_find(input, '\n');
    struct str base = line_end < 0 ? STR_EMPTY : str_head(input, (size_t)line_end);
    struct str target = str_tail(input, (size_t)(line_end + 1));
    struct buf patch;

    buf_init(&patch, 2 * size + 100);
    if (delta_make(base, target, &patch)) {
        REQUIRE(patch.len < target.len);
        REQUIRE(utf8_valid(buf_str(&patch)));
        apply(base, buf_str(&patch), target);
    } else {
        REQUIRE(patch.len == 0 && !buf_failed(&patch));
    }
    buf_release(&patch);
    return 0;
}
