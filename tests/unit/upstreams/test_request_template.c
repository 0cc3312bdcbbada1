/* SPDX-License-Identifier: MIT */
/* Requests with places: what comes out of which values, which are refused, and which templates. */
#include "upstreams/request_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX_PAIRS 4

/* A source as a test writes it: pairs end with a NULL. */
struct source {
    enum fetch_method method;
    const char *url;
    const char *query[MAX_PAIRS][2];
    const char *headers[MAX_PAIRS][2];
    const char *body;
};

static struct config_list list_of(const char *const texts[MAX_PAIRS][2], struct config_pair *pairs)
{
    size_t n = 0;
    for (; n < MAX_PAIRS && texts[n][0]; n++) {
        pairs[n] = (struct config_pair){(char *)texts[n][0], (char *)texts[n][1]};
    }
    return (struct config_list){pairs, n};
}

static enum status create_from(const struct source *s, struct request_template **ret_template,
                               const char **ret_key, const char **ret_expected)
{
    struct config_pair pairs[2][MAX_PAIRS];
    struct config_list query = list_of(s->query, pairs[0]);
    struct config_list headers = list_of(s->headers, pairs[1]);
    struct request_template_source source = {.method = s->method,
                                             .url = s->url ? s->url : "http://h/",
                                             .query = query.n_items > 0 ? &query : NULL,
                                             .headers = headers.n_items > 0 ? &headers : NULL,
                                             .body = s->body};
    enum status status = request_template_create(&source, ret_template, ret_key, ret_expected);
    memset(pairs, 0, sizeof(pairs)); /* texts were copied; the pairs are no longer needed */
    return status;
}

static struct request_template *create(const struct source *s)
{
    struct request_template *t = NULL;
    const char *key = NULL;
    const char *expected = NULL;
    if (create_from(s, &t, &key, &expected) != STATUS_OK) {
        fail_msg("%s: expected %s", key, expected);
    }
    return t;
}

static void assert_refused(const struct source *s, const char *wanted_key, const char *word)
{
    struct request_template *t = NULL;
    const char *key = "";
    const char *expected = "";
    assert_int_equal(create_from(s, &t, &key, &expected), STATUS_INVALID);
    assert_null(t);
    assert_string_equal(key, wanted_key);
    if (!strstr(expected, word)) {
        fail_msg("\"%s\" does not say \"%s\"", expected, word);
    }
}

static enum status expand(const struct source *s, const struct str *values,
                          struct request_text *ret_text)
{
    struct request_template *t = create(s);
    enum status status = request_template_expand(t, values, ret_text);
    request_template_destroy(t); /* what came out stands on its own */
    return status;
}

/* Every name has the same value. wanted NULL: it is refused. */
static void assert_url(const struct source *s, struct str value, const char *wanted)
{
    struct str values[] = {value, value, value, value};
    struct request_text text = {0};
    assert_int_equal(expand(s, values, &text), wanted ? STATUS_OK : STATUS_INVALID);
    if (wanted) {
        assert_string_equal(text.url.ptr, wanted);
        assert_int_equal(text.url.len, strlen(wanted));
    }
    request_text_release(&text);
}

static void assert_body(const char *type, const char *body, struct str value, const char *wanted)
{
    struct source s = {.method = FETCH_POST, .body = body};
    struct str values[] = {value, value, value, value};
    struct request_text text = {0};
    if (type) {
        s.headers[0][0] = "content-type";
        s.headers[0][1] = type;
    }
    assert_int_equal(expand(&s, values, &text), wanted ? STATUS_OK : STATUS_INVALID);
    if (wanted && !str_eq(buf_str(&text.body), str_of(wanted))) {
        fail_msg("%.*s instead of %s", STR_ARG(buf_str(&text.body)), wanted);
    }
    request_text_release(&text);
}

/* --- names --- */

static void test_names_come_once_in_order(void **state)
{
    (void)state;
    struct source s = {.method = FETCH_PUT,
                       .url = "http://h/{b}?x={a}",
                       .query = {{"q{c}", "{a}{d}"}},
                       .headers = {{"X-A", "{a}{e.id}"}, {"X-B", "{f}"}},
                       .body = "[\"{g}\",{b},{h-1}]"};
    const char *names[] = {"b", "a", "c", "d", "e.id", "f", "g", "h-1"};
    struct request_template *t = create(&s);
    assert_int_equal(request_template_method(t), FETCH_PUT);
    assert_int_equal(request_template_n_names(t), 8);
    for (size_t i = 0; i < 8; i++) {
        assert_true(str_eq(request_template_name(t, i), str_of(names[i])));
    }
    request_template_destroy(t);
    request_template_destroy(NULL);
}

