/* SPDX-License-Identifier: MIT */
/* Unit client is one connection's identity, life (stale, pings, expiry), subscriptions and output.
 * The struct is kept small: there are many, and most are idle; what few clients need is allocated
 * when it is needed. */
#include "hub/client.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/json_span.h"
#include "base/log.h"
#include "hub/client_internal.h"
#include "hub/hub_internal.h"
#include "hub/outbox.h"
#include "hub/token.h"

#define JOIN_MAX_BYTES 65536
#define PING_BATCHES   128 /* per interval */
/* In the year 2106: keeps sums from overflow, and a ttl within the 32 bits that clients know. */
#define EXPIRES_AT_MAX INT64_C(4294967295)

struct subscription {
    struct channel *channel;
    uint32_t index; /* of this client's place in the channel */
    bool is_positioned;
};

enum client_state {
    CLIENT_NEW,       /* connect is awaited until the stale deadline */
    CLIENT_CONNECTED, /* the deadline is the next ping's */
    CLIENT_AWAITING_PONG,
    CLIENT_CLOSING, /* the transport has been asked to close */
    CLIENT_GONE,    /* destroyed, but a call is still under way */
};

/* A connection whose token ends. */
struct expiry {
    struct deadline deadline;
    struct client *client;
};

struct client {
    /* A broadcast touches these, of every subscriber: they stand together. */
    struct hub *hub;
    const struct client_transport *transport;
    void *conn;
    struct outbox *outbox;
    uint8_t state;
    uint8_t n_calls; /* asynchronous calls under way */
    uint16_t n_subscriptions;
    uint16_t subscriptions_capacity;

    struct subscription *subscriptions;
    struct client *prev, *next;
    char *user; /* NULL: anonymous */
    char *info; /* NULL: none */
    struct expiry *expiry;
    struct deadline deadline;
    int64_t pinged_ms;
    uint8_t id[16];
};

/* What every idle client costs in the hub: the transport's part comes on top. */
_Static_assert(sizeof(struct client) <= 144, "there are tens of thousands");

static void on_stale(struct deadline *deadline);
static void on_ping(struct deadline *deadline);

static struct client *client_of(struct deadline *deadline)
{
    return container_of(deadline, struct client, deadline);
}

/* --- life --- */

struct client *client_create(struct hub *hub, const struct client_transport *transport, void *conn)
{
    struct client *c = calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->hub = hub;
    c->transport = transport;
    c->conn = conn;
    rng_bytes(c->id, sizeof(c->id));
    c->id[6] = (uint8_t)((c->id[6] & 0x0f) | 0x40); /* version 4 and variant of RFC 9562 */
    c->id[8] = (uint8_t)((c->id[8] & 0x3f) | 0x80);
    DL_APPEND(hub->clients, c);
    trim_count(&hub->trim, ++hub->n_clients);
    deadline_arm(hub->deadlines, &c->deadline, hub->client_options->stale_close_delay_ms, on_stale);
    return c;
}

static void free_client(struct client *c)
{
    free(c->user);
    free(c->info);
    free(c->subscriptions);
    free(c);
}

static void stop_expiry(struct client *c)
{
    if (c->expiry) {
        deadline_disarm(c->hub->deadlines, &c->expiry->deadline);
        free(c->expiry);
        c->expiry = NULL;
    }
}

/* Channels first forget the client, so that nothing is pushed to it on its way out. */
static void leave(struct client *c)
{
    deadline_disarm(c->hub->deadlines, &c->deadline);
    stop_expiry(c);
    while (c->n_subscriptions > 0) {
        struct subscription s = c->subscriptions[--c->n_subscriptions];
        channel_remove(s.channel, s.index);
    }
}

void client_destroy(struct client *c)
{
    leave(c);
    if (c->hub->corked == c) {
        c->hub->corked = NULL;
    }
    outbox_destroy(c->outbox);
    c->outbox = NULL;
    DL_DELETE(c->hub->clients, c);
    c->hub->n_clients--;
    if (!c->hub->is_stopping) {
        trim_count(&c->hub->trim, c->hub->n_clients);
    }
    c->state = CLIENT_GONE;
    if (c->n_calls == 0) {
        free_client(c);
    }
}

