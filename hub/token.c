/* SPDX-License-Identifier: MIT */
/* Unit token checks connection tokens. libjwt checks the signature; it takes the algorithm from the
 * token and looks at no time claim, so both are checked here. The claims are read from the token's
 * own text: a tree would round the numbers in "info". */
#include "hub/token.h"

#include <jwt.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/json_span.h"

#define TOKEN_MAX_BYTES 16384

static bool signature_is_good(struct str token, const char *key)
{
    char *text = str_dup(token);
    if (!text) {
        return false;
    }
    jwt_t *jwt = NULL;
    int rc = jwt_decode(&jwt, text, (const unsigned char *)key, (int)strlen(key));
    bool is_good = rc == 0 && jwt_get_alg(jwt) == JWT_ALG_HS256;
    jwt_free(jwt);
    free(text);
    return is_good;
}

static int base64url_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* RFC 4648 section 5, without padding. */
static bool base64url_decode(struct str text, struct buf *out)
{
    unsigned bits = 0;
    int n_bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64url_digit(text.ptr[i]);
        if (digit < 0) {
            return false;
        }
        bits = (bits << 6 | (unsigned)digit) & 0xffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            buf_append_char(out, (char)(bits >> n_bits & 0xff));
        }
    }
    return !buf_failed(out);
}

static struct str payload_part(struct str token)
{
    ptrdiff_t first = str_find(token, '.');
    struct str rest = first < 0 ? STR_EMPTY : str_tail(token, (size_t)first + 1);
    ptrdiff_t second = str_find(rest, '.');
    return second < 0 ? STR_EMPTY : str_head(rest, (size_t)second);
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
        json_read_object(payload, f, N_CLAIMS, NULL) != STATUS_OK ||
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
    if (hmac_secret_key[0] == '\0' || token.len > TOKEN_MAX_BYTES ||
        !signature_is_good(token, hmac_secret_key)) {
        return STATUS_UNAUTHORIZED;
    }
    struct buf payload;
    buf_init(&payload, TOKEN_MAX_BYTES);
    enum status status = STATUS_UNAUTHORIZED;
    if (base64url_decode(payload_part(token), &payload)) {
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
