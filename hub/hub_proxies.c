/* SPDX-License-Identifier: MIT */
/* Unit hub_proxies makes the backends of the configuration, and finds the one to ask. There is a
 * handful: finding walks a list. */
#include "hub/hub_proxies.h"

#include <stdlib.h>

#include "hub/client_internal.h"
#include "hub/hub_internal.h"

struct named_proxy {
    const char *name;
    struct proxy *proxy;
};

struct hub_proxies {
    struct proxy *defaults[PROXY_N_EVENTS]; /* NULL: not enabled */
    struct named_proxy *named;
    size_t n_named;
    const struct rpc_options *rpc;
    struct lifetime *lifetime;  /* of the options, held */
    struct hub_proxies *former; /* of an earlier configuration: questions to them are under way */
};

static const struct proxy_options *default_options(const struct hub_options *options,
                                                   enum proxy_event event)
{
    switch (event) {
    case PROXY_CONNECT: return &options->client->proxy.connect;
    case PROXY_REFRESH: return &options->client->proxy.refresh;
    case PROXY_SUBSCRIBE: return &options->channel->proxy.subscribe;
    case PROXY_PUBLISH: return &options->channel->proxy.publish;
    case PROXY_SUB_REFRESH: return &options->channel->proxy.sub_refresh;
    case PROXY_RPC: return &options->rpc->proxy;
    case PROXY_N_EVENTS: break;
    }
    return NULL;
}

static enum status create_defaults(struct hub_proxies *p, const struct hub_options *options)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < PROXY_N_EVENTS && status == STATUS_OK; i++) {
        const struct proxy_options *o = default_options(options, (enum proxy_event)i);
        if (o->enabled) {
            status = proxy_create(options->backend_pool, o, &p->defaults[i]);
        }
    }
    return status;
}

static enum status create_named(struct hub_proxies *p, const struct hub_options *options)
{
    const struct proxy_options *all = options->proxies->items;
    size_t n = options->proxies->n_items;
    enum status status = STATUS_OK;
    p->named = hub_allocate((n + 1) * sizeof(*p->named));
    while (p->n_named < n && status == STATUS_OK) {
        struct named_proxy *named = &p->named[p->n_named];
        named->name = all[p->n_named].name;
        status = proxy_create(options->backend_pool, &all[p->n_named], &named->proxy);
        p->n_named += status == STATUS_OK;
    }
    return status;
}

enum status hub_proxies_create(const struct hub_options *options, struct hub_proxies **ret_proxies)
{
    struct hub_proxies *p = hub_allocate(sizeof(*p));
    p->rpc = options->rpc;
    p->lifetime = lifetime_hold(options->lifetime);
    enum status status = create_defaults(p, options);
    if (status == STATUS_OK) {
        status = create_named(p, options);
    }
    if (status != STATUS_OK) {
        hub_proxies_destroy(p);
        return status;
    }
    *ret_proxies = p;
    return STATUS_OK;
}

void hub_proxies_destroy(struct hub_proxies *p)
{
    if (!p) {
        return;
    }
    for (int i = 0; i < PROXY_N_EVENTS; i++) {
        proxy_destroy(p->defaults[i]);
    }
    for (size_t i = 0; i < p->n_named; i++) {
        proxy_destroy(p->named[i].proxy);
    }
    hub_proxies_destroy(p->former);
    lifetime_release(p->lifetime);
    free(p->named);
    free(p);
}

static void add_calls(void *arg, struct proxy *proxy)
{
    size_t *n = arg;
    struct proxy_stats stats;
    proxy_stats(proxy, &stats);
    *n += stats.n_under_way;
}

/* Those that nobody waits for any more go. */
static struct hub_proxies *sift(struct hub_proxies *p)
{
    size_t n_calls = 0;
    if (!p) {
        return NULL;
    }
    struct hub_proxies *former = sift(p->former);
    p->former = NULL;
    hub_proxies_each(p, add_calls, &n_calls);
    if (n_calls == 0) {
        hub_proxies_destroy(p);
        return former;
    }
    p->former = former;
    return p;
}