static void test_each_value_goes_to_its_places(void **state)
{
    (void)state;
    struct source s = {.method = FETCH_POST,
                       .url = "http://h/{b}?x={a}",
                       .query = {{"q", "{c}"}},
                       .headers = {{"X-A", "<{a}{d}>"}, {"X-Plain", "none"}},
                       .body = "{\"b\":\"{b}\",\"e\":{e},\"c\":\"{c}{c}\"}"};
    struct str values[] = {STR("B"), STR("A"), STR("C"), STR("D"), STR("5")};
    struct request_text text = {0};
    assert_int_equal(expand(&s, values, &text), STATUS_OK);
    assert_string_equal(text.url.ptr, "http://h/B?x=A&q=C");
    assert_int_equal(text.n_headers, 2);
    assert_true(str_eq(text.headers[0], STR("X-A: <AD>")));
    assert_true(str_eq(text.headers[1], STR("X-Plain: none")));
    assert_true(str_eq(buf_str(&text.body), STR("{\"b\":\"B\",\"e\":5,\"c\":\"CC\"}")));
    request_text_release(&text);
    assert_null(text.headers);
    request_text_release(&text);
}

static void test_a_plain_request(void **state)
{
    (void)state;
    struct source s = {.url = "http://h/x?y=1"};
    struct request_text text = {0};
    assert_int_equal(expand(&s, NULL, &text), STATUS_OK);
    assert_string_equal(text.url.ptr, "http://h/x?y=1");
    assert_int_equal(text.n_headers, 0);
    assert_int_equal(text.body.len, 0);
    request_text_release(&text);
    s.method = FETCH_POST;
    s.body = "";
    assert_int_equal(expand(&s, NULL, &text), STATUS_OK);
    assert_int_equal(text.body.len, 0);
    request_text_release(&text);
}

/* --- URL and query --- */

static void test_query_is_appended(void **state)
{
    (void)state;
    struct source s = {.url = "http://h/x", .query = {{"a", "1"}, {"b", ""}}};
    assert_url(&s, STR_EMPTY, "http://h/x?a=1&b=");
    s.url = "http://h/x?y=2";
    assert_url(&s, STR_EMPTY, "http://h/x?y=2&a=1&b=");
    s.url = "http://h/x?";
    assert_url(&s, STR_EMPTY, "http://h/x?a=1&b=");
    s.url = "http://h/x?y&";
    assert_url(&s, STR_EMPTY, "http://h/x?y&a=1&b=");
    s.url = "http://h";
    assert_url(&s, STR_EMPTY, "http://h?a=1&b=");
}

static void test_query_text_means_what_it_says(void **state)
{
    (void)state;
    struct source s = {.query = {{"a b&c=d", "1+1=2 & 100%20#f"}, {"list[]", "a,b:c/d?e@f*(g)"}}};
    assert_url(&s, STR_EMPTY,
               "http://h/?a%20b%26c%3Dd=1%2B1%3D2%20%26%20100%2520%23f"
               "&list%5B%5D=a,b:c/d?e@f*(g)");
    struct source utf8 = {.query = {{"\xc3\xbc", "\"'\\\x01"}}};
    assert_url(&utf8, STR_EMPTY, "http://h/?%C3%BC=%22%27%5C%01");
}

static void test_values_in_the_query_are_encoded(void **state)
{
    (void)state;
    struct source s = {.query = {{"a{p}", "<{p}>{p}"}}};
    assert_url(&s, STR("x&y=z/,"),
               "http://h/?ax%26y%3Dz%2F%2C=%3Cx%26y%3Dz%2F%2C%3Ex%26y%3Dz%2F%2C");
    assert_url(&s, STR(""), "http://h/?a=%3C%3E");
    assert_url(&s, STR("a\nb"), NULL);
    struct source path = {.url = "http://h/{p}"};
    assert_url(&path, STR(".."), NULL);
}

static void test_bad_urls_and_queries(void **state)
{
    (void)state;
    assert_refused(&(struct source){.url = "ftp://h/"}, "url", "http");
    assert_refused(&(struct source){.url = "http://{h}/"}, "url", "host");
    assert_refused(&(struct source){.url = "http://h/{", .query = {{"{", "1"}}}, "url", "braces");
    assert_refused(&(struct source){.query = {{"{", "1"}}}, "query", "braces");
    assert_refused(&(struct source){.query = {{"a", "1"}, {"a", "{ b }"}}}, "query", "braces");
    assert_refused(&(struct source){.query = {{"a", "}"}}}, "query", "braces");
}

/* --- headers --- */

