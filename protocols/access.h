/* Who may ask over plain HTTP: who has a key of the API, who has a token, or everybody. Loop's
 * thread only. */
#ifndef BELFRY_PROTOCOLS_ACCESS_H
#define BELFRY_PROTOCOLS_ACCESS_H

#include "base/loop.h"
#include "hub/hub.h"
#include "protocols/api_keys.h"
#include "protocols/http.h"

/* Outlives every question. */
struct access {
    struct loop *loop;
    struct hub *hub;
    struct api_keys *keys;
};

struct access_question {
    enum feed_access access;
    enum api_method method; /* that a key must be good for */
    struct str channel; /* that a subscription token may be for; or empty: connection tokens only */
    struct str token;   /* from elsewhere; or empty: the one in "Authorization: Bearer TOKEN" */
};
/* STATUS_OK; STATUS_UNAUTHORIZED: key or token is missing or wrong; STATUS_EXPIRED; STATUS_DENIED:
 * a key that is not for this, a subscription token of another channel, or for one client only;
 * STATUS_CONNECT: the keys of
 * tokens cannot be had at the moment. The log has why a token was refused. expires_at: the end of
 * the token's time, in seconds since 1970; 0: never. */
typedef void (*access_done_fn)(void *arg, enum status status, int64_t expires_at);
/* Copies what it needs: the request may end meanwhile; notes at the request which key it came with.
 * done() comes once, later; not at all after STATUS_NO_MEMORY. */
enum status access_check(const struct access *access, const struct access_question *question,
                         struct http_request *request, access_done_fn done, void *arg) MUST_CHECK;
/* Answers with 401, 403 or 503 and {"error":{...}}, which says what was expected. status: not
 * STATUS_OK. access: what the question was. */
void access_refuse(struct http_request *request, enum feed_access access, enum status status);

#endif
