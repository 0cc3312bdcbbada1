/* Connection tokens: JSON Web Tokens (RFC 7519) signed with HS256, claims as in the Centrifugo
 * protocol. */
#ifndef BELFRY_HUB_TOKEN_H
#define BELFRY_HUB_TOKEN_H

#include "base/status.h"
#include "base/str.h"

struct token_claims {
    char *user;         /* "sub"; "" is the anonymous user */
    char *info;         /* "info" as JSON text, byte for byte; "" for none */
    int64_t expires_at; /* "exp", seconds since 1970; 0: never */
};

/* STATUS_EXPIRED: signed well, but "exp" is over or "nbf" not reached. STATUS_UNAUTHORIZED:
 * anything else that is wrong (form, algorithm, signature, claims of a wrong type); no key
 * configured. Claims are to be released after STATUS_OK only. now: seconds since 1970. */
enum status token_verify(struct str token, const char *hmac_secret_key, int64_t now,
                         struct token_claims *ret_claims) MUST_CHECK;
void token_claims_release(struct token_claims *claims);

#endif
