/* SPDX-License-Identifier: MIT */
/* Heads of answers, line by line: what is taken, what is malformed, and which of several counts. */
#include "upstreams/response_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static struct response_head h;

/* text: lines that end in \n, with the empty one where there is one. */
static const struct fetch_head *read_head(const char *text)
{
    response_head_reset(&h);
    while (*text) {
        size_t len = strcspn(text, "\n") + 1;
        response_head_line(&h, (struct str){text, len});
        text += len;
    }
    return &h.head;
}

/* One line more than the usual ones. */
static const struct fetch_head *read_line(const char *line)
{
    char text[3000];
    (void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nServer: x\r\n%s\r\n\r\n", line);
    return read_head(text);
}

static void assert_text(struct str text, const char *expected)
{
    if (!str_eq(text, str_of(expected))) {
        fail_msg("%.*s is not %s", STR_ARG(text), expected);
    }
}

static void test_statuses(void **state)
{
    (void)state;
    assert_int_equal(read_head("HTTP/1.1 200 OK\r\n\r\n")->http_status, 200);
    assert_int_equal(read_head("HTTP/2 404\r\n\r\n")->http_status, 404);
    assert_int_equal(read_head("HTTP/1.0 503 Out\n\n")->http_status, 503);
    assert_int_equal(read_head("HTTP/1.1 abc\r\n\r\n")->http_status, 0);
    assert_int_equal(read_head("")->http_status, 0);
    assert_false(h.is_complete);
    assert_int_equal(read_head("HTTP/1.1 500 X\r\nETag: a\r\n")->http_status, 500);
    assert_false(h.is_complete);
}

/* What comes before is forgotten: interim heads, and the head that a redirect had. */
static void test_heads_begin_anew(void **state)
{
    (void)state;
    const struct fetch_head *head =
        read_head("HTTP/1.1 103 Early\r\nETag: \"early\"\r\nCache-Control: no-store\r\n\r\n");
    assert_int_equal(head->http_status, 0);
    assert_false(h.is_complete);
    head = read_head("HTTP/1.1 103 Early\r\nETag: \"early\"\r\nRetry-After: 5\r\n"
                     "Cache-Control: no-store\r\nContent-Type: a/b\r\n\r\n"
                     "HTTP/1.1 200 OK\r\nCache-Control: max-age=7\r\n\r\n");
    assert_true(h.is_complete);
    assert_int_equal(head->http_status, 200);
    assert_text(head->etag, "");
    assert_text(head->content_type, "");
    assert_int_equal(head->max_age_s, 7);
    assert_int_equal(head->retry_after_s, -1);
}

static void test_trailers_do_not_count(void **state)
{
    (void)state;
    const struct fetch_head *head =
        read_head("HTTP/1.1 200 OK\r\nETag: a\r\n\r\nETag: b\r\nRetry-After: 5\r\n"
                  "HTTP/1.1 500 X\r\n\r\n");
    assert_int_equal(head->http_status, 200);
    assert_text(head->etag, "a");
    assert_int_equal(head->retry_after_s, -1);
}

static void test_texts(void **state)
{
    (void)state;
    assert_text(read_line("ETag: \"a\"")->etag, "\"a\"");
    assert_text(read_line("etag:W/\"a b\"  ")->etag, "W/\"a b\"");
    assert_text(read_line("ETAG: \t\"a\"\t")->etag, "\"a\"");
    assert_text(read_line("ETag:")->etag, "");
    assert_text(read_line("ETagX: a")->etag, "");
    assert_text(read_line("ETag: a\r\nETag: b")->etag, "a");
    assert_text(read_line("Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT")->last_modified,
                "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_text(read_line("CONTENT-TYPE: application/json; charset=utf-8")->content_type,
                "application/json; charset=utf-8");
    assert_text(read_line("no colon")->etag, "");
    assert_text(read_line(": no name")->etag, "");
}

static void test_long_texts(void **state)
{
    (void)state;
    char line[1100] = "ETag: ";
    size_t n = strlen(line);
    memset(line + n, 'e', 1024);
    assert_int_equal(read_line(line)->etag.len, 1024);
    line[n + 1024] = 'e';
    assert_int_equal(read_line(line)->etag.len, 0);
}

static void assert_age(const char *line, int64_t seconds)
{
    int64_t max_age_s = read_line(line)->max_age_s;
    if (max_age_s != seconds) {
        fail_msg("%s: %lld", line, (long long)max_age_s);
    }
}

static void test_cache_control(void **state)
{
    (void)state;
    assert_age("X: y", -1);
    assert_age("Cache-Control: max-age=60", 60);
    assert_age("cache-control:MAX-AGE=60", 60);
    assert_age("Cache-Control: public, max-age=60", 60);
    assert_age("Cache-Control: max-age=60, s-maxage=10", 10);
    assert_age("Cache-Control: s-maxage=10,max-age=60", 10);
    assert_age("Cache-Control: max-age=60\r\nCache-Control: s-maxage=10", 10);
    assert_age("Cache-Control: max-age=60\r\nAge: 20", 40);
    assert_age("Age: 20\r\nCache-Control: max-age=60", 40);
    assert_age("Cache-Control: max-age=60\r\nAge: 61", 0);
    assert_age("Cache-Control: max-age=60\r\nAge: x", 60);
    assert_age("Cache-Control: max-age=60\r\nAge: -5", 60);
    assert_age("Cache-Control: max-age=0", 0);
    assert_age("Cache-Control: no-store", 0);
    assert_age("Cache-Control: max-age=60, no-cache", 0);
    assert_age("Cache-Control: private, max-age=60", 0);
    assert_age("Cache-Control: private=\"X-A, max-age\", max-age=60", 0);
    assert_age("Cache-Control: ext=\"a, max-age=5\", max-age=60", 60);
    assert_age("Cache-Control: ext=\"a\\\", max-age=5\", max-age=60", 60);
    assert_age("Cache-Control: max-age=\"60\"", 60);
    assert_age("Cache-Control: max-age=60, max-age=5", 60);
    assert_age("Cache-Control: max-age=sixty", 0);
    assert_age("Cache-Control: max-age=-1", 0);
    assert_age("Cache-Control: max-age", 0);
    assert_age("Cache-Control: max-age = 60", 60);
    assert_age("Cache-Control: , ,max-age=60,", 60);
    assert_age("Cache-Control: xmax-age=60", -1);
    assert_age("Cache-Control: must-revalidate", -1);
    assert_age("Cache-Control: max-age=99999999999999999999", 2147483648);
    assert_age("Cache-Control: max-age=4000000000", 2147483648);
    assert_age("Cache-Control: \"max-age=60", -1);
}

static void date_line(char *line, size_t size, int64_t seconds_from_now)
{
    struct tm parts;
    time_t when = (time_t)(clock_wall_ms() / 1000 + seconds_from_now);
    (void)strftime(line, size, "Retry-After: %a, %d %b %Y %H:%M:%S GMT", gmtime_r(&when, &parts));
}

static void test_retry_after(void **state)
{
    (void)state;
    char line[100];
    assert_int_equal(read_line("X: y")->retry_after_s, -1);
    assert_int_equal(read_line("Retry-After: 120")->retry_after_s, 120);
    assert_int_equal(read_line("retry-after:0")->retry_after_s, 0);
    assert_int_equal(read_line("Retry-After: 1.5e")->retry_after_s, -1);
    assert_int_equal(read_line("Retry-After: -5x")->retry_after_s, -1);
    assert_int_equal(read_line("Retry-After:")->retry_after_s, -1);
    assert_int_equal(read_line("Retry-After: 99999999999999999999")->retry_after_s, 2147483648);
    assert_int_equal(read_line("Retry-After: Thu, 01 Jan 1970 00:00:10 GMT")->retry_after_s, 0);
    date_line(line, sizeof(line), 3600);
    assert_in_range(read_line(line)->retry_after_s, 3590, 3600);
    date_line(line, sizeof(line), -3600);
    assert_int_equal(read_line(line)->retry_after_s, 0);
}

static void test_bodies(void **state)
{
    (void)state;
    assert_int_equal(read_line("X: y")->content_length, -1);
    assert_int_equal(read_line("Content-Length: 123")->content_length, 123);
    assert_int_equal(read_line("content-length: 12x")->content_length, -1);
    assert_int_equal(read_line("Content-Length: 99999999999999999999")->content_length, -1);
    assert_int_equal(read_line("Content-Length: 5\r\nTransfer-Encoding: chunked")->content_length,
                     -1);
    assert_false(read_line("Content-Encoding: identity")->is_encoded);
    assert_false(read_line("Content-Encoding:")->is_encoded);
    assert_true(read_line("Content-Encoding: gzip")->is_encoded);
    assert_true(h.is_gzip);
    assert_true(read_line("content-encoding: br")->is_encoded);
    assert_false(h.is_gzip);
    assert_true(read_line("Content-Encoding: gzip, gzip")->is_encoded);
    assert_false(h.is_gzip);
    assert_true(read_line("Content-Encoding: gzip\r\nContent-Encoding: gzip")->is_encoded);
    assert_false(h.is_gzip);
}

static void test_locations(void **state)
{
    (void)state;
    (void)read_line("Location: /x");
    assert_true(h.has_location);
    (void)read_line("Location:");
    assert_false(h.has_location);
    (void)read_line("Content-Location: /x");
    assert_false(h.has_location);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_heads_begin_anew),
        cmocka_unit_test(test_trailers_do_not_count),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_cache_control),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_locations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
