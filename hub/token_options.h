/* The configuration's sections "client.token" and "client.subscription_token": keys, and what
 * tokens must say. */
#ifndef BELFRY_HUB_TOKEN_OPTIONS_H
#define BELFRY_HUB_TOKEN_OPTIONS_H

#include "base/config.h"

struct token_options {
    bool enabled;          /* of subscription_token: its own set, instead of that of token */
    char *hmac_secret_key; /* "": no HS256, HS384, HS512 */
    char *hmac_previous_secret_key;
    int64_t hmac_previous_secret_key_valid_until; /* seconds since 1970; 0: without an end */
    char *rsa_public_key;                         /* PEM; "": no RS256, RS384, RS512 */
    char *ecdsa_public_key;                       /* PEM; "": no ES256, ES384, ES512 */
    char *jwks_public_endpoint; /* "": none; else every token is verified with its keys */
    char *audience;
    char *audience_regex;
    char *issuer;
    char *issuer_regex;
    char *user_id_claim; /* "": sub */
};

extern const struct config_shape token_options_shape;
extern const struct config_shape subscription_token_options_shape;

/* Is there anything to verify a signature with? */
bool token_options_have_key(const struct token_options *options);

#endif
