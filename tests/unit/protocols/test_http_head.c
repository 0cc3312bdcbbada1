/* SPDX-License-Identifier: MIT */
/* Replies as they go out, and the length of a body as it is announced. */
#include "protocols/http_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

/* Compares without the Date line, which must be right by itself. */
static void check_reply(const struct http_reply *reply, bool is_head, bool closes,
                        const char *expected)
{
    struct buf out;
    buf_init(&out, 10000);
    http_write_reply(&out, reply, is_head, closes);
    buf_append_char(&out, '\0');
    assert_false(buf_failed(&out));
    char *date = strstr(out.ptr, "\r\nDate: ");
    assert_non_null(date);
    struct tm tm = {0};
    char *end = strptime(date + 8, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    assert_non_null(end);
    assert_memory_equal(end, "\r\n", 2);
    assert_int_equal(date + 8 + 29, end);
    time_t age = time(NULL) - timegm(&tm);
    assert_in_range(age + 1, 0, 100);
    memmove(date, end, strlen(end) + 1);
    assert_string_equal(out.ptr, expected);
    buf_release(&out);
}

static void a_reply_with_a_body(void **state)
{
    (void)state;
    struct http_reply reply = {
        .status = 200, .content_type = "application/json", .body = STR("{\"a\":1}")};
    check_reply(&reply, false, false,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"
                "{\"a\":1}");
    check_reply(&reply, true, false,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n");
    check_reply(&reply, false, true,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n"
                "Connection: close\r\n\r\n{\"a\":1}");
}

static void a_reply_without_a_body(void **state)
{
    (void)state;
    check_reply(&(struct http_reply){.status = 401}, false, false,
                "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    check_reply(&(struct http_reply){.status = 204}, false, false,
                "HTTP/1.1 204 No Content\r\n\r\n");
    check_reply(&(struct http_reply){.status = 304, .headers = "ETag: \"x\"\r\n"}, false, false,
                "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
}

static void status_lines(void **state)
{
    (void)state;
    assert_string_equal(http_status_line(404), "404 Not Found");
    assert_string_equal(http_status_line(411), "411 Length Required");
    assert_string_equal(http_status_line(413), "413 Content Too Large");
    assert_string_equal(http_status_line(426), "426 Upgrade Required");
    assert_string_equal(http_status_line(503), "503 Service Unavailable");
    assert_string_equal(http_status_line(299), "500 Internal Server Error");
}

static void check_length(struct str value, bool is_good, uint64_t expected)
{
    uint64_t length = 77;
    assert_int_equal(http_content_length(value, &length), is_good);
    assert_int_equal(length, is_good ? expected : 77);
}

static void content_length_is_digits_only(void **state)
{
    (void)state;
    check_length(STR("0"), true, 0);
    check_length(STR("12"), true, 12);
    check_length(STR(" 12\t"), true, 12);
    check_length(STR("0012"), true, 12);
    check_length(STR("18446744073709551615"), true, UINT64_MAX);
    check_length(STR("18446744073709551616"), false, 0);
    check_length(STR("+1"), false, 0);
    check_length(STR("-1"), false, 0);
    check_length(STR("1,1"), false, 0);
    check_length(STR("1, 1"), false, 0);
    check_length(STR("1 1"), false, 0);
    check_length(STR("0x10"), false, 0);
    check_length(STR("1.0"), false, 0);
    check_length(STR("1\0"), false, 0);
    check_length(STR(" "), false, 0);
    check_length(STR_EMPTY, false, 0);
}

static void a_reply_without_an_end(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1000);
    struct http_reply reply = {
        .status = 200, .content_type = "text/event-stream", .headers = "Pragma: no-cache\r\n"};
    http_write_endless_head(&out, &reply);
    buf_append_char(&out, '\0');
    assert_true(str_starts_with(buf_str(&out), STR("HTTP/1.1 200 OK\r\nDate: ")));
    const char *rest = strstr(out.ptr, "GMT\r\n");
    assert_non_null(rest);
    assert_string_equal(rest, "GMT\r\nContent-Type: text/event-stream\r\n"
                              "Pragma: no-cache\r\nConnection: close\r\n\r\n");
    buf_release(&out);
}

/* expected: what follows the Date line. */
static void check_flow(int status, struct http_flow flow, const char *expected)
{
    struct buf out;
    char line[40];
    buf_init(&out, 1000);
    struct http_reply reply = {.status = status, .headers = "ETag: \"x\"\r\n"};
    http_write_flow_head(&out, &reply, &flow);
    buf_append_char(&out, '\0');
    snprintf(line, sizeof(line), "HTTP/1.1 %d \r\nDate: ", status);
    assert_true(str_starts_with(buf_str(&out), str_of(line)));
    const char *rest = strstr(out.ptr, "GMT\r\n");
    assert_non_null(rest);
    assert_string_equal(rest + 5, expected);
    assert_int_equal(flow.is_chunked, strstr(expected, "chunked") != NULL);
    assert_int_equal(flow.closes, strstr(expected, "close") != NULL);
    buf_release(&out);
}

static void a_reply_piece_by_piece(void **state)
{
    (void)state;
    const int64_t unknown = HTTP_LENGTH_UNKNOWN;
    check_flow(299, (struct http_flow){.length = 7, .knows_chunks = true},
               "Content-Length: 7\r\nETag: \"x\"\r\n\r\n");
    check_flow(200, (struct http_flow){.length = 0, .knows_chunks = true},
               "Content-Length: 0\r\nETag: \"x\"\r\n\r\n");
    check_flow(404, (struct http_flow){.length = 7}, "Content-Length: 7\r\nETag: \"x\"\r\n\r\n");
    check_flow(200, (struct http_flow){.length = unknown, .knows_chunks = true},
               "Transfer-Encoding: chunked\r\nETag: \"x\"\r\n\r\n");
    check_flow(200, (struct http_flow){.length = unknown},
               "ETag: \"x\"\r\nConnection: close\r\n\r\n");
    check_flow(200, (struct http_flow){.length = 7, .is_head = true, .knows_chunks = true},
               "Content-Length: 7\r\nETag: \"x\"\r\n\r\n");
    check_flow(200, (struct http_flow){.length = unknown, .is_head = true, .knows_chunks = true},
               "ETag: \"x\"\r\n\r\n");
    check_flow(200, (struct http_flow){.length = unknown, .is_head = true}, "ETag: \"x\"\r\n\r\n");
    check_flow(204, (struct http_flow){.length = unknown, .knows_chunks = true},
               "ETag: \"x\"\r\n\r\n");
    check_flow(304, (struct http_flow){.length = 7, .knows_chunks = true}, "ETag: \"x\"\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_with_a_body),           cmocka_unit_test(a_reply_without_a_body),
        cmocka_unit_test(a_reply_without_an_end),        cmocka_unit_test(status_lines),
        cmocka_unit_test(content_length_is_digits_only), cmocka_unit_test(a_reply_piece_by_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
