/* SPDX-License-Identifier: MIT */
/* Unit verify asks the right verifier, and asks again when its keys have come. */
#include "hub/verify.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/hub_internal.h"

struct verify {
    struct hub *hub;
    enum token_kind kind;
    bool has_waited; /* once is enough: a key that has not come then is not there */
    verify_done_fn done;
    void *arg;
    struct deferred step;
    struct token_wait wait;
    size_t token_len;
    char token[];
};

static void log_refusal(const struct verify *v, const char *why)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_info("client", "token_refused",
                 log_s("kind", v->kind == TOKEN_CONNECTION ? "connection" : "subscription"),
                 log_s("why", why), log_i("left_out", limit.n_left_out));
    }
}

static void verify_step(void *arg);

static void keys_have_come(struct token_wait *wait)
{
    verify_step(container_of(wait, struct verify, wait));
}

static void verify_step(void *arg)
{
    struct verify *v = arg;
    struct token_verifier *verifier =
        v->kind == TOKEN_CONNECTION ? v->hub->connection_tokens : v->hub->subscription_tokens;
    struct token_claims claims = {0};
    const char *why = "";
    enum status status = token_verify(verifier, v->kind, (struct str){v->token, v->token_len},
                                      clock_wall_ms() / 1000, &claims, &why);
    if (status == STATUS_PENDING && !v->has_waited && !v->hub->is_abandoned) {
        v->has_waited = true;
        v->wait.done = keys_have_come;
        token_await(verifier, &v->wait);
        return;
    }
    status = status == STATUS_PENDING ? STATUS_CONNECT : status;
    if (status == STATUS_UNAUTHORIZED) {
        log_refusal(v, why);
    }
    v->done(v->arg, status, &claims);
    token_claims_release(&claims);
    v->hub->n_operations--;
    free(v);
}

void verify_start(struct hub *hub, enum token_kind kind, struct str token, verify_done_fn done,
                  void *arg)
{
    struct verify *v = hub_allocate(sizeof(*v) + token.len);
    v->hub = hub;
    v->kind = kind;
    v->done = done;
    v->arg = arg;
    v->step = (struct deferred){.fn = verify_step, .arg = v};
    v->token_len = token.len;
    if (token.len > 0) {
        memcpy(v->token, token.ptr, token.len);
    }
    hub->n_operations++;
    loop_defer(hub->loop, &v->step);
}

bool verify_is_meant(const struct token_claims *claims, const struct client *client,
                     struct str channel)
{
    char uuid[RNG_UUID_SIZE];
    client_id(client, uuid);
    return str_eq(str_of(claims->grant.channel), channel) &&
           str_eq(str_of(claims->user), client_user(client)) &&
           (!claims->client || str_eq(str_of(claims->client), str_of(uuid)));
}