static void test_braces_that_are_no_places(void **state)
{
    (void)state;
    struct source s = {.method = FETCH_POST,
                       .headers = {{"X", "{} { a} {a {a}} {1} {{a} {a.} }"}},
                       .body = "{\"a\":{},\"b\":{\"c\":[{ }]},\"d\":\"{d e}{\"}"};
    struct str values[] = {STR("V")};
    struct request_text text = {0};
    assert_int_equal(expand(&s, values, &text), STATUS_OK);
    assert_true(str_eq(text.headers[0], STR("X: {} { a} {a V} {1} {V {a.} }")));
    assert_true(str_eq(buf_str(&text.body), str_of(s.body)));
    request_text_release(&text);
}

static void test_header_values_stand_as_they_are(void **state)
{
    (void)state;
    struct source s = {.headers = {{"Authorization", "Bearer {t}"}}};
    struct request_text text = {0};
    struct str value = STR("a b%\"\\: \xc3\xbc");
    assert_int_equal(expand(&s, &value, &text), STATUS_OK);
    assert_true(str_eq(text.headers[0], STR("Authorization: Bearer a b%\"\\: \xc3\xbc")));
    request_text_release(&text);
    const struct str bad[] = {STR("a\r\nX-Evil: 1"), STR("a\nb"), STR("\0"), STR("\x7f"),
                              STR("a\tb")};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(expand(&s, &bad[i], &text), STATUS_INVALID);
        assert_int_equal(text.n_headers, 0);
        request_text_release(&text);
    }
}

static void test_bad_headers(void **state)
{
    (void)state;
    assert_refused(&(struct source){.headers = {{"Host", "x"}}}, "headers", "Host");
    assert_refused(&(struct source){.headers = {{"content-length", "1"}}}, "headers", "names");
    assert_refused(&(struct source){.headers = {{"X{a}", "x"}}}, "headers", "names");
    assert_refused(&(struct source){.headers = {{"", "x"}}}, "headers", "names");
    assert_refused(&(struct source){.headers = {{"X", "a\nb"}}}, "headers", "control");
    assert_refused(&(struct source){.headers = {{"X", "1"}, {"Y", "1"}, {"x", "2"}}}, "headers",
                   "once");
    assert_refused(&(struct source){.headers = {{"Content-Type", "{t}"}}}, "headers",
                   "Content-Type");
}

/* --- bodies --- */

static void test_values_in_json_strings(void **state)
{
    (void)state;
    const char *template = "{\"a\":\"<{v}>\"}";
    assert_body(NULL, template, STR("x"), "{\"a\":\"<x>\"}");
    assert_body(NULL, template, STR(""), "{\"a\":\"<>\"}");
    assert_body(NULL, template, STR("a\"b\\c\nd\x01"), "{\"a\":\"<a\\\"b\\\\c\\nd\\u0001>\"}");
    assert_body(NULL, template, STR("\xc3\xbc/\xff"), "{\"a\":\"<\xc3\xbc/\xef\xbf\xbd>\"}");
    assert_body(NULL, template, STR("\",\"evil\":\""), "{\"a\":\"<\\\",\\\"evil\\\":\\\">\"}");
    assert_body(NULL, "\"{v}{v}\"", STR("\""), "\"\\\"\\\"\"");
    assert_body(NULL, "[\"\\\"{v}\\\\\",\"{v}\"]", STR("\""), "[\"\\\"\\\"\\\\\",\"\\\"\"]");
    assert_body(NULL, "{\"k{v}\":1}", STR("\""), "{\"k\\\"\":1}");
}

static void test_values_in_the_place_of_json_values(void **state)
{
    (void)state;
    const char *template = "{\"n\":{v},\"s\":\"{v}\"}";
    const char *good[] = {"1",    "-0.5e+10", "1.10", "12345678901234567890",
                          "true", "false",    "null", "0"};
    const char *bad[] = {"",    "x",   "\"x\"", "[1]", "{}",   "1 ",  " 1", "01",
                         "1,2", "NaN", "+1",    ".5",  "True", "1\n", "-",  "0x1"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct buf wanted;
        buf_init(&wanted, 200);
        buf_printf(&wanted, "{\"n\":%s,\"s\":\"%s\"}", good[i], good[i]);
        char *text = buf_take(&wanted);
        assert_body(NULL, template, str_of(good[i]), text);
        free(text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_body(NULL, template, str_of(bad[i]), NULL);
    }
    assert_body(NULL, "{user.id}", STR("7"), "7");
    assert_body(NULL, "[{a}, {b}\n,{a}]", STR("7"), "[7, 7\n,7]");
}

static void test_content_types_decide(void **state)
{
    (void)state;
    struct str value = STR("a b\"&\n");
    const char *json[] = {"application/json", "APPLICATION/JSON; charset=utf-8", "text/json",
                          "application/problem+json", " application/vnd.x+JSON ;v=1"};
    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
        assert_body(json[i], "\"{v}\"", value, "\"a b\\\"&\\n\"");
    }
    assert_body("application/x-www-form-urlencoded; charset=x", "q={v}&r=\"{v}&s={", value,
                "q=a%20b%22%26%0A&r=\"a%20b%22%26%0A&s={");
    assert_body("text/plain", "{v}: \"{v}\"", value, "a b\"&\n: \"a b\"&\n\"");
    assert_body("application/jsonx", "{v}", value, "a b\"&\n");
    assert_body("", "{v}", value, "a b\"&\n");
}

