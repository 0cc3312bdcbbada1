/* SPDX-License-Identifier: MIT */
/* The URLs that the direct client reads, and what it makes of them. */
#include "upstreams/direct_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_written(const char *text, const char *expected)
{
    struct direct_url url;
    struct buf buf;
    buf_init(&buf, 10000);
    if (!direct_url_read(str_of(text), &url)) {
        fail_msg("%s is not read", text);
    }
    direct_url_write_get(&url, &buf);
    buf_append_char(&buf, '\0');
    assert_string_equal(buf.ptr, expected);
    buf_release(&buf);
}

static void test_urls(void **state)
{
    (void)state;
    assert_written("http://a.test/x?y=z", "GET /x?y=z HTTP/1.1\r\nHost: a.test\r\n");
    assert_written("http://a", "GET / HTTP/1.1\r\nHost: a\r\n");
    assert_written("http://a?b", "GET /?b HTTP/1.1\r\nHost: a\r\n");
    assert_written("http://a:80/", "GET / HTTP/1.1\r\nHost: a\r\n");
    assert_written("http://a:8080/?b=/c//d%2F", "GET /?b=/c//d%2F HTTP/1.1\r\nHost: a:8080\r\n");
    assert_written("http://[::1]:80/", "GET / HTTP/1.1\r\nHost: [::1]\r\n");
    assert_written("http://[::ffff:1.2.3.4]:81", "GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:81\r\n");
    assert_written("http://1.2.3.4/x.json", "GET /x.json HTTP/1.1\r\nHost: 1.2.3.4\r\n");
    assert_written("http://a_b-1.c1", "GET / HTTP/1.1\r\nHost: a_b-1.c1\r\n");
}

static void test_urls_for_libcurl(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "http://",
        "https://a/",
        "HTTP://a/",
        "ftp://a/",
        "a",
        "http:/a",
        "http://u@a/",
        "http://A/",
        "http://a./",
        "http://.a/",
        "http://a..b/",
        "http://a:/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:x",
        "http://a:1:2/",
        "http://a b/",
        "http://a/ b",
        "http://a/#b",
        "http://a#b",
        "http://a/./b",
        "http://a/../b",
        "http://a/..",
        "http://a/b/.c",
        "http://a/\n",
        "http://a/\x7f",
        "http://a/\xc3\xa4",
        "http://\xc3\xa4/",
        "http://a%41/",
        "http://a/\\b",
        "http://[::1",
        "http://[::1%25x]/",
        "http://[]/",
        "http://[::1]x/",
        "http://[a.b]:x/",
        "http://1.2.3.a1x/\t",
        "http://0x7f.0x1/",
        "http://-a.1b/",
    };
    struct direct_url url;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (direct_url_read(str_of(others[i]), &url)) {
            fail_msg("%s is read", others[i]);
        }
    }
    char text[300] = "http://";
    memset(text + strlen(text), 'a', 254);
    assert_false(direct_url_read(str_of(text), &url));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_urls_for_libcurl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
