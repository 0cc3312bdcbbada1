/* SPDX-License-Identifier: MIT */
/* URL templates: what is accepted, what is refused with which words, and that no value can change
 * anything but its own place. */
#include "upstreams/url_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct url_template *create(const char *text)
{
    struct url_template *t = NULL;
    const char *expected = NULL;
    enum status status = url_template_create(str_of(text), &t, &expected);
    if (status != STATUS_OK) {
        fail_msg("%s: expected %s", text, expected);
    }
    return t;
}

/* The expanded URL, to be freed, or NULL when the values are refused. */
static char *expand(const char *text, const struct str *values)
{
    struct url_template *t = create(text);
    struct buf out;
    buf_init(&out, 1000);
    enum status status = url_template_expand(t, values, &out);
    assert_true(status == STATUS_OK || status == STATUS_INVALID);
    assert_true(status == STATUS_OK || out.len == 0);
    url_template_destroy(t);
    char *url = status == STATUS_OK ? buf_take(&out) : NULL;
    buf_release(&out);
    return url;
}

static void assert_expands(const char *text, struct str value, const char *wanted)
{
    struct str values[] = {value, value, value};
    char *url = expand(text, values);
    if (wanted) {
        assert_non_null(url);
        assert_string_equal(url, wanted);
    } else {
        assert_null(url);
    }
    free(url);
}

static void assert_refused(const char *text, const char *word)
{
    struct url_template *t = NULL;
    const char *expected = NULL;
    assert_int_equal(url_template_create(str_of(text), &t, &expected), STATUS_INVALID);
    assert_null(t);
    assert_non_null(expected);
    if (!strstr(expected, word)) {
        fail_msg("%s: \"%s\" does not say \"%s\"", text, expected, word);
    }
}

static void test_names_come_once_in_order(void **state)
{
    (void)state;
    struct url_template *t = create("http://api.example/{b}/{a}?x={b}&y={_c9}");
    assert_int_equal(url_template_n_names(t), 3);
    assert_true(str_eq(url_template_name(t, 0), STR("b")));
    assert_true(str_eq(url_template_name(t, 1), STR("a")));
    assert_true(str_eq(url_template_name(t, 2), STR("_c9")));
    url_template_destroy(t);
    url_template_destroy(NULL);
}

static void test_each_value_goes_to_its_places(void **state)
{
    (void)state;
    struct str values[] = {STR("one"), STR("two")};
    char *url = expand("https://api.example:8443/{b}/x{a}y?q={b}{a}&r=1", values);
    assert_string_equal(url, "https://api.example:8443/one/xtwoy?q=onetwo&r=1");
    free(url);
    assert_expands("http://h/plain?x=%20", STR_EMPTY, "http://h/plain?x=%20");
    assert_expands("http://h?q={a}", STR("1"), "http://h?q=1");
    assert_expands("http://[::1]:80/{a}", STR("1"), "http://[::1]:80/1");
}

static void test_values_are_encoded(void **state)
{
    (void)state;
    assert_expands("http://h/{a}?q={a}", STR("a b/c?d&e=f#g%h+\xc3\xbc"),
                   "http://h/a%20b%2Fc%3Fd%26e%3Df%23g%25h%2B%C3%BC"
                   "?q=a%20b%2Fc%3Fd%26e%3Df%23g%25h%2B%C3%BC");
    assert_expands("http://h/{a}", STR("AZaz09-._~"), "http://h/AZaz09-._~");
    assert_expands("http://h/{a}", STR("@evil.example:1"), "http://h/%40evil.example%3A1");
    assert_expands("http://h/{a}", STR("{a}"), "http://h/%7Ba%7D");
}

static void test_values_cannot_leave_their_segment(void **state)
{
    (void)state;
    const char *in_path = "http://h/a/{a}/b?q=1";
    assert_expands(in_path, STR(""), NULL);
    assert_expands(in_path, STR("."), NULL);
    assert_expands(in_path, STR(".."), NULL);
    assert_expands(in_path, STR("..."), "http://h/a/.../b?q=1");
    assert_expands(in_path, STR("..%2f"), "http://h/a/..%252f/b?q=1");
    assert_expands("http://h/{a}", STR(".."), NULL);
    assert_expands("http://h/.{a}", STR("."), NULL);
    assert_expands("http://h/%2E{a}", STR("."), NULL);
    assert_expands("http://h/{a}{b}", STR("."), NULL);
    assert_expands("http://h/x{a}", STR(""), "http://h/x");
    assert_expands("http://h/x?q={a}", STR(".."), "http://h/x?q=..");
    assert_expands("http://h/x?q={a}", STR(""), "http://h/x?q=");
    assert_expands("http://h/x?q=/{a}/", STR(".."), "http://h/x?q=/../");
}

