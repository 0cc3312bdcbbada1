/* SPDX-License-Identifier: MIT */
/* Unit client_expiry is the end of a connection's token: the client brings a new one in time, or
 * the backend is asked, or the connection ends. */
#include <stdlib.h>

#include "base/clock.h"
#include "hub/client_internal.h"
#include "hub/expiry.h"
#include "hub/hub_internal.h"
#include "hub/verify.h"

static void arm(struct client_more *more);

/* --- the backend is asked --- */

static struct proxy *refresh_proxy(const struct client *c)
{
    bool is_asked = !c->more || !c->more->ends_unasked;
    return is_asked ? hub_proxies_of_client(c->hub->proxies, PROXY_REFRESH) : NULL;
}

static void ask_again_later(struct client_more *more)
{
    more->expires_at = clock_wall_ms() / 1000 + CLIENT_ASK_AGAIN_S;
    arm(more);
}

static void keep(char **place, struct str text)
{
    if (text.len > 0) {
        free(*place);
        *place = str_dup(text);
    }
}

static void prolonged(void *arg, const struct proxy_answer *answer)
{
    struct client_more *more = arg;
    more->call = NULL;
    switch (answer->verdict) {
    case PROXY_DISCONNECT:
        client_disconnect_with(more->client, answer->code, str_of(answer->message));
        return;
    case PROXY_ERROR: ask_again_later(more); return;
    case PROXY_RESULT: break;
    }
    bool is_over = expiry_is_over(answer->expire_at);
    if (answer->expired || is_over) { /* who is asked again at once says the same again */
        client_disconnect(more->client, &disconnect_expired);
        return;
    }
    keep(&more->info, answer->info);
    keep(&more->meta, answer->meta);
    more->expires_at = answer->expire_at;
    arm(more);
}

static void ask_backend(struct client_more *more, struct proxy *proxy)
{
    char uuid[RNG_UUID_SIZE];
    struct proxy_request request = {.event = PROXY_REFRESH};
    hub_proxies_introduce(&request, more->client, uuid);
    if (proxy_ask(proxy, &request, prolonged, more, &more->call) != STATUS_OK) {
        more->call = NULL;
        ask_again_later(more);
    }
}

static void on_expired(struct deadline *deadline)
{
    struct client_more *more = container_of(deadline, struct client_more, expiry);
    struct proxy *proxy = refresh_proxy(more->client);
    if (proxy) {
        ask_backend(more, proxy);
    } else {
        client_disconnect(more->client, &disconnect_expired);
    }
}

/* --- the time --- */

static void arm(struct client_more *more)
{
    struct hub *hub = more->client->hub;
    if (more->expires_at == 0) {
        deadline_disarm(hub->deadlines, &more->expiry);
        return;
    }
    int64_t delay_ms = expiry_left_ms(more->expires_at);
    if (!refresh_proxy(more->client)) {
        delay_ms += hub->client_options->expired_close_delay_ms;
    }
    deadline_arm(hub->deadlines, &more->expiry, delay_ms > 0 ? delay_ms : 0, on_expired);
}

/* What has been asked does not count any more. */
static void stop_asking(struct client_more *more)
{
    if (more->call) {
        proxy_cancel(more->call);
        more->call = NULL;
    }
}

enum status client_set_expiry(struct client *c, int64_t expires_at,
                              struct connect_result *ret_result)
{
    ret_result->expires = false;
    ret_result->ttl_s = 0;
    if (expires_at == 0 && !c->more) {
        return STATUS_OK;
    }
    struct client_more *more = client_more(c);
    if (!more) {
        return STATUS_NO_MEMORY;
    }
    stop_asking(more);
    more->expires_at = expires_at;
    arm(more);
    if (expires_at > 0 && !refresh_proxy(c)) {
        ret_result->expires = true;
        ret_result->ttl_s = expiry_ttl_s(expires_at);
    }
    return STATUS_OK;
}