void client_disconnect(struct client *c, const struct disconnect *why)
{
    if (c->state >= CLIENT_CLOSING) {
        return;
    }
    c->state = CLIENT_CLOSING;
    leave(c);
    if (why == &disconnect_slow) { /* what waits is what it cannot take */
        outbox_destroy(c->outbox);
        c->outbox = NULL;
        c->hub->n_slow++;
    }
    c->transport->close(c->conn, why);
}

static void on_stale(struct deadline *deadline)
{
    client_disconnect(client_of(deadline), &disconnect_stale);
}

static void on_no_pong(struct deadline *deadline)
{
    client_disconnect(client_of(deadline), &disconnect_no_pong);
}

static void on_ping(struct deadline *deadline)
{
    struct client *c = client_of(deadline);
    c->state = CLIENT_AWAITING_PONG;
    c->pinged_ms = loop_now_ms(c->hub->loop);
    deadline_arm(c->hub->deadlines, &c->deadline, c->hub->client_options->pong_timeout_ms,
                 on_no_pong);
    client_send(c, c->transport->format->ping);
}

/* The pings of many clients are sent together: a hub with nothing else to do wakes up 128 times per
 * interval, however many clients it has. */
static void arm_ping(struct client *c, int64_t delay_ms)
{
    int64_t batch_ms = c->hub->client_options->ping_interval_ms / PING_BATCHES + 1;
    int64_t now_ms = loop_now_ms(c->hub->loop);
    int64_t due_ms = (now_ms + delay_ms) / batch_ms * batch_ms;
    deadline_arm(c->hub->deadlines, &c->deadline, due_ms - now_ms, on_ping);
}

enum status client_pong(struct client *c)
{
    if (c->state != CLIENT_AWAITING_PONG) {
        return STATUS_INVALID;
    }
    c->state = CLIENT_CONNECTED;
    int64_t since_ping_ms = loop_now_ms(c->hub->loop) - c->pinged_ms;
    arm_ping(c, c->hub->client_options->ping_interval_ms - since_ping_ms);
    return STATUS_OK;
}

/* Clients that connected together shall not be pinged together. */
static void arm_first_ping(struct client *c)
{
    int64_t interval_ms = c->hub->client_options->ping_interval_ms;
    int64_t jitter_ms = (int64_t)rng_below((uint64_t)(interval_ms - interval_ms / 2));
    arm_ping(c, interval_ms / 2 + jitter_ms);
}

/* --- connect --- */

static void on_expired(struct deadline *deadline)
{
    struct expiry *expiry = container_of(deadline, struct expiry, deadline);
    client_disconnect(expiry->client, &disconnect_expired);
}

static enum status set_expiry(struct client *c, int64_t expires_at, struct connect_result *result)
{
    if (expires_at == 0) {
        stop_expiry(c);
        *result = (struct connect_result){0};
        return STATUS_OK;
    }
    if (!c->expiry) {
        c->expiry = calloc(1, sizeof(*c->expiry));
    }
    if (!c->expiry) {
        return STATUS_NO_MEMORY;
    }
    c->expiry->client = c;
    expires_at = expires_at < EXPIRES_AT_MAX ? expires_at : EXPIRES_AT_MAX;
    int64_t left_ms = expires_at * 1000 - clock_wall_ms();
    int64_t delay_ms = left_ms + c->hub->client_options->expired_close_delay_ms;
    deadline_arm(c->hub->deadlines, &c->expiry->deadline, delay_ms, on_expired);
    *result = (struct connect_result){.expires = true, .ttl_s = (left_ms + 999) / 1000};
    return STATUS_OK;
}

static enum status disconnected(struct client *c, const struct disconnect *why)
{
    client_disconnect(c, why);
    return STATUS_CLOSED;
}

