/* SPDX-License-Identifier: MIT */
/* Trace contexts: which are read, and what upstreams are told of them. */
#include "hub/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define ID     "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00-" ID "-00f067aa0ba902b7-01"

static void lines_have_the_trace_and_another_parent(void **state)
{
    (void)state;
    struct trace trace;
    char place[2][TRACE_LINES_SIZE];
    struct str lines[2], others[2];
    assert_true(trace_read(STR(PARENT), STR("congo=t61rcWkgMzE,rojo=1"), &trace));
    assert_int_equal(trace_lines(&trace, place[0], lines), 2);
    assert_int_equal(trace_lines(&trace, place[1], others), 2);
    assert_int_equal(lines[0].len, strlen("traceparent: ") + TRACE_PARENT_BYTES);
    assert_true(str_starts_with(lines[0], STR("traceparent: 00-" ID "-")));
    assert_true(str_eq(str_tail(lines[0], lines[0].len - 3), STR("-01")));
    assert_true(str_eq(lines[1], STR("tracestate: congo=t61rcWkgMzE,rojo=1")));
    assert_false(str_eq(lines[0], others[0]));
    struct trace again;
    assert_true(trace_read(str_tail(lines[0], strlen("traceparent: ")), STR_EMPTY, &again));
    assert_string_equal(again.id, ID);
    assert_int_equal(trace_lines(&again, place[0], lines), 1);
}

static void what_is_no_parent(void **state)
{
    (void)state;
    const char *const others[] = {
        "",
        "00",
        "00-" ID "-00f067aa0ba902b7-0",
        PARENT "-more",
        PARENT "0",
        "ff-" ID "-00f067aa0ba902b7-01",
        "0g-" ID "-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-" ID "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00_" ID "-00f067aa0ba902b7-01",
        "00-" ID "_00f067aa0ba902b7-01",
        "00-" ID "-00f067aa0ba902b7_01",
        "cc-" ID "-00f067aa0ba902b7-01x",
    };
    struct trace trace;
    char place[TRACE_LINES_SIZE];
    struct str lines[2];
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (trace_read(str_of(others[i]), STR("a=b"), &trace)) {
            fail_msg("%s is read", others[i]);
        }
        assert_int_equal(trace_lines(&trace, place, lines), 0);
    }
    assert_true(trace_read(STR("cc-" ID "-00f067aa0ba902b7-01-more"), STR_EMPTY, &trace));
}

static void states(void **state)
{
    (void)state;
    struct trace trace;
    char text[TRACE_STATE_MAX_BYTES + 1];
    memset(text, 'x', sizeof(text));
    assert_true(trace_read(STR(PARENT), (struct str){text, TRACE_STATE_MAX_BYTES}, &trace));
    assert_int_equal(strlen(trace.state), TRACE_STATE_MAX_BYTES);
    char place[TRACE_LINES_SIZE];
    struct str lines[2];
    assert_int_equal(trace_lines(&trace, place, lines), 2);
    assert_int_equal(lines[1].len, strlen("tracestate: ") + TRACE_STATE_MAX_BYTES);
    assert_true(trace_read(STR(PARENT), (struct str){text, sizeof(text)}, &trace));
    assert_string_equal(trace.state, "");
    assert_true(trace_read(STR(PARENT), STR("a=b\r\nX-Other: c"), &trace));
    assert_string_equal(trace.state, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_the_trace_and_another_parent),
        cmocka_unit_test(what_is_no_parent),
        cmocka_unit_test(states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
