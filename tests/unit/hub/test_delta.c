/* SPDX-License-Identifier: MIT */
/* Patches: what they make of the base is the target, byte for byte; they are texts, smaller than
 * the target; making one is bounded work. The patches are applied by an applier of the test's own,
 * which takes the format at its word. */
#include "hub/delta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/utf8.h"

#define MIB ((size_t)1 << 20)

static struct buf patch;
static struct buf applied;

static int setup(void **state)
{
    (void)state;
    buf_init(&patch, 2 * MIB);
    buf_init(&applied, 2 * MIB);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_release(&patch);
    buf_release(&applied);
    return 0;
}

/* --- the applier --- */

static size_t read_number(struct str *s)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
    size_t number = 0;
    assert_true(s->len > 0 && strchr(digits, s->ptr[0]));
    while (s->len > 0 && s->ptr[0] != '\0' && strchr(digits, s->ptr[0])) {
        number = number * 64 + (size_t)(strchr(digits, s->ptr[0]) - digits);
        *s = str_tail(*s, 1);
    }
    return number;
}

static char read_char(struct str *s)
{
    assert_true(s->len > 0);
    char c = s->ptr[0];
    *s = str_tail(*s, 1);
    return c;
}

static uint32_t sum_of(struct str s)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < s.len; i++) {
        sum += (uint32_t)(unsigned char)s.ptr[i] << (8 * (3 - i % 4));
    }
    return sum;
}

static void apply(struct str base, struct str p)
{
    buf_clear(&applied);
    size_t target_len = read_number(&p);
    assert_int_equal(read_char(&p), '\n');
    for (;;) {
        size_t n = read_number(&p);
        char command = read_char(&p);
        if (command == ';') {
            assert_int_equal(n, sum_of(buf_str(&applied)));
            assert_int_equal(p.len, 0);
            assert_int_equal(applied.len, target_len);
            return;
        }
        assert_true(n > 0);
        if (command == '@') {
            size_t at = read_number(&p);
            assert_int_equal(read_char(&p), ',');
            assert_true(at + n <= base.len);
            buf_append(&applied, (struct str){base.ptr + at, n});
        } else {
            assert_int_equal(command, ':');
            assert_true(n <= p.len);
            assert_true(utf8_valid(str_head(p, n)));
            buf_append(&applied, str_head(p, n));
            p = str_tail(p, n);
        }
    }
}

/* The patch's size; 0: there is none. */
static size_t check(struct str base, struct str target)
{
    buf_clear(&patch);
    buf_literal(&patch, "before");
    if (!delta_make(base, target, &patch)) {
        assert_true(str_eq(buf_str(&patch), STR("before")));
        assert_false(buf_failed(&patch));
        return 0;
    }
    struct str p = str_tail(buf_str(&patch), 6);
    assert_true(p.len < target.len);
    assert_true(utf8_valid(p));
    apply(base, p);
    assert_true(str_eq(buf_str(&applied), target));
    return p.len;
}

/* --- small ones --- */

static void as_others_make_it(void **state)
{
    (void)state;
    struct str base = STR("{\"text\":\"hello world hello world hello world\",\"n\":1}");
    struct str target = STR("{\"text\":\"hello world hello world hello world\",\"n\":2}");
    assert_true(check(base, target) > 0);
    assert_true(str_eq(str_tail(buf_str(&patch), 6), STR("p\nn@0,2:2}jrh9V;")));
}

static void equal_texts(void **state)
{
    (void)state;
    struct str text = STR("{\"text\":\"hello world hello world hello world\",\"n\":1}");
    assert_int_equal(check(text, text), STR("p\np@0,jrh9V;").len);
}

static void none_where_it_would_not_be_smaller(void **state)
{
    (void)state;
    assert_int_equal(check(STR("1"), STR("2")), 0);
    assert_int_equal(check(STR("[1,2,3]"), STR("[1,2,3]")), 0);
    assert_int_equal(check(STR_EMPTY, STR("[1,2,3,4,5,6,7,8,9,10,11,12,13]")), 0);
    assert_int_equal(check(STR("[1,2,3,4,5,6,7,8,9,10,11,12,13]"), STR_EMPTY), 0);
    assert_int_equal(check(STR("\"the quick brown fox jumps over the lazy dog\""),
                           STR("{\"a\":12345,\"b\":67890,\"c\":[1,2,3,4,5,6,7,8]}")),
                     0);
}

