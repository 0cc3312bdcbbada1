/* SPDX-License-Identifier: MIT */
/* Unit centrifuge_commands reads commands and calls the hub. A command that takes time (subscribe,
 * publish, history) makes the ones behind it wait, because clients rely on the order; see receive()
 * for the walk. */
#include "protocols/centrifuge_commands.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json_span.h"
#include "base/log.h"
#include "hub/traffic.h"
#include "protocols/centrifuge_frames.h"

#define REPLY_MAX_BYTES   ((size_t)64 << 20)
#define WAITING_MAX_BYTES ((size_t)16 << 20)

#define WRONG_MEMBERS "a member of a wrong type, or one that it needs is missing"

/* --- replying --- */

/* Sends the reply, if one was written, and releases it. */
static void send_reply(struct centrifuge_session *s, struct buf *reply)
{
    if (buf_failed(reply)) {
        client_disconnect(s->client, &disconnect_internal_error);
    } else if (reply->len > 0) {
        client_send(s->client, buf_str(reply));
    }
    buf_release(reply);
}

static struct buf new_reply(void)
{
    struct buf reply;
    buf_init(&reply, REPLY_MAX_BYTES);
    return reply;
}

/* --- what went wrong, for the log --- */

/* Idle connections have none. */
struct centrifuge_aside {
    struct buf *waiting; /* commands behind the one under way; or NULL */
    int64_t begun_us;    /* of that one; 0: none is under way, or it is not measured */
    const char *command; /* under way, while the log wants to know; or NULL */
    char *channel;       /* of that command; or NULL */
};

/* NULL: no memory. */
static struct centrifuge_aside *aside_of(struct centrifuge_session *s)
{
    s->aside = s->aside ? s->aside : calloc(1, sizeof(*s->aside));
    return s->aside;
}

static void drop_empty_aside(struct centrifuge_session *s)
{
    if (s->aside && !s->aside->waiting && !s->aside->command && s->aside->begun_us == 0) {
        free(s->aside);
        s->aside = NULL;
    }
}

static void forget_command(struct centrifuge_session *s)
{
    if (s->aside) {
        free(s->aside->channel);
        s->aside->channel = NULL;
        s->aside->command = NULL;
    }
}

/* Without memory the lines say less. */
static void note_command(struct centrifuge_session *s, const char *command, struct str params)
{
    struct str channel;
    struct centrifuge_aside *aside = aside_of(s);
    if (!aside) {
        return;
    }
    aside->command = command;
    if (json_kind(params) == JSON_KIND_OBJECT && json_member(params, STR("channel"), &channel) &&
        json_kind(channel) == JSON_KIND_STRING) {
        struct buf name;
        buf_init(&name, channel.len + 1);
        aside->channel =
            json_decode_string(channel, &name) == STATUS_OK ? str_dup(buf_str(&name)) : NULL;
        buf_release(&name);
    }
}

static void log_refusal(const struct centrifuge_session *s, uint32_t code, const char *why)
{
    if (!log_enabled(LOG_DEBUG)) {
        return;
    }
    char uuid[RNG_UUID_SIZE];
    client_id(s->client, uuid);
    const char *channel = s->aside && s->aside->channel ? s->aside->channel : "";
    log_debug("client", "refused",
              log_s("command", s->aside && s->aside->command ? s->aside->command : ""),
              log_i("code", code), log_s("why", why), log_s("channel", channel),
              log_str("user", client_user(s->client)), log_s("client", uuid));
}

/* --- what is counted --- */

static struct traffic *traffic_of(const struct centrifuge_session *s)
{
    return hub_traffic(client_hub(s->client));
}

static void count_duration(const struct centrifuge_session *s, int64_t begun_us)
{
    int64_t duration_us = clock_monotonic_us() - begun_us;
    histogram_add(&traffic_of(s)->commands[s->command], (uint64_t)duration_us);
}