static enum status verify(struct client *c, struct str token, const struct disconnect *if_expired,
                          struct token_claims *ret_claims)
{
    const char *key = c->hub->client_options->token.hmac_secret_key;
    enum status status = token_verify(token, key, clock_wall_ms() / 1000, ret_claims);
    if (status == STATUS_EXPIRED && !if_expired) {
        return STATUS_EXPIRED;
    }
    if (status == STATUS_OK) {
        return STATUS_OK;
    }
    static struct log_limit limit;
    if (status != STATUS_EXPIRED && log_permits(&limit)) {
        log_info("client", "token_refused",
                 log_s("expected", key[0] ? "HS256, signed with client.token.hmac_secret_key"
                                          : "no token: client.token.hmac_secret_key is not set"),
                 log_i("left_out", limit.n_left_out));
    }
    return disconnected(c, status == STATUS_EXPIRED ? if_expired : &disconnect_invalid_token);
}

/* Empty texts are kept as NULL: most clients of a public page have neither. */
static char *keep(char **text)
{
    char *kept = NULL;
    if (*text && **text) {
        kept = *text;
        *text = NULL;
    }
    return kept;
}

enum status client_connect(struct client *c, struct str token, struct connect_result *ret_result)
{
    const struct client_options *options = c->hub->client_options;
    if (c->hub->is_stopping) {
        return disconnected(c, &disconnect_shutdown);
    }
    struct token_claims claims = {0};
    if (token.len > 0) {
        enum status status = verify(c, token, NULL, &claims);
        if (status != STATUS_OK) {
            return status;
        }
    } else if (!options->insecure && !options->allow_anonymous_connect_without_token) {
        static struct log_limit limit;
        if (log_permits(&limit)) {
            log_info("client", "no_token", log_s("expected", "a token from every client"),
                     log_i("left_out", limit.n_left_out));
        }
        return disconnected(c, &disconnect_bad_request);
    }
    enum status status = set_expiry(c, claims.expires_at, ret_result);
    if (status == STATUS_OK) {
        c->user = keep(&claims.user);
        c->info = keep(&claims.info);
        c->state = CLIENT_CONNECTED;
        arm_first_ping(c);
    }
    token_claims_release(&claims);
    return status;
}

enum status client_refresh(struct client *c, struct str token, struct connect_result *ret_result)
{
    if (token.len == 0) {
        return disconnected(c, &disconnect_bad_request);
    }
    struct token_claims claims;
    enum status status = verify(c, token, &disconnect_expired, &claims);
    if (status != STATUS_OK) {
        return status;
    }
    if (!str_eq(str_of(claims.user), client_user(c))) {
        status = disconnected(c, &disconnect_invalid_token);
    } else {
        status = set_expiry(c, claims.expires_at, ret_result);
    }
    token_claims_release(&claims);
    return status;
}

/* --- identity --- */

bool client_is_connected(const struct client *c)
{
    return c->state == CLIENT_CONNECTED || c->state == CLIENT_AWAITING_PONG;
}

bool client_is_leaving(const struct client *c)
{
    return c->state >= CLIENT_CLOSING;
}

struct client *client_next(const struct client *c)
{
    return c->next;
}

struct hub *client_hub(const struct client *c)
{
    return c->hub;
}

void client_id(const struct client *c, char uuid[RNG_UUID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *at = uuid;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *at++ = '-';
        }
        *at++ = digits[c->id[i] >> 4];
        *at++ = digits[c->id[i] & 15];
    }
    *at = '\0';
}

struct str client_user(const struct client *c)
{
    return str_of(c->user);
}

const struct wire_format *client_wire_format(const struct client *c)
{
    return c->transport->format;
}

void client_append_info(const struct client *c, struct buf *out)
{
    char uuid[RNG_UUID_SIZE];
    client_id(c, uuid);
    buf_literal(out, "{\"user\":");
    json_append_string(out, client_user(c));
    buf_literal(out, ",\"client\":\"");
    buf_append(out, str_of(uuid));
    buf_append_char(out, '"');
    if (c->info) {
        buf_literal(out, ",\"conn_info\":");
        buf_append(out, str_of(c->info));
    }
    buf_append_char(out, '}');
}

