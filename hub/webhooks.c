/* SPDX-License-Identifier: MIT */
/* Unit webhooks puts events into words and gives them to the endpoints that want them. Events of
 * endpoints that are no longer configured are removed from the storage at the start. State belongs
 * to the webhooks; loop's thread. */
#include "hub/webhooks.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json_span.h"
#include "base/log.h"
#include "hub/hub_internal.h"
#include "hub/webhook_endpoint.h"

/* A user's name may be as long as a token. */
#define EVENT_MAX_BYTES ((size_t)1 << 20)

struct webhooks {
    struct webhooks_setup setup;
    struct webhook_endpoint **endpoints; /* as configured */
    size_t n_endpoints;
    unsigned wanted; /* by any: bits */
    bool is_stopped;
    bool is_abandoned;
    struct buf text; /* of one event, while it is told */
    uint64_t n_dropped;

    struct storage_events_remove_others removal;
    struct str *names; /* of the endpoints, for it */
    bool is_removing;
    uint64_t n_removed;
};

/* --- what earlier configurations have left --- */

static void on_others_removed(struct storage_events_remove_others *removal);

static void remove_others(struct webhooks *w)
{
    w->is_removing = true;
    w->removal = (struct storage_events_remove_others){
        .endpoints = w->names, .n_endpoints = w->n_endpoints, .done = on_others_removed, .arg = w};
    storage_events_remove_others(w->setup.storage, &w->removal);
}

/* After a failure, which the storage logs, the next start tries again. */
static void on_others_removed(struct storage_events_remove_others *removal)
{
    struct webhooks *w = removal->arg;
    bool is_more = removal->status == STATUS_OK && removal->n_removed > 0;
    w->is_removing = false;
    w->n_removed += removal->status == STATUS_OK ? removal->n_removed : 0;
    if (is_more && !w->is_stopped) {
        remove_others(w);
    } else if (w->n_removed > 0) {
        log_warn("webhooks", "events_removed", log_i("events", (int64_t)w->n_removed),
                 log_s("why", "their webhooks are no longer configured"));
    }
}

/* --- the whole --- */

enum status webhooks_create(const struct webhooks_setup *setup, struct webhooks **ret_webhooks)
{
    struct webhooks *w = hub_allocate(sizeof(*w));
    const struct webhook_options *options = setup->options->items;
    w->setup = *setup;
    w->n_endpoints = setup->options->n_items;
    w->endpoints = hub_allocate((w->n_endpoints + 1) * sizeof(struct webhook_endpoint *));
    w->names = hub_allocate((w->n_endpoints + 1) * sizeof(struct str));
    buf_init(&w->text, EVENT_MAX_BYTES);
    for (size_t i = 0; i < w->n_endpoints; i++) {
        w->names[i] = str_of(options[i].name);
        w->endpoints[i] = webhook_endpoint_create(&w->setup, &options[i]);
        w->wanted |= webhook_options_events(&options[i]);
    }
    remove_others(w);
    *ret_webhooks = w;
    return STATUS_OK;
}

void webhooks_destroy(struct webhooks *w)
{
    if (!w) {
        return;
    }
    assert(webhooks_is_idle(w));
    for (size_t i = 0; i < w->n_endpoints; i++) {
        webhook_endpoint_destroy(w->endpoints[i]);
    }
    buf_release(&w->text);
    free(w->endpoints);
    free(w->names);
    free(w);
}

void webhooks_stop(struct webhooks *w)
{
    w->is_stopped = true;
    for (size_t i = 0; i < w->n_endpoints; i++) {
        webhook_endpoint_stop(w->endpoints[i]);
    }
}

void webhooks_abandon(struct webhooks *w)
{
    webhooks_stop(w);
    w->is_abandoned = true;
}

bool webhooks_is_idle(const struct webhooks *w)
{
    for (size_t i = 0; i < w->n_endpoints; i++) {
        if (!webhook_endpoint_is_idle(w->endpoints[i])) {
            return false;
        }
    }
    return !w->is_removing;
}

void webhooks_stats(const struct webhooks *w, struct webhooks_stats *ret_stats)
{
    *ret_stats = (struct webhooks_stats){.n_dropped = w->n_dropped};
    for (size_t i = 0; i < w->n_endpoints; i++) {
        webhook_endpoint_stats(w->endpoints[i], ret_stats);
    }
}

/* --- events --- */

bool webhooks_want(const struct webhooks *w, enum webhook_event event)
{
    return (w->wanted & 1u << event) != 0;
}

static void begin(struct webhooks *w, enum webhook_event event)
{
    buf_clear(&w->text);
    buf_printf(&w->text, "{\"event\":\"%s\"", webhook_event_name(event));
}

static void add_text(struct webhooks *w, const char *name, struct str value)
{
    buf_printf(&w->text, ",\"%s\":", name);
    json_append_string(&w->text, value);
}

static void add_client(struct webhooks *w, const struct webhook_client *who)
{
    add_text(w, "client", who->client);
    add_text(w, "user", who->user);
    add_text(w, "transport", who->transport);
}

static void add_reason(struct webhooks *w, unsigned code, struct str reason)
{
    buf_printf(&w->text, ",\"code\":%u", code);
    add_text(w, "reason", reason);
}

static void drop(struct webhooks *w, enum webhook_event event)
{
    static struct log_limit limit;
    w->n_dropped++;
    if (log_permits(&limit)) {
        log_warn("webhooks", "dropped", log_s("event", webhook_event_name(event)),
                 log_s("why", w->is_abandoned ? "the hub ends" : "too large"),
                 log_i("left_out", limit.n_left_out));
    }
}

static void tell(struct webhooks *w, enum webhook_event event)
{
    int64_t now_ms = clock_wall_ms();
    buf_append_char(&w->text, '}');
    if (w->is_abandoned || buf_failed(&w->text)) {
        drop(w, event);
        return;
    }
    for (size_t i = 0; i < w->n_endpoints; i++) {
        if (webhook_endpoint_wants(w->endpoints[i], event)) {
            webhook_endpoint_add(w->endpoints[i], buf_str(&w->text), now_ms);
        }
    }
}

void webhooks_disconnected(struct webhooks *w, const struct webhook_client *who, unsigned code,
                           struct str reason)
{
    if (webhooks_want(w, WEBHOOK_DISCONNECT)) {
        begin(w, WEBHOOK_DISCONNECT);
        add_client(w, who);
        add_reason(w, code, reason);
        tell(w, WEBHOOK_DISCONNECT);
    }
}

void webhooks_unsubscribed(struct webhooks *w, const struct webhook_client *who, struct str channel,
                           unsigned code, struct str reason)
{
    if (webhooks_want(w, WEBHOOK_UNSUBSCRIBE)) {
        begin(w, WEBHOOK_UNSUBSCRIBE);
        add_client(w, who);
        add_text(w, "channel", channel);
        add_reason(w, code, reason);
        tell(w, WEBHOOK_UNSUBSCRIBE);
    }
}

void webhooks_channel(struct webhooks *w, enum webhook_event event, struct str channel)
{
    if (webhooks_want(w, event)) {
        begin(w, event);
        add_text(w, "channel", channel);
        tell(w, event);
    }
}
