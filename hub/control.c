/* SPDX-License-Identifier: MIT */
/* Unit control is what backends do to connected clients: subscribe, unsubscribe, disconnect,
 * refresh. They act on connections that are there now. */
#include <stdlib.h>

#include <utlist.h>

#include "base/json_span.h"
#include "hub/client_internal.h"
#include "hub/expiry.h"
#include "hub/hub_internal.h"
#include "hub/subscribe.h"

#define PUSH_MAX_BYTES ((size_t)64 << 20)
/* Under way for one client: two for each subscription that is being made. */
#define CALLS_MAX 2000

static bool is_selected(const struct client *c, const struct client_selector *who)
{
    char uuid[RNG_UUID_SIZE];
    client_id(c, uuid);
    const char *session = c->more ? c->more->session : NULL;
    return client_is_connected(c) && (who->client.len == 0 || str_eq(who->client, str_of(uuid))) &&
           (who->session.len == 0 || str_eq(who->session, str_of(session)));
}

static struct client *first_of(struct hub *hub, const struct client_selector *who)
{
    struct user *user = user_find(hub, who->user);
    return user ? user->clients : NULL;
}

static void send_push(struct client *c, struct buf *message)
{
    if (buf_failed(message)) {
        client_disconnect(c, &disconnect_internal_error);
    } else {
        client_send(c, buf_str(message));
    }
    buf_release(message);
}

/* --- subscribe --- */

struct control {
    struct hub *hub;
    control_done_fn done;
    void *arg;
    enum status status;
    size_t n_open;
    struct deferred answer;
};

struct control_part {
    struct control *control;
    struct client *client; /* kept by client_call_begins() */
    size_t channel_len;
    char channel[];
};

static void answer(void *arg)
{
    struct control *k = arg;
    k->done(k->arg, k->status, "");
    k->hub->n_operations--;
    free(k);
}

static void push_subscribed(struct client *c, struct str channel,
                            const struct subscribe_result *result)
{
    const struct wire_format *format = c->transport->format;
    struct buf message;
    buf_init(&message, PUSH_MAX_BYTES);
    format->subscribe(format, &message, channel, result);
    send_push(c, &message);
}

/* The push that tells of the subscription has no room for what was missed: it follows. */
static void push_recovered(struct client *c, struct str channel,
                           const struct subscribe_result *result)
{
    const struct wire_format *format = c->transport->format;
    for (size_t i = 0; i < result->n_publications; i++) {
        struct buf message;
        buf_init(&message, PUSH_MAX_BYTES);
        format->publication(format, &message, channel, result->publications[i], FORM_JSON,
                            STR_EMPTY);
        send_push(c, &message);
    }
}

static void part_done(void *arg, enum status status, const struct client_error *error,
                      const struct subscribe_result *result)
{
    struct control_part *part = arg;
    struct control *k = part->control;
    (void)error;
    bool is_there = client_call_ends(part->client);
    if (status == STATUS_OK && is_there) {
        struct str channel = {part->channel, part->channel_len};
        push_subscribed(part->client, channel, result);
        push_recovered(part->client, channel, result);
    }
    bool is_failure = status != STATUS_OK && status != STATUS_ALREADY && status != STATUS_CLOSED;
    k->status = is_failure ? status : k->status;
    free(part);
    if (--k->n_open == 0) {
        answer(k);
    }
}

static void subscribe_one(struct control *k, struct client *c,
                          const struct control_subscribe *request)
{
    struct control_part *part = hub_allocate(sizeof(*part) + request->channel.len);
    part->control = k;
    part->client = c;
    part->channel_len = request->channel.len;
    memcpy(part->channel, request->channel.ptr, request->channel.len);
    k->n_open++;
    client_call_begins(c);
    client_subscribe_by_server(c,
                               &(struct server_subscribe){.channel = request->channel,
                                                          .grant = &request->grant,
                                                          .recover = request->recover,
                                                          .since = request->since},
                               part_done, part);
}

