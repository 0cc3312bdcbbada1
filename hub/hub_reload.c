/* SPDX-License-Identifier: MIT */
/* Unit hub_reload gives a hub its configuration, the first one and later ones: all that is made of
 * options is made beforehand, in a struct of its own, so that the change itself cannot fail. On the
 * loop's thread, and not from inside the hub's own callbacks. */
#include <stdlib.h>

#include "hub/channel.h"
#include "hub/hub_internal.h"

struct hub_change {
    struct hub_options options;
    struct token_verifier *connection_tokens;
    struct token_verifier *subscription_tokens; /* NULL: the same ones */
    struct hub_proxies *proxies;
    struct feed_set feeds;
    struct config_list wanted_headers;
};

/* --- the first step --- */

static enum status create_verifiers(struct hub_change *c, const struct hub *hub,
                                    struct fetch_pool *fetch_pool)
{
    const struct client_options *client = c->options.client;
    struct token_verifier_setup setup = {.loop = hub->loop,
                                         .fetch_pool = fetch_pool,
                                         .options = &client->token,
                                         .skips_signature =
                                             client->insecure_skip_token_signature_verify};
    enum status status = token_verifier_create(&setup, &c->connection_tokens);
    if (status == STATUS_OK && client->subscription_token.enabled) {
        setup.options = &client->subscription_token;
        status = token_verifier_create(&setup, &c->subscription_tokens);
    }
    return status;
}

static void want_header(struct config_list *wanted, const char *name)
{
    const char **names = wanted->items;
    for (size_t i = 0; i < wanted->n_items; i++) {
        if (str_eq_nocase(str_of(names[i]), str_of(name))) {
            return;
        }
    }
    names = hub_allocate((wanted->n_items + 1) * sizeof(*names));
    for (size_t i = 0; i < wanted->n_items; i++) {
        names[i] = ((const char **)wanted->items)[i];
    }
    names[wanted->n_items++] = name;
    free(wanted->items);
    wanted->items = (void *)names;
}

static void want_headers_of(struct config_list *wanted, const struct proxy_options *proxy,
                            bool is_used)
{
    const struct config_list *lists[] = {&proxy->http_headers, &proxy->emulated_headers};
    for (size_t i = 0; is_used && i < 2; i++) {
        char *const *names = lists[i]->items;
        for (size_t k = 0; k < lists[i]->n_items; k++) {
            want_header(wanted, names[k]);
        }
    }
}

/* Most hubs want none, and then nothing is kept of a connection's request. */
static void gather_wanted_headers(struct config_list *wanted, const struct hub_options *options)
{
    const struct proxy_options *defaults[] = {
        &options->client->proxy.connect,      &options->client->proxy.refresh,
        &options->channel->proxy.subscribe,   &options->channel->proxy.publish,
        &options->channel->proxy.sub_refresh, &options->rpc->proxy};
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        want_headers_of(wanted, defaults[i], defaults[i]->enabled);
    }
    const struct proxy_options *named = options->proxies->items;
    for (size_t i = 0; i < options->proxies->n_items; i++) {
        want_headers_of(wanted, &named[i], true);
    }
    if (*options->client->user_id_http_header) {
        want_header(wanted, options->client->user_id_http_header);
    }
}

enum status hub_prepare(struct hub *hub, const struct hub_options *options,
                        struct hub_change **ret_change)
{
    struct hub_change *c = hub_allocate(sizeof(*c));
    c->options = *options;
    enum status status = create_verifiers(c, hub, options->backend_pool);
    if (status == STATUS_OK) {
        status = hub_proxies_create(options, &c->proxies);
    }
    if (status == STATUS_OK) {
        status = hub_prepare_feeds(hub, options->feeds, options->lifetime, &c->feeds);
    }
    if (status != STATUS_OK) {
        hub_change_destroy(c);
        return status;
    }
    gather_wanted_headers(&c->wanted_headers, options);
    *ret_change = c;
    return STATUS_OK;
}

void hub_change_destroy(struct hub_change *c)
{
    if (c) {
        token_verifier_destroy(c->connection_tokens);
        token_verifier_destroy(c->subscription_tokens);
        hub_proxies_destroy(c->proxies);
        feed_set_release(&c->feeds);
        free(c->wanted_headers.items);
        free(c);
    }
}

/* --- the second step --- */

static void replace_verifier(struct token_verifier **place, struct token_verifier *newer)
{
    if (*place) {
        token_verifier_replace(*place, newer);
    }
    *place = newer;
}

static void commit_verifiers(struct hub *hub, struct hub_change *c)
{
    bool was_separate = hub->subscription_tokens != hub->connection_tokens;
    struct token_verifier *separate = was_separate ? hub->subscription_tokens : NULL;
    replace_verifier(&hub->connection_tokens, c->connection_tokens);
    if (c->subscription_tokens) {
        replace_verifier(&separate, c->subscription_tokens);
        hub->subscription_tokens = separate;
    } else {
        token_verifier_retire(separate);
        hub->subscription_tokens = hub->connection_tokens;
    }
    c->connection_tokens = NULL;
    c->subscription_tokens = NULL;
}

static void commit_proxies(struct hub *hub, struct hub_change *c)
{
    if (hub->proxies) {
        hub_proxies_replace(hub->proxies, c->proxies);
    }
    hub->proxies = c->proxies;
    c->proxies = NULL;
}

static void commit_wanted_headers(struct hub *hub, struct hub_change *c)
{
    free(hub->wanted_headers.items);
    hub->wanted_headers = c->wanted_headers;
    c->wanted_headers.items = NULL;
}

void hub_commit(struct hub *hub, struct hub_change *c)
{
    hub->client_options = c->options.client;
    hub->channel_options = c->options.channel;
    hub->upstreams_options = c->options.upstreams;
    hub->rpc_options = c->options.rpc;
    hub->drain.default_ms = c->options.drain_ms;
    commit_verifiers(hub, c);
    commit_proxies(hub, c);
    commit_wanted_headers(hub, c);
    hub_commit_feeds(hub, &c->feeds);
    hub_commit_channels(hub);
    hub_change_destroy(c);
}
