/* SPDX-License-Identifier: MIT */
/* Unit connect is the way of a connection in: who it is (token, trusted header, backend, nobody),
 * may it come, the channels that the server subscribes it to, reply. Pushes of these channels wait
 * for the reply. */
#include <stdlib.h>

#include <utlist.h>

#include "base/json_span.h"
#include "base/log.h"
#include "hub/client_internal.h"
#include "hub/expiry.h"
#include "hub/hub_internal.h"
#include "hub/subscribe.h"
#include "hub/verify.h"

/* Of a personal channel's name; channel.max_length is less. */
#define CHANNEL_MAX_BYTES ((size_t)1 << 20)

enum connect_state {
    CONNECT_IDENTIFYING,
    CONNECT_VERIFYING, /* the token */
    CONNECT_ASKING,    /* the backend */
    CONNECT_ADMITTING,
    CONNECT_SUBSCRIBING,
    CONNECT_ANSWERING,
    CONNECT_DONE,
};

/* One server-side subscription. */
struct connect_part {
    struct connect *connect;
    struct subscription_grant grant;
    bool is_from_token;
    struct subscribe_result result; /* publications: own references */
    char *data;
};

struct connect {
    struct client *client;
    struct hub *hub;
    enum connect_state state;
    enum status status;
    struct client_error error;
    char *message; /* of the error; or NULL */
    connect_done_fn done;
    void *arg;
    struct deferred step;

    char *token, *data, *name, *version, *subs, *channel; /* of the request; or NULL */
    /* who it is */
    char *user, *info, *meta;
    int64_t expires_at;
    struct subscription_grants grants;
    bool are_from_token;
    char *reply_data; /* or NULL */
    struct connect_result result;

    struct connect_part *parts;
    size_t n_parts;
    size_t n_open;
};

static void connect_step(struct connect *k);

static void step_later(void *arg)
{
    connect_step(arg);
}

static void go(struct connect *k, enum connect_state state)
{
    k->state = state;
}

static void fail(struct connect *k, enum status status)
{
    k->status = status;
    go(k, CONNECT_ANSWERING);
}

static void send_away(struct connect *k, const struct disconnect *why)
{
    client_disconnect(k->client, why);
    fail(k, STATUS_CLOSED);
}

static char *take(char **text)
{
    char *taken = *text;
    *text = NULL;
    return taken;
}

/* --- who it is --- */

/* A line "Name: value" that the reverse proxy has set. */
static struct str trusted_user(const struct connect *k)
{
    struct str name = str_of(k->hub->client_options->user_id_http_header);
    struct str lines = str_of(k->client->more ? k->client->more->headers : NULL);
    while (name.len > 0 && lines.len > 0) {
        ptrdiff_t end = str_find(lines, '\n');
        struct str line = end < 0 ? lines : str_head(lines, (size_t)end);
        lines = end < 0 ? STR_EMPTY : str_tail(lines, (size_t)end + 1);
        ptrdiff_t colon = str_find(line, ':');
        if (colon >= 0 && str_eq_nocase(str_head(line, (size_t)colon), name)) {
            return str_trim(str_tail(line, (size_t)colon + 1));
        }
    }
    return STR_EMPTY;
}

static void accept_claims(struct connect *k, enum status status, struct token_claims *claims)
{
    switch (status) {
    case STATUS_OK: break;
    case STATUS_EXPIRED: fail(k, STATUS_EXPIRED); return;
    case STATUS_CONNECT: fail(k, STATUS_INTERNAL); return; /* temporary: the client tries again */
    default: send_away(k, &disconnect_invalid_token); return;
    }
    bool is_anonymous = !claims->user || !*claims->user;
    if (is_anonymous && k->hub->client_options->disallow_anonymous_connection_tokens) {
        verify_log_refusal(TOKEN_CONNECTION,
                           "it names no user: disallow_anonymous_connection_tokens", claims,
                           k->client);
        send_away(k, &disconnect_permission_denied);
        return;
    }
    k->user = take(&claims->user);
    k->info = take(&claims->info);
    k->meta = take(&claims->meta);
    k->expires_at = claims->expires_at;
    k->grants = claims->subs;
    k->are_from_token = true;
    claims->subs = (struct subscription_grants){0};
    go(k, CONNECT_ADMITTING);
}

/* False: the client has gone while somebody else was asked, and the operation ends. */
static bool goes_on(struct connect *k)
{
    if (!client_is_there(k->client)) {
        fail(k, STATUS_CLOSED);
    }
    return k->state != CONNECT_ANSWERING;
}

