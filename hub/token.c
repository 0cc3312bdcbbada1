/* SPDX-License-Identifier: MIT */
/* Unit token checks connection tokens: JWS compact serialization (RFC 7515) with HS256. The HMAC is
 * OpenSSL's; header and claims are read from the token's own text, because a JSON tree would round
 * the numbers in "info". */
#include "hub/token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/json_span.h"

#define TOKEN_MAX_BYTES 16384
#define HS256_BYTES     32

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

/* Exactly {"alg":"HS256", ...}: the algorithm is ours to say, never the token's. "crit" names
 * extensions that must be understood, and none is here. */
static bool header_is_hs256(struct str header)
{
    struct json_field f[] = {{STR("alg"), STR_EMPTY}, {STR("crit"), STR_EMPTY}};
    struct buf text;
    buf_init(&text, TOKEN_MAX_BYTES);
    bool fits = base64url_decode(header, &text) && json_check(buf_str(&text), NULL) == STATUS_OK &&
                json_read_object(json_trim(buf_str(&text)), f, 2, NULL) == STATUS_OK &&
                str_eq(f[0].value, STR("\"HS256\"")) && f[1].value.len == 0;
    buf_release(&text);
    return fits;
}

static bool signature_is_good(const struct token_parts *parts, const char *key)
{
    unsigned char expected[EVP_MAX_MD_SIZE];
    unsigned expected_len = 0;
    struct buf given;
    buf_init(&given, EVP_MAX_MD_SIZE);
    bool is_good =
        base64url_decode(parts->signature, &given) &&
        HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)parts->signed_text.ptr,
             parts->signed_text.len, expected, &expected_len) &&
        expected_len == HS256_BYTES &&
        str_eq_secret(buf_str(&given), (struct str){(const char *)expected, expected_len});
    buf_release(&given);
    return is_good;
}

enum { CLAIM_SUB, CLAIM_EXP, CLAIM_NBF, CLAIM_INFO, CLAIM_CHANNEL, N_CLAIMS };

/* Times may come with a fraction (RFC 7519 NumericDate); it is cut off. */
static bool numeric_date(struct str value, int64_t *ret_seconds)
{
    ptrdiff_t dot = str_find(value, '.');
    return value.len == 0 ||
           json_to_i64(dot < 0 ? value : str_head(value, (size_t)dot), ret_seconds);
}

static char *string_claim(struct str value)
{
    struct buf text;
    buf_init(&text, TOKEN_MAX_BYTES);
    if (value.len > 0 && json_decode_string(value, &text) != STATUS_OK) {
        buf_release(&text);
        return NULL;
    }
    bool has_nul = text.len > 0 && memchr(text.ptr, 0, text.len);
    char *taken = has_nul ? NULL : buf_take(&text);
    buf_release(&text);
    return taken;
}

static char *json_claim(struct str value)
{
    struct buf text;
    buf_init(&text, TOKEN_MAX_BYTES);
    json_append_one_line(&text, value);
    return buf_take(&text);
}

static enum status read_claims(struct str payload, int64_t now, struct token_claims *ret_claims)
{
    struct json_field f[N_CLAIMS] = {
        [CLAIM_SUB] = {STR("sub"), STR_EMPTY},         [CLAIM_EXP] = {STR("exp"), STR_EMPTY},
        [CLAIM_NBF] = {STR("nbf"), STR_EMPTY},         [CLAIM_INFO] = {STR("info"), STR_EMPTY},
        [CLAIM_CHANNEL] = {STR("channel"), STR_EMPTY},
    };
    int64_t exp = 0;
    int64_t nbf = 0;
    if (json_check(payload, NULL) != STATUS_OK ||
        json_read_object(json_trim(payload), f, N_CLAIMS, NULL) != STATUS_OK ||
        !numeric_date(f[CLAIM_EXP].value, &exp) || !numeric_date(f[CLAIM_NBF].value, &nbf) ||
        f[CLAIM_CHANNEL].value.len > 0) { /* a subscription token */
        return STATUS_UNAUTHORIZED;
    }
    if ((f[CLAIM_EXP].value.len > 0 && exp <= now) || nbf > now) {
        return STATUS_EXPIRED;
    }
    struct token_claims claims = {.user = string_claim(f[CLAIM_SUB].value),
                                  .info = json_claim(f[CLAIM_INFO].value),
                                  .expires_at = exp};
    if (!claims.user || !claims.info) {
        token_claims_release(&claims);
        return STATUS_UNAUTHORIZED;
    }
    *ret_claims = claims;
    return STATUS_OK;
}

enum status token_verify(struct str token, const char *hmac_secret_key, int64_t now,
                         struct token_claims *ret_claims)
{
    struct token_parts parts;
    if (hmac_secret_key[0] == '\0' || token.len > TOKEN_MAX_BYTES || !split(token, &parts) ||
        !header_is_hs256(parts.header) || !signature_is_good(&parts, hmac_secret_key)) {
        return STATUS_UNAUTHORIZED;
    }
    struct buf payload;
    buf_init(&payload, TOKEN_MAX_BYTES);
    enum status status = STATUS_UNAUTHORIZED;
    if (base64url_decode(parts.payload, &payload)) {
        status = read_claims(buf_str(&payload), now, ret_claims);
    }
    buf_release(&payload);
    return status;
}

void token_claims_release(struct token_claims *claims)
{
    free(claims->user);
    free(claims->info);
    *claims = (struct token_claims){0};
}
