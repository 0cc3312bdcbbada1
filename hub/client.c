/* SPDX-License-Identifier: MIT */
/* Unit client is one connection's identity and life: stale, pings, the end. The struct is kept
 * small: there are many, and most are idle; what few clients need is allocated when it is needed.
 */
#include "hub/client.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/json_span.h"
#include "base/log.h"
#include "hub/client_internal.h"
#include "hub/hub_internal.h"

#define PING_BATCHES     128 /* per interval */
#define REASON_MAX_BYTES 123 /* of a Close frame */

static void on_stale(struct deadline *deadline);
static void on_ping(struct deadline *deadline);

static struct client *client_of(struct deadline *deadline)
{
    return container_of(deadline, struct client, deadline);
}

/* --- coming in --- */

enum status client_admit(struct hub *hub)
{
    const struct client_options *options = hub->client_options;
    if (hub->is_stopping || hub->drain.refuses) {
        return STATUS_CLOSED;
    }
    if (options->connection_limit > 0 && hub->n_clients >= (size_t)options->connection_limit) {
        hub->n_refused_limit++;
        return STATUS_OVERLOADED;
    }
    int64_t now_s = loop_now_ms(hub->loop) / 1000;
    if (now_s != hub->admitted_s) {
        hub->admitted_s = now_s;
        hub->n_admitted = 0;
    }
    if (options->connection_rate_limit > 0 && hub->n_admitted >= options->connection_rate_limit) {
        hub->n_refused_rate++;
        return STATUS_OVERLOADED;
    }
    hub->n_admitted++;
    return STATUS_OK;
}

struct client *client_create(struct hub *hub, const struct client_transport *transport, void *conn)
{
    struct client *c = calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->hub = hub;
    c->transport = transport;
    c->conn = conn;
    c->name_index = N_CLIENT_NAMES - 1;
    rng_bytes(c->id, sizeof(c->id));
    c->id[6] = (uint8_t)((c->id[6] & 0x0f) | 0x40); /* version 4 and variant of RFC 9562 */
    c->id[8] = (uint8_t)((c->id[8] & 0x3f) | 0x80);
    DL_APPEND(hub->clients, c);
    trim_count(&hub->trim, ++hub->n_clients);
    deadline_arm(hub->deadlines, &c->deadline, hub->client_options->stale_close_delay_ms, on_stale);
    return c;
}

struct client_more *client_more(struct client *c)
{
    if (!c->more) {
        c->more = calloc(1, sizeof(*c->more));
        if (c->more) {
            c->more->client = c;
        }
    }
    return c->more;
}

const struct config_list *client_wanted_headers(const struct hub *hub)
{
    return &hub->wanted_headers;
}

void client_set_headers(struct client *c, struct str lines)
{
    if (lines.len > 0 && client_more(c)) {
        free(c->more->headers);
        c->more->headers = str_dup(lines);
    }
}

void client_set_session(struct client *c, const char *session)
{
    if (client_more(c)) {
        c->more->session = session;
    }
}

/* --- the end --- */

static void free_more(struct client *c)
{
    struct client_more *more = c->more;
    if (more) {
        free(more->info);
        free(more->meta);
        free(more->headers);
        free(more->emulated_headers);
        free(more->goodbye_reason);
        free(more);
    }
}

static void free_client(struct client *c)
{
    free_more(c);
    free(c->subscriptions);
    free(c);
}

static void tell_webhooks(struct client *c, const struct disconnect *why)
{
    if (!client_is_connected(c) || !hub_tells(c->hub, WEBHOOK_DISCONNECT)) {
        return;
    }
    char uuid[RNG_UUID_SIZE];
    client_id(c, uuid);
    /* What is no code of the protocol's came from the peer's side. */
    why = why->code < 3000 ? &disconnect_connection_closed : why;
    struct webhook_client who = {
        .client = str_of(uuid), .user = client_user(c), .transport = str_of(c->transport->name)};
    webhooks_disconnected(c->hub->webhooks, &who, why->code, str_of(why->reason));
}

