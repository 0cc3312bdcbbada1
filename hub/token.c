/* SPDX-License-Identifier: MIT */
/* Unit token checks tokens: JWS compact serialization (RFC 7515). Nothing of a token is believed
 * before its signature is found good, but for what says which key to take. */
#include "hub/token.h"

#include <assert.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "base/json_span.h"
#include "hub/jwks.h"
#include "hub/token_claims.h"
#include "hub/token_keys.h"

struct token_verifier {
    const struct token_options *options;
    bool skips_signature;
    EVP_PKEY *rsa; /* each NULL: none is configured */
    EVP_PKEY *ec;
    struct pattern *audience;
    struct pattern *issuer;
    struct jwks *jwks;
};

/* One call of token_verify(). */
struct reading {
    struct token_verifier *verifier;
    int64_t now;
    const char *why;
};

static enum status refuse(struct reading *r, const char *why)
{
    r->why = why;
    return STATUS_UNAUTHORIZED;
}

/* --- the form --- */

/* The three parts, still in base64url. */
struct token_parts {
    struct str header;
    struct str payload;
    struct str signature;
    struct str signed_text; /* header.payload */
};

static bool split(struct str token, struct token_parts *parts)
{
    ptrdiff_t first = str_find(token, '.');
    struct str rest = first < 0 ? STR_EMPTY : str_tail(token, (size_t)first + 1);
    ptrdiff_t second = str_find(rest, '.');
    if (second < 0) {
        return false;
    }
    parts->header = str_head(token, (size_t)first);
    parts->payload = str_head(rest, (size_t)second);
    parts->signature = str_tail(rest, (size_t)second + 1);
    parts->signed_text = str_head(token, (size_t)(first + 1 + second));
    return true;
}

/* Header or payload: a JSON object. */
static bool decode_object(struct str part, struct buf *out)
{
    return token_decode_part(part, out) && json_check(buf_str(out), NULL) == STATUS_OK &&
           json_kind(buf_str(out)) == JSON_KIND_OBJECT;
}

/* --- the signature --- */

static enum status check_hmac(struct reading *r, const struct token_algorithm *algorithm,
                              const struct token_parts *parts, struct str signature)
{
    const struct token_options *o = r->verifier->options;
    int64_t until = o->hmac_previous_secret_key_valid_until;
    bool has_previous = o->hmac_previous_secret_key[0] && (until == 0 || r->now < until);
    if (o->hmac_secret_key[0] &&
        token_hmac_is_good(o->hmac_secret_key, algorithm, parts->signed_text, signature)) {
        return STATUS_OK;
    }
    if (has_previous &&
        token_hmac_is_good(o->hmac_previous_secret_key, algorithm, parts->signed_text, signature)) {
        return STATUS_OK;
    }
    return refuse(r, o->hmac_secret_key[0] || has_previous ? "the signature is wrong"
                                                           : "no key for its algorithm");
}

static enum status check_public_key(struct reading *r, EVP_PKEY *key,
                                    const struct token_algorithm *algorithm,
                                    const struct token_parts *parts, struct str signature)
{
    if (!key || !token_key_fits(key, algorithm)) {
        return refuse(r, "no key for its algorithm");
    }
    return token_signature_is_good(key, algorithm, parts->signed_text, signature)
               ? STATUS_OK
               : refuse(r, "the signature is wrong");
}

/* Also when keys are configured beside the endpoint. */
static enum status check_by_jwks(struct reading *r, const struct token_algorithm *algorithm,
                                 const char *kid, const struct token_parts *parts,
                                 struct str signature)
{
    EVP_PKEY *key = NULL;
    if (!kid || algorithm->kind == KEY_HMAC) {
        return refuse(r, kid ? "no key for its algorithm" : "it names no key (kid)");
    }
    enum status status = jwks_find(r->verifier->jwks, str_of(kid), algorithm, r->now, &key);
    if (status == STATUS_NOT_FOUND) {
        return refuse(r, "the key set has no such key for its algorithm");
    }
    if (status != STATUS_OK) {
        r->why = "the key set cannot be fetched";
        return status;
    }
    return check_public_key(r, key, algorithm, parts, signature);
}

