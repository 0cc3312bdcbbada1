/* The backends that the hub asks: which one is whose, as the configuration says. */
#ifndef BELFRY_HUB_HUB_PROXIES_H
#define BELFRY_HUB_HUB_PROXIES_H

#include "hub/namespaces.h"
#include "hub/proxy.h"
#include "hub/rpc_options.h"

struct client;
struct client_options;
struct hub_options;
struct hub_proxies;

enum status hub_proxies_create(const struct hub_options *options,
                               struct hub_proxies **ret_proxies) MUST_CHECK;
/* Those of another configuration take over. The older ones are freed when nothing is under way that
 * was asked of them; hub_proxies_stop() and hub_proxies_destroy() are for them, too. */
void hub_proxies_replace(struct hub_proxies *older, struct hub_proxies *newer);
/* Questions under way end as failures, and no more are asked. */
void hub_proxies_stop(const struct hub_proxies *proxies);
/* Every question must have been answered or cancelled. Accepts NULL. */
void hub_proxies_destroy(struct hub_proxies *proxies);

/* NULL: nobody is asked. */
struct proxy *hub_proxies_of_client(const struct hub_proxies *proxies, enum proxy_event event);
struct proxy *hub_proxies_of_channel(const struct hub_proxies *proxies, enum proxy_event event,
                                     const struct namespace_options *ns);
/* STATUS_NOT_AVAILABLE: nothing answers procedures at all; STATUS_NO_METHOD: not those of this
 * one's namespace. */
enum status hub_proxies_of_method(const struct hub_proxies *proxies, struct str method,
                                  struct proxy **ret_proxy) MUST_CHECK;

/* Calls each() for every one that is configured. */
typedef void (*hub_proxies_fn)(void *arg, struct proxy *proxy);
void hub_proxies_each(const struct hub_proxies *proxies, hub_proxies_fn each, void *arg);

/* Fills in who asks: id, transport, user, meta, headers. uuid: RNG_UUID_SIZE bytes, used by it. */
void hub_proxies_introduce(struct proxy_request *request, const struct client *client, char *uuid);

#endif
