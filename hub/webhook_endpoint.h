/* One endpoint of the webhooks: what waits for it in the storage, and the one request at a time
 * that brings it there. */
#ifndef BELFRY_HUB_WEBHOOK_ENDPOINT_H
#define BELFRY_HUB_WEBHOOK_ENDPOINT_H

#include "hub/webhooks.h"

struct webhook_endpoint;

/* Begins to deliver what the storage has. Both outlive the endpoint. */
struct webhook_endpoint *webhook_endpoint_create(const struct webhooks_setup *setup,
                                                 const struct webhook_options *options);
/* Idle. */
void webhook_endpoint_destroy(struct webhook_endpoint *endpoint);

bool webhook_endpoint_wants(const struct webhook_endpoint *endpoint, enum webhook_event event);
/* text: a JSON object with members; copied. */
void webhook_endpoint_add(struct webhook_endpoint *endpoint, struct str text, int64_t time_ms);
/* As webhooks_stop(), webhooks_is_idle(). */
void webhook_endpoint_stop(struct webhook_endpoint *endpoint);
bool webhook_endpoint_is_idle(const struct webhook_endpoint *endpoint);
/* Adds its own. */
void webhook_endpoint_stats(const struct webhook_endpoint *endpoint, struct webhooks_stats *stats);

#endif
