/* SPDX-License-Identifier: MIT */
/* The first byte says what the rest is: 't' a token as it comes from a client, with a signature
 * that nobody looks at ('T' one that is looked at); 'c' the claims of a connection token, 's' those
 * of a subscription token; 'g' checked JSON with subscriptions; 'k' a key set. Texts that come out
 * are JSON on one line; what is refused has a reason. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "hub/jwk_set.h"
#include "hub/token.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define NOW INT64_C(1700000000)

static const struct token_options options = {.hmac_secret_key = "secret",
                                             .hmac_previous_secret_key = "",
                                             .rsa_public_key = "",
                                             .ecdsa_public_key = "",
                                             .jwks_public_endpoint = "",
                                             .audience = "",
                                             .audience_regex = "",
                                             .issuer = "",
                                             .issuer_regex = "",
                                             .user_id_claim = ""};

static void check_json(const char *text)
{
    REQUIRE(!text || json_check(str_of(text), NULL) == STATUS_OK);
    REQUIRE(!text || (!strchr(text, '\n') && !strchr(text, '\r')));
}

static void check_grant(const struct subscription_grant *grant)
{
    check_json(grant->info);
    check_json(grant->data);
    REQUIRE(grant->expires_at >= 0);
    REQUIRE(!grant->channel || grant->channel[0] != '\0');
}

static void check_grants(const struct subscription_grants *grants)
{
    for (size_t i = 0; i < grants->n_items; i++) {
        REQUIRE(grants->items[i].channel);
        check_grant(&grants->items[i]);
        for (size_t k = 0; k < i && i < 50; k++) {
            REQUIRE(strcmp(grants->items[k].channel, grants->items[i].channel) != 0);
        }
    }
}

static void verify(struct str token, enum token_kind kind, bool skips_signature)
{
    struct token_verifier_setup setup = {.options = &options, .skips_signature = skips_signature};
    struct token_verifier *verifier = NULL;
    struct token_claims claims;
    const char *why = NULL;
    REQUIRE(token_verifier_create(&setup, &verifier) == STATUS_OK);
    enum status status = token_verify(verifier, kind, token, NOW, &claims, &why);
    if (status == STATUS_OK) {
        check_json(claims.info);
        check_json(claims.meta);
        check_grant(&claims.grant);
        check_grants(&claims.subs);
        REQUIRE(kind == TOKEN_CONNECTION || claims.grant.channel);
        token_claims_release(&claims);
    } else {
        REQUIRE(status == STATUS_UNAUTHORIZED || status == STATUS_EXPIRED);
        REQUIRE(why && why[0] != '\0');
    }
    token_verifier_destroy(verifier);
}

static void append_base64url(struct buf *out, struct str bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < bytes.len; i += 3) {
        unsigned long group = 0;
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        for (size_t k = 0; k < 3; k++) {
            group = group << 8 | (k < n ? (unsigned char)bytes.ptr[i + k] : 0U);
        }
        for (size_t k = 0; k <= n; k++) {
            buf_append_char(out, digits[group >> (18 - 6 * k) & 63]);
        }
    }
}

static void verify_claims(struct str claims, enum token_kind kind)
{
    struct buf token;
    buf_init(&token, 1 << 22);
    buf_literal(&token, "e30.");
    append_base64url(&token, claims);
    buf_append_char(&token, '.');
    verify(buf_str(&token), kind, true);
    buf_release(&token);
}

static void read_grants(struct str json)
{
    struct subscription_grants grants;
    struct subscription_grant grant;
    const struct subscription_fault *wrong = NULL;
    if (json_check(json, NULL) != STATUS_OK) {
        return;
    }
    if (subscription_grants_read(json, &grants, &wrong) == STATUS_OK) {
        check_grants(&grants);
        subscription_grants_release(&grants);
    } else {
        REQUIRE(wrong);
    }
    wrong = NULL;
    if (subscription_grant_read(json, &grant, &wrong) == STATUS_OK) {
        check_grant(&grant);
        subscription_grant_release(&grant);
    } else {
        REQUIRE(wrong);
    }
}

static void read_keys(struct str text)
{
    struct jwk_set set;
    const char *why = NULL;
    if (jwk_set_read(text, &set, &why) != STATUS_OK) {
        REQUIRE(why);
        return;
    }
    REQUIRE(set.n_keys > 0 && set.n_keys <= JWK_SET_KEYS_MAX);
    for (size_t i = 0; i < set.n_keys; i++) {
        bool knows_kid = false;
        const struct jwk *jwk = &set.keys[i];
        REQUIRE(jwk->kid[0] != '\0');
        REQUIRE(!jwk->algorithm || token_key_fits(jwk->key, jwk->algorithm));
        (void)jwk_set_find(&set, str_of(jwk->kid), token_algorithm_of(STR("RS256")), &knows_kid);
        REQUIRE(knows_kid);
    }
    jwk_set_release(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct str rest = str_tail(text, 1);
    switch (size > 0 ? data[0] : 0) {
    case 't':
        verify(rest, TOKEN_CONNECTION, true);
        verify(rest, TOKEN_SUBSCRIPTION, true);
        break;
    case 'T': verify(rest, TOKEN_CONNECTION, false); break;
    case 'c': verify_claims(rest, TOKEN_CONNECTION); break;
    case 's': verify_claims(rest, TOKEN_SUBSCRIPTION); break;
    case 'g': read_grants(rest); break;
    case 'k': read_keys(rest); break;
    default: break;
    }
    return 0;
}
