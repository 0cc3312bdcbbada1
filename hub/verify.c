/* SPDX-License-Identifier: MIT */
/* Unit verify asks the right verifier, and asks again when its keys have come. */
#include "hub/verify.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/expiry.h"
#include "hub/hub_internal.h"

struct verify {
    struct hub *hub;
    enum token_kind kind;
    bool is_one_of_two;
    /* Once is enough: a key that has not come then is not there, unless others are configured. */
    const struct token_verifier *waited_for;
    verify_done_fn done;
    void *arg;
    struct client *client;
    struct deferred step;
    struct token_wait wait;
    size_t token_len;
    size_t channel_len;
    char bytes[]; /* of the token, then of the channel */
};

struct refusal {
    enum token_kind kind;
    const char *why;
    struct str channel, user;    /* empty where they are not known */
    const struct client *client; /* NULL: none */
};

static void write_refusal(const struct refusal *r, const struct log_limit *limit)
{
    char uuid[RNG_UUID_SIZE] = "";
    if (r->client) {
        client_id(r->client, uuid);
    }
    if (r->kind == TOKEN_CONNECTION) {
        log_info("client", "token_refused", log_s("kind", "connection"), log_s("why", r->why),
                 log_str("user", r->user), log_s("client", uuid),
                 log_i("left_out", limit->n_left_out));
    } else {
        log_info("client", "token_refused", log_s("kind", "subscription"), log_s("why", r->why),
                 log_str("channel", r->channel), log_str("user", r->user), log_s("client", uuid),
                 log_i("left_out", limit->n_left_out));
    }
}

/* Anybody can bring what has not been signed well. */
static void log_unsigned(const struct refusal *refusal)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        write_refusal(refusal, &limit);
    }
}

/* These are mistakes of the backend, or of a client with two tokens: strangers shall not hide them.
 */
static void log_signed(const struct refusal *refusal)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        write_refusal(refusal, &limit);
    }
}

void verify_log_refusal(enum token_kind kind, const char *why, const struct token_claims *claims,
                        const struct client *client)
{
    const struct refusal refusal = {.kind = kind,
                                    .why = why,
                                    .channel = str_of(claims->grant.channel),
                                    .user = str_of(claims->user),
                                    .client = client};
    log_signed(&refusal);
}

static void log_outcome(const struct verify *v, enum status status, const char *why,
                        const struct token_claims *claims)
{
    const struct refusal refusal = {.kind = v->kind,
                                    .why = why,
                                    .channel = {v->bytes + v->token_len, v->channel_len},
                                    .user = v->client ? client_user(v->client) : STR_EMPTY,
                                    .client = v->client};
    int64_t expires_at =
        v->kind == TOKEN_CONNECTION ? claims->expires_at : claims->grant.expires_at;
    if (status == STATUS_UNAUTHORIZED) {
        if (!v->is_one_of_two) {
            log_unsigned(&refusal);
        }
    } else if (status == STATUS_EXPIRED) {
        log_signed(&refusal);
    } else if (status == STATUS_OK && expiry_is_over(expires_at)) {
        verify_log_refusal(v->kind, "its expire_at is over", claims, v->client);
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
    enum status status = token_verify(verifier, v->kind, (struct str){v->bytes, v->token_len},
                                      clock_wall_ms() / 1000, &claims, &why);
    if (status == STATUS_PENDING && v->waited_for != verifier && !v->hub->is_abandoned) {
        v->waited_for = verifier;
        v->wait.done = keys_have_come;
        token_await(verifier, &v->wait);
        return;
    }
    status = status == STATUS_PENDING ? STATUS_CONNECT : status;
    log_outcome(v, status, why, &claims);
    v->done(v->arg, status, &claims);
    token_claims_release(&claims);
    v->hub->n_operations--;
    free(v);
}

static void copy(char *place, struct str text)
{
    if (text.len > 0) {
        memcpy(place, text.ptr, text.len);
    }
}

void verify_start(struct hub *hub, const struct verify_request *request, verify_done_fn done,
                  void *arg)
{
    struct str token = request->token;
    struct verify *v = hub_allocate(sizeof(*v) + token.len + request->channel.len);
    v->hub = hub;
    v->kind = request->kind;
    v->client = request->client;
    v->is_one_of_two = request->is_one_of_two;
    v->done = done;
    v->arg = arg;
    v->step = (struct deferred){.fn = verify_step, .arg = v};
    v->token_len = token.len;
    v->channel_len = request->channel.len;
    copy(v->bytes, token);
    copy(v->bytes + token.len, request->channel);
    hub->n_operations++;
    loop_defer(hub->loop, &v->step);
}

bool verify_is_meant(const struct token_claims *claims, const struct client *client,
                     struct str channel)
{
    char uuid[RNG_UUID_SIZE];
    const char *why = NULL;
    client_id(client, uuid);
    if (!str_eq(str_of(claims->grant.channel), channel)) {
        why = "it is for another channel";
    } else if (!str_eq(str_of(claims->user), client_user(client))) {
        why = "it is for another user";
    } else if (claims->client && !str_eq(str_of(claims->client), str_of(uuid))) {
        why = "it is for another client";
    }
    if (why) {
        const struct refusal refusal = {TOKEN_SUBSCRIPTION, why, channel, client_user(client),
                                        client};
        log_signed(&refusal);
    }
    return !why;
}

bool verify_is_users(const struct token_claims *claims, const struct client *client)
{
    if (str_eq(str_of(claims->user), client_user(client))) {
        return true;
    }
    const struct refusal refusal = {.kind = TOKEN_CONNECTION,
                                    .why = "it is for another user",
                                    .user = client_user(client),
                                    .client = client};
    log_signed(&refusal);
    return false;
}
