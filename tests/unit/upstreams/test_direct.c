/* SPDX-License-Identifier: MIT */
/* The direct client: what comes back to a call, by its bytes. */
#include "direct_world.h"

#include <zlib.h>

/* Of one answer over a new connection. */
static void assert_end_with(struct str text, enum then then, size_t max_bytes, enum direct_end end,
                            struct str body)
{
    struct world w;
    struct asking a;
    open_world(&w);
    expect(&w.server, text, then);
    prepare(&w, &a);
    a.body.max = max_bytes;
    ask(&a);
    run(&a);
    if (a.end != end) {
        fail_msg("%.*s: %d, %s", STR_ARG(str_head(text, 300)), (int)a.end, a.error);
    }
    if (end == DIRECT_COMPLETE) {
        assert_true(str_eq(buf_str(&a.body), body));
    } else {
        assert_true(strlen(a.error) > 0);
    }
    forget(&a);
    close_world(&w);
}

static void assert_body(struct str text, enum then then, const char *body)
{
    assert_end_with(text, then, 1000, DIRECT_COMPLETE, str_of(body));
}

static void assert_end(struct str text, enum then then, enum direct_end end)
{
    assert_end_with(text, then, 1000, end, STR_EMPTY);
}

/* --- answers --- */

static void test_a_get(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    open_world(&w);
    expect(&w.server, STR("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 3\r\n\r\n1.5"),
           THEN_KEEP);
    ask_and_run(&w, &a);
    assert_int_equal(a.end, DIRECT_COMPLETE);
    assert_true(str_eq(buf_str(&w.server.asked), STR("GET /x HTTP/1.1\r\nHost: y\r\n\r\n")));
    assert_int_equal(a.head.head.http_status, 200);
    assert_true(str_eq(a.head.head.etag, STR("\"e\"")));
    assert_true(str_eq(buf_str(&a.body), STR("1.5")));
    assert_int_equal(a.call.n_body_bytes, 3);
    assert_int_equal(a.call.n_connections, 1);
    assert_true(a.call.connect_us > 0);
    assert_true(a.call.first_byte_us > 0);
    forget(&a);
    close_world(&w);
}

static void test_bodies(void **state)
{
    (void)state;
    assert_body(STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n0"
                    "\r\n\r\n"),
                THEN_KEEP, "[]");
    assert_body(STR("HTTP/1.1 200 OK\r\n\r\n[]"), THEN_CLOSE, "[]");
    assert_body(STR("HTTP/1.1 204 No Content\r\n\r\n"), THEN_KEEP, "");
    assert_body(STR("HTTP/1.1 103 x\r\nContent-Encoding: br\r\n\r\n" GOOD), THEN_KEEP, "[]");
    assert_body(STR("HTTP/1.1 304 x\r\nContent-Length: 5000\r\n\r\n"), THEN_KEEP, "");
    assert_body(STR("HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\nno"), THEN_KEEP, "no");
}

static void test_answers_that_are_none(void **state)
{
    (void)state;
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]"), THEN_CLOSE, DIRECT_BROKEN);
    assert_end(STR("HTTP/1.1 200 OK\r\n"), THEN_CLOSE, DIRECT_BROKEN);
    assert_end(STR("SSH-2.0-x\r\n"), THEN_KEEP, DIRECT_BROKEN);
    assert_end(STR_EMPTY, THEN_CLOSE, DIRECT_BROKEN);
    assert_end(STR_EMPTY, THEN_RESET, DIRECT_BROKEN);
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n[]"),
               THEN_KEEP, DIRECT_BROKEN);
}

/* A line that takes several reads. */
static void test_a_large_head(void **state)
{
    (void)state;
    struct buf text;
    for (size_t n = 40000; n <= 80000; n += 40000) {
        buf_init(&text, 1 << 20);
        buf_literal(&text, "HTTP/1.1 200 OK\r\nX: ");
        for (size_t i = 0; i < n; i++) {
            buf_append_char(&text, 'x');
        }
        buf_literal(&text, "\r\nContent-Length: 2\r\n\r\n[]");
        if (n < HTTP1_HEAD_BYTES_MAX) {
            assert_body(buf_str(&text), THEN_KEEP, "[]");
        } else {
            assert_end(buf_str(&text), THEN_KEEP, DIRECT_TOO_LARGE);
        }
        buf_release(&text);
    }
}

static void test_limits_of_bodies(void **state)
{
    (void)state;
    const struct str four = STR("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1234");
    const struct str chunks =
        STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n");
    const struct str endless = STR("HTTP/1.1 200 OK\r\n\r\n1234");
    assert_end_with(four, THEN_KEEP, 4, DIRECT_COMPLETE, STR("1234"));
    assert_end_with(chunks, THEN_KEEP, 4, DIRECT_COMPLETE, STR("1234"));
    assert_end_with(endless, THEN_CLOSE, 4, DIRECT_COMPLETE, STR("1234"));
    assert_end_with(four, THEN_KEEP, 3, DIRECT_TOO_LARGE, STR_EMPTY);
    assert_end_with(chunks, THEN_KEEP, 3, DIRECT_TOO_LARGE, STR_EMPTY);
    assert_end_with(endless, THEN_KEEP, 3, DIRECT_TOO_LARGE, STR_EMPTY);
    /* What is announced is enough. */
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"), THEN_KEEP, DIRECT_TOO_LARGE);
}

