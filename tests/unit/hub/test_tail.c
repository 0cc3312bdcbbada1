/* SPDX-License-Identifier: MIT */
/* The tail: limits of count and bytes, gaps, both ends, and what lies after an offset. */
#include "hub/tail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define MANY SIZE_MAX

static struct publication *make(uint64_t offset)
{
    char data[32];
    snprintf(data, sizeof(data), "%08u", (unsigned)offset);
    struct publication *p = publication_create(str_of(data), STR_EMPTY, STR_EMPTY);
    assert_non_null(p);
    p->offset = offset;
    return p;
}

static void push(struct tail *t, uint64_t offset, size_t max_items, size_t max_bytes)
{
    struct publication *p = make(offset);
    tail_push(t, p, max_items, max_bytes);
    publication_unref(p);
}

static bool push_front(struct tail *t, uint64_t offset, size_t max_items, size_t max_bytes)
{
    struct publication *p = make(offset);
    bool is_taken = tail_push_front(t, p, max_items, max_bytes);
    publication_unref(p);
    return is_taken;
}

/* first 0: an empty tail. */
static void check_tail(const struct tail *t, uint64_t first, size_t n)
{
    size_t n_bytes = 0;
    assert_int_equal(t->n_items, n);
    for (size_t i = 0; i < n; i++) {
        const struct publication *p = t->items[t->head + i];
        assert_int_equal(p->offset, first + i);
        n_bytes += publication_size(p);
    }
    assert_int_equal(t->n_bytes, n_bytes);
}

static void check_since(const struct tail *t, uint64_t since, uint64_t top, bool reaches, size_t n)
{
    struct publication *const *items;
    size_t n_items;
    assert_int_equal(tail_since(t, since, top, &items, &n_items), reaches);
    if (!reaches) {
        return;
    }
    assert_int_equal(n_items, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(items[i]->offset, since + 1 + i);
    }
}

static void keeps_at_most_the_newest_items(void **state)
{
    (void)state;
    struct tail t = {0};
    for (uint64_t i = 1; i <= 1000; i++) {
        push(&t, i, 10, MANY);
        check_tail(&t, i < 10 ? 1 : i - 9, i < 10 ? i : 10);
    }
    assert_true(t.capacity < 100); /* the array wanders, it does not grow for ever */
    tail_release(&t);
    check_tail(&t, 0, 0);
}

static void keeps_at_most_so_many_bytes_but_always_one(void **state)
{
    (void)state;
    struct tail t = {0};
    struct publication *p = make(1);
    size_t one = publication_size(p);
    publication_unref(p);
    for (uint64_t i = 1; i <= 5; i++) {
        push(&t, i, MANY, 3 * one);
    }
    check_tail(&t, 3, 3);
    push(&t, 6, MANY, 3 * one - 1);
    check_tail(&t, 5, 2);
    push(&t, 7, MANY, 0);
    check_tail(&t, 7, 1);
    push(&t, 8, 0, MANY);
    check_tail(&t, 8, 1);
    tail_release(&t);
}

static void a_gap_empties_it_first(void **state)
{
    (void)state;
    struct tail t = {0};
    push(&t, 1, MANY, MANY);
    push(&t, 2, MANY, MANY);
    push(&t, 4, MANY, MANY);
    check_tail(&t, 4, 1);
    push(&t, 4, MANY, MANY); /* the same again is no successor either */
    check_tail(&t, 4, 1);
    push(&t, 1, MANY, MANY); /* a new epoch */
    check_tail(&t, 1, 1);
    tail_release(&t);
}

static void older_ones_go_in_front(void **state)
{
    (void)state;
    struct tail t = {0};
    for (uint64_t i = 100; i > 0; i--) {
        assert_true(push_front(&t, i, MANY, MANY));
        check_tail(&t, i, 101 - i);
    }
    push(&t, 101, MANY, MANY);
    check_tail(&t, 1, 101);
    tail_release(&t);
}