static enum status check_signature(struct reading *r, const struct token_algorithm *algorithm,
                                   const char *kid, const struct token_parts *parts)
{
    struct token_verifier *v = r->verifier;
    enum status status = STATUS_UNAUTHORIZED;
    struct buf signature;
    buf_init(&signature, TOKEN_MAX_BYTES);
    if (!token_decode_part(parts->signature, &signature) || signature.len == 0) {
        status = refuse(r, "it is not signed");
    } else if (v->jwks) {
        status = check_by_jwks(r, algorithm, kid, parts, buf_str(&signature));
    } else if (algorithm->kind == KEY_HMAC) {
        status = check_hmac(r, algorithm, parts, buf_str(&signature));
    } else {
        EVP_PKEY *key = algorithm->kind == KEY_RSA  ? v->rsa
                        : algorithm->kind == KEY_EC ? v->ec
                                                    : NULL;
        status = check_public_key(r, key, algorithm, parts, buf_str(&signature));
    }
    buf_release(&signature);
    return status;
}

/* "crit" names extensions that must be understood, and none is here. What else a header may have to
 * lead to a key ("jwk", "jku", "x5c") is the sender's word, and is not looked at. */
static enum status check_header(struct reading *r, struct str header,
                                const struct token_parts *parts)
{
    struct json_field f[] = {
        {STR("alg"), STR_EMPTY}, {STR("kid"), STR_EMPTY}, {STR("crit"), STR_EMPTY}};
    char *alg = NULL;
    char *kid = NULL;
    if (json_read_object(json_trim(header), f, 3, NULL) != STATUS_OK || f[2].value.len > 0) {
        return refuse(r, "its header has a name twice, or \"crit\"");
    }
    enum status status = token_read_text(f[0].value, &alg);
    if (status == STATUS_OK) {
        status = token_read_text(f[1].value, &kid);
    }
    const struct token_algorithm *algorithm = alg ? token_algorithm_of(str_of(alg)) : NULL;
    if (status == STATUS_INVALID) {
        status = refuse(r, "alg or kid is no string");
    } else if (status != STATUS_OK) {
        r->why = "memory is short";
    } else if (!algorithm) {
        status = refuse(r, "its algorithm is not supported");
    } else {
        status = check_signature(r, algorithm, kid, parts);
    }
    free(alg);
    free(kid);
    return status;
}

/* --- the whole --- */

static bool has_key(const struct token_verifier *v)
{
    return v->options->hmac_secret_key[0] || v->options->hmac_previous_secret_key[0] || v->rsa ||
           v->ec || v->jwks;
}

static enum status check_signed(struct reading *r, const struct token_parts *parts)
{
    struct buf header;
    buf_init(&header, TOKEN_MAX_BYTES);
    enum status status = STATUS_OK;
    if (!decode_object(parts->header, &header)) {
        status = refuse(r, "its header is no JSON object in base64url");
    } else if (!r->verifier->skips_signature) {
        status = check_header(r, buf_str(&header), parts);
    }
    buf_release(&header);
    return status;
}

static enum status read_claims(struct reading *r, enum token_kind kind, struct str part,
                               struct token_claims *ret_claims)
{
    const struct token_options *o = r->verifier->options;
    const struct token_demands demands = {.audience = o->audience,
                                          .issuer = o->issuer,
                                          .user_id_claim = o->user_id_claim,
                                          .audience_pattern = r->verifier->audience,
                                          .issuer_pattern = r->verifier->issuer};
    struct buf payload;
    buf_init(&payload, TOKEN_MAX_BYTES);
    enum status status =
        decode_object(part, &payload)
            ? token_claims_read(&demands, kind, buf_str(&payload), r->now, ret_claims, &r->why)
            : refuse(r, "its claims are no JSON object in base64url");
    buf_release(&payload);
    return status;
}

