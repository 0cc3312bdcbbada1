/* SPDX-License-Identifier: MIT */
/* Unit sub_refresh is the way of a new token for a subscription that would end. */
#include <stdlib.h>

#include "hub/client_internal.h"
#include "hub/expiry.h"
#include "hub/hub_internal.h"
#include "hub/verify.h"

struct sub_refresh {
    struct hub *hub;
    struct client *client;
    subscribe_done_fn done;
    void *arg;
    enum status refusal;
    struct deferred refuse;
    size_t channel_len;
    char channel[];
};

/* What the token says about the client takes the place of what its last one said. */
static enum status take_grant(struct client *c, struct subscription *s,
                              struct subscription_grant *grant, struct subscribe_result *result)
{
    struct subscription_more *more = s->more;
    enum status status = grant->info ? subscription_more_of(c, s, &more) : STATUS_OK;
    if (status == STATUS_OK) {
        status = subscription_set_expiry(c, s, grant->expires_at, result);
    }
    if (status == STATUS_OK && grant->info) {
        free(more->info);
        more->info = grant->info;
        grant->info = NULL;
    }
    return status;
}

static enum status apply(struct sub_refresh *r, enum status status, struct token_claims *claims,
                         struct subscribe_result *result)
{
    struct client *c = r->client;
    struct str channel = {r->channel, r->channel_len};
    switch (status) {
    case STATUS_OK: break;
    case STATUS_EXPIRED: return STATUS_OVER;
    case STATUS_CONNECT: return STATUS_INTERNAL; /* temporary: the client tries again */
    default: client_disconnect(c, &disconnect_invalid_token); return STATUS_CLOSED;
    }
    if (!verify_is_meant(claims, c, channel)) {
        client_disconnect(c, &disconnect_invalid_token);
        return STATUS_CLOSED;
    }
    if (expiry_is_over(claims->grant.expires_at)) {
        return STATUS_OVER;
    }
    struct subscription *s = client_subscription_named(c, channel);
    return s ? take_grant(c, s, &claims->grant, result) : STATUS_DENIED;
}

static void end(struct sub_refresh *r, enum status status, const struct subscribe_result *result)
{
    r->done(r->arg, status, NULL, status == STATUS_OK ? result : NULL);
    r->hub->n_operations--;
    free(r);
}

static void verified(void *arg, enum status status, struct token_claims *claims)
{
    struct sub_refresh *r = arg;
    struct subscribe_result result = {0};
    bool is_there = client_call_ends(r->client) && client_is_there(r->client);
    end(r, is_there ? apply(r, status, claims, &result) : STATUS_CLOSED, &result);
}

static void refuse(void *arg)
{
    struct sub_refresh *r = arg;
    bool is_there = client_call_ends(r->client) && client_is_there(r->client);
    end(r, is_there ? r->refusal : STATUS_CLOSED, NULL);
}

void client_sub_refresh(struct client *c, struct str channel, struct str token,
                        subscribe_done_fn done, void *arg)
{
    struct sub_refresh *r = hub_allocate(sizeof(*r) + channel.len);
    r->hub = c->hub;
    r->client = c;
    r->done = done;
    r->arg = arg;
    r->channel_len = channel.len;
    if (channel.len > 0) {
        memcpy(r->channel, channel.ptr, channel.len);
    }
    client_call_begins(c);
    c->hub->n_operations++;
    bool is_subscribed = client_subscription_named(c, channel);
    if (is_subscribed && token.len > 0) {
        const struct verify_request request = {
            .kind = TOKEN_SUBSCRIPTION, .token = token, .client = c, .channel = channel};
        verify_start(c->hub, &request, verified, r);
        return;
    }
    r->refusal = is_subscribed ? STATUS_INVALID : STATUS_DENIED;
    r->refuse = (struct deferred){.fn = refuse, .arg = r};
    loop_defer(c->hub->loop, &r->refuse);
}