static void verified(void *arg, enum status status, struct token_claims *claims)
{
    struct connect *k = arg;
    if (goes_on(k)) {
        accept_claims(k, status, claims);
    }
    connect_step(k);
}

/* Nobody shall come in as somebody else because memory was short. */
static char *keep(struct connect *k, struct str text)
{
    char *copy = text.len > 0 ? str_dup(text) : NULL;
    if (text.len > 0 && !copy) {
        k->status = STATUS_NO_MEMORY;
    }
    return copy;
}

static void accept_result(struct connect *k, const struct proxy_answer *answer)
{
    k->user = keep(k, answer->user);
    k->info = keep(k, answer->info);
    k->meta = keep(k, answer->meta);
    k->reply_data = keep(k, answer->data);
    k->expires_at = answer->expire_at;
    enum status status = subscription_grants_read(answer->result, &k->grants, NULL);
    k->status = k->status == STATUS_OK ? status : k->status;
    go(k, k->status == STATUS_OK ? CONNECT_ADMITTING : CONNECT_ANSWERING);
}

static void accept_answer(struct connect *k, const struct proxy_answer *answer)
{
    switch (answer->verdict) {
    case PROXY_RESULT:
        if (answer->has_user) { /* "" is the anonymous one */
            accept_result(k, answer);
        } else {
            send_away(k, &disconnect_bad_request);
        }
        return;
    case PROXY_DISCONNECT:
        client_disconnect_with(k->client, answer->code, str_of(answer->message));
        fail(k, STATUS_CLOSED);
        return;
    case PROXY_ERROR: break;
    }
    k->message = str_dup(str_of(answer->message));
    k->error = (struct client_error){.code = answer->code,
                                     .message = k->message ? k->message : "",
                                     .is_temporary = answer->is_temporary};
    fail(k, STATUS_REFUSED);
}

static void asked(void *arg, const struct proxy_answer *answer)
{
    struct connect *k = arg;
    if (goes_on(k)) {
        accept_answer(k, answer);
    }
    connect_step(k);
}

/* The names of the channels whose positions the client brings, as a JSON list. */
static void append_channels(struct buf *out, const char *subs)
{
    struct json_walk walk = json_walk(str_of(subs));
    struct str name;
    struct str value;
    bool is_first = true;
    while (subs && json_next_member(&walk, &name, &value)) {
        buf_append_char(out, is_first ? '[' : ',');
        buf_append(out, (struct str){name.ptr - 1, name.len + 2}); /* with its quotes */
        is_first = false;
    }
    if (!is_first) {
        buf_append_char(out, ']');
    }
}

static void ask(struct connect *k, struct proxy *proxy)
{
    char uuid[RNG_UUID_SIZE];
    struct buf channels;
    buf_init(&channels, str_of(k->subs).len + 3); /* names alone are shorter */
    append_channels(&channels, k->subs);
    struct proxy_request request = {.event = PROXY_CONNECT,
                                    .data = str_of(k->data),
                                    .name = str_of(k->name),
                                    .version = str_of(k->version),
                                    .channels = buf_str(&channels)};
    hub_proxies_introduce(&request, k->client, uuid);
    struct proxy_call *call; /* an answer is waited for also when the client goes */
    go(k, CONNECT_ASKING);   /* asked() steps us */
    if (proxy_ask(proxy, &request, asked, k, &call) != STATUS_OK) {
        fail(k, STATUS_INTERNAL);
    }
    buf_release(&channels);
}

static void refuse_stranger(struct connect *k)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_info("client", "no_token", log_s("expected", "a token from every client"),
                 log_i("left_out", limit.n_left_out));
    }
    send_away(k, &disconnect_bad_request);
}

/* Leaves the state at whom was asked, or where to go on. */
static void identify(struct connect *k)
{
    const struct client_options *options = k->hub->client_options;
    struct proxy *proxy = hub_proxies_of_client(k->hub->proxies, PROXY_CONNECT);
    struct str user = trusted_user(k);
    if (!goes_on(k)) {
        return;
    }
    if (k->status != STATUS_OK) {
        fail(k, k->status);
    } else if (k->hub->is_stopping) {
        send_away(k, &disconnect_shutdown);
    } else if (k->channel) {
        go(k, CONNECT_ADMITTING);
    } else if (k->token) {
        go(k, CONNECT_VERIFYING); /* verified() steps us */
        const struct verify_request request = {
            .kind = TOKEN_CONNECTION, .token = str_of(k->token), .client = k->client};
        verify_start(k->hub, &request, verified, k);
    } else if (user.len > 0) {
        k->user = keep(k, user);
        go(k, CONNECT_ADMITTING);
    } else if (proxy) {
        ask(k, proxy);
    } else if (options->insecure || options->allow_anonymous_connect_without_token) {
        go(k, CONNECT_ADMITTING);
    } else {
        refuse_stranger(k);
    }
}

