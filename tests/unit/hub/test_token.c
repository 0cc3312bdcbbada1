/* SPDX-License-Identifier: MIT */
/* Tokens: what is read from a good one, every way to be refused, and the known ways to make a
 * verifier take one kind of key for another. */
#include "hub/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "tests/unit/hub/token_maker.h"

#define KEY       "the shared secret"
#define NOW       1000000
#define SUB42     "{\"sub\":\"42\"}"
#define HEAD(alg) "{\"alg\":\"" alg "\",\"typ\":\"JWT\"}"

/* Nothing is configured. */
#define NO_OPTIONS                                                                                 \
    .hmac_secret_key = "", .hmac_previous_secret_key = "", .rsa_public_key = "",                   \
    .ecdsa_public_key = "", .jwks_public_endpoint = "", .audience = "", .audience_regex = "",      \
    .issuer = "", .issuer_regex = "", .user_id_claim = ""

/* Made once: an RSA key takes its time. */
static EVP_PKEY *rsa;
static EVP_PKEY *p256;
static EVP_PKEY *p384;
static EVP_PKEY *p521;
static EVP_PKEY *ed25519;

static int make_keys(void **state)
{
    (void)state;
    rsa = make_rsa_key(2048);
    p256 = make_ec_key("P-256");
    p384 = make_ec_key("P-384");
    p521 = make_ec_key("P-521");
    ed25519 = make_ed25519_key();
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(p521);
    EVP_PKEY_free(ed25519);
    return 0;
}

/* --- asking --- */

static struct token_options hmac_options(void)
{
    struct token_options options = {NO_OPTIONS};
    options.hmac_secret_key = KEY;
    return options;
}

static enum status verify_at(const struct token_options *options, enum token_kind kind,
                             struct str token, int64_t now, struct token_claims *claims,
                             const char **why)
{
    struct token_verifier_setup setup = {.options = options};
    struct token_verifier *verifier = NULL;
    assert_int_equal(token_verifier_create(&setup, &verifier), STATUS_OK);
    *why = NULL;
    enum status status = token_verify(verifier, kind, token, now, claims, why);
    assert_true(status == STATUS_OK || (*why && strlen(*why) > 5));
    token_verifier_destroy(verifier);
    return status;
}

static enum status verify_with(const struct token_options *options, const char *token)
{
    struct token_claims claims;
    const char *why;
    enum status status = verify_at(options, TOKEN_CONNECTION, str_of(token), NOW, &claims, &why);
    if (status == STATUS_OK) {
        token_claims_release(&claims);
    }
    return status;
}

static enum status verify_str(struct str token, struct token_claims *claims)
{
    struct token_options options = hmac_options();
    const char *why;
    return verify_at(&options, TOKEN_CONNECTION, token, NOW, claims, &why);
}

static enum status verify_text(const char *token, struct token_claims *claims)
{
    return verify_str(str_of(token), claims);
}

/* Takes the token. */
static void check_verdict(const struct token_options *options, char *token, enum status expected)
{
    assert_int_equal(verify_with(options, token), expected);
    free(token);
}

static void check_bad_text(const char *token)
{
    struct token_claims found;
    assert_int_equal(verify_text(token, &found), STATUS_UNAUTHORIZED);
}

/* Of a connection; the claims are to be released. */
static struct token_claims read_good(const struct token_options *options, enum token_kind kind,
                                     const char *claims)
{
    char *token = make_token(claims, KEY);
    struct token_claims found = {0};
    const char *why;
    enum status status = verify_at(options, kind, str_of(token), NOW, &found, &why);
    if (status != STATUS_OK) {
        fail_msg("%s: %s", claims, why);
    }
    free(token);
    return found;
}

static void check_text(const char *found, const char *expected)
{
    if (expected) {
        assert_non_null(found);
        assert_string_equal(found, expected);
    } else {
        assert_null(found);
    }
}

static void check_good(const char *claims, const char *user, const char *info, int64_t expires_at)
{
    struct token_options options = hmac_options();
    struct token_claims found = read_good(&options, TOKEN_CONNECTION, claims);
    check_text(found.user, user);
    check_text(found.info, info);
    assert_int_equal(found.expires_at, expires_at);
    assert_null(found.grant.channel);
    token_claims_release(&found);
}

static void check_bad_kind(enum token_kind kind, const char *claims, enum status expected)
{
    struct token_options options = hmac_options();
    char *token = make_token(claims, KEY);
    struct token_claims found;
    const char *why;
    enum status status = verify_at(&options, kind, str_of(token), NOW, &found, &why);
    if (status != expected) {
        fail_msg("%s: %s", claims, status_name(status));
    }
    free(token);
}