void client_set_name(struct client *c, struct str name)
{
    c->name_index = traffic_client_name(name) & 15;
}

void client_count_connected(struct client *c)
{
    c->is_counted = true;
    c->hub->traffic.n_accepted[c->transport->kind][c->name_index]++;
    c->hub->traffic.n_connected[c->transport->kind][c->name_index]++;
}

static void forget_connected(struct client *c)
{
    if (c->is_counted) {
        c->is_counted = false;
        c->hub->traffic.n_connected[c->transport->kind][c->name_index]--;
    }
}

/* Channels first forget the client, so that nothing is pushed to it on its way out. */
static void leave(struct client *c, const struct disconnect *why)
{
    deadline_disarm(c->hub->deadlines, &c->deadline);
    client_stop_expiry(c);
    if (c->is_to_go) {
        drain_client_leaves(&c->hub->drain, c);
    }
    client_leave_channels(c, &unsubscribe_disconnected);
    tell_webhooks(c, why);
    forget_connected(c);
    client_forget_user(c);
}

void client_destroy(struct client *c)
{
    if (c->state < CLIENT_CLOSING) {
        leave(c, &disconnect_connection_closed);
    }
    if (c->hub->corked == c) {
        c->hub->corked = NULL;
    }
    client_drop_output(c);
    drain_client_gone(&c->hub->drain, c);
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
    /* What waits is what it cannot take, or has been waiting for a reply that will not come. */
    bool is_in_vain = why == &disconnect_slow || c->state == CLIENT_CONNECTING;
    leave(c, why);
    c->state = CLIENT_CLOSING;
    if (is_in_vain) {
        client_drop_output(c);
    }
    c->hub->n_slow += why == &disconnect_slow;
    traffic_closed(&c->hub->traffic, c->transport->kind, why->code);
    c->transport->close(c->conn, why);
}

