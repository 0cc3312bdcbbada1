/* SPDX-License-Identifier: MIT */
/* Connection tokens: what is read from a good one, and every way to be refused. */
#include "hub/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "tests/unit/hub/token_maker.h"

#define KEY "the shared secret"
#define NOW 1000000

static enum status verify_text(const char *token, struct token_claims *claims)
{
    return token_verify(str_of(token), KEY, NOW, claims);
}

static void check_good(const char *claims, const char *user, const char *info, int64_t expires_at)
{
    char *token = make_token(claims, KEY);
    struct token_claims found;
    assert_int_equal(verify_text(token, &found), STATUS_OK);
    assert_string_equal(found.user, user);
    assert_string_equal(found.info, info);
    assert_int_equal(found.expires_at, expires_at);
    token_claims_release(&found);
    free(token);
}

static void check_bad(const char *claims, enum status expected)
{
    char *token = make_token(claims, KEY);
    struct token_claims found;
    assert_int_equal(verify_text(token, &found), expected);
    free(token);
}

static void check_bad_text(const char *token)
{
    struct token_claims found;
    assert_int_equal(verify_text(token, &found), STATUS_UNAUTHORIZED);
}

static void check_bad_header(const char *header, const EVP_MD *hash)
{
    char *token = make_token_with(header, "{\"sub\":\"42\"}", KEY, hash);
    check_bad_text(token);
    free(token);
}

static void claims_are_read(void **state)
{
    (void)state;
    check_good("{}", "", "", 0);
    check_good("{\"sub\":\"42\"}", "42", "", 0);
    check_good("{\"sub\":\"\",\"exp\":1000001}", "", "", 1000001);
    check_good("{\"exp\":1000001.9,\"nbf\":1000000,\"iat\":5,\"sub\":\"u\"}", "u", "", 1000001);
    check_good("{\"sub\":\"\\u00e9\\n\\\"\"}", "\xc3\xa9\n\"", "", 0);
    check_good("{\"other\":{\"sub\":\"no\"},\"sub\":\"yes\"}", "yes", "", 0);
}

static void info_is_kept_byte_for_byte(void **state)
{
    (void)state;
    check_good("{\"info\":{\"n\": 1.10, \"id\":1234567890123456789}}", "",
               "{\"n\": 1.10, \"id\":1234567890123456789}", 0);
    check_good("{\"info\":{\n\"a\":1\r\n}}", "", "{\"a\":1}", 0);
    check_good("{\"info\":\"text\"}", "", "\"text\"", 0);
    check_good("{\"info\":null}", "", "null", 0);
}

static void info_with_numbers_that_fit_no_machine(void **state)
{
    (void)state;
    check_good("{\"info\":[12345678901234567890,1e999]}", "", "[12345678901234567890,1e999]", 0);
}

static void time_is_looked_at(void **state)
{
    (void)state;
    check_bad("{\"exp\":1000000}", STATUS_EXPIRED);
    check_bad("{\"exp\":999999}", STATUS_EXPIRED);
    check_bad("{\"exp\":0}", STATUS_EXPIRED);
    check_bad("{\"exp\":-1}", STATUS_EXPIRED);
    check_bad("{\"nbf\":1000001}", STATUS_EXPIRED);
    check_bad("{\"nbf\":1000001,\"exp\":2000000}", STATUS_EXPIRED);
    check_bad("{\"exp\":999999.9}", STATUS_EXPIRED);
}

static void claims_of_a_wrong_type(void **state)
{
    (void)state;
    check_bad("{\"sub\":42}", STATUS_UNAUTHORIZED);
    check_bad("{\"sub\":{}}", STATUS_UNAUTHORIZED);
    check_bad("{\"sub\":\"a\\u0000b\"}", STATUS_UNAUTHORIZED);
    check_bad("{\"exp\":\"1000001\"}", STATUS_UNAUTHORIZED);
    check_bad("{\"exp\":true}", STATUS_UNAUTHORIZED);
    check_bad("{\"exp\":99999999999999999999}", STATUS_UNAUTHORIZED);
    check_bad("{\"nbf\":\"0\"}", STATUS_UNAUTHORIZED);
    check_bad("{\"sub\":\"a\",\"sub\":\"b\"}", STATUS_UNAUTHORIZED);
    check_bad("{\"exp\":1000001,\"exp\":2000000}", STATUS_UNAUTHORIZED);
    check_bad("{\"sub\":\"a\",\"channel\":\"news\"}", STATUS_UNAUTHORIZED);
    check_bad("[]", STATUS_UNAUTHORIZED);
    check_bad("\"sub\"", STATUS_UNAUTHORIZED);
    check_bad("{\"sub\":\"a\"", STATUS_UNAUTHORIZED);
    check_bad("", STATUS_UNAUTHORIZED);
}

