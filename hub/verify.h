/* Checking a token, with waiting for keys where they must be fetched first. */
#ifndef BELFRY_HUB_VERIFY_H
#define BELFRY_HUB_VERIFY_H

#include "hub/client.h"
#include "hub/hub.h"
#include "hub/token.h"

struct verify_request {
    enum token_kind kind;
    struct str token;
    struct client *client; /* who brings it; stays until done(): client_call_begins(). NULL: a
                              request that is not of a client */
    struct str channel;    /* of a subscription */
    bool is_one_of_two;    /* the other kind is tried where it is not of this one: a refusal is not
                              logged */
};
/* STATUS_OK: what is taken out of claims belongs to the callee; the rest is released after the
 * call. Otherwise STATUS_EXPIRED, STATUS_UNAUTHORIZED (the log says why) or STATUS_CONNECT: the
 * keys cannot be had at the moment. */
typedef void (*verify_done_fn)(void *arg, enum status status, struct token_claims *claims);
/* done() comes once, later. Token and channel are copied. */
void verify_start(struct hub *hub, const struct verify_request *request, verify_done_fn done,
                  void *arg);

/* Is that subscription token for this client and channel? If not, the log says why. */
bool verify_is_meant(const struct token_claims *claims, const struct client *client,
                     struct str channel);
/* Is that connection token for the client's user? If not, the log says why. */
bool verify_is_users(const struct token_claims *claims, const struct client *client);

/* A line of the log about a good token that is refused all the same: who it names, and where. */
void verify_log_refusal(enum token_kind kind, const char *why, const struct token_claims *claims,
                        const struct client *client);

#endif
