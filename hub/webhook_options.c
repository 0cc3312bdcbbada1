/* SPDX-License-Identifier: MIT */
/* Unit webhook_options is the table of the configuration's section "webhooks". */
#include "hub/webhook_options.h"

#include <stddef.h>
#include <stdio.h>

#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

static const char *const event_names[WEBHOOK_N_EVENTS] = {
    [WEBHOOK_DISCONNECT] = "disconnect",
    [WEBHOOK_UNSUBSCRIBE] = "unsubscribe",
    [WEBHOOK_CHANNEL_OCCUPIED] = "channel_occupied",
    [WEBHOOK_CHANNEL_VACATED] = "channel_vacated",
};

const char *webhook_event_name(enum webhook_event event)
{
    return event_names[event];
}

/* WEBHOOK_N_EVENTS: there is none of that name. */
static enum webhook_event event_of(const char *name)
{
    enum webhook_event event = WEBHOOK_DISCONNECT;
    while (event < WEBHOOK_N_EVENTS && strcmp(event_names[event], name) != 0) {
        event++;
    }
    return event;
}

unsigned webhook_options_events(const struct webhook_options *options)
{
    char *const *names = options->events.items;
    unsigned events = 0;
    for (size_t i = 0; i < options->events.n_items; i++) {
        events |= 1u << event_of(names[i]);
    }
    return events;
}

/* It goes into a header and into the storage. */
static const char *accept_name(const void *place)
{
    const char *name = *(char *const *)place;
    size_t n_good =
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return n_good > 0 && n_good <= WEBHOOK_NAME_MAX_BYTES && name[n_good] == '\0'
               ? NULL
               : "a name of at most 64 letters, digits, '-' and '_'";
}

static const char *accept_endpoint(const void *place)
{
    struct str url = str_of(*(char *const *)place);
    size_t n_scheme = str_starts_with(url, STR("http://"))    ? 7
                      : str_starts_with(url, STR("https://")) ? 8
                                                              : 0;
    bool is_good = n_scheme > 0 && url.len > n_scheme && !strchr("/?#", url.ptr[n_scheme]);
    for (size_t i = 0; i < url.len; i++) {
        is_good = is_good && url.ptr[i] > ' ' && url.ptr[i] < 0x7f;
    }
    return is_good ? NULL : "a URL such as \"https://backend.example.org/events\"";
}

/* The text is valid until the next call. */
static const char *accept_events(const void *place)
{
    static char expected[256];
    const struct config_list *events = place;
    char *const *names = events->items;
    for (size_t i = 0; i < events->n_items; i++) {
        if (event_of(names[i]) == WEBHOOK_N_EVENTS) {
            snprintf(expected, sizeof(expected),
                     "a list of \"disconnect\", \"unsubscribe\", \"channel_occupied\" and "
                     "\"channel_vacated\": \"%.60s\" is none of these",
                     names[i]);
            return expected;
        }
    }
    return NULL;
}

static void check_webhook(struct config_reader *reader, void *object)
{
    const struct webhook_options *options = object;
    if (options->events.n_items == 0) {
        config_complain(reader, "events", NULL, "at least one event");
    }
    if (options->retry_max_delay_ms < options->retry_min_delay_ms &&
        config_is_good(reader, "retry_min_delay")) {
        config_complain(reader, "retry_max_delay", NULL, "at least retry_min_delay");
    }
}

#define FIELD(key_, type_, member, ...)                                                            \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct webhook_options, member),            \
        __VA_ARGS__                                                                                \
    }

static const struct config_field webhook_fields[] = {
    FIELD("name", CONFIG_STRING, name, .accept = accept_name, .expected = "the name of the webhook",
          .doc = "Stays the same when the endpoint moves: what waits in the storage has it."),
    FIELD("endpoint", CONFIG_STRING, endpoint, .accept = accept_endpoint,
          .expected = "an http or https URL", .doc = "Where events are sent, by POST."),
    FIELD("events", CONFIG_STRINGS, events, .accept = accept_events,
          .doc = "Which ones: disconnect, unsubscribe, channel_occupied, channel_vacated."),
    FIELD("hmac_secret_key", CONFIG_STRING, hmac_secret_key, .fallback = "", .secret = true,
          .doc = "Signs requests; empty: they are not signed."),
    FIELD("timeout", CONFIG_DURATION, timeout_ms, .fallback = "5s", .min = 1, .max = HOUR_MS,
          .doc = "For the answer to a request."),
    FIELD("batch_max_size", CONFIG_INT, batch_max_size, .fallback = "100", .min = 1, .max = 10000,
          .doc = "Events in one request."),
    FIELD("batch_max_delay", CONFIG_DURATION, batch_max_delay_ms, .fallback = "100ms",
          .max = HOUR_MS, .doc = "How long an event waits for others to share its request."),
    FIELD("retry_min_delay", CONFIG_DURATION, retry_min_delay_ms, .fallback = "500ms", .min = 1,
          .max = DAY_MS, .doc = "Before a failed request is repeated; doubled with each failure."),
    FIELD("retry_max_delay", CONFIG_DURATION, retry_max_delay_ms, .fallback = "60s", .min = 1,
          .max = DAY_MS, .doc = "The most that it is doubled to."),
    FIELD("queue_limit", CONFIG_INT, queue_limit, .fallback = "100000", .min = 1,
          .max = INT64_C(1000000000),
          .doc = "Events that wait in the storage; beyond it new ones are dropped and counted."),
};
const struct config_shape webhook_options_shape = {
    .size = sizeof(struct webhook_options),
    .fields = webhook_fields,
    .n_fields = sizeof(webhook_fields) / sizeof(webhook_fields[0]),
    .check = check_webhook,
};