static void check_bad(const char *claims, enum status expected)
{
    check_bad_kind(TOKEN_CONNECTION, claims, expected);
}

/* --- claims --- */

static void claims_are_read(void **state)
{
    (void)state;
    check_good("{}", NULL, NULL, 0);
    check_good("{\"sub\":\"42\"}", "42", NULL, 0);
    check_good("{\"sub\":\"\",\"exp\":1000001}", NULL, NULL, 1000001);
    check_good("{\"exp\":1000001.9,\"nbf\":1000000,\"iat\":5,\"sub\":\"u\"}", "u", NULL, 1000001);
    check_good("{\"sub\":\"\\u00e9\\n\\\"\"}", "\xc3\xa9\n\"", NULL, 0);
    check_good("{\"other\":{\"sub\":\"no\"},\"sub\":\"yes\"}", "yes", NULL, 0);
    check_good("\n {\"sub\":\"42\"} \t", "42", NULL, 0);
}

static void null_is_as_absent(void **state)
{
    (void)state;
    check_good("{\"sub\":null,\"exp\":null,\"nbf\":null,\"iat\":null,\"expire_at\":null,"
               "\"iss\":null,\"aud\":null,\"b64info\":null,\"meta\":null,\"channel\":null,"
               "\"channels\":null,\"subs\":null}",
               NULL, NULL, 0);
}

static void info_is_kept_byte_for_byte(void **state)
{
    (void)state;
    check_good("{\"info\":{\"n\": 1.10, \"id\":1234567890123456789}}", NULL,
               "{\"n\": 1.10, \"id\":1234567890123456789}", 0);
    check_good("{\"info\":{\n\"a\":1\r\n}}", NULL, "{\"a\":1}", 0);
    check_good("{\"info\":\"text\"}", NULL, "\"text\"", 0);
    check_good("{\"info\":null}", NULL, "null", 0);
    check_good("{\"b64info\":\"eyJhIjogMS4xMH0=\",\"info\":1}", NULL, "{\"a\": 1.10}", 0);
}

static void info_with_numbers_that_fit_no_machine(void **state)
{
    (void)state;
    check_good("{\"info\":[12345678901234567890,1e999]}", NULL, "[12345678901234567890,1e999]", 0);
}

static void expire_at_is_before_exp(void **state)
{
    (void)state;
    check_good("{\"exp\":1000001,\"expire_at\":2000000}", NULL, NULL, 2000000);
    check_good("{\"exp\":1000001,\"expire_at\":0}", NULL, NULL, 0);
    check_good("{\"expire_at\":5}", NULL, NULL, 5); /* what that means is the hub's to say */
    check_bad("{\"exp\":1000000,\"expire_at\":2000000}", STATUS_EXPIRED);
    check_bad("{\"expire_at\":-1}", STATUS_UNAUTHORIZED);
    check_bad("{\"expire_at\":1.5}", STATUS_UNAUTHORIZED);
    check_bad("{\"expire_at\":\"5\"}", STATUS_UNAUTHORIZED);
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
    static const char *const wrong[] = {"{\"sub\":42}",
                                        "{\"sub\":{}}",
                                        "{\"sub\":\"a\\u0000b\"}",
                                        "{\"exp\":\"1000001\"}",
                                        "{\"exp\":true}",
                                        "{\"exp\":99999999999999999999}",
                                        "{\"exp\":1e9}",
                                        "{\"nbf\":\"0\"}",
                                        "{\"iat\":\"0\"}",
                                        "{\"sub\":\"a\",\"sub\":\"b\"}",
                                        "{\"exp\":1000001,\"exp\":2000000}",
                                        "{\"sub\":\"a\",\"channel\":\"news\"}",
                                        "{\"channel\":\"\"}",
                                        "{\"channel\":{}}",
                                        "{\"iss\":1}",
                                        "{\"aud\":1}",
                                        "{\"aud\":[\"a\",1]}",
                                        "{\"aud\":{}}",
                                        "{\"meta\":[]}",
                                        "{\"meta\":\"{}\"}",
                                        "{\"meta\":1}",
                                        "{\"b64info\":1}",
                                        "{\"b64info\":\"e30\"}",
                                        "{\"b64info\":\"eyJhIjo=\"}",
                                        "{\"channels\":\"a\"}",
                                        "{\"channels\":[1]}",
                                        "{\"subs\":[]}",
                                        "{\"subs\":{\"a\":1}}",
                                        "{\"subs\":{\"a\":{\"override\":1}}}",
                                        "[]",
                                        "\"sub\"",
                                        "{\"sub\":\"a\"",
                                        "",
                                        "null"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        check_bad(wrong[i], STATUS_UNAUTHORIZED);
    }
}

