/* SPDX-License-Identifier: MIT */
/* Unit token_options is the table of the configuration's sections "client.token" and
 * "client.subscription_token", and all that can be said against keys before the first token. */
#include "hub/token_options.h"

#include <openssl/evp.h>
#include <stddef.h>
#include <stdio.h>

#include "base/pattern.h"
#include "hub/token_keys.h"
#include "upstreams/url_template.h"

/* --- single values ---
 * The public keys are secret in messages: what stands there by mistake may be a private one. */

static const char *text_at(const void *place)
{
    return *(char *const *)place;
}

static bool is_key(const char *pem, enum key_kind kind)
{
    EVP_PKEY *key = token_key_from_pem(pem, kind);
    EVP_PKEY_free(key);
    return key != NULL;
}

static const char *accept_key(const char *pem, enum key_kind kind, const char *expected)
{
    if (!pem[0] || is_key(pem, kind)) {
        return NULL;
    }
    return strstr(pem, "PRIVATE KEY-----") ? "a public key: this is a private key" : expected;
}

static const char *accept_rsa(const void *place)
{
    return accept_key(text_at(place), KEY_RSA,
                      "an RSA public key of 2048 to 8192 bits in PEM (-----BEGIN PUBLIC KEY-----)");
}

static const char *accept_ecdsa(const void *place)
{
    return accept_key(
        text_at(place), KEY_EC,
        "an EC public key on P-256, P-384 or P-521 in PEM (-----BEGIN PUBLIC KEY-----)");
}

/* The text is valid until the next call. */
static const char *accept_regex(const void *place)
{
    static char expected[200];
    struct pattern_error error = {0};
    struct pattern *pattern = NULL;
    if (pattern_create(str_of(text_at(place)), &pattern, &error) != STATUS_OK) {
        (void)snprintf(expected, sizeof(expected), "a regular expression (at byte %zu: %s)",
                       error.offset, error.words);
        return expected;
    }
    pattern_destroy(pattern);
    return NULL;
}

static const char *accept_endpoint(const void *place)
{
    struct str text = str_of(text_at(place));
    struct url_template *url;
    const char *expected;
    if (text.len == 0) {
        return NULL;
    }
    if (str_find(text, '{') >= 0 || str_find(text, '}') >= 0) {
        return "an http or https URL without {{...}}: it is one for all tokens";
    }
    if (url_template_create(text, &url, &expected) != STATUS_OK) {
        return expected;
    }
    url_template_destroy(url);
    return NULL;
}

/* --- one against another --- */

static void check_tokens(struct config_reader *reader, void *object)
{
    const struct token_options *options = object;
    if (options->audience[0] && options->audience_regex[0]) {
        config_complain_need(reader, "audience_regex", "either audience or audience_regex");
    }
    if (options->issuer[0] && options->issuer_regex[0]) {
        config_complain_need(reader, "issuer_regex", "either issuer or issuer_regex");
    }
    if (options->hmac_previous_secret_key_valid_until > 0 &&
        !options->hmac_previous_secret_key[0] &&
        config_is_good(reader, "hmac_previous_secret_key")) {
        config_complain(reader, "hmac_previous_secret_key_valid_until", NULL,
                        "0 without hmac_previous_secret_key");
    }
}

bool token_options_have_key(const struct token_options *o)
{
    return o->hmac_secret_key[0] || o->hmac_previous_secret_key[0] || o->rsa_public_key[0] ||
           o->ecdsa_public_key[0] || o->jwks_public_endpoint[0];
}

static void check_subscription_tokens(struct config_reader *reader, void *object)
{
    const struct token_options *options = object;
    check_tokens(reader, object);
    if (!options->enabled && token_options_have_key(options)) {
        config_complain(reader, "enabled", NULL, "true beside keys of its own");
    }
}

#define FIELD(key_, type_, member, fallback_, ...)                                                 \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct token_options, member),              \
        .fallback = fallback_, __VA_ARGS__                                                         \
    }

/* The first one is of subscription tokens only. */
static const struct config_field fields[] = {
    FIELD("enabled", CONFIG_BOOL, enabled, "false",
          .doc = "Subscription tokens have keys and demands of their own, these; otherwise those "
                 "of client.token."),
    FIELD("hmac_secret_key", CONFIG_STRING, hmac_secret_key, "", .secret = true,
          .doc = "The shared secret of HS256, HS384 and HS512."),
    FIELD("hmac_previous_secret_key", CONFIG_STRING, hmac_previous_secret_key, "", .secret = true,
          .doc = "A secret that is good beside it, while keys are changed."),
    FIELD("hmac_previous_secret_key_valid_until", CONFIG_INT, hmac_previous_secret_key_valid_until,
          "0", .min = 0, .max = INT64_C(253402300799),
          .doc = "Until when it is, in seconds since 1970; 0: without an end."),
    FIELD("rsa_public_key", CONFIG_STRING, rsa_public_key, "", .secret = true, .accept = accept_rsa,
          .doc = "The public key of RS256, RS384 and RS512 in PEM, of 2048 to 8192 bits."),
    FIELD("ecdsa_public_key", CONFIG_STRING, ecdsa_public_key, "", .secret = true,
          .accept = accept_ecdsa,
          .doc = "The public key in PEM of ES256 (P-256), ES384 (P-384) or ES512 (P-521): the "
                 "curve says which."),
    FIELD("jwks_public_endpoint", CONFIG_STRING, jwks_public_endpoint, "",
          .accept = accept_endpoint,
          .doc = "The URL of a JSON Web Key Set; with it every token is verified by its keys, and "
                 "those above are not used."),
    FIELD("audience", CONFIG_STRING, audience, "",
          .doc = "What a token must have as aud, or among its aud."),
    FIELD("audience_regex", CONFIG_STRING, audience_regex, "", .accept = accept_regex,
          .doc = "What must be found in its aud, or in one of them: instead of audience."),
    FIELD("issuer", CONFIG_STRING, issuer, "", .doc = "What a token must have as iss."),
    FIELD("issuer_regex", CONFIG_STRING, issuer_regex, "", .accept = accept_regex,
          .doc = "What must be found in its iss: instead of issuer."),
    FIELD("user_id_claim", CONFIG_STRING, user_id_claim, "",
          .doc = "The claim with the user's id; empty: sub."),
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

const struct config_shape token_options_shape = {
    .size = sizeof(struct token_options),
    .fields = fields + 1,
    .n_fields = N_FIELDS - 1,
    .check = check_tokens,
};
const struct config_shape subscription_token_options_shape = {
    .size = sizeof(struct token_options),
    .fields = fields,
    .n_fields = N_FIELDS,
    .check = check_subscription_tokens,
};
