/* SPDX-License-Identifier: MIT */
/* The bodies of POST /emulation, and the table of sessions. What becomes of commands is in
 * e2e/streams_raw.test.mjs. */
#include "protocols/emulation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void check_read(const char *body, const char *session, const char *node, const char *data)
{
    struct emulation_message message;
    struct buf decoded;
    buf_init(&decoded, strlen(body) + 1);
    assert_null(emulation_read(str_of(body), &decoded, &message));
    assert_true(str_eq(message.session, str_of(session)));
    assert_true(str_eq(message.node, str_of(node)));
    assert_true(str_eq(message.data, str_of(data)));
    buf_release(&decoded);
}

static void check_refused(const char *body, const char *expected)
{
    struct emulation_message message;
    struct buf decoded;
    buf_init(&decoded, strlen(body) + 1);
    const char *refusal = emulation_read(str_of(body), &decoded, &message);
    assert_non_null(refusal);
    assert_string_equal(refusal, expected);
    buf_release(&decoded);
}

static void commands_come_as_a_text(void **state)
{
    (void)state;
    check_read("{\"session\":\"s\",\"node\":\"n\",\"data\":\"{}\"}", "s", "n", "{}");
    check_read(" {\"data\":\"{\\\"id\\\":2}\\n{\\\"id\\\":3}\",\"x\":[1],\"node\":\"n\","
               "\"session\":\"s\"} ",
               "s", "n", "{\"id\":2}\n{\"id\":3}");
    check_read("{\"session\":\"\",\"node\":\"\",\"data\":\"\"}", "", "", "");
}

/* Decoding one must not move another. */
static void every_text_may_have_escapes(void **state)
{
    (void)state;
    check_read(
        "{\"session\":\"\\u0061aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
        "\"node\":\"\\u0062bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\","
        "\"data\":\"\\u00e4\\ud83d\\ude00cccccccccccccccccccccccccccccccccccccccccccccccc\"}",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        "\xc3\xa4\xf0\x9f\x98\x80"
        "cccccccccccccccccccccccccccccccccccccccccccccccc");
}

static void what_is_no_such_object_is_refused(void **state)
{
    (void)state;
    static const char malformed[] = "malformed JSON\n";
    static const char wrong[] = "expected an object with the texts session, node and data\n";
    check_refused("", malformed);
    check_refused("{\"session\":\"s\"", malformed);
    check_refused("{\"session\":\"\\ud800\",\"node\":\"n\",\"data\":\"\"}", malformed);
    check_refused("[]", wrong);
    check_refused("{}", wrong);
    check_refused("{\"session\":\"s\",\"node\":\"n\"}", wrong);
    check_refused("{\"session\":\"s\",\"node\":\"n\",\"data\":{}}", wrong);
    check_refused("{\"session\":null,\"node\":\"n\",\"data\":\"\"}", wrong);
    check_refused("{\"session\":\"s\",\"session\":\"t\",\"node\":\"n\",\"data\":\"\"}", wrong);
}

static void every_session_has_an_id_of_its_own(void **state)
{
    (void)state;
    struct emulation emulation = {.waiting_max_bytes = 1};
    struct centrifuge_session sessions[3] = {{.client = NULL}};
    struct emulation_entry *entries[3];
    for (size_t i = 0; i < 3; i++) {
        entries[i] = emulation_enter(&emulation, &sessions[i]);
        assert_non_null(entries[i]);
        assert_int_equal(strlen(emulation_session_id(entries[i])), 36);
    }
    assert_string_not_equal(emulation_session_id(entries[0]), emulation_session_id(entries[1]));
    emulation_leave(&emulation, entries[1]);
    emulation_leave(&emulation, entries[0]);
    assert_non_null(emulation.entries);
    emulation_leave(&emulation, entries[2]);
    assert_null(emulation.entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_come_as_a_text),
        cmocka_unit_test(every_text_may_have_escapes),
        cmocka_unit_test(what_is_no_such_object_is_refused),
        cmocka_unit_test(every_session_has_an_id_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