/* --- may it come? --- */

static void end_others(struct client *c)
{
    struct client *other;
    struct client *next;
    DL_FOREACH_SAFE2(c->user ? c->user->clients : NULL, other, next, user_next)
    {
        if (other != c) {
            client_disconnect(other, &disconnect_connection_limit);
        }
    }
}

static bool user_has_room(const struct connect *k)
{
    int64_t limit = k->hub->client_options->user_connection_limit;
    const struct user *user = user_find(k->hub, str_of(k->user));
    return limit == 0 || !user || user->n_clients < (size_t)limit;
}

static enum status become(struct connect *k)
{
    struct client *c = k->client;
    bool ends_unasked = k->channel && k->expires_at > 0;
    if ((k->info || k->meta || ends_unasked) && !client_more(c)) {
        return STATUS_NO_MEMORY;
    }
    if (ends_unasked) {
        c->more->ends_unasked = true;
    }
    enum status status = client_set_expiry(c, k->expires_at, &k->result);
    if (status == STATUS_OK) {
        status = client_set_user(c, str_of(k->user));
    }
    if (status == STATUS_OK) {
        if (k->info) {
            c->more->info = take(&k->info);
        }
        if (k->meta) {
            c->more->meta = take(&k->meta);
        }
    }
    return status;
}

static void admit(struct connect *k)
{
    const struct personal_channel_options *personal = &k->hub->client_options->personal_channel;
    bool is_over = expiry_is_over(k->expires_at);
    bool ends_others = personal->enabled && personal->single_connection;
    if (is_over || k->status != STATUS_OK) {
        fail(k, is_over ? STATUS_OVER : k->status);
        return;
    }
    if (!ends_others && !user_has_room(k)) {
        k->hub->n_refused_user_limit++;
        send_away(k, &disconnect_connection_limit);
        return;
    }
    enum status status = become(k);
    if (status != STATUS_OK) {
        fail(k, status);
        return;
    }
    if (ends_others) {
        end_others(k->client);
    }
    go(k, CONNECT_SUBSCRIBING);
}

/* --- the channels that the server subscribes it to --- */

/* What was missed, and who comes and goes, is nothing to one who only reads the newest; but it
 * shall not stop to come unnoticed. */
static void add_only_part(struct connect *k)
{
    static const struct subscription_override plain = {.force_push_join_leave = OVERRIDE_FALSE,
                                                       .force_positioning = OVERRIDE_TRUE,
                                                       .force_recovery = OVERRIDE_FALSE};
    k->parts[k->n_parts++] = (struct connect_part){
        .connect = k, .grant = {.channel = take(&k->channel), .override = plain}};
}

static bool append_personal(struct connect *k, struct buf *name)
{
    const struct personal_channel_options *personal = &k->hub->client_options->personal_channel;
    const struct channel_options *channel = k->hub->channel_options;
    if (!personal->enabled || !k->user || !*k->user) {
        return false;
    }
    if (*personal->personal_channel_namespace) {
        buf_append(name, str_of(personal->personal_channel_namespace));
        buf_append(name, str_of(channel->namespace_boundary));
    }
    buf_append(name, str_of(channel->user_boundary));
    buf_append(name, str_of(k->user));
    return !buf_failed(name);
}

static bool has_part(const struct connect *k, struct str channel)
{
    for (size_t i = 0; i < k->n_parts; i++) {
        if (str_eq(str_of(k->parts[i].grant.channel), channel)) {
            return true;
        }
    }
    return false;
}

/* Moves what is to be subscribed into parts. */
static void gather_parts(struct connect *k)
{
    k->parts = hub_allocate((k->grants.n_items + 1) * sizeof(*k->parts));
    for (size_t i = 0; i < k->grants.n_items; i++) {
        struct connect_part *part = &k->parts[k->n_parts++];
        *part = (struct connect_part){
            .connect = k, .grant = k->grants.items[i], .is_from_token = k->are_from_token};
        k->grants.items[i] = (struct subscription_grant){0};
    }
    if (k->channel) {
        add_only_part(k);
    }
    struct buf name;
    buf_init(&name, CHANNEL_MAX_BYTES);
    if (append_personal(k, &name) && !has_part(k, buf_str(&name))) {
        k->parts[k->n_parts++] =
            (struct connect_part){.connect = k, .grant = {.channel = str_dup(buf_str(&name))}};
    }
    buf_release(&name);
}