void hub_proxies_replace(struct hub_proxies *older, struct hub_proxies *newer)
{
    for (int i = 0; i < PROXY_N_EVENTS; i++) {
        if (older->defaults[i] && newer->defaults[i]) {
            proxy_inherit(newer->defaults[i], older->defaults[i]);
        }
    }
    for (size_t i = 0; i < newer->n_named; i++) {
        for (size_t k = 0; k < older->n_named; k++) {
            if (strcmp(newer->named[i].name, older->named[k].name) == 0) {
                proxy_inherit(newer->named[i].proxy, older->named[k].proxy);
            }
        }
    }
    newer->former = sift(older);
}

/* The configuration has been checked: what is named is there, and the default is enabled. */
static struct proxy *find(const struct hub_proxies *p, enum proxy_event event, const char *name)
{
    for (size_t i = 0; i < p->n_named; i++) {
        if (strcmp(p->named[i].name, name) == 0) {
            return p->named[i].proxy;
        }
    }
    return p->defaults[event];
}

struct proxy *hub_proxies_of_client(const struct hub_proxies *p, enum proxy_event event)
{
    return p->defaults[event];
}

static const struct namespace_proxy *choice_of(const struct namespace_options *ns,
                                               enum proxy_event event)
{
    switch (event) {
    case PROXY_SUBSCRIBE: return &ns->subscribe_proxy;
    case PROXY_PUBLISH: return &ns->publish_proxy;
    case PROXY_SUB_REFRESH: return &ns->sub_refresh_proxy;
    default: return NULL;
    }
}

struct proxy *hub_proxies_of_channel(const struct hub_proxies *p, enum proxy_event event,
                                     const struct namespace_options *ns)
{
    const struct namespace_proxy *choice = choice_of(ns, event);
    return choice && choice->enabled ? find(p, event, choice->name) : NULL;
}

static const struct rpc_namespace *rpc_namespace_of(const struct rpc_options *rpc,
                                                    struct str method)
{
    const struct rpc_namespace *all = rpc->namespaces.items;
    ptrdiff_t boundary = str_find_text(method, str_of(rpc->namespace_boundary));
    if (boundary < 0) {
        return &rpc->without_namespace;
    }
    for (size_t i = 0; i < rpc->namespaces.n_items; i++) {
        if (str_eq(str_head(method, (size_t)boundary), str_of(all[i].name))) {
            return &all[i];
        }
    }
    return NULL;
}

enum status hub_proxies_of_method(const struct hub_proxies *p, struct str method,
                                  struct proxy **ret_proxy)
{
    const struct rpc_namespace *ns = rpc_namespace_of(p->rpc, method);
    bool is_any = p->defaults[PROXY_RPC] || p->n_named > 0;
    if (!ns) {
        return is_any ? STATUS_NO_METHOD : STATUS_NOT_AVAILABLE;
    }
    if (!ns->proxy_enabled) {
        return STATUS_NOT_AVAILABLE;
    }
    *ret_proxy = find(p, PROXY_RPC, ns->proxy_name);
    return STATUS_OK;
}

void hub_proxies_each(const struct hub_proxies *p, hub_proxies_fn each, void *arg)
{
    for (int i = 0; i < PROXY_N_EVENTS; i++) {
        if (p->defaults[i]) {
            each(arg, p->defaults[i]);
        }
    }
    for (size_t i = 0; i < p->n_named; i++) {
        each(arg, p->named[i].proxy);
    }
}

static void stop(void *arg, struct proxy *proxy)
{
    (void)arg;
    proxy_stop(proxy);
}

void hub_proxies_stop(const struct hub_proxies *p)
{
    for (; p; p = p->former) {
        hub_proxies_each(p, stop, NULL);
    }
}

void hub_proxies_introduce(struct proxy_request *request, const struct client *client, char *uuid)
{
    client_id(client, uuid);
    request->client = str_of(uuid);
    request->transport = str_of(client->transport->name);
    request->user = client_user(client);
    if (client->more) {
        request->meta = str_of(client->more->meta);
        request->http_headers = str_of(client->more->headers);
        request->emulated_headers = str_of(client->more->emulated_headers);
    }
}
