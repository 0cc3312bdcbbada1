/* SPDX-License-Identifier: MIT */
/* Unit jwk_set turns the text of a key set into OpenSSL's keys. It keeps no state. */
#include "hub/jwk_set.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/json_span.h"

#define TEXT_MAX_BYTES     4096 /* of one member */
#define EXPONENT_MAX_BYTES 8
#define ED25519_BYTES      32

enum { F_KTY, F_KID, F_USE, F_ALG, F_OPS, F_CRV, F_N, F_E, F_X, F_Y, N_FIELDS };

/* --- numbers and texts --- */

/* The bytes of a base64url string. */
static bool read_bytes(struct str value, struct buf *out)
{
    struct buf text;
    buf_init(&text, TEXT_MAX_BYTES);
    bool fits = value.len > 0 && json_decode_string(value, &text) == STATUS_OK &&
                token_decode_part(buf_str(&text), out);
    buf_release(&text);
    return fits && out->len > 0;
}

static BIGNUM *read_number(struct str value, size_t max_bytes)
{
    struct buf bytes;
    buf_init(&bytes, TEXT_MAX_BYTES);
    BIGNUM *number = read_bytes(value, &bytes) && bytes.len <= max_bytes
                         ? BN_bin2bn((const unsigned char *)bytes.ptr, (int)bytes.len, NULL)
                         : NULL;
    buf_release(&bytes);
    return number;
}

static bool is_text(struct str value, struct str text)
{
    return value.len == text.len + 2 && value.ptr[0] == '"' &&
           str_eq((struct str){value.ptr + 1, text.len}, text);
}

/* --- keys --- */

/* Takes the parameters. */
static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static EVP_PKEY *read_rsa(const struct json_field *f)
{
    BIGNUM *n = read_number(f[F_N].value, TEXT_MAX_BYTES);
    BIGNUM *e = read_number(f[F_E].value, EXPONENT_MAX_BYTES);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (n && e && builder && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
        key = key_from("RSA", builder);
        builder = NULL;
    }
    OSSL_PARAM_BLD_free(builder);
    BN_free(e);
    BN_free(n);
    return key;
}

struct curve {
    const char *name;
    const char *algorithm;
};
static const struct curve curves[] = {{"P-256", "ES256"}, {"P-384", "ES384"}, {"P-521", "ES512"}};

static const struct token_algorithm *algorithm_of_curve(struct str crv)
{
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (is_text(crv, str_of(curves[i].name))) {
            return token_algorithm_of(str_of(curves[i].algorithm));
        }
    }
    return NULL;
}

/* 4, x, y (SEC 1 section 2.3.3); x and y are of the curve's size, never shorter (RFC 7518 section
 * 6.2.1.2). OpenSSL looks whether the point is on the curve. */
static bool read_point(const struct json_field *f, size_t curve_bytes, struct buf *out)
{
    struct buf x;
    struct buf y;
    buf_init(&x, TEXT_MAX_BYTES);
    buf_init(&y, TEXT_MAX_BYTES);
    bool fits = read_bytes(f[F_X].value, &x) && read_bytes(f[F_Y].value, &y) &&
                x.len == curve_bytes && y.len == curve_bytes;
    buf_append_char(out, 4);
    buf_append(out, buf_str(&x));
    buf_append(out, buf_str(&y));
    buf_release(&x);
    buf_release(&y);
    return fits && !buf_failed(out);
}

static EVP_PKEY *read_ec(const struct json_field *f)
{
    const struct token_algorithm *algorithm = algorithm_of_curve(f[F_CRV].value);
    EVP_PKEY *key = NULL;
    if (!algorithm) {
        return NULL;
    }
    struct buf point;
    buf_init(&point, 2 * TEXT_MAX_BYTES + 1);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (builder && read_point(f, algorithm->curve_bytes, &point) &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, algorithm->curve, 0) ==
            1 &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.ptr, point.len) ==
            1) {
        key = key_from("EC", builder);
        builder = NULL;
    }
    OSSL_PARAM_BLD_free(builder);
    buf_release(&point);
    return key;
}

static EVP_PKEY *read_okp(const struct json_field *f)
{
    struct buf x;
    buf_init(&x, TEXT_MAX_BYTES);
    bool fits = is_text(f[F_CRV].value, STR("Ed25519")) && read_bytes(f[F_X].value, &x) &&
                x.len == ED25519_BYTES;
    EVP_PKEY *key = fits ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
                                                       (const unsigned char *)x.ptr, x.len)
                         : NULL;
    buf_release(&x);
    return key;
}

