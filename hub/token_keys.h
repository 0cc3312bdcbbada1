/* Signatures of tokens (RFC 7518, 8037): which algorithm asks for what kind of key, keys from PEM,
 * and whether a signature is that of a key. For the units that know tokens. */
#ifndef BELFRY_HUB_TOKEN_KEYS_H
#define BELFRY_HUB_TOKEN_KEYS_H

#include <openssl/types.h>

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

enum key_kind { KEY_HMAC, KEY_RSA, KEY_EC, KEY_ED25519 };

struct token_algorithm {
    const char *name; /* as tokens have it under "alg" */
    enum key_kind kind;
    const char *hash;  /* OpenSSL's name; NULL: the algorithm has its own */
    const char *curve; /* KEY_EC: OpenSSL's name of the only one that goes with it */
    size_t curve_bytes;
};

/* NULL: "none", and all else that is not verified here. */
const struct token_algorithm *token_algorithm_of(struct str name);

/* A public key in PEM (SubjectPublicKeyInfo, or a certificate) of that kind; an RSA key of 2048 to
 * 8192 bits, an EC key on P-256, P-384 or P-521. NULL: it is none. To be freed with
 * EVP_PKEY_free(). */
EVP_PKEY *token_key_from_pem(const char *pem, enum key_kind kind);
/* Is this key one of that kind, and of a size to be used? */
bool token_key_is(const EVP_PKEY *key, enum key_kind kind);

/* Does the algorithm go with the key: its type, and for EC its curve? */
bool token_key_fits(const EVP_PKEY *key, const struct token_algorithm *algorithm);

/* The key fits; the signature is in the form of JWS (an EC one: r and s, each of the curve's
 * size). */
bool token_signature_is_good(EVP_PKEY *key, const struct token_algorithm *algorithm,
                             struct str signed_text, struct str signature);
bool token_hmac_is_good(const char *secret, const struct token_algorithm *algorithm,
                        struct str signed_text, struct str signature);
/* Appends the signature's bytes. False: there is none. */
bool token_hmac_sign(const char *secret, const struct token_algorithm *algorithm,
                     struct str signed_text, struct buf *out);

/* Base64url as JOSE has it: no padding, and no lone digit at the end. */
bool token_decode_part(struct str part, struct buf *out);

#endif