static void meta_is_an_object_on_one_line(void **state)
{
    (void)state;
    struct token_options options = hmac_options();
    struct token_claims found =
        read_good(&options, TOKEN_CONNECTION, "{\"meta\":{\"a\": 1.10,\n\"b\":[]}}");
    assert_string_equal(found.meta, "{\"a\": 1.10,\"b\":[]}");
    token_claims_release(&found);
}

static void subscriptions_of_the_server(void **state)
{
    (void)state;
    struct token_options options = hmac_options();
    struct token_claims found =
        read_good(&options, TOKEN_CONNECTION,
                  "{\"channels\":[\"a\",\"b\"],\"subs\":{\"b\":{\"info\":{\"x\":1},\"data\":[2],"
                  "\"override\":{\"presence\":{\"value\":true}}}}}");
    assert_int_equal(found.subs.n_items, 2);
    assert_string_equal(found.subs.items[0].channel, "a");
    assert_null(found.subs.items[0].info);
    assert_string_equal(found.subs.items[1].channel, "b");
    assert_string_equal(found.subs.items[1].info, "{\"x\":1}");
    assert_string_equal(found.subs.items[1].data, "[2]");
    assert_int_equal(found.subs.items[1].override.presence, OVERRIDE_TRUE);
    token_claims_release(&found);
}

static void subscription_tokens(void **state)
{
    (void)state;
    struct token_options options = hmac_options();
    struct token_claims found =
        read_good(&options, TOKEN_SUBSCRIPTION,
                  "{\"sub\":\"42\",\"channel\":\"$n:\\u00e9\",\"info\":1.10,\"b64data\":\"e30=\","
                  "\"exp\":1000001,\"expire_at\":1000005,\"client\":\"c1\","
                  "\"override\":{\"force_recovery\":{\"value\":true}},\"channels\":7,\"meta\":7}");
    assert_string_equal(found.user, "42");
    assert_string_equal(found.client, "c1");
    assert_string_equal(found.grant.channel, "$n:\xc3\xa9");
    assert_string_equal(found.grant.info, "1.10");
    assert_string_equal(found.grant.data, "{}");
    assert_int_equal(found.grant.expires_at, 1000005);
    assert_int_equal(found.expires_at, 1000005);
    assert_int_equal(found.grant.override.force_recovery, OVERRIDE_TRUE);
    assert_null(found.info);
    assert_null(found.meta);
    assert_int_equal(found.subs.n_items, 0);
    token_claims_release(&found);
    found = read_good(&options, TOKEN_SUBSCRIPTION, "{\"channel\":\"a\",\"exp\":1000009}");
    assert_null(found.user);
    assert_null(found.client);
    assert_int_equal(found.grant.expires_at, 1000009);
    token_claims_release(&found);
    found = read_good(&options, TOKEN_SUBSCRIPTION,
                      "{\"channel\":\"a\",\"exp\":1000009,\"expire_at\":0}");
    assert_int_equal(found.grant.expires_at, 0);
    token_claims_release(&found);
}

static void wrong_subscription_tokens(void **state)
{
    (void)state;
    static const char *const wrong[] = {"{}",
                                        "{\"sub\":\"42\"}",
                                        "{\"channel\":\"\"}",
                                        "{\"channel\":null}",
                                        "{\"channel\":1}",
                                        "{\"channel\":\"a\\u0000b\"}",
                                        "{\"channel\":\"a\",\"channel\":\"b\"}",
                                        "{\"channel\":\"a\",\"client\":1}",
                                        "{\"channel\":\"a\",\"b64data\":\"!\"}",
                                        "{\"channel\":\"a\",\"override\":[]}",
                                        "{\"channel\":\"a\",\"expire_at\":-1}",
                                        "{\"channel\":\"a\",\"sub\":1}",
                                        "{\"channel\":\"a\",\"info\":1,\"info\":2}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        check_bad_kind(TOKEN_SUBSCRIPTION, wrong[i], STATUS_UNAUTHORIZED);
    }
    check_bad_kind(TOKEN_SUBSCRIPTION, "{\"channel\":\"a\",\"exp\":1000000}", STATUS_EXPIRED);
}

/* --- what is demanded --- */

static void check_demand(const struct token_options *options, const char *claims,
                         enum status expected)
{
    check_verdict(options, make_token(claims, KEY), expected);
}

