/* SPDX-License-Identifier: MIT */
/* Unit client_subscriptions is a client's list of channels: finding, adding, ending; who else is
 * told about it. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "hub/channel_internal.h"
#include "hub/client_internal.h"
#include "hub/expiry.h"
#include "hub/hub_internal.h"

#define MESSAGE_MAX_BYTES 65536
#define INFO_MAX_BYTES    ((size_t)1 << 20)

struct subscription *client_subscription(const struct client *c, const struct channel *channel)
{
    for (unsigned i = 0; i < c->n_subscriptions; i++) {
        if (c->subscriptions[i].channel == channel) {
            return &c->subscriptions[i];
        }
    }
    return NULL;
}

struct subscription *client_subscription_named(const struct client *c, struct str channel)
{
    struct channel *found = channel_find(c->hub, channel);
    return found ? client_subscription(c, found) : NULL;
}

bool client_is_positioned(const struct client *c, const struct channel *channel)
{
    const struct subscription *s = client_subscription(c, channel);
    return s && s->is_positioned;
}

void client_moved_in_channel(struct client *c, struct channel *channel, uint32_t index)
{
    struct subscription *s = client_subscription(c, channel);
    assert(s);
    s->index = index;
}

/* --- who else is told --- */

static void tell_presence(struct client *c, const struct subscription *s, enum presence_event event)
{
    struct buf info;
    buf_init(&info, INFO_MAX_BYTES);
    client_append_info(c, s->channel, &info);
    if (!buf_failed(&info)) {
        channel_tell_presence(s->channel, event, buf_str(&info));
    }
    buf_release(&info);
}

static void tell_webhooks(struct client *c, const struct channel *channel,
                          const struct disconnect *why)
{
    if (!hub_tells(c->hub, WEBHOOK_UNSUBSCRIBE)) {
        return;
    }
    char uuid[RNG_UUID_SIZE];
    client_id(c, uuid);
    struct webhook_client who = {
        .client = str_of(uuid), .user = client_user(c), .transport = str_of(c->transport->name)};
    webhooks_unsubscribed(c->hub->webhooks, &who, channel_name(channel), why->code,
                          str_of(why->reason));
}

/* --- adding and removing --- */

static bool reserve(struct client *c)
{
    if (c->n_subscriptions < c->subscriptions_capacity) {
        return true;
    }
    unsigned capacity = c->subscriptions_capacity ? c->subscriptions_capacity * 2U : 1U;
    capacity = capacity > UINT16_MAX ? UINT16_MAX : capacity;
    struct subscription *all = realloc(c->subscriptions, capacity * sizeof(*all));
    if (all) {
        c->subscriptions = all;
        c->subscriptions_capacity = (uint16_t)capacity;
    }
    return all && c->n_subscriptions < capacity;
}

static struct channel_wishes wishes_of(const struct subscription *s)
{
    return (struct channel_wishes){.is_special = subscription_is_special(s),
                                   .has_joins = s->has_joins};
}

static void count_subscription(const struct client *c, struct channel *channel, int change)
{
    if (channel->traffic) {
        channel->traffic->n_subscriptions[c->name_index] += (size_t)change;
    }
}

enum status client_add_subscription(struct client *c, const struct subscription *subscription)
{
    if (!reserve(c)) {
        return STATUS_NO_MEMORY;
    }
    struct subscription *s = &c->subscriptions[c->n_subscriptions];
    *s = *subscription;
    enum status status = channel_add(s->channel, c, wishes_of(s), &s->index);
    if (status != STATUS_OK) {
        return status;
    }
    c->n_subscriptions++;
    count_subscription(c, s->channel, 1);
    if (s->tells_joins) {
        tell_presence(c, s, PRESENCE_JOIN);
    }
    return STATUS_OK;
}

/* What has been asked does not count any more. */
static void stop_asking(struct subscription_more *more)
{
    if (more->call) {
        proxy_cancel(more->call);
        more->call = NULL;
    }
}

void subscription_more_free(struct hub *hub, struct subscription_more *more)
{
    if (!more) {
        return;
    }
    deadline_disarm(hub->deadlines, &more->expiry);
    stop_asking(more);
    tags_filter_destroy(more->filter);
    free(more->info);
    free(more);
}

void client_remove_subscription(struct client *c, struct subscription *s,
                                const struct disconnect *why)
{
    if (s->tells_joins) {
        tell_presence(c, s, PRESENCE_LEAVE);
    }
    tell_webhooks(c, s->channel, why);
    struct subscription removed = *s;
    *s = c->subscriptions[--c->n_subscriptions];
    count_subscription(c, removed.channel, -1);
    struct channel_wishes wishes = wishes_of(&removed);
    subscription_more_free(c->hub, removed.more);
    channel_remove(removed.channel, removed.index, wishes);
}

void client_leave_channels(struct client *c, const struct disconnect *why)
{
    while (c->n_subscriptions > 0) {
        client_remove_subscription(c, &c->subscriptions[c->n_subscriptions - 1], why);
    }
}

enum status client_unsubscribe(struct client *c, struct str channel)
{
    if (channel.len == 0) {
        return STATUS_INVALID;
    }
    struct subscription *s = client_subscription_named(c, channel);
    if (s) {
        client_remove_subscription(c, s, &unsubscribe_by_client);
    }
    return STATUS_OK;
}

/* The client cannot subscribe again to what the server subscribed it to: it connects again. */
static const struct disconnect *as_disconnect(const struct disconnect *why)
{
    if (why == &unsubscribe_insufficient_state) {
        return &disconnect_insufficient_state;
    }
    return why == &unsubscribe_expired ? &disconnect_subscription_expired : NULL;
}