static void test_control_characters_are_refused(void **state)
{
    (void)state;
    assert_expands("http://h/x?q={a}", STR("a\nb"), NULL);
    assert_expands("http://h/x?q={a}", STR("a\0b"), NULL);
    assert_expands("http://h/x?q={a}", STR("\x7f"), NULL);
}

static void test_a_full_buffer_is_told(void **state)
{
    (void)state;
    struct url_template *t = create("http://h/{a}");
    struct str value = STR("12345");
    struct buf out;
    buf_init(&out, 13);
    assert_int_equal(url_template_expand(t, &value, &out), STATUS_TOO_LARGE);
    assert_int_equal(out.len, 0);
    buf_release(&out);

    buf_init(&out, 16);
    buf_literal(&out, "<>");
    assert_int_equal(url_template_expand(t, &value, &out), STATUS_OK);
    assert_true(str_eq(buf_str(&out), STR("<>http://h/12345")));
    buf_release(&out);
    url_template_destroy(t);
}

static void test_bad_templates_are_refused(void **state)
{
    (void)state;
    assert_refused("", "absolute");
    assert_refused("/path", "absolute");
    assert_refused("ftp://h/", "http");
    assert_refused("{scheme}://h/", "absolute");
    assert_refused("http://", "host");
    assert_refused("http:///x", "host");
    assert_refused("http://?x", "host");
    assert_refused("http://{host}/x", "places");
    assert_refused("http://h{x}/x", "places");
    assert_refused("http://h:{port}/x", "places");
    assert_refused("http://user@h/", "user");
    assert_refused("http://user:pass@h/", "user");
    assert_refused("http://h:0/", "port");
    assert_refused("http://h:65536/", "port");
    assert_refused("http://h:/", "port");
    assert_refused("http://h\\x/", "host");
    assert_refused("http://h/#f", "fragment");
    assert_refused("http://h/a b", "blanks");
    assert_refused("http://h/a\tb", "blanks");
    assert_refused("http://h/{", "braces");
    assert_refused("http://h/}", "braces");
    assert_refused("http://h/{}", "braces");
    assert_refused("http://h/{9a}", "braces");
    assert_refused("http://h/{-a}", "braces");
    assert_refused("http://h/{a.}", "braces");
    assert_refused("http://h/{.a}", "braces");
    assert_refused("http://h/{a..b}", "braces");
    assert_refused("http://h/{a b}", "blanks");
    assert_refused("http://h/{a", "braces");
    assert_refused("http://h/{{a}}", "braces");
    assert_refused("http://h/{a/b}", "braces");
}

static void test_names_may_have_parts(void **state)
{
    (void)state;
    struct url_template *t = create("http://h/{user.id}?a={user}&b={user-data.0.x_1-}&c={user.id}");
    assert_int_equal(url_template_n_names(t), 3);
    assert_true(str_eq(url_template_name(t, 0), STR("user.id")));
    assert_true(str_eq(url_template_name(t, 1), STR("user")));
    assert_true(str_eq(url_template_name(t, 2), STR("user-data.0.x_1-")));
    url_template_destroy(t);
    assert_expands("http://h/{a-b.c}", STR("x y"), "http://h/x%20y");
}

static void append_places(struct buf *text, int n)
{
    buf_init(text, 10000);
    buf_literal(text, "http://h/?");
    for (int i = 0; i < n; i++) {
        buf_printf(text, "{n%d}{n%d}", i, i);
    }
    buf_append_char(text, '\0');
}

static void test_names_have_a_limit(void **state)
{
    (void)state;
    struct buf text;
    append_places(&text, 100);
    struct url_template *t = create(text.ptr);
    assert_int_equal(url_template_n_names(t), 100);
    url_template_destroy(t);
    buf_release(&text);
    append_places(&text, 101);
    assert_refused(text.ptr, "100");
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_come_once_in_order),
        cmocka_unit_test(test_each_value_goes_to_its_places),
        cmocka_unit_test(test_values_are_encoded),
        cmocka_unit_test(test_values_cannot_leave_their_segment),
        cmocka_unit_test(test_control_characters_are_refused),
        cmocka_unit_test(test_a_full_buffer_is_told),
        cmocka_unit_test(test_bad_templates_are_refused),
        cmocka_unit_test(test_names_may_have_parts),
        cmocka_unit_test(test_names_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