static void moved_parts_are_found(void **state)
{
    (void)state;
    struct str base = STR("[\"an early part, which is long enough to be found\","
                          "\"a later part, which is long enough to be found too\"]");
    struct str target = STR("[\"a later part, which is long enough to be found too\",7,"
                            "\"an early part, which is long enough to be found\"]");
    assert_in_range(check(base, target), 1, 40);
}

static void a_number_that_grows_longer(void **state)
{
    (void)state;
    char base[4000] = "[";
    char target[4000] = "[";
    size_t base_len = 1;
    size_t target_len = 1;
    for (int i = 0; i < 60; i++) {
        base_len += (size_t)snprintf(base + base_len, sizeof(base) - base_len,
                                     "{\"city\":\"number %d\",\"value\":%d},", i * i, 9);
        target_len +=
            (size_t)snprintf(target + target_len, sizeof(target) - target_len,
                             "{\"city\":\"number %d\",\"value\":%d},", i * i, i % 10 == 0 ? 10 : 9);
    }
    size_t len = check((struct str){base, base_len}, (struct str){target, target_len});
    assert_in_range(len, 1, 150);
}

/* --- characters --- */

/* Texts that differ in one byte of a character: the bytes before and after it are the same. */
static void no_character_is_divided(void **state)
{
    (void)state;
    static const char *const letters[] = {"\xc3\xa9",
                                          "\xc3\xa8",
                                          "\xd0\xa9",
                                          "\xe2\x82\xac",
                                          "\xe2\x82\xad",
                                          "\xe2\x83\xac",
                                          "\xf0\x9f\x98\x80",
                                          "\xf0\x9f\x98\x81",
                                          "\xf0\x9f\x99\x80",
                                          "\xf0\x9e\x98\x80",
                                          "x"};
    enum { N = sizeof(letters) / sizeof(letters[0]) };
    char base[300];
    char target[300];
    for (size_t i = 0; i < N * N; i++) {
        const char *format = "\"a text of some length before %s and one of some length after %s%s "
                             "with an end that is long enough to be copied\"";
        const char *a = letters[i / N];
        const char *b = letters[i % N];
        snprintf(base, sizeof(base), format, a, a, a);
        snprintf(target, sizeof(target), format, b, a, b);
        assert_in_range(check(str_of(base), str_of(target)), 1, 80);
    }
}

static void none_of_a_text_that_is_not_utf8(void **state)
{
    (void)state;
    struct str base = STR("a text of some length, long enough to be copied in a patch");
    struct str target = STR("a text of some length, long \xff enough to be copied in a patch");
    assert_int_equal(check(base, target), 0);
}

/* --- any --- */

static uint32_t seed;

static uint32_t next_random(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)(seed >> 8) * below >> 24);
}

static void append_random_character(struct buf *out, uint32_t n_kinds)
{
    static const uint32_t first[] = {'a', 'a', '0', 0xe0, 0x20a0, 0x1f600};
    static const uint32_t number[] = {2, 26, 10, 0x20, 0x20, 0x40};
    uint32_t kind = next_random(n_kinds);
    char sequence[4];
    size_t len = utf8_encode(first[kind] + next_random(number[kind]), sequence);
    buf_append(out, (struct str){sequence, len});
}

static size_t character_at(struct str s, size_t at)
{
    while (at > 0 && at < s.len && ((unsigned char)s.ptr[at] & 0xc0) == 0x80) {
        at--;
    }
    return at;
}

/* Stretches of the base in any order, with new characters in between. */
static void edit(struct str base, struct buf *out, uint32_t n_kinds)
{
    uint32_t n_parts = next_random(8);
    size_t at = 0;
    for (uint32_t i = 0; i < n_parts; i++) {
        if (next_random(4) == 0) {
            at = character_at(base, next_random((uint32_t)base.len + 1));
        }
        size_t end = character_at(base, at + next_random((uint32_t)(base.len - at) + 1));
        buf_append(out, (struct str){base.ptr + at, end - at});
        at = end;
        for (uint32_t n = next_random(6); n > 0; n--) {
            append_random_character(out, n_kinds);
        }
    }
    buf_append(out, str_tail(base, at));
}

