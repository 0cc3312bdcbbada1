/* JSON Web Tokens (RFC 7519, 7515, 7517) of connections and subscriptions, with the claims of the
 * Centrifugo protocol. Which keys and algorithms are good is the configuration's to say, never the
 * token's: an "alg" without a key of its own is refused. Loop's thread only. */
#ifndef BELFRY_HUB_TOKEN_H
#define BELFRY_HUB_TOKEN_H

#include "base/loop.h"
#include "base/status.h"
#include "base/str.h"
#include "hub/subscription_grant.h"
#include "hub/token_options.h"
#include "upstreams/fetch.h"

struct token_verifier; /* the keys of one set of options, and the set fetched from an endpoint */

struct token_verifier_setup {
    struct loop *loop;
    struct fetch_pool *fetch_pool;
    const struct token_options *options; /* outlive the verifier */
    bool skips_signature;                /* client.insecure_skip_token_signature_verify */
};
/* Reads the keys (which the configuration has checked already). STATUS_INVALID, STATUS_NO_MEMORY.
 */
enum status token_verifier_create(const struct token_verifier_setup *setup,
                                  struct token_verifier **ret_verifier) MUST_CHECK;
/* The older one's key set goes on in the newer one, where both have the same endpoint; without a
 * new fetch of what is known. The older one is freed: who waits for it is called, and asks the
 * newer one. Not from inside a done(). */
void token_verifier_replace(struct token_verifier *older, struct token_verifier *newer);
/* The same without a newer one. Accepts NULL. */
void token_verifier_retire(struct token_verifier *verifier);
/* For an orderly end: a fetch under way is given up, all who wait are called at the loop's tail,
 * and no other fetch is started. */
void token_verifier_stop(struct token_verifier *verifier);
/* Before the pool of fetches. What waits is not called any more. Not from inside a done(). Accepts
 * NULL. */
void token_verifier_destroy(struct token_verifier *verifier);

enum token_kind {
    TOKEN_CONNECTION,   /* one with a "channel" claim is refused */
    TOKEN_SUBSCRIPTION, /* "channel" is required */
};

/* Owned texts; NULL where there is none. */
struct token_claims {
    char *user;                      /* "sub", or user_id_claim; NULL: the anonymous user */
    char *info;                      /* of a connection: JSON text on one line, byte for byte */
    char *meta;                      /* of a connection: JSON object text on one line */
    int64_t expires_at;              /* "expire_at" or "exp", seconds since 1970; 0: never */
    struct subscription_grants subs; /* of a connection: "channels" and "subs" */
    char *client;                    /* of a subscription: the id of the only connection that it is
                                        for; NULL: any */
    struct subscription_grant grant; /* of a subscription: "channel", "info", "data", "override",
                                        and expires_at */
};
void token_claims_release(struct token_claims *claims);

/* STATUS_OK: ret_claims is to be released. STATUS_EXPIRED: signed well, but "exp" is over or "nbf"
 * not reached. STATUS_PENDING: the key is in a set that must be fetched first: token_await(), then
 * ask again. STATUS_CONNECT: it cannot be fetched at the moment. STATUS_UNAUTHORIZED: all else that
 * is wrong (form, algorithm, signature, audience, issuer, a claim of a wrong type), or no key is
 * configured. STATUS_NO_MEMORY. *ret_why is a short constant text for the log with all but
 * STATUS_OK and STATUS_PENDING. now: seconds since 1970. A claim that is null is as absent, but for
 * "info" and "data". */
enum status token_verify(struct token_verifier *verifier, enum token_kind kind, struct str token,
                         int64_t now, struct token_claims *ret_claims,
                         const char **ret_why) MUST_CHECK;

/* After STATUS_PENDING: done() is called once, never from inside the call, when the set has come or
 * has failed; all who wait share one fetch. Embedded by the caller, zeroed at first. */
struct token_wait {
    struct token_wait *next; /* private */
    struct token_wait *prev; /* private */
    void (*done)(struct token_wait *wait);
};
void token_await(struct token_verifier *verifier, struct token_wait *wait);
/* done() is not called. Does nothing when it does not wait. Also when the verifier that it waits
 * for was replaced. */
void token_await_cancel(struct token_verifier *verifier, struct token_wait *wait);

#endif