static void test_bad_bodies(void **state)
{
    (void)state;
    const char *bad[] = {
        "hello",   "{\"a\":",        "{\"a\":\"{v}}", "{\"a\":{v}{v}}", "[1{v}]",
        "[-{v}]",  "[{v}1]",         "\"\\{v}\"",     "\"\\u{v}\"",     "\"\\u0{v}{v}{v}\"",
        "{{v}:1}", "\"\\ud83d{v}\"", "[{v}\"x\"]",    "[tru{v}]",       "{\"a\":{a b}}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_refused(&(struct source){.method = FETCH_POST, .body = bad[i]}, "body", "JSON");
    }
    assert_refused(&(struct source){.method = FETCH_GET, .body = "{}"}, "body", "GET");
    assert_refused(&(struct source){.method = FETCH_HEAD, .body = "{}"}, "body", "HEAD");
    struct request_template *t = create(&(struct source){.method = FETCH_DELETE, .body = "{}"});
    request_template_destroy(t);
}

/* --- limits --- */

/* So many bytes in the place of {v}. */
static enum status expand_bytes(const struct source *s, size_t n)
{
    char *bytes = malloc(n + 1);
    assert_non_null(bytes);
    memset(bytes, 'x', n);
    struct str value = {bytes, n};
    struct request_text text = {0};
    enum status status = expand(s, &value, &text);
    request_text_release(&text);
    free(bytes);
    return status;
}

static void test_sizes_have_limits(void **state)
{
    (void)state;
    struct source url = {.url = "http://h/{v}"};
    assert_int_equal(expand_bytes(&url, 16384 - 9), STATUS_OK);
    assert_int_equal(expand_bytes(&url, 16384 - 8), STATUS_TOO_LARGE);
    struct source headers = {.headers = {{"A", "1"}, {"B", "{v}"}}};
    assert_int_equal(expand_bytes(&headers, 65536 - 7), STATUS_OK);
    assert_int_equal(expand_bytes(&headers, 65536 - 6), STATUS_TOO_LARGE);
    struct source body = {.method = FETCH_POST, .body = "\"{v}\""};
    assert_int_equal(expand_bytes(&body, (1 << 20) - 2), STATUS_OK);
    assert_int_equal(expand_bytes(&body, (1 << 20) - 1), STATUS_TOO_LARGE);
    assert_int_equal(expand_bytes(&body, (1 << 20) + 5), STATUS_TOO_LARGE);
}

static void test_names_have_a_limit(void **state)
{
    (void)state;
    struct buf text;
    struct source s = {.url = "http://h/{n0}?{n1}", .headers = {{"X", NULL}}};
    buf_init(&text, 10000);
    for (int i = 0; i < 100; i++) {
        buf_printf(&text, "{n%d}", i);
    }
    buf_append_char(&text, '\0');
    s.headers[0][1] = text.ptr;
    struct request_template *t = create(&s);
    assert_int_equal(request_template_n_names(t), 100);
    request_template_destroy(t);
    s.url = "http://h/{other}";
    assert_refused(&s, "headers", "100");
    s = (struct source){.url = "http://h/{other}", .query = {{"q", text.ptr}}};
    assert_refused(&s, "query", "100");
    s = (struct source){.method = FETCH_POST,
                        .url = "http://h/{other}",
                        .headers = {{"Content-Type", "text/x"}},
                        .body = text.ptr};
    assert_refused(&s, "body", "100");
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_come_once_in_order),
        cmocka_unit_test(test_each_value_goes_to_its_places),
        cmocka_unit_test(test_a_plain_request),
        cmocka_unit_test(test_query_is_appended),
        cmocka_unit_test(test_query_text_means_what_it_says),
        cmocka_unit_test(test_values_in_the_query_are_encoded),
        cmocka_unit_test(test_bad_urls_and_queries),
        cmocka_unit_test(test_braces_that_are_no_places),
        cmocka_unit_test(test_header_values_stand_as_they_are),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_values_in_json_strings),
        cmocka_unit_test(test_values_in_the_place_of_json_values),
        cmocka_unit_test(test_content_types_decide),
        cmocka_unit_test(test_bad_bodies),
        cmocka_unit_test(test_sizes_have_limits),
        cmocka_unit_test(test_names_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