/* After its handler: one that takes time is counted at its end, by count_end(). */
static void count_command(struct centrifuge_session *s, int64_t begun_us)
{
    if (!s->is_busy) {
        count_duration(s, begun_us);
    } else if (aside_of(s)) {
        s->aside->begun_us = begun_us;
    }
}

static void count_end(struct centrifuge_session *s)
{
    if (s->aside && s->aside->begun_us > 0) {
        count_duration(s, s->aside->begun_us);
        s->aside->begun_us = 0;
    }
}

static void write_error(const struct centrifuge_session *s, struct buf *reply,
                        const struct client_error *error)
{
    traffic_error(traffic_of(s), (enum client_command)s->command, error->code);
    log_refusal(s, error->code, error->message);
    centrifuge_write_error(reply, s->command_id, error);
}

static void send_error(struct centrifuge_session *s, const struct client_error *error)
{
    struct buf reply = new_reply();
    write_error(s, &reply, error);
    send_reply(s, &reply);
}

static void bad_request(struct centrifuge_session *s, const char *why)
{
    log_refusal(s, disconnect_bad_request.code, why);
    client_disconnect(s->client, &disconnect_bad_request);
}

static void work_on(struct centrifuge_session *s);

/* The end of a command that took time. False: the connection has gone meanwhile. */
static bool command_ends(struct centrifuge_session *s)
{
    s->is_busy = false;
    if (s->is_closed) {
        s->on_idle(s);
        return false;
    }
    count_end(s);
    client_cork(s->client);
    return true;
}

/* The answer to a command that took time: between the two the result is written, where there is
 * one. False: the connection has gone meanwhile. A client that is being sent away is told nothing
 * more. */
static bool begin_answer(struct centrifuge_session *s, enum status status,
                         const struct client_error *error, struct buf *ret_reply)
{
    if (!command_ends(s)) {
        return false;
    }
    *ret_reply = new_reply();
    if (status != STATUS_OK && !client_is_leaving(s->client)) {
        write_error(s, ret_reply, error ? error : protocol_error_of(status));
    }
    return true;
}

static void end_answer(struct centrifuge_session *s, struct buf *reply)
{
    send_reply(s, reply);
    client_uncork(s->client);
    work_on(s);
}

/* --- commands --- */

struct command {
    uint32_t id;
    struct centrifuge_params params;
};

#define N_FIELDS(fields) (sizeof(fields) / sizeof((fields)[0]))

static void connected(void *arg, enum status status, const struct client_error *error,
                      const struct connect_result *result)
{
    struct centrifuge_session *s = arg;
    s->is_busy = false;
    if (s->is_closed) {
        s->on_idle(s);
        return;
    }
    count_end(s);
    struct buf reply = new_reply();
    if (status == STATUS_OK) {
        s->is_authenticated = true;
        centrifuge_write_connect(&reply, s->command_id, s->client, result, s->emulation_session);
        if (buf_failed(&reply)) {
            client_disconnect(s->client, &disconnect_internal_error);
        } else {
            client_send_first(s->client, buf_str(&reply));
        }
        buf_release(&reply);
    } else if (status != STATUS_CLOSED) {
        s->is_refused = true;
        send_error(s, error ? error : protocol_error_of(status));
    }
    work_on(s);
}

static void on_connect(struct centrifuge_session *s, const struct command *c)
{
    struct connect_request request;
    if (s->is_authenticated ||
        !centrifuge_read_connect(c->params.object, c->params.decoded, &request)) {
        bad_request(s, "connected already, or a member of a wrong type");
        return;
    }
    s->is_busy = true;
    client_connect(s->client, &request, connected, s);
}

static void refreshed(void *arg, enum status status, const struct client_error *error,
                      const struct connect_result *result)
{
    struct centrifuge_session *s = arg;
    struct buf reply;
    if (!begin_answer(s, status, error, &reply)) {
        return;
    }
    if (status == STATUS_OK) {
        centrifuge_write_refresh(&reply, s->command_id, s->client, result);
    }
    end_answer(s, &reply);
}