void client_stop_expiry(struct client *c)
{
    if (c->more) {
        deadline_disarm(c->hub->deadlines, &c->more->expiry);
        stop_asking(c->more);
    }
}

/* --- the refresh command --- */

struct refresh_token {
    struct hub *hub;
    struct client *client;
    connect_done_fn done;
    void *arg;
    struct deferred refuse; /* there is no token */
};

static enum status disconnected(struct client *c, const struct disconnect *why)
{
    client_disconnect(c, why);
    return STATUS_CLOSED;
}

/* Does the token ask for other server-side subscriptions than the client has? */
static bool has_other_channels(const struct client *c, const struct token_claims *claims)
{
    size_t n_found = 0;
    size_t n_server_side = 0;
    for (unsigned i = 0; i < c->n_subscriptions; i++) {
        n_server_side += c->subscriptions[i].is_from_token;
    }
    for (size_t i = 0; i < claims->subs.n_items; i++) {
        const struct subscription *s =
            client_subscription_named(c, str_of(claims->subs.items[i].channel));
        n_found += s && s->is_from_token;
    }
    return n_found != claims->subs.n_items || n_found != n_server_side;
}

/* What the token says about the client takes the place of what its last one said. */
static enum status take_claims(struct client *c, const struct token_claims *claims,
                               struct connect_result *result)
{
    if ((claims->info || claims->meta) && !client_more(c)) {
        return STATUS_NO_MEMORY;
    }
    enum status status = client_set_expiry(c, claims->expires_at, result);
    if (status == STATUS_OK && c->more) {
        keep(&c->more->info, str_of(claims->info));
        keep(&c->more->meta, str_of(claims->meta));
    }
    return status;
}

static enum status apply(struct client *c, enum status status, const struct token_claims *claims,
                         struct connect_result *result)
{
    if (status == STATUS_EXPIRED) {
        return disconnected(c, &disconnect_expired);
    }
    if (status == STATUS_CONNECT) {
        return STATUS_INTERNAL; /* temporary: the client tries again */
    }
    if (status != STATUS_OK || !verify_is_users(claims, c)) {
        return disconnected(c, &disconnect_invalid_token);
    }
    if (expiry_is_over(claims->expires_at)) {
        return disconnected(c, &disconnect_expired);
    }
    if (has_other_channels(c, claims)) {
        return disconnected(c, &disconnect_insufficient_state);
    }
    return take_claims(c, claims, result);
}

static void end(struct refresh_token *r, enum status status, struct connect_result *result)
{
    r->hub->n_operations--;
    r->done(r->arg, status, NULL, status == STATUS_OK ? result : NULL);
    free(r);
}

static void verified(void *arg, enum status status, struct token_claims *claims)
{
    struct refresh_token *r = arg;
    struct connect_result result = {0};
    bool is_there = client_call_ends(r->client) && client_is_there(r->client);
    end(r, is_there ? apply(r->client, status, claims, &result) : STATUS_CLOSED, &result);
}

static void refuse(void *arg)
{
    struct refresh_token *r = arg;
    if (client_call_ends(r->client)) {
        client_disconnect(r->client, &disconnect_bad_request);
    }
    end(r, STATUS_CLOSED, NULL);
}

void client_refresh(struct client *c, struct str token, connect_done_fn done, void *arg)
{
    struct refresh_token *r = hub_allocate(sizeof(*r));
    *r = (struct refresh_token){.hub = c->hub, .client = c, .done = done, .arg = arg};
    c->hub->n_operations++;
    client_call_begins(c);
    if (token.len > 0) {
        const struct verify_request request = {
            .kind = TOKEN_CONNECTION, .token = token, .client = c};
        verify_start(c->hub, &request, verified, r);
    } else {
        r->refuse = (struct deferred){.fn = refuse, .arg = r};
        loop_defer(c->hub->loop, &r->refuse);
    }
}