static void keep_result(struct connect_part *part, const struct subscribe_result *result)
{
    part->result = *result;
    part->data = keep(part->connect, result->data);
    part->result.data = str_of(part->data);
    struct publication **kept =
        hub_allocate((result->n_publications + 1) * sizeof(struct publication *));
    for (size_t i = 0; i < result->n_publications; i++) {
        kept[i] = publication_ref(result->publications[i]);
    }
    part->result.publications = kept;
}

/* The backend's mistake, not the client's. */
static void log_part(const struct connect_part *part, enum status status)
{
    static struct log_limit limit;
    char uuid[RNG_UUID_SIZE];
    const char *why = status == STATUS_UNKNOWN_CHANNEL ? "its namespace is not configured"
                      : status == STATUS_INVALID       ? "its name is not allowed"
                                                       : status_name(status);
    if (status == STATUS_CLOSED || !log_permits(&limit)) { /* closed: the client has gone */
        return;
    }
    client_id(part->connect->client, uuid);
    log_info("client", "server_subscription_refused", log_s("why", why),
             log_s("channel", part->grant.channel),
             log_s("named_by", part->is_from_token ? "token" : "backend or personal channel"),
             log_str("user", client_user(part->connect->client)), log_s("client", uuid),
             log_i("left_out", limit.n_left_out));
}

static void part_done(void *arg, enum status status, const struct client_error *error,
                      const struct subscribe_result *result)
{
    struct connect_part *part = arg;
    struct connect *k = part->connect;
    (void)error; /* nobody but the storage is asked */
    if (status == STATUS_OK) {
        keep_result(part, result);
    } else if (k->status == STATUS_OK) { /* the first one is told */
        log_part(part, status);
        k->status = status;
    }
    if (--k->n_open == 0) {
        go(k, CONNECT_ANSWERING);
        connect_step(k);
    }
}

/* Where the client was in this channel: connect.subs. */
static void read_position(const struct connect *k, struct server_subscribe *request)
{
    struct str position;
    if (!k->subs || !json_member(str_of(k->subs), request->channel, &position)) {
        return;
    }
    struct json_field f[] = {
        {STR("recover"), STR_EMPTY}, {STR("offset"), STR_EMPTY}, {STR("epoch"), STR_EMPTY}};
    if (json_kind(position) != JSON_KIND_OBJECT ||
        json_read_object(position, f, 3, NULL) != STATUS_OK || !str_eq(f[0].value, STR("true"))) {
        return;
    }
    bool has_epoch = f[2].value.len > 2 && json_kind(f[2].value) == JSON_KIND_STRING;
    struct str epoch = has_epoch ? str_tail(str_head(f[2].value, f[2].value.len - 1), 1)
                                 : STR_EMPTY; /* letters, without escapes */
    request->recover = f[1].value.len == 0 || json_to_u64(f[1].value, &request->since.offset);
    if (epoch.len < sizeof(request->since.epoch)) {
        memcpy(request->since.epoch, epoch.ptr ? epoch.ptr : "", epoch.len);
    } else {
        request->since.epoch[0] = '-'; /* no stream's */
    }
}

/* True: they are under way. */
static bool subscribe(struct connect *k)
{
    gather_parts(k);
    if (k->n_parts > (size_t)k->hub->client_options->channel_limit) {
        send_away(k, &disconnect_channel_limit);
        return false;
    }
    k->n_open = k->n_parts;
    for (size_t i = 0; i < k->n_parts; i++) {
        struct connect_part *part = &k->parts[i];
        struct server_subscribe request = {.channel = str_of(part->grant.channel),
                                           .grant = &part->grant,
                                           .is_from_token = part->is_from_token};
        read_position(k, &request);
        client_subscribe_by_server(k->client, &request, part_done, part);
    }
    if (k->n_parts == 0) {
        go(k, CONNECT_ANSWERING);
    }
    return k->n_parts > 0;
}

/* --- the end --- */

static void answer_well(struct connect *k)
{
    struct connect_subscription *subs = hub_allocate((k->n_parts + 1) * sizeof(*subs));
    for (size_t i = 0; i < k->n_parts; i++) {
        subs[i] = (struct connect_subscription){.channel = str_of(k->parts[i].grant.channel),
                                                .result = &k->parts[i].result};
    }
    k->result.data = str_of(k->reply_data);
    k->result.subs = subs;
    k->result.n_subs = k->n_parts;
    client_begin_pings(k->client);
    client_count_connected(k->client);
    k->done(k->arg, STATUS_OK, NULL, &k->result);
    free(subs);
}

