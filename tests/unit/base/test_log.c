/* SPDX-License-Identifier: MIT */
/* The log: levels, the form of a line, and that no value can forge another line or field. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json_span.h"

static char written[65536];

/* stderr goes to a file in memory between these two. */
static int capture_begin(int *ret_file)
{
    int saved = dup(STDERR_FILENO);

    *ret_file = memfd_create("log", 0);
    assert_true(saved >= 0 && *ret_file >= 0);
    assert_int_equal(dup2(*ret_file, STDERR_FILENO), STDERR_FILENO);
    return saved;
}

static const char *capture_end(int saved, int file)
{
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    ssize_t n = pread(file, written, sizeof(written) - 1, 0);
    (void)close(file);
    assert_true(n >= 0);
    written[n] = '\0';
    return written;
}

/* The line of one event with one value, without the time and the newline. */
static char *line_of(struct str value)
{
    int file;
    int saved = capture_begin(&file);

    log_info("test", "event", log_str("v", value));
    char *text = (char *)(uintptr_t)capture_end(saved, file);
    size_t len = strlen(text);
    assert_true(len > 25 && text[len - 1] == '\n');
    text[len - 1] = '\0';
    assert_null(strchr(text, '\n'));
    return text + 25;
}

static void form_of_a_line(void **state)
{
    int file;
    int saved = capture_begin(&file);

    (void)state;
    log_info("server", "listening", log_s("address", "127.0.0.1"), log_i("port", 8000),
             log_i("least", INT64_MIN));
    log_warn("server", "nothing");
    const char *text = capture_end(saved, file);
    assert_int_equal(text[4], '-');
    assert_int_equal(text[10], 'T');
    assert_int_equal(text[19], '.');
    assert_int_equal(text[23], 'Z');
    text += 24;
    const char *first = " info server listening address=127.0.0.1 port=8000 "
                        "least=-9223372036854775808\n";
    assert_memory_equal(text, first, strlen(first));
    assert_string_equal(text + strlen(first) + 24, " warn server nothing\n");
}

static void quoting(void **state)
{
    (void)state;
    assert_string_equal(line_of(STR("plain/1:2,3")), "info test event v=plain/1:2,3");
    assert_string_equal(line_of(STR_EMPTY), "info test event v=\"\"");
    assert_string_equal(line_of(STR("a b")), "info test event v=\"a b\"");
    assert_string_equal(line_of(STR("a=b")), "info test event v=\"a=b\"");
    assert_string_equal(line_of(STR("say \"\\\"")), "info test event v=\"say \\\"\\\\\\\"\"");
    assert_string_equal(line_of(STR("a\nb")), "info test event v=\"a\\nb\"");
    assert_string_equal(line_of(STR("\x1b[31m\x7f")), "info test event v=\"\\x1b[31m\\x7f\"");
    assert_string_equal(line_of(STR("\0")), "info test event v=\"\\x00\"");
    assert_string_equal(line_of(STR("gr\xc3\xbc\xc3\x9f")),
                        "info test event v=\"gr\xc3\xbc\xc3\x9f\"");
    assert_string_equal(line_of(STR("\xc2\x9b"
                                    "2J")),
                        "info test event v=\"\\xc2\\x9b2J\"");
    assert_string_equal(line_of(STR("a\xff")), "info test event v=\"a\\xff\"");
}

static void no_bytes_forge_a_line(void **state)
{
    char all[256];

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (char)i;
    }
    const char *text = line_of((struct str){all, sizeof(all)});
    for (; *text; text++) {
        assert_true((unsigned char)*text >= 0x20 && (unsigned char)*text < 0x7f);
    }
}

static void long_values_are_cut(void **state)
{
    static char value[100000];

    (void)state;
    memset(value, 'x', sizeof(value));
    const char *text = line_of((struct str){value, sizeof(value)});
    assert_in_range(strlen(text), 1000, 4096);
    assert_string_equal(text + strlen(text) - 5, "x...\"");

    for (size_t i = 0; i + 1 < sizeof(value); i += 2) {
        memcpy(value + i, "\xc3\xbc", 2);
    }
    for (size_t skip = 0; skip < 2; skip++) { /* one of them cuts inside a character */
        value[0] = 'x';
        value[1] = 'x';
        text = line_of((struct str){value + skip, sizeof(value) - skip});
        assert_null(strstr(text, "\\x"));
    }
}

static void many_values_are_cut(void **state)
{
    static char value[900];
    struct str v = {value, sizeof(value)};
    int file;

    (void)state;
    for (size_t fill = 0; fill < 60; fill++) { /* the end of the line at every kind of place */
        memset(value, fill % 2 ? '\n' : 'y', sizeof(value));
        v.len = sizeof(value) - fill;
        int saved = capture_begin(&file);
        log_info("test", "event", log_str("a", v), log_str("b", v), log_str("c", v),
                 log_str("d", v), log_str("e", v), log_i("f", 1), log_str("g", v));
        const char *text = capture_end(saved, file);
        assert_in_range(strlen(text), 4000, 4096);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        assert_non_null(strstr(text, "..."));
    }
}

