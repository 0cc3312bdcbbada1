/* The configuration's list "webhooks". */
#ifndef BELFRY_HUB_WEBHOOK_OPTIONS_H
#define BELFRY_HUB_WEBHOOK_OPTIONS_H

#include "base/config.h"

enum webhook_event {
    WEBHOOK_DISCONNECT,
    WEBHOOK_UNSUBSCRIBE,
    WEBHOOK_CHANNEL_OCCUPIED,
    WEBHOOK_CHANNEL_VACATED,
    WEBHOOK_N_EVENTS,
};
/* "disconnect" and so on. */
const char *webhook_event_name(enum webhook_event event);

#define WEBHOOK_NAME_MAX_BYTES 64

struct webhook_options {
    char *name;     /* stays the same when the endpoint moves: the queue in the storage has it */
    char *endpoint; /* http or https URL */
    struct config_list events; /* of char *: "disconnect", "unsubscribe", "channel_occupied",
                                  "channel_vacated" */
    char *hmac_secret_key;     /* "": unsigned */
    int64_t timeout_ms;
    int64_t batch_max_size;     /* events in one request */
    int64_t batch_max_delay_ms; /* that an event waits for others to share its request */
    int64_t retry_min_delay_ms; /* after a failure; doubled with each, with jitter */
    int64_t retry_max_delay_ms;
    int64_t queue_limit; /* events that wait; beyond it new ones are dropped and counted */
};

extern const struct config_shape webhook_options_shape;

/* The wanted events: bit 1 << event of each. */
unsigned webhook_options_events(const struct webhook_options *options);

#endif