static void on_refresh(struct centrifuge_session *s, const struct command *c)
{
    struct json_field f[] = {{STR("token"), STR_EMPTY}};
    struct str token;
    if (!centrifuge_read_fields(&c->params, f, N_FIELDS(f)) ||
        !centrifuge_read_text(&c->params, f[0].value, &token)) {
        bad_request(s, WRONG_MEMBERS);
        return;
    }
    s->is_busy = true;
    client_refresh(s->client, token, refreshed, s);
}

static void subscribed(void *arg, enum status status, const struct client_error *error,
                       const struct subscribe_result *result)
{
    struct centrifuge_session *s = arg;
    struct buf reply;
    if (!begin_answer(s, status, error, &reply)) {
        return;
    }
    if (status == STATUS_OK) {
        centrifuge_write_subscribe(&reply, s->command_id, result);
    }
    end_answer(s, &reply);
}

static void on_subscribe(struct centrifuge_session *s, const struct command *c)
{
    struct subscribe_request request;
    bool is_stream;
    if (!centrifuge_read_subscribe(&c->params, &request, &is_stream)) {
        bad_request(s, WRONG_MEMBERS);
        return;
    }
    if (!is_stream) {
        send_error(s, protocol_error_of(STATUS_DENIED));
        return;
    }
    s->is_busy = true;
    client_subscribe(s->client, &request, subscribed, s);
}

static void sub_refreshed(void *arg, enum status status, const struct client_error *error,
                          const struct subscribe_result *result)
{
    struct centrifuge_session *s = arg;
    struct buf reply;
    if (!begin_answer(s, status, error, &reply)) {
        return;
    }
    if (status == STATUS_OK) {
        centrifuge_write_sub_refresh(&reply, s->command_id, result);
    }
    end_answer(s, &reply);
}

static void on_sub_refresh(struct centrifuge_session *s, const struct command *c)
{
    struct json_field f[] = {{STR("channel"), STR_EMPTY}, {STR("token"), STR_EMPTY}};
    struct str channel;
    struct str token;
    if (!centrifuge_read_fields(&c->params, f, N_FIELDS(f)) ||
        !centrifuge_read_text(&c->params, f[0].value, &channel) ||
        !centrifuge_read_text(&c->params, f[1].value, &token) || channel.len == 0) {
        bad_request(s, WRONG_MEMBERS);
        return;
    }
    s->is_busy = true;
    client_sub_refresh(s->client, channel, token, sub_refreshed, s);
}

static void on_unsubscribe(struct centrifuge_session *s, const struct command *c)
{
    struct str channel;
    if (!centrifuge_read_channel(&c->params, &channel) ||
        client_unsubscribe(s->client, channel) != STATUS_OK) {
        bad_request(s, "no channel");
        return;
    }
    struct buf reply = new_reply();
    centrifuge_write_empty(&reply, c->id, "unsubscribe");
    send_reply(s, &reply);
}

static void published(void *arg, enum status status, const struct client_error *error)
{
    struct centrifuge_session *s = arg;
    struct buf reply;
    if (!begin_answer(s, status, error, &reply)) {
        return;
    }
    if (status == STATUS_OK) {
        centrifuge_write_empty(&reply, s->command_id, "publish");
    }
    end_answer(s, &reply);
}

static void on_publish(struct centrifuge_session *s, const struct command *c)
{
    struct json_field f[] = {{STR("channel"), STR_EMPTY}, {STR("data"), STR_EMPTY}};
    struct str channel;
    if (!centrifuge_read_fields(&c->params, f, N_FIELDS(f)) ||
        !centrifuge_read_text(&c->params, f[0].value, &channel) || channel.len == 0 ||
        f[1].value.len == 0) {
        bad_request(s, WRONG_MEMBERS);
        return;
    }
    s->is_busy = true;
    client_publish(s->client, channel, f[1].value, published, s);
}

