/* SPDX-License-Identifier: MIT */
/* The reader of answers: every way to say where one ends, and every way to be wrong about it. Each
 * answer is read at once and byte by byte, which must come to the same. */
#include "upstreams/http1_response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

#define OK   "HTTP/1.1 200 OK\r\n"
#define PLUS "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"

struct reading {
    struct http1_response response;
    enum http1_event last;
    struct buf lines;
    struct buf body;
    size_t n_left; /* of the input */
};

static enum http1_event take_all(struct reading *r, struct str *input)
{
    for (;;) {
        struct str piece = STR_EMPTY;
        enum http1_event event = http1_response_next(&r->response, input, &piece);
        if (event == HTTP1_LINE) {
            buf_append(&r->lines, piece);
        } else if (event == HTTP1_BODY) {
            buf_append(&r->body, piece);
        } else {
            return event;
        }
        assert_true(piece.len > 0);
    }
}

/* In pieces of n bytes; what is not taken comes again. */
static void read_in_pieces(struct reading *r, struct str text, size_t n, bool closes)
{
    size_t from = 0;
    size_t to = 0;
    *r = (struct reading){.last = HTTP1_NEEDS_MORE};
    buf_init(&r->lines, 1 << 20);
    buf_init(&r->body, 1 << 20);
    http1_response_init(&r->response);
    while (r->last == HTTP1_NEEDS_MORE && to < text.len) {
        to = to + n < text.len ? to + n : text.len;
        char *copy = str_dup((struct str){text.ptr + from, to - from}); /* for the sanitizers */
        struct str input = {copy, to - from};
        r->last = take_all(r, &input);
        from = to - input.len;
        free(copy);
    }
    r->n_left = text.len - from;
    if (r->last == HTTP1_NEEDS_MORE && closes) {
        r->last = http1_response_close(&r->response);
    }
}

static void release(struct reading *r)
{
    buf_release(&r->lines);
    buf_release(&r->body);
}

static const size_t piece_sizes[] = {1 << 20, 1, 2, 7};
enum { N_SIZES = sizeof(piece_sizes) / sizeof(piece_sizes[0]) };

static void assert_read(struct str text, const char *body, bool keeps, size_t n_left)
{
    for (size_t i = 0; i < N_SIZES; i++) {
        struct reading r;
        read_in_pieces(&r, text, piece_sizes[i], true);
        if (r.last != HTTP1_END) {
            fail_msg("%.*s in pieces of %zu: %s", STR_ARG(text), piece_sizes[i], r.response.error);
        }
        assert_true(str_eq(buf_str(&r.body), str_of(body)));
        assert_int_equal(http1_response_keeps(&r.response), keeps);
        if (i == 0) {
            assert_int_equal(r.n_left, n_left);
        }
        release(&r);
    }
}

static void assert_kept(const char *text, const char *body)
{
    assert_read(str_of(text), body, true, 0);
}

static void assert_last(const char *text, const char *body)
{
    assert_read(str_of(text), body, false, 0);
}

static void assert_broken_bytes(struct str text, const char *error)
{
    for (size_t i = 0; i < N_SIZES; i++) {
        struct reading r;
        read_in_pieces(&r, text, piece_sizes[i], true);
        if (r.last != HTTP1_BROKEN || !strstr(r.response.error, error)) {
            fail_msg("%.*s in pieces of %zu: %s, not %s", STR_ARG(text), piece_sizes[i],
                     r.response.error, error);
        }
        assert_false(http1_response_keeps(&r.response));
        struct str none = STR_EMPTY;
        assert_int_equal(http1_response_next(&r.response, &none, &none), HTTP1_BROKEN);
        assert_int_equal(http1_response_close(&r.response), HTTP1_BROKEN);
        release(&r);
    }
}

static void assert_broken(const char *text, const char *error)
{
    assert_broken_bytes(str_of(text), error);
}

/* --- what is read --- */

static void test_a_length(void **state)
{
    (void)state;
    assert_kept(OK "Content-Length: 2\r\n\r\n[]", "[]");
    assert_kept(OK "content-length:2\r\nConnection: keep-alive\r\n\r\n[]", "[]");
    assert_kept(OK "Content-Length: \t2 \r\nContent-Length: 02\r\n\r\n[]", "[]");
    assert_kept(OK "Content-Length: 0\r\n\r\n", "");
    assert_read(STR(PLUS PLUS), "[]", true, strlen(PLUS));
}

static void test_the_lines_are_told(void **state)
{
    (void)state;
    struct reading r;
    read_in_pieces(&r, STR("HTTP/1.1 200\r\nA: 1\nContent-Length: 1\r\n\r\n0"), 1, true);
    assert_int_equal(r.last, HTTP1_END);
    assert_int_equal(r.response.status, 200);
    assert_true(str_eq(buf_str(&r.lines), STR("HTTP/1.1 200\r\nA: 1\nContent-Length: 1\r\n\r\n")));
    release(&r);
}