/* --- subscriptions --- */

static struct subscription *find_subscription(const struct client *c, const struct channel *channel)
{
    for (unsigned i = 0; i < c->n_subscriptions; i++) {
        if (c->subscriptions[i].channel == channel) {
            return &c->subscriptions[i];
        }
    }
    return NULL;
}

bool client_is_subscribed(const struct client *c, struct str channel)
{
    struct channel *found = channel_find(c->hub, channel);
    return found && find_subscription(c, found);
}

bool client_is_positioned(const struct client *c, const struct channel *channel)
{
    const struct subscription *s = find_subscription(c, channel);
    return s && s->is_positioned;
}

size_t client_n_subscriptions(const struct client *c)
{
    return c->n_subscriptions;
}

enum status client_add_subscription(struct client *c, struct channel *channel, bool is_positioned)
{
    if (c->n_subscriptions == c->subscriptions_capacity) {
        unsigned capacity = c->subscriptions_capacity ? c->subscriptions_capacity * 2U : 1U;
        capacity = capacity > UINT16_MAX ? UINT16_MAX : capacity;
        struct subscription *all = realloc(c->subscriptions, capacity * sizeof(*all));
        if (!all) {
            return STATUS_NO_MEMORY;
        }
        c->subscriptions = all;
        c->subscriptions_capacity = (uint16_t)capacity;
    }
    struct subscription *s = &c->subscriptions[c->n_subscriptions];
    *s = (struct subscription){.channel = channel, .is_positioned = is_positioned};
    enum status status = channel_add(channel, c, &s->index);
    c->n_subscriptions = (uint16_t)(c->n_subscriptions + (status == STATUS_OK));
    return status;
}

static void remove_subscription(struct client *c, struct subscription *s)
{
    struct subscription removed = *s;
    *s = c->subscriptions[--c->n_subscriptions];
    channel_remove(removed.channel, removed.index);
}

enum status client_unsubscribe(struct client *c, struct str channel)
{
    if (channel.len == 0) {
        return STATUS_INVALID;
    }
    struct channel *found = channel_find(c->hub, channel);
    struct subscription *s = found ? find_subscription(c, found) : NULL;
    if (s) {
        remove_subscription(c, s);
    }
    return STATUS_OK;
}

void client_moved_in_channel(struct client *c, struct channel *channel, uint32_t index)
{
    struct subscription *s = find_subscription(c, channel);
    assert(s);
    s->index = index;
}

void client_unsubscribed(struct client *c, struct channel *channel, const struct disconnect *why)
{
    struct buf message;
    buf_init(&message, JOIN_MAX_BYTES);
    c->transport->format->unsubscribe(&message, channel_name(channel), why);
    struct subscription *s = find_subscription(c, channel);
    assert(s);
    remove_subscription(c, s);
    client_send(c, buf_str(&message));
    buf_release(&message);
}

enum status client_may(const struct client *c, struct str channel, enum access_action action)
{
    const struct namespace_options *ns;
    enum status status = namespace_find(c->hub->channel_options, channel, &ns);
    if (status != STATUS_OK) {
        return status;
    }
    if ((action == ACCESS_PRESENCE && !ns->presence) ||
        (action == ACCESS_HISTORY && !namespace_has_history(ns))) {
        return STATUS_NOT_AVAILABLE;
    }
    if (action == ACCESS_SUBSCRIBE && channel_is_private(channel)) {
        return STATUS_DENIED; /* subscription tokens would open it */
    }
    bool is_allowed =
        c->hub->client_options->insecure ||
        namespace_allows(ns, action, client_user(c).len == 0, client_is_subscribed(c, channel));
    return is_allowed ? STATUS_OK : STATUS_DENIED;
}

void client_call_begins(struct client *c)
{
    c->n_calls++;
}

bool client_call_ends(struct client *c)
{
    c->n_calls--;
    if (c->state != CLIENT_GONE) {
        return true;
    }
    if (c->n_calls == 0) {
        free_client(c);
    }
    return false;
}

/* --- output --- */