static void any_edit(void **state)
{
    (void)state;
    struct buf base;
    struct buf target;
    buf_init(&base, MIB);
    buf_init(&target, MIB);
    size_t n_made = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        seed = round * 7919 + 1;
        uint32_t n_kinds = 1 + round % 6;
        buf_clear(&base);
        buf_clear(&target);
        for (uint32_t n = 1 + next_random(600); n > 0; n--) {
            append_random_character(&base, n_kinds);
        }
        edit(buf_str(&base), &target, n_kinds);
        n_made += check(buf_str(&base), buf_str(&target)) > 0;
    }
    assert_true(n_made > 2000);
    buf_release(&base);
    buf_release(&target);
}

/* --- much --- */

static struct str repeated(struct buf *out, const char *text, size_t len)
{
    buf_init(out, 2 * MIB);
    while (out->len < len) {
        buf_append(out, str_of(text));
    }
    out->len = len;
    return buf_str(out);
}

/* Ends within the test's time limit only if the work does not grow with the square. */
static void one_byte_a_million_times(void **state)
{
    (void)state;
    struct buf base;
    struct buf target;
    repeated(&base, "a", 1000000);
    repeated(&target, "a", 1000000);
    assert_in_range(check(buf_str(&base), buf_str(&target)), 1, 40);
    for (size_t i = 0; i < target.len; i += 300) {
        target.ptr[i] = 'b';
    }
    assert_in_range(check(buf_str(&base), buf_str(&target)), 1, 60000);
    for (size_t i = 0; i < target.len; i += 17) {
        target.ptr[i] = 'c';
    }
    (void)check(buf_str(&base), buf_str(&target));
    (void)check(buf_str(&target), buf_str(&base));
    buf_release(&base);
    buf_release(&target);
}

static void the_same_windows_again_and_again(void **state)
{
    (void)state;
    struct buf base;
    struct buf target;
    repeated(&base, "0123456789abcdefx0123456789abcdefyz", MIB);
    repeated(&target, "0123456789abcdef-", MIB);
    (void)check(buf_str(&base), buf_str(&target));
    buf_release(&target);
    repeated(&target, "0123456789abcdez-", MIB);
    (void)check(buf_str(&base), buf_str(&target));
    buf_release(&base);
    buf_release(&target);
}

static void none_of_texts_that_are_too_long(void **state)
{
    (void)state;
    struct buf base;
    struct buf target;
    repeated(&base, "a", MIB);
    repeated(&target, "a", MIB + 1);
    assert_true(check(buf_str(&base), buf_str(&base)) > 0);
    assert_int_equal(check(buf_str(&base), buf_str(&target)), 0);
    assert_int_equal(check(buf_str(&target), buf_str(&base)), 0);
    buf_release(&base);
    buf_release(&target);
}

static void none_where_there_is_no_room(void **state)
{
    (void)state;
    struct str text = STR("a text of some length, long enough to be copied in a patch");
    struct buf small;
    buf_init(&small, 5);
    assert_false(delta_make(text, text, &small));
    assert_int_equal(small.len, 0);
    assert_false(buf_failed(&small));
    buf_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_others_make_it),
        cmocka_unit_test(equal_texts),
        cmocka_unit_test(none_where_it_would_not_be_smaller),
        cmocka_unit_test(moved_parts_are_found),
        cmocka_unit_test(a_number_that_grows_longer),
        cmocka_unit_test(no_character_is_divided),
        cmocka_unit_test(none_of_a_text_that_is_not_utf8),
        cmocka_unit_test(any_edit),
        cmocka_unit_test(one_byte_a_million_times),
        cmocka_unit_test(the_same_windows_again_and_again),
        cmocka_unit_test(none_of_texts_that_are_too_long),
        cmocka_unit_test(none_where_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
