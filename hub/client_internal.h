/* What the units of hub/ may do with a client. Not for other floors. */
#ifndef BELFRY_HUB_CLIENT_INTERNAL_H
#define BELFRY_HUB_CLIENT_INTERNAL_H

#include "hub/client.h"

bool client_is_subscribed(const struct client *client, struct str channel);
size_t client_n_subscriptions(const struct client *client);
/* Takes a place in the channel, which the caller holds meanwhile. STATUS_NO_MEMORY. */
enum status client_add_subscription(struct client *client, struct channel *channel,
                                    bool is_positioned) MUST_CHECK;

/* In the hub's list of clients. */
struct client *client_next(const struct client *client);

/* An asynchronous call keeps the client's memory from begins to ends. False: the client was
 * destroyed meanwhile, and may not be touched any more. */
void client_call_begins(struct client *client);
bool client_call_ends(struct client *client) MUST_CHECK;

#endif