void client_end_subscription(struct client *c, struct channel *channel,
                             const struct disconnect *why)
{
    struct subscription *s = client_subscription(c, channel);
    assert(s);
    const struct disconnect *end = s->is_server_side ? as_disconnect(why) : NULL;
    if (end) {
        client_disconnect(c, end);
        return;
    }
    traffic_unsubscribed(&c->hub->traffic, why->code);
    const struct wire_format *format = c->transport->format;
    struct buf message;
    buf_init(&message, MESSAGE_MAX_BYTES);
    format->unsubscribe(format, &message, channel_name(channel), why);
    client_remove_subscription(c, s, why);
    client_send(c, buf_str(&message));
    buf_release(&message);
}

enum status client_may(const struct client *c, struct str channel, enum access_action action)
{
    const struct channel_options *options = c->hub->channel_options;
    const struct namespace_options *ns;
    enum status status = namespace_find(options, channel, &ns);
    if (status != STATUS_OK) {
        return status;
    }
    if ((action == ACCESS_PRESENCE && !ns->presence) ||
        (action == ACCESS_HISTORY && !namespace_has_history(ns))) {
        return STATUS_NOT_AVAILABLE;
    }
    if (action == ACCESS_SUBSCRIBE && channel_is_private(options, channel)) {
        return STATUS_DENIED; /* only a token or the backend opens it */
    }
    bool is_subscribed = client_subscription_named(c, channel);
    bool is_allowed = c->hub->client_options->insecure ||
                      namespace_allows(ns, action, client_user(c).len == 0, is_subscribed);
    return is_allowed ? STATUS_OK : STATUS_DENIED;
}

/* --- the end of a subscription token --- */

static void arm_expiry(struct subscription_more *more);

static void prolonged(void *arg, const struct proxy_answer *answer)
{
    struct subscription_more *more = arg;
    more->call = NULL;
    struct client *c = more->client;
    if (answer->verdict == PROXY_DISCONNECT) {
        client_disconnect_with(c, answer->code, str_of(answer->message));
        return;
    }
    bool is_over = expiry_is_over(answer->expire_at);
    if (answer->verdict == PROXY_RESULT && (answer->expired || is_over)) {
        client_end_subscription(c, more->channel, &unsubscribe_expired);
        return;
    }
    if (answer->verdict == PROXY_RESULT && answer->info.len > 0) {
        char *info = str_dup(answer->info);
        free(more->info);
        more->info = info;
    }
    int64_t in_a_while = clock_wall_ms() / 1000 + CLIENT_ASK_AGAIN_S;
    more->expires_at = answer->verdict == PROXY_RESULT ? answer->expire_at : in_a_while;
    arm_expiry(more);
}

static void ask_backend(struct subscription_more *more, struct proxy *proxy)
{
    char uuid[RNG_UUID_SIZE];
    struct proxy_request request = {.event = PROXY_SUB_REFRESH,
                                    .channel = channel_name(more->channel)};
    hub_proxies_introduce(&request, more->client, uuid);
    if (proxy_ask(proxy, &request, prolonged, more, &more->call) != STATUS_OK) {
        more->call = NULL;
        more->expires_at = clock_wall_ms() / 1000 + CLIENT_ASK_AGAIN_S;
        arm_expiry(more);
    }
}

static struct proxy *refresh_proxy(const struct subscription_more *more)
{
    return hub_proxies_of_channel(more->client->hub->proxies, PROXY_SUB_REFRESH,
                                  channel_namespace(more->channel));
}

static void on_expired(struct deadline *deadline)
{
    struct subscription_more *more = container_of(deadline, struct subscription_more, expiry);
    struct proxy *proxy = refresh_proxy(more);
    if (proxy) {
        ask_backend(more, proxy);
    } else {
        client_end_subscription(more->client, more->channel, &unsubscribe_expired);
    }
}

static void arm_expiry(struct subscription_more *more)
{
    struct hub *hub = more->client->hub;
    if (more->expires_at == 0) {
        deadline_disarm(hub->deadlines, &more->expiry);
        return;
    }
    int64_t delay_ms = expiry_left_ms(more->expires_at);
    if (!refresh_proxy(more)) {
        delay_ms += hub->client_options->expired_sub_close_delay_ms;
    }
    deadline_arm(hub->deadlines, &more->expiry, delay_ms > 0 ? delay_ms : 0, on_expired);
}

enum status subscription_more_of(struct client *c, struct subscription *s,
                                 struct subscription_more **ret_more)
{
    if (!s->more) {
        s->more = calloc(1, sizeof(*s->more));
    }
    if (!s->more) {
        return STATUS_NO_MEMORY;
    }
    s->more->client = c;
    s->more->channel = s->channel;
    *ret_more = s->more;
    return STATUS_OK;
}

enum status subscription_set_expiry(struct client *c, struct subscription *s, int64_t expires_at,
                                    struct subscribe_result *result)
{
    struct subscription_more *more = s->more;
    result->expires = false;
    result->ttl_s = 0;
    if (expires_at == 0 && !more) {
        return STATUS_OK;
    }
    enum status status = subscription_more_of(c, s, &more);
    if (status != STATUS_OK) {
        return status;
    }
    stop_asking(more);
    more->expires_at = expires_at;
    arm_expiry(more);
    if (expires_at > 0 && !refresh_proxy(more)) {
        result->expires = true;
        result->ttl_s = expiry_ttl_s(expires_at);
    }
    return STATUS_OK;
}