static enum status read_token(struct reading *r, enum token_kind kind, struct str token,
                              struct token_claims *ret_claims)
{
    struct token_parts parts;
    if (!r->verifier->skips_signature && !has_key(r->verifier)) {
        return refuse(r, "no key is configured");
    }
    if (token.len > TOKEN_MAX_BYTES || !split(token, &parts)) {
        return refuse(r, token.len > TOKEN_MAX_BYTES ? "it is longer than 16 KB"
                                                     : "it has not three parts");
    }
    enum status status = check_signed(r, &parts);
    return status == STATUS_OK ? read_claims(r, kind, parts.payload, ret_claims) : status;
}

enum status token_verify(struct token_verifier *verifier, enum token_kind kind, struct str token,
                         int64_t now, struct token_claims *ret_claims, const char **ret_why)
{
    struct reading r = {.verifier = verifier, .now = now, .why = "memory is short"};
    struct token_claims claims = {0};
    enum status status = read_token(&r, kind, token, &claims);
    if (status == STATUS_OK) {
        *ret_claims = claims;
        return STATUS_OK;
    }
    token_claims_release(&claims);
    *ret_why = r.why;
    return status;
}

void token_await(struct token_verifier *verifier, struct token_wait *wait)
{
    assert(verifier->jwks && "nothing to wait for");
    jwks_await(verifier->jwks, wait);
}

void token_await_cancel(struct token_verifier *verifier, struct token_wait *wait)
{
    jwks_await_cancel(verifier->jwks, wait);
}

/* --- its life --- */

static enum status read_pattern(const char *text, struct pattern **ret_pattern)
{
    return text[0] ? pattern_create(str_of(text), ret_pattern, NULL) : STATUS_OK;
}

static enum status read_pem(const char *pem, enum key_kind kind, EVP_PKEY **ret_key)
{
    if (pem[0]) {
        *ret_key = token_key_from_pem(pem, kind);
    }
    return pem[0] && !*ret_key ? STATUS_INVALID : STATUS_OK;
}

static enum status read_options(struct token_verifier *v, const struct token_verifier_setup *setup)
{
    const struct token_options *o = setup->options;
    enum status status = read_pem(o->rsa_public_key, KEY_RSA, &v->rsa);
    if (status == STATUS_OK) {
        status = read_pem(o->ecdsa_public_key, KEY_EC, &v->ec);
    }
    if (status == STATUS_OK) {
        status = read_pattern(o->audience_regex, &v->audience);
    }
    if (status == STATUS_OK) {
        status = read_pattern(o->issuer_regex, &v->issuer);
    }
    if (status == STATUS_OK && o->jwks_public_endpoint[0]) {
        status = jwks_create(setup->loop, setup->fetch_pool, o->jwks_public_endpoint, &v->jwks);
    }
    return status;
}

enum status token_verifier_create(const struct token_verifier_setup *setup,
                                  struct token_verifier **ret_verifier)
{
    struct token_verifier *v = calloc(1, sizeof(*v));
    if (!v) {
        return STATUS_NO_MEMORY;
    }
    v->options = setup->options;
    v->skips_signature = setup->skips_signature;
    enum status status = read_options(v, setup);
    if (status != STATUS_OK) {
        token_verifier_destroy(v);
        return status;
    }
    *ret_verifier = v;
    return STATUS_OK;
}

void token_verifier_replace(struct token_verifier *older, struct token_verifier *newer)
{
    if (older->jwks && newer->jwks && strcmp(jwks_url(older->jwks), jwks_url(newer->jwks)) == 0) {
        jwks_destroy(newer->jwks);
        newer->jwks = older->jwks;
        older->jwks = NULL;
    }
    token_verifier_retire(older);
}

void token_verifier_retire(struct token_verifier *verifier)
{
    if (verifier) {
        jwks_retire(verifier->jwks);
        verifier->jwks = NULL;
        token_verifier_destroy(verifier);
    }
}

void token_verifier_stop(struct token_verifier *verifier)
{
    if (verifier->jwks) {
        jwks_stop(verifier->jwks);
    }
}

void token_verifier_destroy(struct token_verifier *verifier)
{
    if (!verifier) {
        return;
    }
    jwks_destroy(verifier->jwks);
    pattern_destroy(verifier->issuer);
    pattern_destroy(verifier->audience);
    EVP_PKEY_free(verifier->ec);
    EVP_PKEY_free(verifier->rsa);
    free(verifier);
}
