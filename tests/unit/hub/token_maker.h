/* Makes tokens for tests: any header and claims, as they stand in the call, signed with HMAC or
 * with a private key made for the test; and the forms in which the public half is configured. */
#ifndef BELFRY_TESTS_HUB_TOKEN_MAKER_H
#define BELFRY_TESTS_HUB_TOKEN_MAKER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

#define MAKER_REQUIRE(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Base64 with the alphabet of URLs and without padding (RFC 4648 section 5). */
static inline size_t append_base64url(char *out, const void *bytes, size_t n_bytes)
{
    int len = EVP_EncodeBlock((unsigned char *)out, bytes, (int)n_bytes);
    while (len > 0 && out[len - 1] == '=') {
        len--;
    }
    for (int i = 0; i < len; i++) {
        out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
    }
    out[len] = '\0';
    return (size_t)len;
}

/* "header.claims", with room for a signature; to be freed with free(). */
static inline char *make_signed_text(const char *header, const char *claims)
{
    char *text = malloc(2 * (strlen(header) + strlen(claims)) + 2048);
    MAKER_REQUIRE(text);
    size_t len = append_base64url(text, header, strlen(header));
    text[len++] = '.';
    append_base64url(text + len, claims, strlen(claims));
    return text;
}

static inline void append_signature(char *text, const void *bytes, size_t n_bytes)
{
    size_t len = strlen(text);
    text[len++] = '.';
    append_base64url(text + len, bytes, n_bytes);
}

/* To be freed with free(). */
static inline char *make_token_with(const char *header, const char *claims, const char *key,
                                    const EVP_MD *hash)
{
    char *token = make_signed_text(header, claims);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    HMAC(hash, key, (int)strlen(key), (const unsigned char *)token, strlen(token), mac, &mac_len);
    append_signature(token, mac, mac_len);
    return token;
}

static inline char *make_token(const char *claims, const char *key)
{
    return make_token_with(HS256, claims, key, EVP_sha256());
}

/* --- private keys; to be freed with EVP_PKEY_free() --- */

static inline EVP_PKEY *make_rsa_key(unsigned bits)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);
    MAKER_REQUIRE(key);
    return key;
}

/* curve: "P-256" and its like. */
static inline EVP_PKEY *make_ec_key(const char *curve)
{
    EVP_PKEY *key = EVP_EC_gen(curve);
    MAKER_REQUIRE(key);
    return key;
}

static inline EVP_PKEY *make_ed25519_key(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    MAKER_REQUIRE(key);
    return key;
}

/* The public half; to be freed with free(). */
static inline char *make_pem(EVP_PKEY *key)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    MAKER_REQUIRE(out && PEM_write_bio_PUBKEY(out, key) == 1);
    long len = BIO_get_mem_data(out, &bytes);
    char *pem = strndup(bytes, (size_t)len);
    MAKER_REQUIRE(pem);
    BIO_free(out);
    return pem;
}

/* --- signatures by them --- */

static inline int curve_bytes(const EVP_PKEY *key)
{
    return (EVP_PKEY_get_bits(key) + 7) / 8;
}

/* r and s of an ECDSA signature in DER, each in that many bytes. */
static inline size_t der_to_raw(int size, const unsigned char *der, size_t len, unsigned char *raw)
{
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    MAKER_REQUIRE(pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, size) == size &&
                  BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + size, size) == size);
    ECDSA_SIG_free(pair);
    return 2 * (size_t)size;
}

/* In r and s each of that many bytes; 0: in DER. hash: NULL for Ed25519. */
static inline char *sign_token_as(const char *header, const char *claims, EVP_PKEY *key,
                                  const EVP_MD *hash, int number_bytes)
{
    char *token = make_signed_text(header, claims);
    unsigned char bytes[1200];
    unsigned char raw[200];
    size_t len = sizeof(bytes);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    MAKER_REQUIRE(
        context && EVP_DigestSignInit(context, NULL, hash, NULL, key) == 1 &&
        EVP_DigestSign(context, bytes, &len, (const unsigned char *)token, strlen(token)) == 1);
    EVP_MD_CTX_free(context);
    if (number_bytes > 0) {
        len = der_to_raw(number_bytes, bytes, len, raw);
        append_signature(token, raw, len);
    } else {
        append_signature(token, bytes, len);
    }
    return token;
}

static inline char *sign_token(const char *header, const char *claims, EVP_PKEY *key,
                               const EVP_MD *hash)
{
    return sign_token_as(header, claims, key, hash,
                         EVP_PKEY_is_a(key, "EC") ? curve_bytes(key) : 0);
}

/* --- JSON Web Keys; to be freed with free() --- */

static inline char *number_text(const EVP_PKEY *key, const char *param, int n_bytes)
{
    BIGNUM *number = NULL;
    unsigned char bytes[1100];
    char text[1500];
    MAKER_REQUIRE(EVP_PKEY_get_bn_param(key, param, &number) == 1);
    int len = n_bytes > 0 ? n_bytes : BN_num_bytes(number);
    MAKER_REQUIRE(BN_bn2binpad(number, bytes, len) == len);
    BN_free(number);
    append_base64url(text, bytes, (size_t)len);
    char *copy = strdup(text);
    MAKER_REQUIRE(copy);
    return copy;
}

static inline char *make_rsa_jwk(const EVP_PKEY *key, const char *rest)
{
    char *n = number_text(key, OSSL_PKEY_PARAM_RSA_N, 0);
    char *e = number_text(key, OSSL_PKEY_PARAM_RSA_E, 0);
    char *jwk = NULL;
    MAKER_REQUIRE(asprintf(&jwk, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}", n, e, rest) > 0);
    free(n);
    free(e);
    return jwk;
}

static inline char *make_ec_jwk(const EVP_PKEY *key, const char *curve, const char *rest)
{
    int size = curve_bytes(key);
    char *x = number_text(key, OSSL_PKEY_PARAM_EC_PUB_X, size);
    char *y = number_text(key, OSSL_PKEY_PARAM_EC_PUB_Y, size);
    char *jwk = NULL;
    MAKER_REQUIRE(asprintf(&jwk, "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s}",
                           curve, x, y, rest) > 0);
    free(x);
    free(y);
    return jwk;
}

static inline char *make_ed25519_jwk(const EVP_PKEY *key, const char *rest)
{
    unsigned char bytes[32];
    size_t len = sizeof(bytes);
    char x[64];
    char *jwk = NULL;
    MAKER_REQUIRE(EVP_PKEY_get_raw_public_key(key, bytes, &len) == 1);
    append_base64url(x, bytes, len);
    MAKER_REQUIRE(asprintf(&jwk, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s}", x, rest) >
                  0);
    return jwk;
}

/* rest: further members, from the comma on. */
static inline char *make_jwk(const EVP_PKEY *key, const char *rest)
{
    if (EVP_PKEY_is_a(key, "RSA")) {
        return make_rsa_jwk(key, rest);
    }
    if (EVP_PKEY_is_a(key, "ED25519")) {
        return make_ed25519_jwk(key, rest);
    }
    int bits = EVP_PKEY_get_bits(key);
    return make_ec_jwk(key, bits == 256 ? "P-256" : bits == 384 ? "P-384" : "P-521", rest);
}

#endif