static void history_read(void *arg, enum status status, const struct storage_history *history)
{
    struct centrifuge_session *s = arg;
    struct buf reply;
    if (!begin_answer(s, status, NULL, &reply)) {
        return;
    }
    if (status == STATUS_OK) {
        centrifuge_write_history(&reply, s->command_id, history);
    }
    end_answer(s, &reply);
}

static void on_history(struct centrifuge_session *s, const struct command *c)
{
    struct hub *hub = client_hub(s->client);
    const struct client_options *options = hub_client_options(hub);
    struct history_request request = {.max_limit = options->history_max_publication_limit,
                                      .max_bytes = (size_t)options->history_max_size};
    if (!centrifuge_read_history(&c->params, &request)) {
        bad_request(s, WRONG_MEMBERS);
        return;
    }
    enum status status = client_may(s->client, request.channel, ACCESS_HISTORY);
    if (status != STATUS_OK) {
        send_error(s, protocol_error_of(status));
        return;
    }
    s->is_busy = true;
    hub_history(hub, &request, history_read, s);
}

typedef enum status (*presence_writer_fn)(struct buf *out, uint32_t id, struct hub *hub,
                                          struct str channel);

static void answer_presence(struct centrifuge_session *s, const struct command *c,
                            presence_writer_fn write)
{
    struct str channel;
    if (!centrifuge_read_channel(&c->params, &channel) || channel.len == 0) {
        bad_request(s, WRONG_MEMBERS);
        return;
    }
    struct buf reply = new_reply();
    enum status status = client_may(s->client, channel, ACCESS_PRESENCE);
    if (status == STATUS_OK) {
        status = write(&reply, c->id, client_hub(s->client), channel);
    }
    if (status != STATUS_OK) {
        write_error(s, &reply, protocol_error_of(status));
    }
    send_reply(s, &reply);
}

static void on_presence(struct centrifuge_session *s, const struct command *c)
{
    answer_presence(s, c, centrifuge_write_presence);
}

static void on_presence_stats(struct centrifuge_session *s, const struct command *c)
{
    answer_presence(s, c, centrifuge_write_presence_stats);
}

static void rpc_answered(void *arg, enum status status, const struct client_error *error,
                         struct str data)
{
    struct centrifuge_session *s = arg;
    struct buf reply;
    if (!begin_answer(s, status, error, &reply)) {
        return;
    }
    if (status == STATUS_OK) {
        centrifuge_write_data(&reply, s->command_id, "rpc", data);
    }
    end_answer(s, &reply);
}

static void on_rpc(struct centrifuge_session *s, const struct command *c)
{
    struct json_field f[] = {{STR("method"), STR_EMPTY}, {STR("data"), STR_EMPTY}};
    struct str method;
    if (!centrifuge_read_fields(&c->params, f, N_FIELDS(f)) ||
        !centrifuge_read_text(&c->params, f[0].value, &method)) {
        bad_request(s, WRONG_MEMBERS);
        return;
    }
    s->is_busy = true;
    client_rpc(s->client, method, f[1].value, rpc_answered, s);
}

/* Messages without a reply: nothing here handles them. */
static void on_send(struct centrifuge_session *s, const struct command *c)
{
    (void)c;
    client_disconnect(s->client, &disconnect_not_available);
}

/* --- the walk --- */

