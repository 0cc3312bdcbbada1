/* SPDX-License-Identifier: MIT */
/* Base64: the examples of RFC 4648, every byte, and what is refused. */
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef bool (*decode_fn)(struct str text, struct buf *out);

static void check(decode_fn decode, const char *text, const char *expected)
{
    struct buf out;
    buf_init(&out, 4096);
    assert_true(decode(str_of(text), &out));
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(out.len > 0 ? out.ptr : "", expected, out.len);
    buf_release(&out);
}

static void check_refused(decode_fn decode, const char *text)
{
    struct buf out;
    buf_init(&out, 4096);
    if (decode(str_of(text), &out)) {
        fail_msg("accepted: %s", text);
    }
    buf_release(&out);
}

static void the_examples_of_the_rfc(void **state)
{
    (void)state;
    check(base64_decode, "", "");
    check(base64_decode, "Zg==", "f");
    check(base64_decode, "Zm8=", "fo");
    check(base64_decode, "Zm9v", "foo");
    check(base64_decode, "Zm9vYg==", "foob");
    check(base64_decode, "Zm9vYmE=", "fooba");
    check(base64_decode, "Zm9vYmFy", "foobar");
    check(base64url_decode, "", "");
    check(base64url_decode, "Zg", "f");
    check(base64url_decode, "Zm8", "fo");
    check(base64url_decode, "Zm9vYmFy", "foobar");
}

static void check_encoded(void (*encode)(struct str bytes, struct buf *out), const char *bytes,
                          const char *expected)
{
    struct buf out;
    buf_init(&out, 4096);
    encode(str_of(bytes), &out);
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(out.len > 0 ? out.ptr : "", expected, out.len);
    buf_release(&out);
}

static void what_is_encoded(void **state)
{
    (void)state;
    check_encoded(base64_encode, "", "");
    check_encoded(base64_encode, "f", "Zg==");
    check_encoded(base64_encode, "fo", "Zm8=");
    check_encoded(base64_encode, "foo", "Zm9v");
    check_encoded(base64_encode, "foob", "Zm9vYg==");
    check_encoded(base64_encode, "fooba", "Zm9vYmE=");
    check_encoded(base64_encode, "foobar", "Zm9vYmFy");
    check_encoded(base64_encode, "\xfb\xef\xff", "++//");
    check_encoded(base64url_encode, "", "");
    check_encoded(base64url_encode, "f", "Zg");
    check_encoded(base64url_encode, "fo", "Zm8");
    check_encoded(base64url_encode, "foob", "Zm9vYg");
    check_encoded(base64url_encode, "\xfb\xef\xff", "--__");
    struct buf out;
    buf_init(&out, 5);
    base64_encode(STR("foobar"), &out);
    assert_true(buf_failed(&out));
    buf_release(&out);
}

static void each_alphabet_has_its_own_end(void **state)
{
    (void)state;
    check(base64_decode, "++//", "\xfb\xef\xff");
    check(base64url_decode, "--__", "\xfb\xef\xff");
    check_refused(base64_decode, "--__");
    check_refused(base64url_decode, "++//");
}

static void what_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"Z",     "Zg",   "Zg=",       "Zg===", "Z===",
                                        "=",     "====", "Zg==Zg==",  "Zm=v",  "Zm9v\n",
                                        "Zm 9v", "Zm9*", "Zm\xc3\xa9"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        check_refused(base64_decode, texts[i]);
    }
    check_refused(base64url_decode, "Zg==");
}

static void every_pair_of_digits(void **state)
{
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf out;
    buf_init(&out, 16);
    for (unsigned i = 0; i < 4096; i++) {
        char text[] = {digits[i >> 6], digits[i & 63], 'A', 'A', '\0'};
        buf_clear(&out);
        assert_true(base64_decode(str_of(text), &out));
        assert_int_equal(out.len, 3);
        assert_int_equal((unsigned char)out.ptr[0], i >> 4);
        assert_int_equal((unsigned char)out.ptr[1], (i & 15) << 4);
        assert_int_equal(out.ptr[2], 0);
        struct buf again;
        buf_init(&again, 16);
        base64_encode(buf_str(&out), &again);
        assert_memory_equal(again.ptr, text, 4);
        buf_release(&again);
    }
    buf_release(&out);
}

static void a_full_buffer_is_a_failure(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 5);
    assert_false(base64_decode(STR("Zm9vYmFy"), &out));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc),
        cmocka_unit_test(what_is_encoded),
        cmocka_unit_test(each_alphabet_has_its_own_end),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(every_pair_of_digits),
        cmocka_unit_test(a_full_buffer_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
