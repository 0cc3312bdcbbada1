/* The public keys behind a URL (a JSON Web Key Set), fetched when they are needed. Times are
 * seconds since 1970, as the callers say. Loop's thread only.
 *
 * A set is good for JWKS_FRESH_S; the next who asks waits for a new one. When that cannot be
 * fetched the old set serves on, while it is tried again every JWKS_INTERVAL_S, until the set is
 * JWKS_GOOD_S old. A name that is not in the set asks for a new set, but not more often than every
 * JWKS_INTERVAL_S: tokens with made-up names cause no flood of fetches. */
#ifndef BELFRY_HUB_JWKS_H
#define BELFRY_HUB_JWKS_H

#include "hub/token.h"
#include "hub/token_keys.h"

#define JWKS_FRESH_S    3600
#define JWKS_GOOD_S     21600
#define JWKS_INTERVAL_S 10
#define JWKS_FIRST_S    1 /* between two attempts while there is no set */
#define JWKS_TIMEOUT_MS 5000
#define JWKS_BYTES_MAX  262144

struct jwks;

/* STATUS_NO_MEMORY. */
enum status jwks_create(struct loop *loop, struct fetch_pool *fetch_pool, const char *url,
                        struct jwks **ret_jwks) MUST_CHECK;
/* The fetch under way has failed, who waits is called at the loop's tail, and nothing is fetched
 * any more. */
void jwks_stop(struct jwks *jwks);
/* Instead of destroying it, where others may still wait: who waits is called, then it is freed. The
 * pool lives on until then. Accepts NULL. */
void jwks_retire(struct jwks *jwks);
const char *jwks_url(const struct jwks *jwks);
/* Before the pool. Who waits is not called any more. Not from inside a done(). Accepts NULL. */
void jwks_destroy(struct jwks *jwks);

/* STATUS_OK: a key to be used before the loop turns. STATUS_PENDING: a set is being fetched.
 * STATUS_NOT_FOUND: the newest set has no such key for that algorithm. STATUS_CONNECT: it may have
 * one, but cannot be fetched at the moment. */
enum status jwks_find(struct jwks *jwks, struct str kid, const struct token_algorithm *algorithm,
                      int64_t now, EVP_PKEY **ret_key) MUST_CHECK;

/* As token_await() and token_await_cancel(); the latter also when the set is gone. */
void jwks_await(struct jwks *jwks, struct token_wait *wait);
void jwks_await_cancel(struct jwks *jwks, struct token_wait *wait);

#endif