static void test_chunks(void **state)
{
    (void)state;
    assert_kept(OK "Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n01 ;x=\"y\"\r\n]\r\n0\r\n\r\n",
                "[]");
    assert_kept(OK "Transfer-Encoding: Chunked\r\n\r\nA  \r\n0123456789\r\n00\r\nX: y\nZ:\r\n\r\n",
                "0123456789");
    assert_kept(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "");
    assert_last(OK "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n",
                "1");
}

static void test_the_end_of_the_connection(void **state)
{
    (void)state;
    assert_last(OK "\r\n", "");
    assert_last(OK "\r\n[1\r\n\r\n2]", "[1\r\n\r\n2]");
    assert_last("HTTP/1.0 200 OK\r\nServer: x\r\n\r\n[]", "[]");
    assert_last("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]", "[]");
    assert_last(OK "Connection: x, Close\r\nContent-Length: 2\r\n\r\n[]", "[]");
    assert_last(OK "Connection: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]", "[]");
}

static void test_answers_without_a_body(void **state)
{
    (void)state;
    assert_kept("HTTP/1.1 204 No Content\r\n\r\n", "");
    assert_kept("HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", "");
    assert_kept("HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", "");
    assert_read(STR("HTTP/1.1 204 x\r\n\r\nmore"), "", true, 4);
}

static void test_interim_answers(void **state)
{
    (void)state;
    assert_kept("HTTP/1.1 100 Continue\r\n\r\n" PLUS, "[]");
    assert_kept("HTTP/1.1 103 Early\r\nContent-Length: 7\r\nConnection: close\r\n\r\n" PLUS, "[]");
    assert_broken("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "another protocol");
    assert_broken("HTTP/1.1 100 Continue\r\n\r\n", "closed before its end");
}

static void test_status_lines(void **state)
{
    (void)state;
    assert_kept("HTTP/1.1 599\r\nContent-Length: 0\r\n\r\n", "");
    assert_kept("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "");
    assert_kept("HTTP/1.1 200 \xc3\xa4 b\nContent-Length: 0\n\n", "");
    static const char *const bad[] = {
        "<html>\r\n",        "\r\n",
        "HTTP/1.1 20\r\n",   "HTTP/1.1 2000\r\n",
        "HTTP/1.1 099 \r\n", "HTTP/1.1  200\r\n",
        "HTTP/2 200\r\n",    "HTTP/1.2 200 OK\r\n",
        "http/1.1 200\r\n",  "HTTP/1.1 2x0 OK\r\n",
        "HTTP/1.1\r\n",      "HTTP/1.1 200OK\r\n",
        "HTTP/0.9 200\r\n",  " HTTP/1.1 200 OK\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_broken(bad[i], "status line");
    }
}

/* --- what is refused --- */

static void test_lengths_that_contradict(void **state)
{
    (void)state;
    assert_broken(OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\n", "two different");
    assert_broken(OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "both");
    assert_broken(OK "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", "both");
    static const char *const bad[] = {"",
                                      "x",
                                      "-1",
                                      "+1",
                                      "1 2",
                                      "1,1",
                                      "0x1",
                                      "1.0",
                                      "9223372036854775808",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[200];
        (void)snprintf(text, sizeof(text), OK "Content-Length: %s\r\n\r\n", bad[i]);
        assert_broken(text, "no number of bytes");
    }
    static const char *const codings[] = {"gzip", "gzip, chunked", "chunked, chunked", "identity",
                                          "",     "xchunked"};
    for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
        char text[200];
        (void)snprintf(text, sizeof(text), OK "Transfer-Encoding: %s\r\n\r\n", codings[i]);
        assert_broken(text, "another than chunked");
    }
    assert_broken(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                  "another than chunked");
}

static void test_lines_that_are_none(void **state)
{
    (void)state;
    assert_broken(OK "A: b\r\n c\r\n\r\n", "goes on in the next");
    assert_broken(OK "\tA: b\r\n\r\n", "goes on in the next");
    assert_broken(OK "A\r\n\r\n", "without a name");
    assert_broken(OK ": b\r\n\r\n", "without a name");
    assert_broken(OK "Content-Length : 2\r\n\r\n[]", "blank");
    assert_broken(OK "A B: c\r\n\r\n", "blank");
    assert_broken(OK "HTTP/9: 500\r\n\r\n", "within its head");
    assert_broken(OK "A: b\rC: d\r\n\r\n", "a CR or a NUL");
    assert_broken(OK "A: b\r\r\n\r\n", "a CR or a NUL");
    assert_broken_bytes(STR(OK "A: b\0c\r\n\r\n"), "a CR or a NUL");
    assert_broken_bytes(STR("HTTP/1.1 200 \0\r\n\r\n"), "a CR or a NUL");
}

static void test_chunks_that_are_none(void **state)
{
    (void)state;
    static const char *const sizes[] = {
        "x\r\n",
        "\r\n",
        ";a\r\n",
        "-1\r\n",
        "0x1\r\n",
        "1 1\r\n",
        "1\n",
        " 1\r\n",
        "1\r1\n",
        "1\r\r\n",
        "1g\r\n",
        "G\r\n",
        "fffffffffffff\r\n",
        "1000000000001\r\n",
        "00000000000000000000ffffffffffffffffff\r\n",
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char text[200];
        (void)snprintf(text, sizeof(text), OK "Transfer-Encoding: chunked\r\n\r\n%s", sizes[i]);
        assert_broken(text, "size of a chunk");
    }
    assert_broken(OK "Transfer-Encoding: chunked\r\n\r\n1\r\n12\r\n", "does not end where");
    assert_broken(OK "Transfer-Encoding: chunked\r\n\r\n1\r\n1\n0\r\n", "does not end where");
    assert_broken(OK "Transfer-Encoding: chunked\r\n\r\n1\r\n1\rx", "does not end where");
    assert_broken(OK "Transfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n", "without a name");
    assert_broken(OK "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\rb\r\n\r\n", "its trailer");
}

static void test_answers_that_break_off(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "HTTP/1.1 200 OK",
        OK,
        OK "Content-Length: 3\r\n",
        OK "Content-Length: 3\r\n\r\n[]",
        OK "Transfer-Encoding: chunked\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n5\r\n[]",
        OK "Transfer-Encoding: chunked\r\n\r\n2\r\n[]",
        OK "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n",
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        assert_broken(parts[i], "closed before its end");
    }
    struct http1_response nothing;
    http1_response_init(&nothing);
    assert_int_equal(http1_response_close(&nothing), HTTP1_BROKEN);
}

/* --- limits --- */

/* text, then n times the letter, then the end. */
static char *long_text(const char *begin, size_t n, const char *end)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_append(&text, str_of(begin));
    for (size_t i = 0; i < n; i++) {
        buf_append_char(&text, 'x');
    }
    buf_append(&text, str_of(end));
    return buf_take(&text);
}