static void audiences(void **state)
{
    (void)state;
    struct token_options o = hmac_options();
    o.audience = "hub";
    check_demand(&o, "{\"aud\":\"hub\"}", STATUS_OK);
    check_demand(&o, "{\"aud\":[\"other\",\"h\\u0075b\"]}", STATUS_OK);
    check_demand(&o, "{\"aud\":[\"hub\",1]}", STATUS_UNAUTHORIZED);
    check_demand(&o, "{\"aud\":\"hub2\"}", STATUS_UNAUTHORIZED);
    check_demand(&o, "{\"aud\":[]}", STATUS_UNAUTHORIZED);
    check_demand(&o, "{\"aud\":null}", STATUS_UNAUTHORIZED);
    check_demand(&o, "{}", STATUS_UNAUTHORIZED);
    o.audience = "";
    o.audience_regex = "^hub-[0-9]+$";
    check_demand(&o, "{\"aud\":\"hub-12\"}", STATUS_OK);
    check_demand(&o, "{\"aud\":[\"x\",\"hub-1\"]}", STATUS_OK);
    check_demand(&o, "{\"aud\":\"hub-\"}", STATUS_UNAUTHORIZED);
    check_demand(&o, "{\"aud\":\"hub-1\\n\"}", STATUS_UNAUTHORIZED);
    check_demand(&o, "{}", STATUS_UNAUTHORIZED);
}

static void issuers(void **state)
{
    (void)state;
    struct token_options o = hmac_options();
    o.issuer = "https://id.example.org";
    check_demand(&o, "{\"iss\":\"https://id.example.org\"}", STATUS_OK);
    check_demand(&o, "{\"iss\":\"https://id.example.org/\"}", STATUS_UNAUTHORIZED);
    check_demand(&o, "{\"iss\":\"\"}", STATUS_UNAUTHORIZED);
    check_demand(&o, "{}", STATUS_UNAUTHORIZED);
    o.issuer = "";
    o.issuer_regex = "example\\.(org|net)$";
    check_demand(&o, "{\"iss\":\"https://id.example.net\"}", STATUS_OK);
    check_demand(&o, "{\"iss\":\"https://id.example.com\"}", STATUS_UNAUTHORIZED);
    check_demand(&o, "{}", STATUS_UNAUTHORIZED);
}

static void users_by_another_claim(void **state)
{
    (void)state;
    struct token_options o = hmac_options();
    o.user_id_claim = "uid";
    struct token_claims found = read_good(&o, TOKEN_CONNECTION, "{\"sub\":\"a\",\"uid\":\"b\"}");
    assert_string_equal(found.user, "b");
    token_claims_release(&found);
    found = read_good(&o, TOKEN_CONNECTION, "{\"sub\":\"a\"}");
    assert_null(found.user);
    token_claims_release(&found);
    check_demand(&o, "{\"uid\":7}", STATUS_UNAUTHORIZED);
    check_demand(&o, "{\"uid\":\"a\",\"uid\":\"b\"}", STATUS_UNAUTHORIZED);
    o.user_id_claim = "iss"; /* also one that is read for something else */
    found = read_good(&o, TOKEN_CONNECTION, "{\"iss\":\"me\"}");
    assert_string_equal(found.user, "me");
    token_claims_release(&found);
}

/* --- algorithms and keys --- */

static void every_hmac(void **state)
{
    (void)state;
    struct token_options o = hmac_options();
    check_verdict(&o, make_token_with(HEAD("HS256"), SUB42, KEY, EVP_sha256()), STATUS_OK);
    check_verdict(&o, make_token_with(HEAD("HS384"), SUB42, KEY, EVP_sha384()), STATUS_OK);
    check_verdict(&o, make_token_with(HEAD("HS512"), SUB42, KEY, EVP_sha512()), STATUS_OK);
    check_verdict(&o, make_token_with("{\"\\u0061lg\":\"HS\\u003256\"}", SUB42, KEY, EVP_sha256()),
                  STATUS_OK);
    check_verdict(&o, make_token_with(HEAD("HS256"), SUB42, KEY, EVP_sha384()),
                  STATUS_UNAUTHORIZED);
    check_verdict(&o, make_token_with(HEAD("HS512"), SUB42, KEY, EVP_sha256()),
                  STATUS_UNAUTHORIZED);
}

static void every_rsa(void **state)
{
    (void)state;
    struct token_options o = {NO_OPTIONS};
    o.rsa_public_key = make_pem(rsa);
    check_verdict(&o, sign_token(HEAD("RS256"), SUB42, rsa, EVP_sha256()), STATUS_OK);
    check_verdict(&o, sign_token(HEAD("RS384"), SUB42, rsa, EVP_sha384()), STATUS_OK);
    check_verdict(&o, sign_token(HEAD("RS512"), SUB42, rsa, EVP_sha512()), STATUS_OK);
    check_verdict(&o, sign_token(HEAD("RS256"), SUB42, rsa, EVP_sha512()), STATUS_UNAUTHORIZED);
    check_verdict(&o, sign_token(HEAD("PS256"), SUB42, rsa, EVP_sha256()), STATUS_UNAUTHORIZED);
    EVP_PKEY *other = make_rsa_key(2048);
    check_verdict(&o, sign_token(HEAD("RS256"), SUB42, other, EVP_sha256()), STATUS_UNAUTHORIZED);
    EVP_PKEY_free(other);
    free(o.rsa_public_key);
}