static void in_front_only_what_fits(void **state)
{
    (void)state;
    struct tail t = {0};
    push(&t, 10, MANY, MANY);
    assert_false(push_front(&t, 8, MANY, MANY));
    assert_false(push_front(&t, 10, MANY, MANY));
    assert_false(push_front(&t, 11, MANY, MANY));
    assert_true(push_front(&t, 9, 2, MANY));
    assert_false(push_front(&t, 8, 2, MANY));
    assert_true(push_front(&t, 8, 3, t.n_bytes / 2 * 3));
    assert_false(push_front(&t, 7, MANY, t.n_bytes / 3 * 4 - 1));
    check_tail(&t, 8, 3);
    tail_release(&t);
}

/* Ends that grow in turn move the memory in all ways. */
static void both_ends_in_turn(void **state)
{
    (void)state;
    struct tail t = {0};
    push(&t, 1000, MANY, MANY);
    for (uint64_t i = 1; i <= 300; i++) {
        assert_true(push_front(&t, 1000 - i, MANY, MANY));
        push(&t, 1000 + i, MANY, MANY);
        check_tail(&t, 1000 - i, 2 * i + 1);
    }
    for (uint64_t i = 301; i <= 900; i++) {
        push(&t, 1000 + i, 50, MANY);
        check_tail(&t, 951 + i, 50);
    }
    tail_release(&t);
}

static void finds_what_comes_after_an_offset(void **state)
{
    (void)state;
    struct tail t = {0};
    check_since(&t, 0, 0, true, 0);
    check_since(&t, 5, 5, true, 0);
    check_since(&t, 4, 5, false, 0);
    for (uint64_t i = 1; i <= 20; i++) {
        push(&t, i, 10, MANY);
    }
    check_since(&t, 20, 20, true, 0);
    check_since(&t, 19, 20, true, 1);
    check_since(&t, 10, 20, true, 10);
    check_since(&t, 9, 20, false, 0);
    check_since(&t, 0, 20, false, 0);
    check_since(&t, 21, 20, false, 0);
    check_since(&t, UINT64_MAX, 20, false, 0);
    check_since(&t, 15, 21, false, 0); /* the tail does not reach the top */
    tail_release(&t);
}

/* An empty tail takes any publication, also in front: the newest is kept whatever its size. */
static void the_first_always_fits(void **state)
{
    (void)state;
    struct tail t = {0};
    assert_true(push_front(&t, 7, 0, 0));
    check_tail(&t, 7, 1);
    assert_false(push_front(&t, 6, MANY, 1));
    tail_release(&t);
}

static void shrinks_to_nothing_if_need_be(void **state)
{
    (void)state;
    struct tail t = {0};
    tail_shrink(&t, 100);
    assert_int_equal(tail_memory(&t), 0);
    for (uint64_t i = 1; i <= 5; i++) {
        push(&t, i, MANY, MANY);
    }
    size_t one = t.n_bytes / 5;
    assert_int_equal(tail_memory(&t), 5 * one + t.capacity * sizeof(struct publication *));
    tail_shrink(&t, 0);
    check_tail(&t, 1, 5);
    tail_shrink(&t, 1);
    check_tail(&t, 2, 4);
    tail_shrink(&t, one);
    check_tail(&t, 3, 3);
    tail_shrink(&t, one + 1);
    check_tail(&t, 5, 1);
    assert_int_equal(tail_first_offset(&t), 5);
    tail_shrink(&t, 1);
    check_tail(&t, 0, 0);
    assert_int_equal(tail_memory(&t), 0);
}

static void holds_references(void **state)
{
    (void)state;
    struct tail t = {0};
    struct publication *p = make(1);
    tail_push(&t, p, MANY, MANY);
    assert_int_equal(p->refs, 2);
    push(&t, 2, 1, MANY);
    assert_int_equal(p->refs, 1);
    assert_true(tail_push_front(&t, p, MANY, MANY));
    assert_int_equal(p->refs, 2);
    tail_release(&t);
    assert_int_equal(p->refs, 1);
    publication_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_at_most_the_newest_items),
        cmocka_unit_test(keeps_at_most_so_many_bytes_but_always_one),
        cmocka_unit_test(a_gap_empties_it_first),
        cmocka_unit_test(older_ones_go_in_front),
        cmocka_unit_test(in_front_only_what_fits),
        cmocka_unit_test(both_ends_in_turn),
        cmocka_unit_test(finds_what_comes_after_an_offset),
        cmocka_unit_test(the_first_always_fits),
        cmocka_unit_test(shrinks_to_nothing_if_need_be),
        cmocka_unit_test(holds_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