/* No character is cut in two. */
static struct str cut_reason(struct str reason)
{
    size_t len = reason.len;
    if (len > REASON_MAX_BYTES) {
        len = REASON_MAX_BYTES;
        while (len > 0 && ((unsigned char)reason.ptr[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    return str_head(reason, len);
}

void client_disconnect_with(struct client *c, uint32_t code, struct str reason)
{
    if (c->state >= CLIENT_CLOSING) {
        return;
    }
    struct client_more *more = client_more(c);
    /* Without a reason the npm client takes no code for final. */
    char *copy = str_dup(reason.len > 0 ? cut_reason(reason) : str_of(disconnect_forced.reason));
    if (!more || !copy) {
        free(copy);
        client_disconnect(c, &disconnect_internal_error);
        return;
    }
    more->goodbye_reason = copy;
    more->goodbye = (struct disconnect){.code = (uint16_t)code, .reason = copy};
    client_disconnect(c, &more->goodbye);
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

/* --- pings --- */

static void on_stale(struct deadline *deadline)
{
    client_disconnect(client_of(deadline), &disconnect_stale);
}

static void on_no_pong(struct deadline *deadline)
{
    client_disconnect(client_of(deadline), &disconnect_no_pong);
}

/* The loop's milliseconds in 32 bits, which a client has two of. They wrap: what is compared is
 * never 24 days apart. */
static uint32_t client_clock(const struct client *c)
{
    return (uint32_t)loop_now_ms(c->hub->loop);
}

/* INT32_MAX: it never ends. */
static int32_t lifetime_left_ms(const struct client *c)
{
    return c->ends_ms == 0 ? INT32_MAX : (int32_t)(c->ends_ms - client_clock(c));
}

/* Spread over a tenth, always below the maximum: clients that came together do not leave together,
 * and come back to different hubs. */
static void begin_lifetime(struct client *c)
{
    uint64_t max_ms = (uint64_t)c->hub->client_options->max_lifetime_ms;
    c->ends_ms = 0;
    if (max_ms > 0) {
        uint32_t ends_ms = client_clock(c) + (uint32_t)(max_ms - rng_below(max_ms / 10 + 1));
        c->ends_ms = ends_ms != 0 ? ends_ms : 1;
    }
}

/* The pings of many clients are sent together: a hub with nothing else to do wakes up 128 times per
 * interval, however many clients it has. Where the connection's time is over before, that is what
 * comes. */
static void arm_ping(struct client *c, int64_t delay_ms)
{
    int64_t batch_ms = c->hub->client_options->ping_interval_ms / PING_BATCHES + 1;
    int64_t now_ms = loop_now_ms(c->hub->loop);
    int64_t due_ms = (now_ms + delay_ms) / batch_ms * batch_ms;
    int64_t left_ms = lifetime_left_ms(c);
    int64_t until_ms = left_ms < due_ms - now_ms ? left_ms : due_ms - now_ms;
    deadline_arm(c->hub->deadlines, &c->deadline, until_ms > 0 ? until_ms : 0, on_ping);
}

static void on_ping(struct deadline *deadline)
{
    struct client *c = client_of(deadline);
    const struct client_options *options = c->hub->client_options;
    if (lifetime_left_ms(c) <= 0) {
        c->hub->n_rotated++;
        client_disconnect(c, &disconnect_max_lifetime);
        return;
    }
    if (c->transport->pongs) {
        c->state = CLIENT_AWAITING_PONG;
        c->pinged_ms = client_clock(c);
        deadline_arm(c->hub->deadlines, &c->deadline, options->pong_timeout_ms, on_no_pong);
    } else {
        arm_ping(c, options->ping_interval_ms);
    }
    if (c->transport->ping) {
        c->transport->ping(c->conn);
    } else {
        client_send(c, c->transport->format->ping);
    }
}

enum status client_pong(struct client *c)
{
    if (c->state != CLIENT_AWAITING_PONG) {
        return STATUS_INVALID;
    }
    c->state = CLIENT_CONNECTED;
    uint32_t since_ping_ms = client_clock(c) - c->pinged_ms;
    histogram_add(&c->hub->traffic.pongs[c->transport->kind], (uint64_t)since_ping_ms * 1000);
    arm_ping(c, c->hub->client_options->ping_interval_ms - since_ping_ms);
    return STATUS_OK;
}

/* Clients that connected together shall not be pinged together. */
void client_begin_pings(struct client *c)
{
    int64_t interval_ms = c->hub->client_options->ping_interval_ms;
    int64_t jitter_ms = (int64_t)rng_below((uint64_t)(interval_ms - interval_ms / 2));
    begin_lifetime(c);
    arm_ping(c, interval_ms / 2 + jitter_ms);
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
    return c->user ? (struct str){c->user->name, c->user->name_len} : STR_EMPTY;
}

const struct client_transport *client_transport(const struct client *c)
{
    return c->transport;
}

const struct wire_format *client_wire_format(const struct client *c)
{
    return c->transport->format;
}

void client_append_info(const struct client *c, const struct channel *channel, struct buf *out)
{
    char uuid[RNG_UUID_SIZE];
    client_id(c, uuid);
    buf_literal(out, "{\"user\":");
    json_append_string(out, client_user(c));
    buf_literal(out, ",\"client\":\"");
    buf_append(out, str_of(uuid));
    buf_append_char(out, '"');
    if (c->more && c->more->info) {
        buf_literal(out, ",\"conn_info\":");
        buf_append(out, str_of(c->more->info));
    }
    const struct subscription *s = channel ? client_subscription(c, channel) : NULL;
    if (s && s->more && s->more->info) {
        buf_literal(out, ",\"chan_info\":");
        buf_append(out, str_of(s->more->info));
    }
    buf_append_char(out, '}');
}