struct curve_case {
    EVP_PKEY *key;
    const char *header;
    const EVP_MD *hash;
};

static void check_curve(const struct curve_case *cases, size_t own)
{
    struct token_options o = {NO_OPTIONS};
    o.ecdsa_public_key = make_pem(cases[own].key);
    for (size_t i = 0; i < 3; i++) {
        /* every signature of the one key, under every name; then those of other keys */
        check_verdict(&o, sign_token(cases[i].header, SUB42, cases[own].key, cases[i].hash),
                      i == own ? STATUS_OK : STATUS_UNAUTHORIZED);
        check_verdict(&o, sign_token(cases[i].header, SUB42, cases[i].key, cases[i].hash),
                      i == own ? STATUS_OK : STATUS_UNAUTHORIZED);
    }
    free(o.ecdsa_public_key);
}

static void every_curve_only_with_its_own_name(void **state)
{
    (void)state;
    const struct curve_case cases[] = {{p256, HEAD("ES256"), EVP_sha256()},
                                       {p384, HEAD("ES384"), EVP_sha384()},
                                       {p521, HEAD("ES512"), EVP_sha512()}};
    for (size_t i = 0; i < 3; i++) {
        check_curve(cases, i);
    }
}

/* The numbers of a signature are short now and then: many of them, so that it happens. */
static void short_numbers_in_ec_signatures(void **state)
{
    (void)state;
    struct token_options o = {NO_OPTIONS};
    o.ecdsa_public_key = make_pem(p256);
    for (int i = 0; i < 600; i++) {
        check_verdict(&o, sign_token(HEAD("ES256"), SUB42, p256, EVP_sha256()), STATUS_OK);
    }
    free(o.ecdsa_public_key);
}

static void ec_signatures_in_other_forms(void **state)
{
    (void)state;
    struct token_options o = {NO_OPTIONS};
    o.ecdsa_public_key = make_pem(p256);
    check_verdict(&o, sign_token_as(HEAD("ES256"), SUB42, p256, EVP_sha256(), 0),
                  STATUS_UNAUTHORIZED);
    const unsigned char zeros[66] = {0};
    for (size_t len = 0; len <= sizeof(zeros); len++) {
        char *token = make_signed_text(HEAD("ES256"), SUB42);
        append_signature(token, zeros, len);
        check_verdict(&o, token, STATUS_UNAUTHORIZED);
    }
    for (int size = 33; size <= 66; size += 33) { /* too many zeros before the numbers */
        check_verdict(&o, sign_token_as(HEAD("ES256"), SUB42, p256, EVP_sha256(), size),
                      STATUS_UNAUTHORIZED);
    }
    char *longer = sign_token(HEAD("ES256"), SUB42, p256, EVP_sha256());
    memcpy(longer + strlen(longer), "AAAA", 5); /* the maker leaves room */
    check_verdict(&o, longer, STATUS_UNAUTHORIZED);
    unsigned char ones[64];
    memset(ones, 0xff, sizeof(ones));
    char *token = make_signed_text(HEAD("ES256"), SUB42);
    append_signature(token, ones, sizeof(ones));
    check_verdict(&o, token, STATUS_UNAUTHORIZED);
    free(o.ecdsa_public_key);
}

/* Numbers in the size that the name asks for, by a key on another curve. */
static void a_curve_in_the_form_of_another(void **state)
{
    (void)state;
    struct token_options o = {NO_OPTIONS};
    o.ecdsa_public_key = make_pem(p256);
    check_verdict(&o, sign_token_as(HEAD("ES256"), SUB42, p256, EVP_sha256(), 32), STATUS_OK);
    check_verdict(&o, sign_token_as(HEAD("ES384"), SUB42, p256, EVP_sha384(), 48),
                  STATUS_UNAUTHORIZED);
    check_verdict(&o, sign_token_as(HEAD("ES512"), SUB42, p256, EVP_sha512(), 66),
                  STATUS_UNAUTHORIZED);
    free(o.ecdsa_public_key);
}