static EVP_PKEY *read_key(const struct json_field *f)
{
    EVP_PKEY *key = NULL;
    enum key_kind kind = KEY_RSA;
    if (is_text(f[F_KTY].value, STR("RSA"))) {
        key = read_rsa(f);
    } else if (is_text(f[F_KTY].value, STR("EC"))) {
        key = read_ec(f);
        kind = KEY_EC;
    } else if (is_text(f[F_KTY].value, STR("OKP"))) {
        key = read_okp(f);
        kind = KEY_ED25519;
    }
    if (key && !token_key_is(key, kind)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

/* --- one of a set --- */

static bool has_element(struct str array, struct str text)
{
    struct json_walk w = json_walk(array);
    struct str item;
    while (json_next_element(&w, &item)) {
        if (is_text(item, text)) {
            return true;
        }
    }
    return false;
}

static bool is_for_signatures(const struct json_field *f)
{
    return (f[F_USE].value.len == 0 || is_text(f[F_USE].value, STR("sig"))) &&
           (f[F_OPS].value.len == 0 || has_element(f[F_OPS].value, STR("verify")));
}

static char *read_kid(struct str value)
{
    struct buf kid;
    buf_init(&kid, TEXT_MAX_BYTES);
    bool fits = value.len > 0 && json_decode_string(value, &kid) == STATUS_OK && kid.len > 0 &&
                !memchr(kid.ptr, 0, kid.len);
    char *taken = fits ? buf_take(&kid) : NULL;
    buf_release(&kid);
    return taken;
}

/* False: the key has an "alg" that it cannot be used with. */
static bool read_algorithm(struct str value, const EVP_PKEY *key,
                           const struct token_algorithm **ret_algorithm)
{
    if (value.len == 0) {
        *ret_algorithm = NULL;
        return true;
    }
    bool is_string = value.ptr[0] == '"';
    *ret_algorithm =
        is_string ? token_algorithm_of((struct str){value.ptr + 1, value.len - 2}) : NULL;
    return *ret_algorithm && token_key_fits(key, *ret_algorithm);
}

static bool read_jwk(struct str object, struct jwk *ret_jwk)
{
    struct json_field f[N_FIELDS] = {
        [F_KTY] = {STR("kty"), STR_EMPTY},     [F_KID] = {STR("kid"), STR_EMPTY},
        [F_USE] = {STR("use"), STR_EMPTY},     [F_ALG] = {STR("alg"), STR_EMPTY},
        [F_OPS] = {STR("key_ops"), STR_EMPTY}, [F_CRV] = {STR("crv"), STR_EMPTY},
        [F_N] = {STR("n"), STR_EMPTY},         [F_E] = {STR("e"), STR_EMPTY},
        [F_X] = {STR("x"), STR_EMPTY},         [F_Y] = {STR("y"), STR_EMPTY},
    };
    if (json_read_object(object, f, N_FIELDS, NULL) != STATUS_OK || !is_for_signatures(f)) {
        return false;
    }
    struct jwk jwk = {.kid = read_kid(f[F_KID].value), .key = NULL};
    jwk.key = jwk.kid ? read_key(f) : NULL;
    if (!jwk.key || !read_algorithm(f[F_ALG].value, jwk.key, &jwk.algorithm)) {
        free(jwk.kid);
        EVP_PKEY_free(jwk.key);
        return false;
    }
    *ret_jwk = jwk;
    return true;
}

/* --- the set --- */

static enum status read_keys(struct str array, struct jwk_set *set)
{
    struct json_walk w = json_walk(array);
    struct str item;
    set->keys = calloc(JWK_SET_KEYS_MAX, sizeof(*set->keys));
    if (!set->keys) {
        return STATUS_NO_MEMORY;
    }
    while (json_next_element(&w, &item)) {
        if (read_jwk(item, &set->keys[set->n_keys])) {
            set->n_keys++;
        }
    }
    ERR_clear_error();
    return STATUS_OK;
}

enum status jwk_set_read(struct str text, struct jwk_set *ret_set, const char **ret_why)
{
    struct jwk_set set = {NULL, 0};
    struct json_field f = {STR("keys"), STR_EMPTY};
    if (json_check(text, NULL) != STATUS_OK ||
        json_read_object(json_trim(text), &f, 1, NULL) != STATUS_OK || f.value.len == 0 ||
        json_kind(f.value) != JSON_KIND_ARRAY) {
        *ret_why = "it is no JSON object with a list \"keys\"";
        return STATUS_INVALID;
    }
    if (json_count(f.value) > JWK_SET_KEYS_MAX) {
        *ret_why = "it has more than 100 keys";
        return STATUS_INVALID;
    }
    enum status status = read_keys(f.value, &set);
    if (status == STATUS_OK && set.n_keys == 0) {
        *ret_why = "it has no key that can be used";
        status = STATUS_INVALID;
    }
    if (status != STATUS_OK) {
        jwk_set_release(&set);
        return status;
    }
    *ret_set = set;
    return STATUS_OK;
}

void jwk_set_release(struct jwk_set *set)
{
    for (size_t i = 0; i < set->n_keys; i++) {
        free(set->keys[i].kid);
        EVP_PKEY_free(set->keys[i].key);
    }
    free(set->keys);
    *set = (struct jwk_set){NULL, 0};
}

EVP_PKEY *jwk_set_find(const struct jwk_set *set, struct str kid,
                       const struct token_algorithm *algorithm, bool *ret_knows_kid)
{
    *ret_knows_kid = false;
    for (size_t i = 0; i < set->n_keys; i++) {
        const struct jwk *jwk = &set->keys[i];
        if (!str_eq(kid, str_of(jwk->kid))) {
            continue;
        }
        *ret_knows_kid = true;
        if ((!jwk->algorithm || jwk->algorithm == algorithm) &&
            token_key_fits(jwk->key, algorithm)) {
            return jwk->key;
        }
    }
    return NULL;
}
