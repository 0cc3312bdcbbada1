/* SPDX-License-Identifier: MIT */
/* UTF-8: every code point is accepted in its one form, everything else is refused. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        char sequence[4];
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        size_t len = utf8_encode(code, sequence);
        struct str s = {sequence, len};
        if (utf8_valid(s) == surrogate || utf8_sequence(s) != (surrogate ? 0 : len)) {
            fail_msg("U+%04X", code);
        }
        if (utf8_valid(str_head(s, len - 1)) && len > 1) {
            fail_msg("U+%04X cut short", code);
        }
    }
}

/* Of all pairs of bytes exactly those are valid that are ASCII or one two-byte sequence. */
static void every_pair(void **state)
{
    unsigned n_valid = 0;

    (void)state;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        char bytes[2] = {(char)(pair >> 8), (char)(pair & 255)};
        n_valid += utf8_valid((struct str){bytes, 2});
    }
    assert_int_equal(n_valid, 128 * 128 + (0x800 - 0x80));
}

static void refused(void **state)
{
    static const struct str texts[] = {
        {"\xc0\x80", 2},
        {"\xe0\x80\x80", 3},
        {"\xe0\x9f\xbf", 3},
        {"\xf0\x80\x80\x80", 4},
        {"\xf0\x8f\xbf\xbf", 4},
        {"\xf4\x90\x80\x80", 4},
        {"\xf5\x80\x80\x80", 4},
        {"\xed\xa0\x80", 3},
        {"\xed\xbf\xbf", 3},
        {"\x80", 1},
        {"\xff", 1},
        {"\xe2\x82", 2},
        {"\xe2\x82x", 3},
        {"\xf0\x9f\x98x", 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(utf8_valid(texts[i]));
        assert_int_equal(utf8_sequence(texts[i]), 0);
    }
    assert_int_equal(utf8_sequence(STR_EMPTY), 0);
}

/* The bad byte lies at every place of the words that are passed over at once. */
static void found_at_every_offset(void **state)
{
    char text[41];

    (void)state;
    assert_true(utf8_valid(STR_EMPTY));
    for (size_t at = 0; at < sizeof(text); at++) {
        memset(text, 'a', sizeof(text));
        assert_true(utf8_valid((struct str){text, sizeof(text)}));
        text[at] = '\x80';
        assert_false(utf8_valid((struct str){text, sizeof(text)}));
        assert_true(utf8_valid((struct str){text, at}));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(every_pair),
        cmocka_unit_test(refused),
        cmocka_unit_test(found_at_every_offset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