/* A public key is no secret: it must not be good as one. */
static void hmac_with_a_public_key(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {rsa, p256};
    for (size_t i = 0; i < 2; i++) {
        struct token_options o = {NO_OPTIONS};
        char *pem = make_pem(keys[i]);
        *(i == 0 ? &o.rsa_public_key : &o.ecdsa_public_key) = pem;
        check_verdict(&o, make_token_with(HEAD("HS256"), SUB42, pem, EVP_sha256()),
                      STATUS_UNAUTHORIZED);
        check_verdict(&o, make_token_with(HEAD("HS256"), SUB42, "", EVP_sha256()),
                      STATUS_UNAUTHORIZED);
        check_verdict(&o, make_token_with(HEAD("RS256"), SUB42, pem, EVP_sha256()),
                      STATUS_UNAUTHORIZED);
        o.hmac_secret_key = KEY;
        check_verdict(&o, make_token_with(HEAD("HS256"), SUB42, pem, EVP_sha256()),
                      STATUS_UNAUTHORIZED);
        check_verdict(&o, make_token_with(HEAD("HS256"), SUB42, KEY, EVP_sha256()), STATUS_OK);
        free(pem);
    }
}

static void a_name_that_is_not_that_of_the_key(void **state)
{
    (void)state;
    struct token_options o = {NO_OPTIONS};
    o.hmac_secret_key = KEY;
    o.rsa_public_key = make_pem(rsa);
    o.ecdsa_public_key = make_pem(p256);
    check_verdict(&o, sign_token(HEAD("RS256"), SUB42, rsa, EVP_sha256()), STATUS_OK);
    check_verdict(&o, sign_token(HEAD("ES256"), SUB42, p256, EVP_sha256()), STATUS_OK);
    check_verdict(&o, sign_token(HEAD("ES256"), SUB42, rsa, EVP_sha256()), STATUS_UNAUTHORIZED);
    check_verdict(&o, sign_token(HEAD("RS256"), SUB42, p256, EVP_sha256()), STATUS_UNAUTHORIZED);
    check_verdict(&o, sign_token(HEAD("HS256"), SUB42, rsa, EVP_sha256()), STATUS_UNAUTHORIZED);
    check_verdict(&o, sign_token(HEAD("EdDSA"), SUB42, ed25519, NULL), STATUS_UNAUTHORIZED);
    check_verdict(&o, make_token_with(HEAD("RS256"), SUB42, KEY, EVP_sha256()),
                  STATUS_UNAUTHORIZED);
    check_verdict(&o, make_token_with(HEAD("ES256"), SUB42, KEY, EVP_sha256()),
                  STATUS_UNAUTHORIZED);
    free(o.rsa_public_key);
    free(o.ecdsa_public_key);
}

static void the_previous_secret(void **state)
{
    (void)state;
    struct token_options o = hmac_options();
    o.hmac_previous_secret_key = "old";
    check_verdict(&o, make_token(SUB42, KEY), STATUS_OK);
    check_verdict(&o, make_token(SUB42, "old"), STATUS_OK);
    check_verdict(&o, make_token(SUB42, "older"), STATUS_UNAUTHORIZED);
    o.hmac_previous_secret_key_valid_until = NOW + 1;
    check_verdict(&o, make_token(SUB42, "old"), STATUS_OK);
    o.hmac_previous_secret_key_valid_until = NOW;
    check_verdict(&o, make_token(SUB42, "old"), STATUS_UNAUTHORIZED);
    check_verdict(&o, make_token(SUB42, KEY), STATUS_OK);
    o.hmac_secret_key = "";
    check_verdict(&o, make_token(SUB42, ""), STATUS_UNAUTHORIZED);
    o.hmac_previous_secret_key_valid_until = 0;
    check_verdict(&o, make_token(SUB42, "old"), STATUS_OK);
}

static void headers_that_are_refused(void **state)
{
    (void)state;
    static const char *const headers[] = {HEAD("none"),
                                          HEAD("None"),
                                          HEAD("hs256"),
                                          HEAD("HS256 "),
                                          HEAD("HS2"),
                                          HEAD(""),
                                          "{\"typ\":\"JWT\"}",
                                          "{\"alg\":256}",
                                          "{\"alg\":null}",
                                          "{\"alg\":[\"HS256\"]}",
                                          "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
                                          "{\"alg\":\"HS256\",\"crit\":[\"b64\"]}",
                                          "{\"alg\":\"HS256\",\"crit\":[]}",
                                          "{\"alg\":\"HS256\",\"crit\":null}",
                                          "{\"alg\":\"HS256\",\"kid\":7}",
                                          "[\"HS256\"]",
                                          "\"HS256\"",
                                          "not JSON",
                                          "",
                                          "{\"alg\":\"HS256\"",
                                          "{\"alg\":\"HS256\"}x",
                                          "{\"alg\":\"HS\\u0000256\"}"};
    struct token_options o = hmac_options();
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        check_verdict(&o, make_token_with(headers[i], SUB42, KEY, EVP_sha256()),
                      STATUS_UNAUTHORIZED);
    }
    /* {"alg":"none"}.{"sub":"42"}. */
    check_bad_text("eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9.");
    check_bad_text("eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9");
}