static void enqueue(struct client *c, struct frame *frame)
{
    if (!c->outbox) {
        c->outbox = outbox_create();
    }
    if (!frame || !c->outbox || !outbox_push(c->outbox, frame)) {
        client_disconnect(c, &disconnect_internal_error);
    } else if (outbox_bytes(c->outbox) > (size_t)c->hub->client_options->queue_max_size) {
        client_disconnect(c, &disconnect_slow);
    }
}

/* text begins with FRAME_HEADROOM bytes. */
static void send_or_enqueue(struct client *c, struct buf *text)
{
    struct str message = str_tail(buf_str(text), FRAME_HEADROOM);
    if (!c->outbox && c->transport->send(c->conn, text->ptr + FRAME_HEADROOM, message.len)) {
        return;
    }
    struct frame *frame = frame_create(message);
    enqueue(c, frame);
    frame_unref(frame);
}

static bool begin_message(struct buf *text)
{
    static const char headroom[FRAME_HEADROOM];
    buf_clear(text);
    buf_append(text, (struct str){headroom, FRAME_HEADROOM});
    return !buf_failed(text);
}

void client_cork(struct client *c)
{
    assert(!c->hub->corked);
    if (begin_message(&c->hub->cork)) {
        c->hub->corked = c;
    }
}

static void append_to_cork(struct client *c, struct str message)
{
    struct buf *cork = &c->hub->cork;
    size_t len = cork->len;
    if (len > FRAME_HEADROOM) {
        buf_append_char(cork, c->transport->format->separator);
    }
    buf_append(cork, message);
    if (buf_failed(cork)) {
        c->hub->corked = NULL;
        client_disconnect(c, &disconnect_slow);
    }
}

void client_uncork(struct client *c)
{
    if (c->hub->corked != c) {
        return;
    }
    c->hub->corked = NULL;
    if (c->hub->cork.len > FRAME_HEADROOM && c->state < CLIENT_GONE) {
        send_or_enqueue(c, &c->hub->cork);
    }
}

void client_send(struct client *c, struct str message)
{
    if (c->state >= CLIENT_CLOSING) {
        return;
    }
    if (c->hub->corked == c) {
        append_to_cork(c, message);
        return;
    }
    if (c->outbox) {
        struct frame *frame = frame_create(message);
        enqueue(c, frame);
        frame_unref(frame);
        return;
    }
    struct buf *text = &c->hub->scratch;
    if (begin_message(text)) {
        buf_append(text, message);
    }
    if (buf_failed(text)) {
        client_disconnect(c, &disconnect_internal_error);
    } else {
        send_or_enqueue(c, text);
    }
}

void client_prefetch(const struct client *c)
{
    __builtin_prefetch(c); /* NULL, an empty place, does no harm */
    __builtin_prefetch((const void *)((uintptr_t)c + offsetof(struct client, state)));
}

void client_prefetch_connection(const struct client *c)
{
    if (c) {
        __builtin_prefetch(c->conn);
    }
}

void client_send_frame(struct client *c, struct frame *frame)
{
    if (c->state >= CLIENT_CLOSING) {
        return;
    }
    if (c->hub->corked == c) {
        append_to_cork(c, frame_str(frame));
    } else if (c->outbox || !c->transport->send(c->conn, frame_payload(frame), frame->len)) {
        enqueue(c, frame);
    }
}

static void drop_outbox(struct client *c)
{
    outbox_destroy(c->outbox);
    c->outbox = NULL;
}

bool client_flush(struct client *c)
{
    struct buf *text = &c->hub->scratch;
    while (c->outbox && c->transport->can_send(c->conn)) {
        if (!begin_message(text) ||
            !outbox_take(c->outbox, c->transport->format->separator, JOIN_MAX_BYTES, text)) {
            drop_outbox(c);
            client_disconnect(c, &disconnect_internal_error);
            return true;
        }
        c->transport->send(c->conn, text->ptr + FRAME_HEADROOM, text->len - FRAME_HEADROOM);
        if (outbox_is_empty(c->outbox)) {
            drop_outbox(c);
        }
    }
    return !c->outbox;
}