static void many_fields_are_cut(void **state)
{
    struct log_field fields[300];
    int file;

    (void)state;
    for (size_t i = 0; i < 300; i++) {
        fields[i] = log_s("key", "quoted value");
    }
    int saved = capture_begin(&file);
    log_write(LOG_INFO, "test", "event", fields, 300);
    const char *text = capture_end(saved, file);
    assert_in_range(strlen(text), 4000, 4096);
    assert_string_equal(text + strlen(text) - 6, "\" ...\n");
}

static void levels(void **state)
{
    enum log_level level = LOG_NONE;
    int file;

    (void)state;
    assert_true(log_level_of(STR("debug"), &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_true(log_level_of(STR("none"), &level));
    assert_int_equal(level, LOG_NONE);
    assert_false(log_level_of(STR("Info"), &level));
    assert_false(log_level_of(STR_EMPTY, &level));

    assert_false(log_enabled(LOG_DEBUG));
    assert_true(log_enabled(LOG_INFO));
    log_set_level(LOG_NONE);
    int saved = capture_begin(&file);
    log_error("test", "silent");
    assert_string_equal(capture_end(saved, file), "");
    assert_false(log_enabled(LOG_NONE));
    log_set_level(LOG_TRACE);
    assert_true(log_enabled(LOG_TRACE));
    log_set_level(LOG_INFO);
}

static void one_line_in_an_interval_is_permitted(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    assert_true(log_permits(&limit));
    assert_false(log_permits(&limit));
    assert_false(log_permits(&limit));
    limit.next_ms = 0; /* the interval is over */
    assert_true(log_permits(&limit));
    assert_int_equal(limit.n_left_out, 2);
    limit.next_ms = 0;
    assert_true(log_permits(&limit));
    assert_int_equal(limit.n_left_out, 0);
}

/* --- as JSON --- */

static void form_of_a_json_line(void **state)
{
    int file;
    (void)state;
    log_set_format(LOG_JSON);
    int saved = capture_begin(&file);
    log_info("server", "listening", log_s("address", "::1"), log_i("port", -8000));
    const char *text = capture_end(saved, file);
    log_set_format(LOG_TEXT);
    assert_memory_equal(text, "{\"time\":\"2", 10);
    assert_string_equal(text + 33, "\",\"level\":\"info\",\"module\":\"server\",\"event\":"
                                   "\"listening\",\"address\":\"::1\",\"port\":-8000}\n");
}

/* The value of member v of the line, as JSON; the line is one JSON object. */
static const char *json_value_of(struct str value)
{
    static char text[8192];
    struct str found;
    int file;
    log_set_format(LOG_JSON);
    int saved = capture_begin(&file);
    log_info("test", "event", log_str("v", value));
    const char *line = capture_end(saved, file);
    log_set_format(LOG_TEXT);
    struct str whole = str_head(str_of(line), strlen(line) - 1);
    assert_int_equal(json_check(whole, NULL), STATUS_OK);
    assert_true(json_member(whole, STR("v"), &found));
    (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(found));
    return text;
}

static void json_values(void **state)
{
    (void)state;
    assert_string_equal(json_value_of(STR("plain")), "\"plain\"");
    assert_string_equal(json_value_of(STR_EMPTY), "\"\"");
    assert_string_equal(json_value_of(STR("a \"b\" \\ c")), "\"a \\\"b\\\" \\\\ c\"");
    assert_string_equal(json_value_of(STR("a\nb\x7f")), "\"a\\u000ab\\u007f\"");
    assert_string_equal(json_value_of(STR("\xc2\x9b")), "\"\\u009b\"");
    assert_string_equal(json_value_of(STR("gr\xc3\xbc")), "\"gr\xc3\xbc\"");
    assert_string_equal(json_value_of(STR("a\xff\xc3")), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void long_json_lines_stay_json(void **state)
{
    static char value[3000];
    struct log_field fields[300];
    int file;
    (void)state;
    for (size_t fill = 0; fill < 120; fill++) { /* the end of the line at every kind of place */
        memset(value, fill % 3 == 0 ? '\n' : fill % 3 == 1 ? 'y' : (char)0xff, sizeof(value));
        for (size_t i = 0; i < 300; i++) {
            fields[i] = log_str("key", (struct str){value, i < 3 ? 900 + fill : fill});
        }
        log_set_format(LOG_JSON);
        int saved = capture_begin(&file);
        log_write(LOG_INFO, "test", "event", fields, 300);
        const char *text = capture_end(saved, file);
        log_set_format(LOG_TEXT);
        assert_in_range(strlen(text), 3000, 4096);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        assert_int_equal(json_check(str_head(str_of(text), strlen(text) - 1), NULL), STATUS_OK);
        assert_non_null(strstr(text, "\"cut\":true}"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(form_of_a_line),
        cmocka_unit_test(quoting),
        cmocka_unit_test(no_bytes_forge_a_line),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(many_values_are_cut),
        cmocka_unit_test(many_fields_are_cut),
        cmocka_unit_test(one_line_in_an_interval_is_permitted),
        cmocka_unit_test(levels),
        cmocka_unit_test(form_of_a_json_line),
        cmocka_unit_test(json_values),
        cmocka_unit_test(long_json_lines_stay_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