/* A key in the header is the sender's. */
static void keys_in_the_header_are_not_used(void **state)
{
    (void)state;
    struct token_options o = {NO_OPTIONS};
    o.rsa_public_key = make_pem(rsa);
    EVP_PKEY *other = make_rsa_key(2048);
    char *jwk = make_jwk(other, "");
    char *header = NULL;
    assert_true(asprintf(&header, "{\"alg\":\"RS256\",\"jwk\":%s,\"jku\":\"http://x/\"}", jwk) > 0);
    check_verdict(&o, sign_token(header, SUB42, other, EVP_sha256()), STATUS_UNAUTHORIZED);
    check_verdict(&o, sign_token(header, SUB42, rsa, EVP_sha256()), STATUS_OK);
    free(header);
    free(jwk);
    EVP_PKEY_free(other);
    free(o.rsa_public_key);
}

static void other_keys(void **state)
{
    (void)state;
    struct token_options o = {NO_OPTIONS};
    char *token = make_token(SUB42, "another secret");
    check_bad_text(token);
    check_verdict(&o, token, STATUS_UNAUTHORIZED);
    check_verdict(&o, make_token(SUB42, ""), STATUS_UNAUTHORIZED);
}

static void the_signature_may_be_skipped(void **state)
{
    (void)state;
    struct token_options o = {NO_OPTIONS};
    struct token_verifier_setup setup = {.options = &o, .skips_signature = true};
    struct token_verifier *verifier = NULL;
    struct token_claims found;
    const char *why = NULL;
    assert_int_equal(token_verifier_create(&setup, &verifier), STATUS_OK);
    /* {"alg":"none"}.{"sub":"42"}. */
    assert_int_equal(token_verify(verifier, TOKEN_CONNECTION,
                                  STR("eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9."), NOW, &found, &why),
                     STATUS_OK);
    assert_string_equal(found.user, "42");
    token_claims_release(&found);
    char *token = make_token("{\"exp\":5}", "any");
    assert_int_equal(token_verify(verifier, TOKEN_CONNECTION, str_of(token), NOW, &found, &why),
                     STATUS_EXPIRED);
    free(token);
    assert_int_equal(token_verify(verifier, TOKEN_CONNECTION, STR("a.b.c"), NOW, &found, &why),
                     STATUS_UNAUTHORIZED);
    assert_int_equal(token_verify(verifier, TOKEN_CONNECTION, STR("W10.e30."), NOW, &found, &why),
                     STATUS_UNAUTHORIZED); /* [].{}. */
    token_verifier_destroy(verifier);
}

/* --- the form --- */

/* Every single byte counts, but for the bits of a last digit that stand for nothing. */
static void check_changed(const struct token_options *options, char *token)
{
    size_t len = strlen(token);
    size_t n_accepted = 0;
    assert_int_equal(verify_with(options, token), STATUS_OK);
    for (size_t i = 0; i < len; i++) {
        char kept = token[i];
        token[i] = kept == 'A' ? 'B' : 'A';
        n_accepted += verify_with(options, token) == STATUS_OK;
        token[i] = kept;
    }
    assert_true(n_accepted <= 1);
    for (size_t n = len; n-- > 0;) {
        token[n] = '\0';
        assert_int_equal(verify_with(options, token), STATUS_UNAUTHORIZED);
    }
    free(token);
}

static void changed_tokens(void **state)
{
    (void)state;
    struct token_options o = hmac_options();
    o.rsa_public_key = make_pem(rsa);
    o.ecdsa_public_key = make_pem(p256);
    check_changed(&o, make_token("{\"sub\":\"42\",\"exp\":1000001}", KEY));
    check_changed(&o, sign_token(HEAD("RS256"), SUB42, rsa, EVP_sha256()));
    check_changed(&o, sign_token(HEAD("ES256"), SUB42, p256, EVP_sha256()));
    free(o.rsa_public_key);
    free(o.ecdsa_public_key);
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
    assert_int_equal(verify_str(STR_EMPTY, &found), STATUS_UNAUTHORIZED);
    assert_int_equal(verify_str(STR("a\0b"), &found), STATUS_UNAUTHORIZED);
}

