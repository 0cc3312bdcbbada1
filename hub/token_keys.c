/* SPDX-License-Identifier: MIT */
/* Unit token_keys is the glue to OpenSSL's libcrypto. It keeps no state. What OpenSSL leaves in the
 * thread's queue of errors is always removed: TLS connections of the same thread look there. */
#include "hub/token_keys.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/base64.h"

#define RSA_BITS_MIN        2048 /* RFC 7518 section 3.3 */
#define RSA_BITS_MAX        8192 /* a larger one takes milliseconds for each token */
#define CURVE_BYTES_MAX     66
#define ECDSA_DER_BYTES_MAX (2 * CURVE_BYTES_MAX + 16)

static const struct token_algorithm algorithms[] = {
    {"HS256", KEY_HMAC, "SHA256", NULL, 0},
    {"HS384", KEY_HMAC, "SHA384", NULL, 0},
    {"HS512", KEY_HMAC, "SHA512", NULL, 0},
    {"RS256", KEY_RSA, "SHA256", NULL, 0},
    {"RS384", KEY_RSA, "SHA384", NULL, 0},
    {"RS512", KEY_RSA, "SHA512", NULL, 0},
    {"ES256", KEY_EC, "SHA256", "prime256v1", 32},
    {"ES384", KEY_EC, "SHA384", "secp384r1", 48},
    {"ES512", KEY_EC, "SHA512", "secp521r1", CURVE_BYTES_MAX},
    {"EdDSA", KEY_ED25519, NULL, NULL, 0},
};
#define N_ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))

const struct token_algorithm *token_algorithm_of(struct str name)
{
    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        if (str_eq(name, str_of(algorithms[i].name))) {
            return &algorithms[i];
        }
    }
    return NULL;
}

/* --- keys --- */

static bool is_on_curve(const EVP_PKEY *key, const char *curve)
{
    char name[64];
    size_t len = 0;
    return EVP_PKEY_get_group_name(key, name, sizeof(name), &len) == 1 && strcmp(name, curve) == 0;
}

static bool is_on_a_known_curve(const EVP_PKEY *key)
{
    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        if (algorithms[i].curve && is_on_curve(key, algorithms[i].curve)) {
            return true;
        }
    }
    return false;
}

bool token_key_is(const EVP_PKEY *key, enum key_kind kind)
{
    int bits = EVP_PKEY_get_bits(key);
    switch (kind) {
    case KEY_HMAC: return false;
    case KEY_RSA: return EVP_PKEY_is_a(key, "RSA") && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX;
    case KEY_EC: return EVP_PKEY_is_a(key, "EC") && is_on_a_known_curve(key);
    case KEY_ED25519: return EVP_PKEY_is_a(key, "ED25519");
    }
    return false;
}

bool token_key_fits(const EVP_PKEY *key, const struct token_algorithm *algorithm)
{
    bool fits = token_key_is(key, algorithm->kind) &&
                (!algorithm->curve || is_on_curve(key, algorithm->curve));
    ERR_clear_error();
    return fits;
}

/* With a passphrase given, even an empty one, OpenSSL does not ask for one at the terminal. */
static char no_passphrase[] = "";

static EVP_PKEY *read_certificate(const char *pem)
{
    BIO *text = BIO_new_mem_buf(pem, -1);
    X509 *certificate = text ? PEM_read_bio_X509(text, NULL, NULL, no_passphrase) : NULL;
    EVP_PKEY *key = certificate ? X509_get_pubkey(certificate) : NULL;
    X509_free(certificate);
    BIO_free(text);
    return key;
}

EVP_PKEY *token_key_from_pem(const char *pem, enum key_kind kind)
{
    BIO *text = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = text ? PEM_read_bio_PUBKEY(text, NULL, NULL, no_passphrase) : NULL;
    BIO_free(text);
    if (!key) {
        key = read_certificate(pem);
    }
    if (key && !token_key_is(key, kind)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}

/* --- signatures --- */

/* Returns how long it is; 0: there is none. */
static unsigned make_hmac(const char *secret, const struct token_algorithm *algorithm,
                          struct str signed_text, unsigned char hmac[EVP_MAX_MD_SIZE])
{
    unsigned len = 0;
    if (!HMAC(EVP_get_digestbyname(algorithm->hash), secret, (int)strlen(secret),
              (const unsigned char *)signed_text.ptr, signed_text.len, hmac, &len)) {
        len = 0;
    }
    ERR_clear_error();
    return len;
}

bool token_hmac_is_good(const char *secret, const struct token_algorithm *algorithm,
                        struct str signed_text, struct str signature)
{
    unsigned char expected[EVP_MAX_MD_SIZE];
    unsigned len = make_hmac(secret, algorithm, signed_text, expected);
    return len > 0 && str_eq_secret(signature, (struct str){(const char *)expected, len});
}

bool token_hmac_sign(const char *secret, const struct token_algorithm *algorithm,
                     struct str signed_text, struct buf *out)
{
    unsigned char hmac[EVP_MAX_MD_SIZE];
    unsigned len = make_hmac(secret, algorithm, signed_text, hmac);
    buf_append(out, (struct str){(const char *)hmac, len});
    return len > 0 && !buf_failed(out);
}

/* OpenSSL takes ECDSA signatures in DER only, JWS has the two numbers one behind the other (RFC
 * 7518 section 3.4). Returns the length; 0: it is none. */
static size_t ecdsa_to_der(struct str raw, size_t curve_bytes,
                           unsigned char der[ECDSA_DER_BYTES_MAX])
{
    if (raw.len != 2 * curve_bytes) {
        return 0;
    }
    const unsigned char *bytes = (const unsigned char *)raw.ptr;
    BIGNUM *r = BN_bin2bn(bytes, (int)curve_bytes, NULL);
    BIGNUM *s = BN_bin2bn(bytes + curve_bytes, (int)curve_bytes, NULL);
    ECDSA_SIG *signature = ECDSA_SIG_new();
    if (!r || !s || !signature || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(signature);
        return 0;
    }
    int len = i2d_ECDSA_SIG(signature, NULL);
    unsigned char *at = der;
    if (len > 0 && len <= ECDSA_DER_BYTES_MAX) {
        len = i2d_ECDSA_SIG(signature, &at);
    }
    ECDSA_SIG_free(signature);
    return len > 0 && len <= ECDSA_DER_BYTES_MAX ? (size_t)len : 0;
}

static bool verify(EVP_PKEY *key, const char *hash, struct str signed_text,
                   const unsigned char *signature, size_t signature_len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = context &&
                   EVP_DigestVerifyInit_ex(context, NULL, hash, NULL, NULL, key, NULL) == 1 &&
                   EVP_DigestVerify(context, signature, signature_len,
                                    (const unsigned char *)signed_text.ptr, signed_text.len) == 1;
    EVP_MD_CTX_free(context);
    return is_good;
}

bool token_signature_is_good(EVP_PKEY *key, const struct token_algorithm *algorithm,
                             struct str signed_text, struct str signature)
{
    unsigned char der[ECDSA_DER_BYTES_MAX];
    const unsigned char *bytes = (const unsigned char *)signature.ptr;
    size_t len = signature.len;
    if (algorithm->kind == KEY_EC) {
        bytes = der;
        len = ecdsa_to_der(signature, algorithm->curve_bytes, der);
    }
    bool is_good = len > 0 && verify(key, algorithm->hash, signed_text, bytes, len);
    ERR_clear_error();
    return is_good;
}

bool token_decode_part(struct str part, struct buf *out)
{
    return part.len % 4 != 1 && base64url_decode(part, out);
}
