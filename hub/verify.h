/* Checking a token, with waiting for keys where they must be fetched first. */
#ifndef BELFRY_HUB_VERIFY_H
#define BELFRY_HUB_VERIFY_H

#include "hub/client.h"
#include "hub/hub.h"
#include "hub/token.h"

/* STATUS_OK: what is taken out of claims belongs to the callee; the rest is released after the
 * call. Otherwise STATUS_EXPIRED, STATUS_UNAUTHORIZED (has been logged) or STATUS_CONNECT: the keys
 * cannot be had at the moment. */
typedef void (*verify_done_fn)(void *arg, enum status status, struct token_claims *claims);
/* done() comes once, later. The token is copied. */
void verify_start(struct hub *hub, enum token_kind kind, struct str token, verify_done_fn done,
                  void *arg);

/* Is that subscription token for this client and channel? */
bool verify_is_meant(const struct token_claims *claims, const struct client *client,
                     struct str channel);

#endif