static const struct {
    struct str name;
    void (*handle)(struct centrifuge_session *s, const struct command *c);
    enum { AFTER_CONNECT, BEFORE_CONNECT } when;
    enum { WITH_ID, WITHOUT_ID } id;
} methods[] = {
    {STR("connect"), on_connect, BEFORE_CONNECT, WITH_ID},
    {STR("subscribe"), on_subscribe, AFTER_CONNECT, WITH_ID},
    {STR("unsubscribe"), on_unsubscribe, AFTER_CONNECT, WITH_ID},
    {STR("publish"), on_publish, AFTER_CONNECT, WITH_ID},
    {STR("presence"), on_presence, AFTER_CONNECT, WITH_ID},
    {STR("presence_stats"), on_presence_stats, AFTER_CONNECT, WITH_ID},
    {STR("history"), on_history, AFTER_CONNECT, WITH_ID},
    {STR("refresh"), on_refresh, AFTER_CONNECT, WITH_ID},
    {STR("sub_refresh"), on_sub_refresh, AFTER_CONNECT, WITH_ID},
    {STR("rpc"), on_rpc, AFTER_CONNECT, WITH_ID},
    {STR("send"), on_send, AFTER_CONNECT, WITHOUT_ID},
};

#define N_METHODS (sizeof(methods) / sizeof(methods[0]))
_Static_assert(N_METHODS == N_CLIENT_COMMANDS, "they have the same order");

static void handle_pong(struct centrifuge_session *s)
{
    if (!s->is_authenticated || client_pong(s->client) != STATUS_OK) {
        forget_command(s); /* the one under way is not to blame */
        bad_request(s, "a pong without a ping");
    }
}

/* Finds the one method; N_METHODS when there is none or more than one. */
static size_t find_method(const struct json_field *fields)
{
    size_t found = N_METHODS;
    for (size_t i = 0; i < N_METHODS; i++) {
        bool is_there = fields[i].value.len > 0 && !str_eq(fields[i].value, STR("null"));
        if (is_there) {
            if (found != N_METHODS) {
                return N_METHODS;
            }
            found = i;
        }
    }
    return found;
}

static void handle_command(struct centrifuge_session *s, struct str text, struct buf *decoded)
{
    struct json_field f[N_METHODS + 1];
    for (size_t i = 0; i < N_METHODS; i++) {
        f[i] = (struct json_field){methods[i].name, STR_EMPTY};
    }
    f[N_METHODS] = (struct json_field){STR("id"), STR_EMPTY};
    uint64_t id;
    forget_command(s);
    if (json_check(text, NULL) != STATUS_OK ||
        json_read_object(json_trim(text), f, N_METHODS + 1, NULL) != STATUS_OK ||
        !centrifuge_read_u64(f[N_METHODS].value, &id) || id > UINT32_MAX) {
        bad_request(s, "no JSON object, a member twice, or no id");
        return;
    }
    size_t method = find_method(f);
    if (log_enabled(LOG_DEBUG)) {
        bool is_known = method != N_METHODS;
        note_command(s, is_known ? methods[method].name.ptr : "",
                     is_known ? f[method].value : STR_EMPTY);
    }
    if (method == N_METHODS && id == 0 && str_eq(json_trim(text), STR("{}"))) {
        handle_pong(s);
        return;
    }
    if (method == N_METHODS || s->is_refused || (id == 0 && methods[method].id == WITH_ID) ||
        (!s->is_authenticated && methods[method].when == AFTER_CONNECT)) {
        bad_request(s, "no known method or more than one, no id, or not connected");
        return;
    }
    struct command c = {.id = (uint32_t)id,
                        .params = {.object = f[method].value, .decoded = decoded}};
    int64_t begun_us = clock_monotonic_us();
    s->command_id = c.id;
    s->command = (uint8_t)method;
    methods[method].handle(s, &c);
    count_command(s, begun_us);
}

/* Handles commands from the front of text until one takes time, or the client is sent away; returns
 * the rest. */
