/* SPDX-License-Identifier: MIT */
/* The outbox: order over many rounds of the ring, counted bytes, joined takes. */
#include "hub/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void push(struct outbox *o, const char *text)
{
    struct frame *frame = frame_create(str_of(text));
    assert_non_null(frame);
    assert_true(outbox_push(o, frame));
    assert_int_equal(frame->refs, 2);
    frame_unref(frame);
}

static void push_number(struct outbox *o, unsigned number)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", number);
    push(o, text);
}

static void check_take(struct outbox *o, size_t max_bytes, const char *expected)
{
    struct buf text;
    buf_init(&text, 1000);
    assert_true(outbox_take(o, STR(";"), max_bytes, &text));
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.ptr, expected, text.len);
    buf_release(&text);
}

static void an_empty_one_gives_nothing(void **state)
{
    (void)state;
    struct outbox *o = outbox_create();
    struct buf text;
    buf_init(&text, 100);
    assert_true(outbox_is_empty(o));
    assert_int_equal(outbox_bytes(o), 0);
    assert_true(outbox_take(o, STR(";"), 100, &text));
    assert_int_equal(text.len, 0);
    outbox_destroy(o);
    outbox_destroy(NULL);
}

static void keeps_order_over_many_rounds(void **state)
{
    (void)state;
    struct outbox *o = outbox_create();
    unsigned n_pushed = 0;
    unsigned n_taken = 0;
    for (unsigned round = 1; round <= 60; round++) {
        for (unsigned i = 0; i < round; i++) {
            push_number(o, n_pushed++);
        }
        for (unsigned i = 0; i < round - round / 4; i++) {
            char expected[16];
            snprintf(expected, sizeof(expected), "%u", n_taken++);
            check_take(o, 0, expected); /* at least one, at most one */
        }
    }
    assert_false(outbox_is_empty(o));
    while (n_taken < n_pushed) {
        char expected[16];
        snprintf(expected, sizeof(expected), "%u", n_taken++);
        check_take(o, 0, expected);
    }
    assert_true(outbox_is_empty(o));
    assert_int_equal(outbox_bytes(o), 0);
    outbox_destroy(o);
}

static void joins_up_to_the_limit(void **state)
{
    (void)state;
    struct outbox *o = outbox_create();
    push(o, "one");
    push(o, "two");
    push(o, "three");
    push(o, "");
    push(o, "five");
    assert_int_equal(outbox_bytes(o), 15);
    check_take(o, 6, "one");
    check_take(o, 9, "two;three");
    check_take(o, 100, ";five");
    assert_true(outbox_is_empty(o));
    outbox_destroy(o);
}

static void a_message_larger_than_the_limit_goes_alone(void **state)
{
    (void)state;
    struct outbox *o = outbox_create();
    push(o, "large");
    push(o, "x");
    check_take(o, 2, "large");
    check_take(o, 2, "x");
    outbox_destroy(o);
}

static void takes_behind_what_is_there(void **state)
{
    (void)state;
    struct outbox *o = outbox_create();
    push(o, "a");
    push(o, "b");
    struct buf text;
    buf_init(&text, 100);
    buf_literal(&text, "headroom");
    assert_true(outbox_take(o, STR(";"), 100, &text));
    assert_int_equal(text.len, 11);
    assert_memory_equal(text.ptr, "headrooma;b", 11);
    buf_release(&text);
    outbox_destroy(o);
}

static void a_full_text_moves_nothing(void **state)
{
    (void)state;
    struct outbox *o = outbox_create();
    push(o, "12345678");
    struct buf text;
    buf_init(&text, 7);
    assert_false(outbox_take(o, STR(";"), 100, &text));
    assert_int_equal(text.len, 0);
    assert_int_equal(outbox_bytes(o), 8);
    buf_init(&text, 12);
    push(o, "abcdefgh");
    assert_true(outbox_take(o, STR(";"), 100, &text)); /* the first one still went */
    assert_int_equal(text.len, 8);
    assert_int_equal(outbox_bytes(o), 8);
    buf_release(&text);
    outbox_destroy(o);
}

static void drops_references_at_the_end(void **state)
{
    (void)state;
    struct outbox *o = outbox_create();
    struct frame *frame = frame_create(STR("shared"));
    assert_non_null(frame);
    assert_true(outbox_push(o, frame));
    assert_true(outbox_push(o, frame));
    assert_int_equal(frame->refs, 3);
    outbox_destroy(o);
    assert_int_equal(frame->refs, 1);
    frame_unref(frame);
    frame_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_gives_nothing),
        cmocka_unit_test(keeps_order_over_many_rounds),
        cmocka_unit_test(joins_up_to_the_limit),
        cmocka_unit_test(a_message_larger_than_the_limit_goes_alone),
        cmocka_unit_test(takes_behind_what_is_there),
        cmocka_unit_test(a_full_text_moves_nothing),
        cmocka_unit_test(drops_references_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
