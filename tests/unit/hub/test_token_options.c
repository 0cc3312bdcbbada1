/* SPDX-License-Identifier: MIT */
/* The tables of client.token and client.subscription_token: what is read, and every complaint. */
#include "hub/token_options.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/json_span.h"
#include "tests/unit/hub/token_maker.h"

static const struct config_shape *const shapes[] = {&token_options_shape,
                                                    &subscription_token_options_shape};

/* All complaints in one text, to be freed. */
static char *complaints(const struct config_shape *shape, const char *json,
                        struct token_options *options)
{
    struct config_errors errors = {0};
    struct buf text;
    buf_init(&text, 100000);
    *options = (struct token_options){0};
    enum status status = config_read(str_of(json), shape, options, &errors);
    assert_int_equal(status == STATUS_OK, errors.n_texts == 0);
    for (size_t i = 0; i < errors.n_texts; i++) {
        buf_printf(&text, "%s\n", errors.texts[i]);
    }
    config_errors_release(&errors);
    return buf_take(&text);
}

static void check_complains(const char *json, const char *words)
{
    for (size_t i = 0; i < 2; i++) {
        struct token_options options;
        char *text = complaints(shapes[i], json, &options);
        if (!strstr(text, words)) {
            fail_msg("%s: \"%s\" instead of \"%s\"", json, text, words);
        }
        config_release(shapes[i], &options);
        free(text);
    }
}

static struct token_options read_good(const struct config_shape *shape, const char *json)
{
    struct token_options options;
    char *text = complaints(shape, json, &options);
    assert_string_equal(text, "");
    free(text);
    return options;
}

static void all_is_empty_at_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct token_options o = read_good(shapes[i], "{}");
        assert_false(o.enabled);
        assert_string_equal(o.hmac_secret_key, "");
        assert_string_equal(o.hmac_previous_secret_key, "");
        assert_int_equal(o.hmac_previous_secret_key_valid_until, 0);
        assert_string_equal(o.rsa_public_key, "");
        assert_string_equal(o.ecdsa_public_key, "");
        assert_string_equal(o.jwks_public_endpoint, "");
        assert_string_equal(o.audience_regex, "");
        assert_string_equal(o.issuer_regex, "");
        assert_string_equal(o.user_id_claim, "");
        config_release(shapes[i], &o);
    }
}

static void all_is_read(void **state)
{
    (void)state;
    struct token_options o =
        read_good(&subscription_token_options_shape,
                  "{\"enabled\":true,\"hmac_secret_key\":\"s\",\"hmac_previous_secret_key\":\"p\","
                  "\"hmac_previous_secret_key_valid_until\":1700000000,"
                  "\"jwks_public_endpoint\":\"https://id.example.org/keys?x=1\","
                  "\"audience\":\"a\",\"issuer_regex\":\"^https://(a|b)$\","
                  "\"user_id_claim\":\"uid\"}");
    assert_true(o.enabled);
    assert_string_equal(o.hmac_secret_key, "s");
    assert_string_equal(o.hmac_previous_secret_key, "p");
    assert_int_equal(o.hmac_previous_secret_key_valid_until, 1700000000);
    assert_string_equal(o.jwks_public_endpoint, "https://id.example.org/keys?x=1");
    assert_string_equal(o.audience, "a");
    assert_string_equal(o.issuer_regex, "^https://(a|b)$");
    assert_string_equal(o.user_id_claim, "uid");
    config_release(&subscription_token_options_shape, &o);
}

static void only_subscription_tokens_are_enabled(void **state)
{
    (void)state;
    struct token_options o;
    char *text = complaints(&token_options_shape, "{\"enabled\":true}", &o);
    assert_non_null(strstr(text, "enabled"));
    free(text);
    config_release(&token_options_shape, &o);
    text = complaints(&subscription_token_options_shape, "{\"hmac_secret_key\":\"s\"}", &o);
    assert_non_null(strstr(text, "true beside keys of its own"));
    free(text);
    config_release(&subscription_token_options_shape, &o);
}