static void other_algorithms(void **state)
{
    (void)state;
    check_bad_header("{\"alg\":\"HS384\",\"typ\":\"JWT\"}", EVP_sha384());
    check_bad_header("{\"alg\":\"HS512\",\"typ\":\"JWT\"}", EVP_sha512());
    check_bad_header("{\"alg\":\"none\",\"typ\":\"JWT\"}", EVP_sha256());
    check_bad_header("{\"alg\":\"RS256\",\"typ\":\"JWT\"}", EVP_sha256());
    check_bad_header("{\"typ\":\"JWT\"}", EVP_sha256());
    check_bad_header("{\"alg\":256}", EVP_sha256());
    check_bad_header("not JSON", EVP_sha256());
    /* {"alg":"none"}.{"sub":"42"}. */
    check_bad_text("eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9.");
    check_bad_text("eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9");
}

static void other_keys(void **state)
{
    (void)state;
    char *token = make_token("{\"sub\":\"42\"}", "another secret");
    check_bad_text(token);
    struct token_claims found;
    assert_int_equal(token_verify(str_of(token), "", NOW, &found), STATUS_UNAUTHORIZED);
    free(token);
    token = make_token("{\"sub\":\"42\"}", "");
    assert_int_equal(token_verify(str_of(token), "", NOW, &found), STATUS_UNAUTHORIZED);
    free(token);
}

/* Every single byte counts, also those that stand for no bit of the signature. */
static void changed_tokens(void **state)
{
    (void)state;
    char *token = make_token("{\"sub\":\"42\",\"exp\":1000001}", KEY);
    size_t len = strlen(token);
    struct token_claims found;
    size_t n_accepted = 0;
    for (size_t i = 0; i < len; i++) {
        char kept = token[i];
        token[i] = kept == 'A' ? 'B' : 'A';
        if (verify_text(token, &found) == STATUS_OK) {
            n_accepted++;
            assert_string_equal(found.user, "42");
            token_claims_release(&found);
        }
        token[i] = kept;
    }
    assert_true(n_accepted <= 1); /* the last digit of a signature has unused bits */
    for (size_t n = 0; n < len; n++) {
        assert_int_equal(token_verify((struct str){token, n}, KEY, NOW, &found),
                         STATUS_UNAUTHORIZED);
    }
    assert_int_equal(verify_text(token, &found), STATUS_OK);
    token_claims_release(&found);
    free(token);
}

static void what_is_no_token(void **state)
{
    (void)state;
    check_bad_text("");
    check_bad_text(".");
    check_bad_text("..");
    check_bad_text("...");
    check_bad_text("a.b.c");
    check_bad_text("\xff\xfe.\xfd.\xfc");
    check_bad_text("eyJhbGciOiJIUzI1NiJ9.!!!!.AAAA");
    struct token_claims found;
    assert_int_equal(token_verify(STR_EMPTY, KEY, NOW, &found), STATUS_UNAUTHORIZED);
    assert_int_equal(token_verify(STR("a\0b"), KEY, NOW, &found), STATUS_UNAUTHORIZED);
}

/* The signature is over the text up to the NUL only, as libjwt sees it. */
static void a_nul_hides_nothing(void **state)
{
    (void)state;
    char *token = make_token("{\"sub\":\"42\"}", KEY);
    struct buf text;
    buf_init(&text, 10000);
    buf_append(&text, str_of(token));
    buf_append(&text, STR("\0.eyJzdWIiOiJyb290In0.x"));
    struct token_claims found;
    enum status status = token_verify(buf_str(&text), KEY, NOW, &found);
    if (status == STATUS_OK) {
        assert_string_equal(found.user, "42");
        token_claims_release(&found);
    }
    buf_release(&text);
    free(token);
}

static void too_long_ones(void **state)
{
    (void)state;
    char *claims = calloc(1, 20000);
    assert_non_null(claims);
    memcpy(claims, "{\"sub\":\"", 8);
    memset(claims + 8, 'a', 16000);
    memcpy(claims + 16008, "\"}", 3);
    check_bad(claims, STATUS_UNAUTHORIZED);
    memcpy(claims + 8 + 8000, "\"}", 3);
    char *token = make_token(claims, KEY);
    struct token_claims found;
    assert_int_equal(verify_text(token, &found), STATUS_OK);
    assert_int_equal(strlen(found.user), 8000);
    token_claims_release(&found);
    free(token);
    free(claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_are_read),
        cmocka_unit_test(info_is_kept_byte_for_byte),
        cmocka_unit_test(info_with_numbers_that_fit_no_machine),
        cmocka_unit_test(time_is_looked_at),
        cmocka_unit_test(claims_of_a_wrong_type),
        cmocka_unit_test(other_algorithms),
        cmocka_unit_test(other_keys),
        cmocka_unit_test(changed_tokens),
        cmocka_unit_test(what_is_no_token),
        cmocka_unit_test(a_nul_hides_nothing),
        cmocka_unit_test(too_long_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
