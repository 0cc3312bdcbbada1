/* JSON Web Key Sets (RFC 7517): the public keys of a text, by their "kid". */
#ifndef BELFRY_HUB_JWK_SET_H
#define BELFRY_HUB_JWK_SET_H

#include "hub/token_keys.h"

#define JWK_SET_KEYS_MAX 100

struct jwk {
    char *kid;
    const struct token_algorithm *algorithm; /* the only one it may be used with; NULL: all that fit
                                                it */
    EVP_PKEY *key;
};

struct jwk_set {
    struct jwk *keys;
    size_t n_keys;
};

/* {"keys":[...]}. Keys that cannot be used are left out, as the RFC asks for: without "kid", with a
 * "use" that is not "sig" or "key_ops" without "verify", of another kind than RSA, EC and OKP
 * (Ed25519), of a size or curve that token_key_is() refuses, malformed, or for an algorithm that is
 * not known here. STATUS_INVALID: ret_why (static text) says what is wrong: no such set, more than
 * JWK_SET_KEYS_MAX keys, or none that can be used. */
enum status jwk_set_read(struct str text, struct jwk_set *ret_set, const char **ret_why) MUST_CHECK;
void jwk_set_release(struct jwk_set *set);

/* The key of that name which goes with the algorithm; NULL: there is none. ret_knows_kid: is there
 * any key of the name? */
EVP_PKEY *jwk_set_find(const struct jwk_set *set, struct str kid,
                       const struct token_algorithm *algorithm, bool *ret_knows_kid);

#endif