/* A configuration with the PEM under that name; takes it. */
static char *with_pem(const char *name, char *pem)
{
    struct buf json;
    buf_init(&json, 20000);
    buf_printf(&json, "{\"%s\":", name);
    json_append_string(&json, str_of(pem));
    buf_append_char(&json, '}');
    free(pem);
    return buf_take(&json);
}

/* Takes the PEM. */
static void check_pem(const char *name, char *pem, const char *words)
{
    char *json = with_pem(name, pem);
    struct token_options o;
    char *text = complaints(&token_options_shape, json, &o);
    if (words[0]) {
        assert_non_null(strstr(text, words));
    } else {
        assert_string_equal(text, "");
    }
    config_release(&token_options_shape, &o);
    free(text);
    free(json);
}

/* Takes the key. */
static void check_key(const char *name, EVP_PKEY *key, const char *words)
{
    check_pem(name, make_pem(key), words);
    EVP_PKEY_free(key);
}

static void keys_are_of_their_kind(void **state)
{
    (void)state;
    check_key("rsa_public_key", make_rsa_key(2048), "");
    check_key("rsa_public_key", make_rsa_key(1024), "an RSA public key of 2048");
    check_key("rsa_public_key", make_ec_key("P-256"), "an RSA public key");
    check_key("rsa_public_key", make_ed25519_key(), "an RSA public key");
    check_key("ecdsa_public_key", make_ec_key("P-256"), "");
    check_key("ecdsa_public_key", make_ec_key("P-384"), "");
    check_key("ecdsa_public_key", make_ec_key("P-521"), "");
    check_key("ecdsa_public_key", make_ec_key("secp256k1"), "an EC public key on P-256");
    check_key("ecdsa_public_key", make_rsa_key(2048), "an EC public key");
    check_complains("{\"rsa_public_key\":\"no key\"}", "an RSA public key");
    check_complains("{\"ecdsa_public_key\":\"-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC "
                    "KEY-----\\n\"}",
                    "an EC public key");
}

static char *text_of_memory(BIO *out)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(out, &bytes);
    char *text = strndup(bytes, (size_t)len);
    assert_non_null(text);
    BIO_free(out);
    return text;
}

static char *make_certificate(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    BIO *out = BIO_new(BIO_s_mem());
    assert_true(certificate && out && X509_set_pubkey(certificate, key) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(certificate), 0) &&
                X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) &&
                X509_sign(certificate, key, EVP_sha256()) > 0 &&
                PEM_write_bio_X509(out, certificate) == 1);
    X509_free(certificate);
    return text_of_memory(out);
}

static char *make_private_pem(EVP_PKEY *key, const char *passphrase)
{
    BIO *out = BIO_new(BIO_s_mem());
    const EVP_CIPHER *cipher = passphrase ? EVP_aes_256_cbc() : NULL;
    assert_true(out && PEM_write_bio_PKCS8PrivateKey(out, key, cipher, passphrase,
                                                     passphrase ? (int)strlen(passphrase) : 0, NULL,
                                                     NULL) == 1);
    return text_of_memory(out);
}

#define PRIVATE ": the value (not shown) is not a public key: this is a private key\n"

/* Takes the PEM, of a private key: nothing of it is shown. */
static void check_override(const char *name, char *pem)
{
    char variable[64] = "BELFRY_";
    char expected[200];
    struct token_options o;
    for (size_t i = 0; name[i]; i++) {
        variable[7 + i] = (char)toupper((unsigned char)name[i]);
    }
    (void)setenv(variable, pem, 1);
    char *text = complaints(&token_options_shape, "{}", &o);
    (void)unsetenv(variable);
    (void)snprintf(expected, sizeof(expected), "%s (from %s)" PRIVATE, name, variable);
    assert_string_equal(text, expected);
    config_release(&token_options_shape, &o);
    free(text);
    free(pem);
}