static void check_with_suffix(const char *suffix)
{
    char *token = make_token(SUB42, KEY);
    char *longer = NULL;
    assert_true(asprintf(&longer, "%s%s", token, suffix) > 0);
    check_bad_text(longer);
    free(longer);
    free(token);
}

static void nothing_may_follow(void **state)
{
    (void)state;
    check_with_suffix("=");
    check_with_suffix("==");
    check_with_suffix("AA");
    check_with_suffix("A");
    check_with_suffix(".");
    check_with_suffix(" ");
    check_with_suffix("\n");
    check_with_suffix(".eyJzdWIiOiJyb290In0.x");
}

/* The signature is good; the base64 is not that of RFC 7515. */
static void padded_parts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9", /* right */
        "eyJhbGciOiJIUzI1NiIgfQ==.eyJzdWIiOiI0MiJ9",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiIgfQ==", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9A",
        "eyJhbGciOiJIUzI1NiJ9\n.eyJzdWIiOiI0MiJ9"};
    struct token_options o = hmac_options();
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        unsigned char mac[EVP_MAX_MD_SIZE];
        unsigned len = 0;
        char *token = calloc(1, 1000);
        assert_non_null(token);
        memcpy(token, texts[i], strlen(texts[i]));
        HMAC(EVP_sha256(), KEY, (int)strlen(KEY), (const unsigned char *)token, strlen(token), mac,
             &len);
        append_signature(token, mac, len);
        check_verdict(&o, token, i == 0 ? STATUS_OK : STATUS_UNAUTHORIZED);
    }
}

static void a_nul_hides_nothing(void **state)
{
    (void)state;
    char *token = make_token(SUB42, KEY);
    struct buf text;
    buf_init(&text, 10000);
    buf_append(&text, str_of(token));
    buf_append(&text, STR("\0.eyJzdWIiOiJyb290In0.x"));
    struct token_claims found;
    assert_int_equal(verify_str(buf_str(&text), &found), STATUS_UNAUTHORIZED);
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

static void keys_that_cannot_be_read(void **state)
{
    (void)state;
    struct token_options options[4] = {{NO_OPTIONS}, {NO_OPTIONS}, {NO_OPTIONS}, {NO_OPTIONS}};
    options[0].rsa_public_key = make_pem(p256);
    options[1].ecdsa_public_key = make_pem(rsa);
    options[2].audience_regex = "(";
    options[3].issuer_regex = "(";
    for (size_t i = 0; i < 4; i++) {
        struct token_verifier_setup setup = {.options = &options[i]};
        struct token_verifier *verifier = NULL;
        assert_int_equal(token_verifier_create(&setup, &verifier), STATUS_INVALID);
        assert_null(verifier);
    }
    free(options[0].rsa_public_key);
    free(options[1].ecdsa_public_key);
    token_verifier_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_are_read),
        cmocka_unit_test(null_is_as_absent),
        cmocka_unit_test(info_is_kept_byte_for_byte),
        cmocka_unit_test(info_with_numbers_that_fit_no_machine),
        cmocka_unit_test(expire_at_is_before_exp),
        cmocka_unit_test(time_is_looked_at),
        cmocka_unit_test(claims_of_a_wrong_type),
        cmocka_unit_test(meta_is_an_object_on_one_line),
        cmocka_unit_test(subscriptions_of_the_server),
        cmocka_unit_test(subscription_tokens),
        cmocka_unit_test(wrong_subscription_tokens),
        cmocka_unit_test(audiences),
        cmocka_unit_test(issuers),
        cmocka_unit_test(users_by_another_claim),
        cmocka_unit_test(every_hmac),
        cmocka_unit_test(every_rsa),
        cmocka_unit_test(every_curve_only_with_its_own_name),
        cmocka_unit_test(short_numbers_in_ec_signatures),
        cmocka_unit_test(ec_signatures_in_other_forms),
        cmocka_unit_test(a_curve_in_the_form_of_another),
        cmocka_unit_test(hmac_with_a_public_key),
        cmocka_unit_test(a_name_that_is_not_that_of_the_key),
        cmocka_unit_test(the_previous_secret),
        cmocka_unit_test(headers_that_are_refused),
        cmocka_unit_test(keys_in_the_header_are_not_used),
        cmocka_unit_test(other_keys),
        cmocka_unit_test(the_signature_may_be_skipped),
        cmocka_unit_test(changed_tokens),
        cmocka_unit_test(what_is_no_token),
        cmocka_unit_test(nothing_may_follow),
        cmocka_unit_test(padded_parts),
        cmocka_unit_test(a_nul_hides_nothing),
        cmocka_unit_test(too_long_ones),
        cmocka_unit_test(keys_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