static void assert_too_large(char *text)
{
    struct reading r;
    read_in_pieces(&r, str_of(text), 1000, false);
    assert_int_equal(r.last, HTTP1_BROKEN);
    assert_true(r.response.is_head_too_large);
    release(&r);
    free(text);
}

static void test_large_heads(void **state)
{
    (void)state;
    size_t usual = strlen(OK "A: \r\nContent-Length: 0\r\n\r\n");
    char *text = long_text(OK "A: ", HTTP1_HEAD_BYTES_MAX - usual, "\r\nContent-Length: 0\r\n\r\n");
    assert_read(str_of(text), "", true, 0);
    free(text);
    assert_too_large(
        long_text(OK "A: ", HTTP1_HEAD_BYTES_MAX - usual + 1, "\r\nContent-Length: 0\r\n\r\n"));
    assert_too_large(long_text(OK "A: ", 70000, "")); /* a line without an end */
    assert_too_large(long_text("HTTP/1.1 200 ", 70000, ""));
    assert_too_large(
        long_text(OK "Transfer-Encoding: chunked\r\n\r\n0\r\nA: ", 70000, "")); /* a trailer */
    /* Interim answers without an end. */
    struct buf many;
    buf_init(&many, 1 << 20);
    while (many.len < 70000) {
        buf_literal(&many, "HTTP/1.1 100 x\r\n\r\n");
    }
    assert_too_large(buf_take(&many));
}

static void test_long_lines_around_chunks(void **state)
{
    (void)state;
    char *text = long_text(OK "Transfer-Encoding: chunked\r\n\r\n1;", 5000, "");
    assert_broken(text, "more than 4 KiB");
    free(text);
    text = long_text(OK "Transfer-Encoding: chunked\r\n\r\n0;", 4000, "\r\n\r\n");
    assert_kept(text, "");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_length),
        cmocka_unit_test(test_the_lines_are_told),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_the_end_of_the_connection),
        cmocka_unit_test(test_answers_without_a_body),
        cmocka_unit_test(test_interim_answers),
        cmocka_unit_test(test_status_lines),
        cmocka_unit_test(test_lengths_that_contradict),
        cmocka_unit_test(test_lines_that_are_none),
        cmocka_unit_test(test_chunks_that_are_none),
        cmocka_unit_test(test_answers_that_break_off),
        cmocka_unit_test(test_large_heads),
        cmocka_unit_test(test_long_lines_around_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