static struct str handle_commands(struct centrifuge_session *s, struct str text)
{
    struct buf decoded;
    buf_init(&decoded, text.len);
    while (text.len > 0 && !s->is_busy && !client_is_leaving(s->client)) {
        ptrdiff_t end = str_find(text, '\n');
        struct str line = end < 0 ? text : str_head(text, (size_t)end);
        text = end < 0 ? STR_EMPTY : str_tail(text, (size_t)end + 1);
        buf_clear(&decoded);
        handle_command(s, line, &decoded);
    }
    buf_release(&decoded);
    return client_is_leaving(s->client) ? STR_EMPTY : text;
}

static struct buf *waiting_of(const struct centrifuge_session *s)
{
    return s->aside ? s->aside->waiting : NULL;
}

/* NULL: no memory. */
static struct buf *start_waiting(struct centrifuge_session *s)
{
    struct buf *waiting = aside_of(s) ? calloc(1, sizeof(*waiting)) : NULL;
    if (waiting) {
        buf_init(waiting, WAITING_MAX_BYTES);
        s->aside->waiting = waiting;
    }
    return waiting;
}

static void wait_with(struct centrifuge_session *s, struct str text)
{
    struct buf *waiting = waiting_of(s);
    waiting = waiting ? waiting : start_waiting(s);
    if (!waiting) {
        client_disconnect(s->client, &disconnect_internal_error);
        return;
    }
    if (waiting->len > 0) {
        buf_append_char(waiting, '\n');
    }
    buf_append(waiting, text);
    if (buf_failed(waiting)) {
        client_disconnect(s->client, &disconnect_bad_request);
    }
}

static void stop_waiting(struct centrifuge_session *s)
{
    struct buf *waiting = waiting_of(s);
    if (waiting) {
        buf_release(waiting);
        free(waiting);
        s->aside->waiting = NULL;
    }
}

/* Goes on with what waits, as far as it goes. */
static void work_on(struct centrifuge_session *s)
{
    struct buf *waiting = waiting_of(s);
    if (waiting) {
        client_cork(s->client);
        struct str rest = handle_commands(s, buf_str(waiting));
        client_uncork(s->client);
        buf_consume(waiting, waiting->len - rest.len);
        if (rest.len == 0) {
            stop_waiting(s);
        }
    }
    if (!s->is_busy) {
        forget_command(s);
        drop_empty_aside(s);
        s->on_idle(s);
    }
}

/* One trailing newline is tolerated; an empty message is not a command. */
static struct str without_last_newline(struct str message)
{
    bool has_one = message.len > 1 && message.ptr[message.len - 1] == '\n';
    return has_one ? str_head(message, message.len - 1) : message;
}

void centrifuge_receive(struct centrifuge_session *s, struct str message)
{
    if (client_is_leaving(s->client)) {
        return;
    }
    traffic_received(traffic_of(s), client_transport(s->client)->kind, message.len);
    message = without_last_newline(message);
    if (message.len == 0) {
        bad_request(s, "an empty message");
        return;
    }
    if (str_eq(message, STR("{}"))) {
        handle_pong(s); /* most of what comes; in no order with commands, and in limited time */
        return;
    }
    if (s->is_busy) {
        wait_with(s, message);
        return;
    }
    client_cork(s->client);
    struct str rest = handle_commands(s, message);
    client_uncork(s->client);
    if (rest.len > 0) {
        wait_with(s, rest);
    }
}

size_t centrifuge_waiting_bytes(const struct centrifuge_session *s)
{
    const struct buf *waiting = waiting_of(s);
    return waiting ? waiting->len : 0;
}

void centrifuge_open(struct centrifuge_session *s, struct client *client,
                     void (*on_idle)(struct centrifuge_session *session))
{
    *s = (struct centrifuge_session){.client = client, .on_idle = on_idle};
}

bool centrifuge_close(struct centrifuge_session *s)
{
    s->is_closed = true;
    stop_waiting(s);
    forget_command(s);
    if (s->aside) {
        s->aside->begun_us = 0;
    }
    drop_empty_aside(s);
    client_destroy(s->client);
    s->client = NULL;
    return !s->is_busy;
}