/* The connection is of no use any more, and will be closed as stale. */
static void back_to_stranger(struct client *c)
{
    client_stop_expiry(c);
    client_leave_channels(c, &unsubscribe_disconnected);
    client_forget_user(c);
    client_drop_output(c);
    c->state = CLIENT_NEW;
}

static void answer(struct connect *k)
{
    struct client *c = k->client;
    bool is_there = client_call_ends(c) && client_is_there(c);
    if (!is_there) {
        k->done(k->arg, STATUS_CLOSED, NULL, NULL);
        return;
    }
    if (k->status != STATUS_OK) {
        back_to_stranger(c);
        k->done(k->arg, k->status, k->status == STATUS_REFUSED ? &k->error : NULL, NULL);
        return;
    }
    answer_well(k);
}

static void free_part(struct connect_part *part)
{
    subscription_grant_release(&part->grant);
    for (size_t i = 0; i < part->result.n_publications; i++) {
        publication_unref(part->result.publications[i]);
    }
    free((void *)part->result.publications);
    free(part->data);
}

static void finish(struct connect *k)
{
    for (size_t i = 0; i < k->n_parts; i++) {
        free_part(&k->parts[i]);
    }
    free(k->parts);
    subscription_grants_release(&k->grants);
    char *texts[] = {k->token, k->data, k->name, k->version,    k->subs,   k->channel,
                     k->user,  k->info, k->meta, k->reply_data, k->message};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        free(texts[i]);
    }
    k->hub->n_operations--;
    free(k);
}

/* One connection's way in, top to bottom. */
static void connect_step(struct connect *k)
{
    switch (k->state) {
    case CONNECT_IDENTIFYING: identify(k); break;
    case CONNECT_ADMITTING: admit(k); break;
    case CONNECT_SUBSCRIBING:
        if (subscribe(k)) {
            return; /* part_done() steps us */
        }
        break;
    case CONNECT_ANSWERING:
        answer(k);
        go(k, CONNECT_DONE);
        break;
    case CONNECT_VERIFYING:
    case CONNECT_ASKING: return; /* verified() or asked() steps us */
    case CONNECT_DONE: finish(k); return;
    }
    connect_step(k);
}

static bool is_wanted(const struct hub *hub, struct str header)
{
    const char *const *names = hub->wanted_headers.items;
    for (size_t i = 0; i < hub->wanted_headers.n_items; i++) {
        if (str_eq_nocase(header, str_of(names[i]))) {
            return true;
        }
    }
    return false;
}

/* They stay as long as the connection, so no more of them than what will be needed. */
static void keep_emulated_headers(struct client *c, struct str headers)
{
    struct json_walk walk = json_walk(headers);
    struct str name;
    struct str value;
    struct buf kept;
    buf_init(&kept, headers.len);
    while (headers.len > 0 && json_next_member(&walk, &name, &value)) {
        if (is_wanted(c->hub, name)) {
            buf_append_char(&kept, kept.len == 0 ? '{' : ',');
            buf_append(&kept, (struct str){name.ptr - 1, name.len + 2}); /* with its quotes */
            buf_append_char(&kept, ':');
            buf_append(&kept, value);
        }
    }
    if (kept.len > 0 && client_more(c)) {
        buf_append_char(&kept, '}');
        free(c->more->emulated_headers);
        c->more->emulated_headers = buf_take(&kept);
    }
    buf_release(&kept);
}

void client_connect(struct client *c, const struct connect_request *request, connect_done_fn done,
                    void *arg)
{
    struct connect *k = hub_allocate(sizeof(*k));
    *k = (struct connect){
        .client = c, .hub = c->hub, .done = done, .arg = arg, .step = {.fn = step_later, .arg = k}};
    k->token = keep(k, request->token);
    k->data = keep(k, request->data);
    k->name = keep(k, request->name);
    k->version = keep(k, request->version);
    k->subs = keep(k, request->subs);
    k->channel = keep(k, request->channel);
    k->expires_at = request->expires_at;
    keep_emulated_headers(c, request->headers);
    client_set_name(c, request->name);
    client_call_begins(c);
    c->hub->n_operations++;
    if (client_is_there(c)) {
        c->state = CLIENT_CONNECTING;
    }
    loop_defer(c->hub->loop, &k->step);
}