static struct asking ask_skipping(struct world *w, struct str text)
{
    struct asking a;
    expect(&w->server, text, THEN_KEEP);
    prepare(w, &a);
    a.skips = true;
    ask(&a);
    run(&a);
    assert_int_equal(a.body.len, 0);
    forget(&a);
    return a;
}

static void test_a_body_that_nobody_wants(void **state)
{
    (void)state;
    struct world w;
    struct buf text;
    open_world(&w);
    struct asking a = ask_skipping(
        &w, STR("HTTP/1.1 302 x\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nxxx"));
    assert_int_equal(a.end, DIRECT_COMPLETE);
    assert_good(&w, true);
    buf_init(&text, 1 << 20);
    buf_literal(&text, "HTTP/1.1 302 x\r\nContent-Length: 70000\r\n\r\n");
    for (size_t i = 0; i < 70000; i++) {
        buf_append_char(&text, 'x');
    }
    a = ask_skipping(&w, buf_str(&text));
    assert_int_equal(a.end, DIRECT_TOO_LARGE);
    close_world(&w);
    buf_release(&text);
}

/* --- compression --- */

/* window: as zlib's windowBits. */
static struct buf compressed(const char *coding, int window, struct str body, size_t n_missing)
{
    struct buf text;
    z_stream zlib = {.avail_in = (uInt)body.len, .next_in = (z_const Bytef *)body.ptr};
    buf_init(&text, 1 << 20);
    buf_printf(&text, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: %s\r\n\r\n",
               coding);
    assert_int_equal(buf_reserve(&text, body.len + 1000), STATUS_OK);
    assert_int_equal(deflateInit2(&zlib, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    zlib.next_out = (Bytef *)text.ptr + text.len;
    zlib.avail_out = (uInt)(text.capacity - text.len);
    assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    text.len += zlib.total_out - n_missing;
    assert_int_equal(deflateEnd(&zlib), Z_OK);
    return text;
}

static void assert_inflated(const char *coding, int window)
{
    const struct str body = STR("{\"a\":[1,2,3,1,2,3,1,2,3,1,2,3,1,2,3]}");
    struct buf text = compressed(coding, window, body, 0);
    assert_end_with(buf_str(&text), THEN_CLOSE, body.len, DIRECT_COMPLETE, body);
    assert_end_with(buf_str(&text), THEN_CLOSE, body.len - 1, DIRECT_TOO_LARGE, STR_EMPTY);
    buf_append(&text, STR("behind the end"));
    assert_end_with(buf_str(&text), THEN_CLOSE, body.len, DIRECT_COMPLETE, body);
    buf_release(&text);
    text = compressed(coding, window, body, 5);
    assert_end(buf_str(&text), THEN_CLOSE, DIRECT_BROKEN);
    buf_release(&text);
}

static void test_compressed_bodies(void **state)
{
    (void)state;
    assert_inflated("gzip", 15 + 16);
    assert_inflated("x-gzip", 15 + 16);
    assert_inflated("deflate", 15);
    assert_inflated("deflate", -15);
    assert_body(STR("HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\n[]"), THEN_CLOSE, "[]");
    assert_body(STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"),
                THEN_KEEP, "");
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n[]"), THEN_CLOSE, DIRECT_BROKEN);
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n[]"), THEN_CLOSE,
               DIRECT_BROKEN);
    assert_end(STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\n[]"), THEN_CLOSE,
               DIRECT_BROKEN);
}

static void test_a_bomb(void **state)
{
    (void)state;
    static char zeros[1 << 19];
    struct buf text = compressed("gzip", 15 + 16, (struct str){zeros, sizeof(zeros)}, 0);
    assert_true(text.len < 1000);
    assert_end_with(buf_str(&text), THEN_CLOSE, 100000, DIRECT_TOO_LARGE, STR_EMPTY);
    buf_release(&text);
}

/* Empty blocks, which come to nothing, for ever. */
static void test_a_compressed_body_without_contents(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_literal(&text, "HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n");
    while (text.len < 100000) {
        buf_append(&text, (struct str){"\x00\x00\x00\xff\xff", 5});
    }
    assert_end(buf_str(&text), THEN_KEEP, DIRECT_TOO_LARGE);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_get),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_answers_that_are_none),
        cmocka_unit_test(test_a_large_head),
        cmocka_unit_test(test_limits_of_bodies),
        cmocka_unit_test(test_a_body_that_nobody_wants),
        cmocka_unit_test(test_compressed_bodies),
        cmocka_unit_test(test_a_bomb),
        cmocka_unit_test(test_a_compressed_body_without_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
