/* SPDX-License-Identifier: MIT */
/* The handshake: one good one, and each header that makes it a bad one. */
#include "protocols/handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PATH STR("/connection/websocket")

static const struct handshake good = {
    .is_get = true,
    .http_version = {"HTTP/1.1", 8},
    .path = {"/connection/websocket", 21},
    .host = {"hub.example", 11},
    .connection = {"Upgrade", 7},
    .upgrade = {"websocket", 9},
    .key = {"dGhlIHNhbXBsZSBub25jZQ==", 24},
    .version = {"13", 2},
};

static void a_good_one_passes(void **state)
{
    (void)state;
    assert_int_equal(handshake_check(&good, PATH).status, 0);
}

static void each_header_counts(void **state)
{
    (void)state;
    enum { HTTP_VERSION, TARGET, HOST, CONNECTION, UPGRADE, KEY, VERSION, PROTOCOLS };
    static const struct {
        int header;
        const char *value;
        int status;
    } rows[] = {
        {HTTP_VERSION, "HTTP/1.0", 400},
        {HTTP_VERSION, "HTTP/2", 400},
        {HTTP_VERSION, "", 400},
        {TARGET, "/", 404},
        {TARGET, "/connection/websocket/", 404},
        {TARGET, "/Connection/websocket", 404},
        {TARGET, "", 404},
        {HOST, "", 400},
        {HOST, "x", 0},
        {CONNECTION, "upgrade", 0},
        {CONNECTION, "UPGRADE", 0},
        {CONNECTION, "keep-alive, Upgrade", 0},
        {CONNECTION, "Upgrade , keep-alive", 0},
        {CONNECTION, ",\tUpgrade\t,", 0},
        {CONNECTION, "", 400},
        {CONNECTION, "keep-alive", 400},
        {CONNECTION, "Upgraded", 400},
        {CONNECTION, "no Upgrade", 400},
        {UPGRADE, "WebSocket", 0},
        {UPGRADE, "", 400},
        {UPGRADE, "h2c", 400},
        {UPGRADE, "websocket2", 400},
        {KEY, "AAAAAAAAAAAAAAAAAAAAAA==", 0},
        {KEY, "abcdefghijklmnopqrst+/==", 0},
        {KEY, "", 400},
        {KEY, "AAAAAAAAAAAAAAAAAAAAA===", 400},
        {KEY, "AAAAAAAAAAAAAAAAAAAAAAA=", 400},
        {KEY, "AAAAAAAAAAAAAAAAAAAAAAAA", 400},
        {KEY, "AAAAAAAAAAAAAAAAAAAAA==", 400},
        {KEY, "AAAAAAAAAAAAAAAAAAAAAAAA==", 400},
        {KEY, "AAAAAAAAAAA AAAAAAAAAA==", 400},
        {KEY, "AAAAAAAAAAA-AAAAAAAAAA==", 400},
        {VERSION, "12", 426},
        {VERSION, "", 426},
        {VERSION, "13, 8", 426},
        {VERSION, "013", 426},
        {PROTOCOLS, "", 0},
        {PROTOCOLS, "centrifuge-json", 0},
        {PROTOCOLS, "centrifuge-protobuf, centrifuge-json", 0},
        {PROTOCOLS, "centrifuge-protobuf", 400},
        {PROTOCOLS, "centrifuge-json2", 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct handshake h = good;
        struct str *const headers[] = {&h.http_version, &h.path, &h.host,    &h.connection,
                                       &h.upgrade,      &h.key,  &h.version, &h.protocols};
        *headers[rows[i].header] = str_of(rows[i].value);
        struct handshake_refusal refusal = handshake_check(&h, PATH);
        if (refusal.status != rows[i].status) {
            fail_msg("\"%s\": %d, expected %d", rows[i].value, refusal.status, rows[i].status);
        }
        if (refusal.status != 0) {
            assert_true(strlen(refusal.text) > 10);
            assert_int_equal(refusal.text[strlen(refusal.text) - 1], '\n');
        }
    }
}

static void refusals_name_what_would_do(void **state)
{
    (void)state;
    struct handshake h = good;
    h.is_get = false;
    struct handshake_refusal refusal = handshake_check(&h, PATH);
    assert_int_equal(refusal.status, 405);
    assert_string_equal(refusal.headers, "Allow: GET\r\n");
    h = good;
    h.version = STR("8");
    refusal = handshake_check(&h, PATH);
    assert_int_equal(refusal.status, 426);
    assert_string_equal(refusal.headers, "Sec-WebSocket-Version: 13\r\n");
}

static void tokens_of_a_list(void **state)
{
    (void)state;
    assert_true(handshake_has_token(STR("a, b ,c"), STR("b")));
    assert_true(handshake_has_token(STR("a, B"), STR("b")));
    assert_false(handshake_has_token(STR("a b"), STR("b")));
    assert_false(handshake_has_token(STR_EMPTY, STR("b")));
    assert_false(handshake_has_token(STR("ab,bc"), STR("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one_passes),
        cmocka_unit_test(each_header_counts),
        cmocka_unit_test(refusals_name_what_would_do),
        cmocka_unit_test(tokens_of_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
