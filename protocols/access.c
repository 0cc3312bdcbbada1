/* SPDX-License-Identifier: MIT */
/* Unit access answers one question at a time for whoever asks: a check is one struct that ends with
 * its answer. Tokens are verified by the hub, which may have to fetch keys for it. */
#include "protocols/access.h"

#include <stdlib.h>

#include "base/log.h"
#include "hub/expiry.h"
#include "hub/verify.h"
#include "protocols/api_reply.h"

enum check_state {
    CHECK_ANSWERING,    /* the answer is known */
    CHECK_SUBSCRIPTION, /* is it a subscription token? */
    CHECK_CONNECTION,   /* or a connection token? */
};

struct check {
    const struct access *access;
    enum check_state state;
    enum status status;
    int64_t expires_at;
    access_done_fn done;
    void *arg;
    struct deferred step;
    struct str token;
    struct str channel;
    char bytes[]; /* of both */
};

/* What "Authorization: Bearer" has. */
static struct str bearer_token(const struct http_request *request)
{
    struct str text = http_request_header(request, HTTP_HEADER_AUTHORIZATION);
    struct str scheme = STR("bearer ");
    bool fits = str_eq_nocase(str_head(text, scheme.len), scheme);
    return fits ? str_trim(str_tail(text, scheme.len)) : STR_EMPTY;
}

static enum status check_key(const struct access *access, struct http_request *request,
                             enum api_method method)
{
    struct api_key *key = api_keys_find(access->keys, request);
    if (!key) {
        return STATUS_UNAUTHORIZED;
    }
    http_request_set_key_name(request, str_of(key->name));
    return api_key_admits(key, method) ? STATUS_OK : STATUS_DENIED;
}

/* --- tokens --- */

static void log_refusal(const char *why, const struct token_claims *claims)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_info(
            "access", "token_refused", log_s("why", why), log_str("user", str_of(claims->user)),
            log_str("channel", str_of(claims->grant.channel)), log_i("left_out", limit.n_left_out));
    }
}

/* Of a token that is signed well. */
static enum status judge(struct check *c, const struct token_claims *claims)
{
    bool is_connection = c->state == CHECK_CONNECTION;
    int64_t expires_at = is_connection ? claims->expires_at : claims->grant.expires_at;
    const char *why = NULL;
    if (expiry_is_over(expires_at)) {
        return STATUS_EXPIRED; /* the hub has logged it */
    }
    if (!is_connection && !str_eq(str_of(claims->grant.channel), c->channel)) {
        why = "it is for another channel";
    } else if (!is_connection && claims->client) {
        why = "it is for one client's connection";
    }
    if (why) {
        log_refusal(why, claims);
    }
    c->expires_at = expires_at;
    return why ? STATUS_DENIED : STATUS_OK;
}

static void step(void *arg);

static void verified(void *arg, enum status status, struct token_claims *claims)
{
    struct check *c = arg;
    if (status == STATUS_UNAUTHORIZED && c->state == CHECK_SUBSCRIPTION) {
        c->state = CHECK_CONNECTION;
    } else {
        c->status = status == STATUS_OK ? judge(c, claims) : status;
        c->state = CHECK_ANSWERING;
    }
    step(c);
}

/* --- the way of a check --- */

static void step(void *arg)
{
    struct check *c = arg;
    struct verify_request request = {.token = c->token, .channel = c->channel};
    switch (c->state) {
    case CHECK_ANSWERING:
        c->done(c->arg, c->status, c->expires_at);
        free(c);
        return;
    case CHECK_SUBSCRIPTION:
        request.kind = TOKEN_SUBSCRIPTION;
        request.is_one_of_two = true;
        break;
    case CHECK_CONNECTION: request.kind = TOKEN_CONNECTION; break;
    }
    verify_start(c->access->hub, &request, verified, c);
}

static struct str keep(char *place, struct str text)
{
    if (text.len > 0) {
        memcpy(place, text.ptr, text.len);
    }
    return (struct str){place, text.len};
}

enum status access_check(const struct access *access, const struct access_question *question,
                         struct http_request *request, access_done_fn done, void *arg)
{
    struct str token = question->token;
    if (token.len == 0) {
        token = bearer_token(request);
    }
    bool needs_token = question->access == FEED_ACCESS_TOKEN;
    size_t token_len = needs_token ? token.len : 0;
    size_t channel_len = needs_token ? question->channel.len : 0;
    struct check *c = calloc(1, sizeof(*c) + token_len + channel_len);
    if (!c) {
        return STATUS_NO_MEMORY;
    }
    c->access = access;
    c->done = done;
    c->arg = arg;
    c->token = keep(c->bytes, str_head(token, token_len));
    c->channel = keep(c->bytes + token_len, str_head(question->channel, channel_len));
    c->step = (struct deferred){.fn = step, .arg = c};
    if (token_len > 0) {
        c->state = channel_len > 0 ? CHECK_SUBSCRIPTION : CHECK_CONNECTION;
    } else if (question->access == FEED_ACCESS_PUBLIC) {
        c->status = STATUS_OK;
    } else if (question->access == FEED_ACCESS_KEY) {
        c->status = check_key(access, request, question->method);
    } else {
        c->status = STATUS_UNAUTHORIZED;
    }
    loop_defer(access->loop, &c->step);
    return STATUS_OK;
}

static const char *expected_by(enum feed_access access)
{
    return access == FEED_ACCESS_KEY
               ? "expected the API key, as X-API-Key: KEY or Authorization: apikey KEY"
               : "expected a token with a good signature, as Authorization: Bearer TOKEN";
}

static const char *denied_by(enum feed_access access)
{
    return access == FEED_ACCESS_KEY
               ? "the API key is not for this"
               : "the token is for another channel, or for one client's connection";
}

void access_refuse(struct http_request *request, enum feed_access access, enum status status)
{
    switch (status) {
    case STATUS_DENIED: api_reply_error_as(request, 403, status, denied_by(access)); return;
    case STATUS_UNAUTHORIZED: api_reply_error_as(request, 401, status, expected_by(access)); return;
    case STATUS_EXPIRED: api_reply_error_as(request, 401, status, ""); return;
    case STATUS_CONNECT:
        api_reply_error_as(request, 503, STATUS_INTERNAL, "the keys of tokens cannot be had");
        return;
    default: api_reply_error_as(request, 500, status, ""); return;
    }
}