static void other_forms_of_keys(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {make_rsa_key(2048), make_ec_key("P-256")};
    static const char *const names[] = {"rsa_public_key", "ecdsa_public_key"};
    for (size_t i = 0; i < 2; i++) {
        check_pem(names[i], make_certificate(keys[i]), "");
        check_pem(names[i], make_certificate(keys[1 - i]), "public key");
        check_pem(names[i], make_private_pem(keys[i], NULL), PRIVATE);
        check_pem(names[i], make_private_pem(keys[i], "hush"), PRIVATE);
        check_override(names[i], make_private_pem(keys[i], NULL));
    }
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
}

static void wrong_values(void **state)
{
    (void)state;
    check_complains("{\"audience_regex\":\"a(\"}", "a regular expression (at byte 2: missing");
    check_complains("{\"issuer_regex\":\"*\"}", "a regular expression");
    check_complains("{\"audience\":\"a\",\"audience_regex\":\"b\"}",
                    "audience_regex: expected either audience or audience_regex");
    check_complains("{\"issuer\":\"a\",\"issuer_regex\":\"b\"}",
                    "issuer_regex: expected either issuer or issuer_regex");
    check_complains("{\"hmac_previous_secret_key_valid_until\":5}",
                    "0 without hmac_previous_secret_key");
    check_complains("{\"hmac_previous_secret_key_valid_until\":-5}",
                    "hmac_previous_secret_key_valid_until");
    check_complains("{\"jwks_public_endpoint\":\"ftp://a/b\"}", "http");
    check_complains("{\"jwks_public_endpoint\":\"keys.json\"}", "http");
    check_complains("{\"jwks_public_endpoint\":\"https://a/{{tenant}}/keys\"}",
                    "without {{...}}: it is one for all tokens");
    check_complains("{\"jwks_public_endpoint\":\"https://a/{b}\"}", "without {{...}}");
    check_complains("{\"algorithms\":[]}", "algorithms");
}

static void secrets_are_not_shown(void **state)
{
    (void)state;
    struct token_options o;
    char *text = complaints(&token_options_shape,
                            "{\"hmac_secret_key\":[\"hush\"],\"hmac_previous_secret_key\":{"
                            "\"hush\":1}}",
                            &o);
    assert_non_null(strstr(text, "hmac_secret_key"));
    assert_non_null(strstr(text, "hmac_previous_secret_key"));
    assert_null(strstr(text, "hush"));
    free(text);
    config_release(&token_options_shape, &o);
}

static void the_environment_overrides(void **state)
{
    (void)state;
    EVP_PKEY *key = make_rsa_key(2048);
    char *pem = make_pem(key);
    (void)setenv("BELFRY_RSA_PUBLIC_KEY", pem, 1);
    (void)setenv("BELFRY_HMAC_SECRET_KEY", "from outside", 1);
    struct token_options o = read_good(&token_options_shape, "{\"hmac_secret_key\":\"inside\"}");
    assert_string_equal(o.hmac_secret_key, "from outside");
    assert_string_equal(o.rsa_public_key, pem);
    config_release(&token_options_shape, &o);
    (void)unsetenv("BELFRY_HMAC_SECRET_KEY");
    (void)setenv("BELFRY_RSA_PUBLIC_KEY", "no key", 1);
    char *text = complaints(&token_options_shape, "{}", &o);
    assert_non_null(strstr(text, "an RSA public key"));
    config_release(&token_options_shape, &o);
    (void)unsetenv("BELFRY_RSA_PUBLIC_KEY");
    free(text);
    free(pem);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_empty_at_first),
        cmocka_unit_test(all_is_read),
        cmocka_unit_test(only_subscription_tokens_are_enabled),
        cmocka_unit_test(keys_are_of_their_kind),
        cmocka_unit_test(other_forms_of_keys),
        cmocka_unit_test(wrong_values),
        cmocka_unit_test(secrets_are_not_shown),
        cmocka_unit_test(the_environment_overrides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
