/* Subscriptions that the server makes: of tokens, of the backend, of the server API. Those of
 * clients are in client.h. */
#ifndef BELFRY_HUB_SUBSCRIBE_H
#define BELFRY_HUB_SUBSCRIBE_H

#include "hub/client.h"
#include "hub/subscription_grant.h"

enum subscribe_origin { SUBSCRIBE_BY_CLIENT, SUBSCRIBE_BY_SERVER };

struct server_subscribe {
    struct str channel;
    const struct subscription_grant *grant; /* its channel is not looked at; copied */
    bool is_from_token;                     /* of the connection's */
    bool recover;
    struct storage_position since;
};
/* Nobody is asked for permission. As client_subscribe(). */
void client_subscribe_by_server(struct client *client, const struct server_subscribe *request,
                                subscribe_done_fn done, void *arg);

#endif