void hub_subscribe(struct hub *hub, const struct control_subscribe *request, control_done_fn done,
                   void *arg)
{
    struct control *k = hub_allocate(sizeof(*k));
    const struct namespace_options *ns;
    *k = (struct control){.hub = hub,
                          .done = done,
                          .arg = arg,
                          .status = namespace_find(hub->channel_options, request->channel, &ns),
                          .answer = {.fn = answer, .arg = k}};
    hub->n_operations++;
    struct client *c;
    DL_FOREACH2(k->status == STATUS_OK ? first_of(hub, &request->who) : NULL, c, user_next)
    {
        if (is_selected(c, &request->who) && c->n_calls >= CALLS_MAX) {
            k->status = STATUS_OVERLOADED;
        } else if (is_selected(c, &request->who)) {
            subscribe_one(k, c, request);
        }
    }
    if (k->n_open == 0) {
        loop_defer(hub->loop, &k->answer);
    }
}

/* --- unsubscribe, disconnect, refresh --- */

static void unsubscribe_one(struct client *c, struct str channel)
{
    while (channel.len == 0 && c->n_subscriptions > 0) {
        client_end_subscription(c, c->subscriptions[c->n_subscriptions - 1].channel,
                                &unsubscribe_by_server);
    }
    struct subscription *s = channel.len > 0 ? client_subscription_named(c, channel) : NULL;
    if (s) {
        client_end_subscription(c, s->channel, &unsubscribe_by_server);
    }
}

enum status hub_unsubscribe(struct hub *hub, const struct client_selector *who, struct str channel)
{
    const struct namespace_options *ns;
    if (channel.len > 0) {
        enum status status = namespace_find(hub->channel_options, channel, &ns);
        if (status != STATUS_OK) {
            return status;
        }
    }
    struct client *c;
    struct client *next;
    DL_FOREACH_SAFE2(first_of(hub, who), c, next, user_next)
    {
        if (is_selected(c, who)) {
            unsubscribe_one(c, channel);
        }
    }
    return STATUS_OK;
}

static bool is_kept(const struct client *c, struct str keep)
{
    char uuid[RNG_UUID_SIZE];
    struct str item;
    struct json_walk walk = json_walk(keep);
    client_id(c, uuid);
    while (keep.len > 0 && json_next_element(&walk, &item)) {
        bool is_text = item.len == RNG_UUID_SIZE - 1 + 2;
        if (is_text && memcmp(item.ptr + 1, uuid, RNG_UUID_SIZE - 1) == 0) {
            return true;
        }
    }
    return false;
}

void hub_disconnect(struct hub *hub, const struct client_selector *who, struct str keep,
                    uint32_t code, struct str reason)
{
    struct client *c;
    struct client *next;
    DL_FOREACH_SAFE2(first_of(hub, who), c, next, user_next)
    {
        if (!is_selected(c, who) || is_kept(c, keep)) {
            continue;
        }
        if (code == 0) {
            client_disconnect(c, &disconnect_forced);
        } else {
            client_disconnect_with(c, code, reason);
        }
    }
}

static void refresh_one(struct client *c, int64_t expires_at, struct str info)
{
    struct connect_result result = {0};
    if (client_set_expiry(c, expires_at, &result) != STATUS_OK ||
        (info.len > 0 && !client_more(c))) {
        client_disconnect(c, &disconnect_internal_error);
        return;
    }
    char *copy = NULL;
    if (info.len > 0 && subscription_text_read(info, STR_EMPTY, &copy) == STATUS_OK) {
        free(c->more->info);
        c->more->info = copy;
    }
    const struct wire_format *format = c->transport->format;
    struct buf message;
    buf_init(&message, PUSH_MAX_BYTES);
    format->refresh(format, &message, result.expires, result.ttl_s);
    send_push(c, &message);
}

void hub_refresh(struct hub *hub, const struct client_selector *who, bool expired,
                 int64_t expires_at, struct str info)
{
    struct client *c;
    struct client *next;
    bool is_over = expired || expiry_is_over(expires_at);
    DL_FOREACH_SAFE2(first_of(hub, who), c, next, user_next)
    {
        if (!is_selected(c, who)) {
            continue;
        }
        if (is_over) {
            client_disconnect(c, &disconnect_expired);
        } else {
            refresh_one(c, expires_at, info);
        }
    }
}
