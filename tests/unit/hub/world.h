/* What the tests of hub/ and protocols/ share: a real hub on a real loop, with a real storage, and
 * peers: clients whose transport writes into memory. Knows no test library, so that fuzz targets
 * can use it too: what must not fail here ends the program. */
#ifndef BELFRY_TESTS_HUB_WORLD_H
#define BELFRY_TESTS_HUB_WORLD_H

#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json_span.h"
#include "base/log.h"
#include "hub/client.h"
#include "hub/hub.h"
#include "upstreams/address_guard.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: required: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct world {
    struct loop *loop;
    struct deadlines *deadlines;
    struct storage *storage;
    struct fetch_pool *pool;
    struct fetch_pool *guarded_pool;
    struct address_guard *guard;
    struct client_options client_options;
    struct channel_options channel_options;
    struct upstreams_options upstreams_options;
    struct config_list feeds;
    struct rpc_options rpc_options;
    struct config_list proxies;
    struct config_list webhooks;
    struct hub *hub;
    char folder[64]; /* "" without a file */
    char path[96];
};

/* JSON texts; NULL: all defaults. */
struct world_options {
    const char *client;
    const char *channel;
    const char *upstreams;
    const char *feeds[4]; /* one feed each */
    const char *rpc;
    const char *proxies[4];  /* one each */
    const char *webhooks[4]; /* one each */
    bool has_file;
};

static inline void world_turn(struct world *w)
{
    uv_run(loop_uv(w->loop), UV_RUN_ONCE);
}

/* The test's time limit is ctest's. */
#define WAIT_FOR(world, condition)                                                                 \
    do {                                                                                           \
        while (!(condition)) {                                                                     \
            world_turn(world);                                                                     \
        }                                                                                          \
    } while (0)

/* --- making --- */

static inline void world_read(const char *text, const struct config_shape *shape, void *object)
{
    struct config_errors errors;
    enum status status = config_read(str_of(text ? text : "{}"), shape, object, &errors);
    for (size_t i = 0; i < errors.n_texts; i++) {
        (void)fprintf(stderr, "%s\n", errors.texts[i]);
    }
    REQUIRE(status == STATUS_OK);
    config_errors_release(&errors);
}

static inline struct config_list world_read_list(const char *const texts[4],
                                                 const struct config_shape *shape)
{
    size_t n = 0;
    while (n < 4 && texts[n]) {
        n++;
    }
    char *all = calloc(n + 1, shape->size);
    REQUIRE(all);
    for (size_t i = 0; i < n; i++) {
        world_read(texts[i], shape, all + i * shape->size);
    }
    return (struct config_list){.items = all, .n_items = n};
}

static inline void world_release_list(struct config_list *list, const struct config_shape *shape)
{
    for (size_t i = 0; i < list->n_items; i++) {
        config_release(shape, (char *)list->items + i * shape->size);
    }
    free(list->items);
}

static inline void world_open_storage(struct world *w)
{
    struct storage_options options = {.loop = w->loop,
                                      .path = w->path,
                                      .durability = w->folder[0] ? STORAGE_NORMAL : STORAGE_MEMORY,
                                      .queue_max_size = (size_t)64 << 20,
                                      .stream_limit = 1000000,
                                      .idempotency_key_limit = 1000000};
    REQUIRE(storage_open(&options, &w->storage) == STATUS_OK);
}

static inline void world_open_hub(struct world *w)
{
    struct hub_options options = {.loop = w->loop,
                                  .deadlines = w->deadlines,
                                  .storage = w->storage,
                                  .fetch_pool = w->pool,
                                  .guarded_pool = w->guarded_pool,
                                  .guard = w->guard,
                                  .backend_pool = w->pool,
                                  .client = &w->client_options,
                                  .channel = &w->channel_options,
                                  .feeds = &w->feeds,
                                  .upstreams = &w->upstreams_options,
                                  .rpc = &w->rpc_options,
                                  .proxies = &w->proxies,
                                  .webhooks = &w->webhooks,
                                  .version = "0.0.1"};
    REQUIRE(hub_create(&options, &w->hub) == STATUS_OK);
    WAIT_FOR(w, hub_is_idle(w->hub)); /* events of webhooks that are no more have been removed */
}

static inline struct world *world_create(const struct world_options *options)
{
    struct world *w = calloc(1, sizeof(*w));
    REQUIRE(w);
    log_set_level(LOG_NONE);
    if (options->has_file) {
        snprintf(w->folder, sizeof(w->folder), "/tmp/belfry-hub-XXXXXX");
        REQUIRE(mkdtemp(w->folder));
        snprintf(w->path, sizeof(w->path), "%s/hub.db", w->folder);
    }
    world_read(options->client, &client_options_shape, &w->client_options);
    world_read(options->channel, &channel_options_shape, &w->channel_options);
    world_read(options->upstreams, &upstreams_options_shape, &w->upstreams_options);
    world_read(options->rpc, &rpc_options_shape, &w->rpc_options);
    w->feeds = world_read_list(options->feeds, &feed_options_shape);
    w->proxies = world_read_list(options->proxies, &named_proxy_options_shape);
    w->webhooks = world_read_list(options->webhooks, &webhook_options_shape);
    REQUIRE(loop_create(&w->loop) == STATUS_OK);
    REQUIRE(deadlines_create(w->loop, 5, 64, &w->deadlines) == STATUS_OK);
    struct fetch_pool_options pool = {
        .loop = w->loop, .max_concurrent = 8, .max_waiting = 8, .user_agent = "test"};
    REQUIRE(fetch_pool_create(&pool, &w->pool) == STATUS_OK);
    w->guard = address_guard_create(&w->upstreams_options.allow_hosts);
    pool.guard = w->guard;
    REQUIRE(fetch_pool_create(&pool, &w->guarded_pool) == STATUS_OK);
    world_open_storage(w);
    world_open_hub(w);
    return w;
}

/* --- ending --- */

static inline void world_note(void *arg)
{
    *(bool *)arg = true;
}

static inline void world_close_storage(struct world *w)
{
    bool closed = false;
    storage_close(w->storage, world_note, &closed);
    WAIT_FOR(w, closed);
}

/* As if the program had ended and were started again. All peers must be gone. */
static inline void world_restart(struct world *w)
{
    WAIT_FOR(w, hub_is_idle(w->hub));
    hub_destroy(w->hub);
    world_close_storage(w);
    world_open_storage(w);
    world_open_hub(w);
}

static inline void world_remove_files(struct world *w)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-lock", "-journal"};
    for (size_t i = 0; w->folder[0] && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", w->path, suffixes[i]);
        unlink(name);
    }
    REQUIRE(!w->folder[0] || rmdir(w->folder) == 0);
}

/* All peers must be gone; a test that failed leaves them, and the world with them. */
static inline void world_destroy(struct world *w)
{
    if (hub_n_clients(w->hub) > 0) {
        (void)fprintf(stderr, "peers are left over\n");
        return;
    }
    WAIT_FOR(w, hub_is_idle(w->hub));
    hub_destroy(w->hub);
    world_close_storage(w);
    fetch_pool_destroy(w->pool);
    fetch_pool_destroy(w->guarded_pool);
    deadlines_destroy(w->deadlines);
    loop_destroy(w->loop);
    address_guard_destroy(w->guard);
    world_release_list(&w->feeds, &feed_options_shape);
    world_release_list(&w->proxies, &named_proxy_options_shape);
    world_release_list(&w->webhooks, &webhook_options_shape);
    config_release(&rpc_options_shape, &w->rpc_options);
    config_release(&client_options_shape, &w->client_options);
    config_release(&channel_options_shape, &w->channel_options);
    config_release(&upstreams_options_shape, &w->upstreams_options);
    world_remove_files(w);
    free(w);
}

/* For a backend whose address must be known before there is a loop. */
static inline int world_free_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(s >= 0 && bind(s, (struct sockaddr *)&name, len) == 0);
    REQUIRE(getsockname(s, (struct sockaddr *)&name, &len) == 0);
    close(s);
    return ntohs(name.sin_port);
}

/* --- a wire format that is easy to read: "news:a 3 {..}" --- */

/* Data as text is in quotes, a delta in angle brackets. */
static inline void plain_publication(const struct wire_format *format, struct buf *out,
                                     struct str channel, const struct publication *p,
                                     enum publication_form form, struct str patch)
{
    static const char *const quotes[] = {[FORM_JSON] = "", [FORM_TEXT] = "'", [FORM_DELTA] = "~"};
    (void)format;
    buf_append(out, channel);
    buf_append_char(out, ' ');
    buf_append_u64(out, p->offset);
    buf_append_char(out, ' ');
    buf_append(out, str_of(quotes[form]));
    buf_append(out, form == FORM_DELTA ? patch : p->data);
    buf_append(out, str_of(quotes[form]));
}

static inline void plain_join(const struct wire_format *format, struct buf *out, struct str channel,
                              struct str info)
{
    (void)format;
    buf_append(out, channel);
    buf_literal(out, " joins ");
    buf_append(out, info);
}

static inline void plain_leave(const struct wire_format *format, struct buf *out,
                               struct str channel, struct str info)
{
    (void)format;
    buf_append(out, channel);
    buf_literal(out, " leaves ");
    buf_append(out, info);
}

static inline void plain_subscribe(const struct wire_format *format, struct buf *out,
                                   struct str channel, const struct subscribe_result *result)
{
    (void)format;
    buf_append(out, channel);
    buf_printf(out, " begins %llu", (unsigned long long)result->position.offset);
}

static inline void plain_unsubscribe(const struct wire_format *format, struct buf *out,
                                     struct str channel, const struct disconnect *why)
{
    (void)format;
    buf_append(out, channel);
    buf_printf(out, " ends %u", why->code);
}

static inline void plain_refresh(const struct wire_format *format, struct buf *out, bool expires,
                                 int64_t ttl_s)
{
    (void)format;
    buf_printf(out, "refresh %d %lld", expires, (long long)ttl_s);
}

static inline void plain_disconnect(const struct wire_format *format, struct buf *out,
                                    const struct disconnect *why)
{
    (void)format;
    buf_printf(out, "disconnect %u", why->code);
}

static const struct wire_format plain_format = {
    .index = 1,
    .joins = true,
    .between = {"|", 1},
    .publication = plain_publication,
    .join = plain_join,
    .leave = plain_leave,
    .subscribe = plain_subscribe,
    .unsubscribe = plain_unsubscribe,
    .refresh = plain_refresh,
    .disconnect = plain_disconnect,
    .ping = {"ping", 4},
};

/* --- peers --- */

struct peer {
    struct world *world;
    struct client *client; /* NULL: gone */
    struct buf received;   /* messages, each followed by a newline */
    size_t n_messages;
    bool is_blocked;              /* takes no message; peer_unblock() */
    unsigned room;                /* how many messages until it blocks itself; 0: any number */
    const struct disconnect *why; /* the close that was asked for */
    unsigned n_closes;
    void (*on_send)(struct peer *peer);
};

static inline bool peer_can_send(void *conn)
{
    const struct peer *p = conn;
    return !p->is_blocked;
}

static inline bool peer_send(void *conn, char *payload, size_t len)
{
    struct peer *p = conn;
    if (p->is_blocked) {
        return false;
    }
    memset(payload - FRAME_HEADROOM, 0xee, FRAME_HEADROOM); /* as a transport may */
    buf_append(&p->received, (struct str){payload, len});
    buf_append_char(&p->received, '\n');
    REQUIRE(!buf_failed(&p->received));
    p->n_messages++;
    if (p->room > 0 && --p->room == 0) {
        p->is_blocked = true;
    }
    if (p->on_send) {
        p->on_send(p);
    }
    return true;
}

static inline void peer_close(void *conn, const struct disconnect *why)
{
    struct peer *p = conn;
    p->why = why;
    p->n_closes++;
}

static const struct client_transport plain_transport = {
    .name = "test",
    .format = &plain_format,
    .pongs = true,
    .send = peer_send,
    .can_send = peer_can_send,
    .close = peer_close,
};

/* Connected to nothing yet: no connect command was given. */
static inline void peer_open_with(struct peer *p, struct world *w,
                                  const struct client_transport *transport)
{
    *p = (struct peer){.world = w};
    buf_init(&p->received, (size_t)64 << 20);
    p->client = client_create(w->hub, transport, p);
    REQUIRE(p->client);
}

static inline void peer_open(struct peer *p, struct world *w)
{
    peer_open_with(p, w, &plain_transport);
}

struct connect_answer {
    struct peer *peer;
    bool is_done;
    enum status status;
    struct client_error error;
    char message[64];             /* of the error */
    struct connect_result result; /* without the subscriptions */
    char subs[512];               /* "channel offset recovered-offsets;" */
};

static inline void connect_answered(void *arg, enum status status, const struct client_error *error,
                                    const struct connect_result *result)
{
    struct connect_answer *a = arg;
    REQUIRE(!a->is_done);
    REQUIRE((status == STATUS_OK) == (result != NULL));
    REQUIRE((status == STATUS_REFUSED) == (error != NULL));
    a->is_done = true;
    a->status = status;
    if (error) {
        a->error = *error;
        snprintf(a->message, sizeof(a->message), "%s", error->message);
        a->error.message = a->message;
    }
    if (!result) {
        return;
    }
    a->result = *result;
    for (size_t i = 0; i < result->n_subs; i++) {
        const struct subscribe_result *sub = result->subs[i].result;
        size_t len = strlen(a->subs);
        len += (size_t)snprintf(a->subs + len, sizeof(a->subs) - len, "%.*s %llu",
                                STR_ARG(result->subs[i].channel),
                                (unsigned long long)sub->position.offset);
        for (size_t k = 0; k < sub->n_publications; k++) {
            len += (size_t)snprintf(a->subs + len, sizeof(a->subs) - len, " %llu",
                                    (unsigned long long)sub->publications[k]->offset);
        }
        snprintf(a->subs + len, sizeof(a->subs) - len, ";");
    }
    if (a->peer) { /* as a transport's reply: without it pushes would wait for ever */
        client_send_first(a->peer->client, STR("connected"));
    }
}

static inline struct connect_answer connect_request(struct peer *p,
                                                    const struct connect_request *request)
{
    struct connect_answer a = {.peer = p};
    client_connect(p->client, request, connect_answered, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(p->world, a.is_done);
    return a;
}

static inline struct connect_answer connect_with_token(struct peer *p, const char *token)
{
    return connect_request(p, &(struct connect_request){.token = str_of(token)});
}

static inline struct connect_answer refresh_with_token(struct peer *p, const char *token)
{
    struct connect_answer a = {.peer = NULL};
    client_refresh(p->client, str_of(token), connect_answered, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(p->world, a.is_done);
    return a;
}

/* Opens and connects without a token; the reply is forgotten. */
static inline void peer_connect(struct peer *p, struct world *w)
{
    peer_open(p, w);
    REQUIRE(connect_with_token(p, "").status == STATUS_OK);
    buf_clear(&p->received);
    p->n_messages = 0;
}

static inline void peer_leave(struct peer *p)
{
    if (p->client) {
        client_destroy(p->client);
        p->client = NULL;
    }
}

static inline void peer_release(struct peer *p)
{
    peer_leave(p);
    buf_release(&p->received);
}

static inline bool peer_unblock(struct peer *p)
{
    p->is_blocked = false;
    return client_flush(p->client);
}

/* What it received so far, NUL-terminated; valid until the next message. */
static inline const char *peer_text(struct peer *p)
{
    REQUIRE(buf_reserve(&p->received, 1) == STATUS_OK);
    p->received.ptr[p->received.len] = '\0';
    return p->received.ptr;
}

static inline void peer_forget(struct peer *p)
{
    buf_clear(&p->received);
    p->n_messages = 0;
}

/* --- calls that are waited for --- */

struct subscribe_answer {
    bool is_done;
    enum status status;
    struct subscribe_result result; /* without the publications */
    size_t n_publications;
    char offsets[512]; /* of the publications: "3 4 5 " */
};

static inline void subscribe_answered(void *arg, enum status status,
                                      const struct client_error *error,
                                      const struct subscribe_result *result)
{
    struct subscribe_answer *a = arg;
    REQUIRE(!a->is_done);
    REQUIRE((status == STATUS_REFUSED) == (error != NULL));
    a->is_done = true;
    a->status = status;
    a->offsets[0] = '\0';
    REQUIRE((status == STATUS_OK) == (result != NULL));
    if (!result) {
        return;
    }
    a->result = *result;
    a->result.publications = NULL;
    a->n_publications = result->n_publications;
    for (size_t i = 0; i < result->n_publications; i++) {
        size_t len = strlen(a->offsets);
        snprintf(a->offsets + len, sizeof(a->offsets) - len, "%llu ",
                 (unsigned long long)result->publications[i]->offset);
    }
}

static inline struct subscribe_answer subscribe_with(struct peer *p,
                                                     const struct subscribe_request *request)
{
    struct subscribe_answer a = {.is_done = false};
    client_subscribe(p->client, request, subscribe_answered, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(p->world, a.is_done);
    return a;
}

static inline struct subscribe_answer subscribe(struct peer *p, const char *channel)
{
    return subscribe_with(p, &(struct subscribe_request){.channel = str_of(channel)});
}

static inline struct subscribe_answer recover(struct peer *p, const char *channel,
                                              const struct storage_position *position)
{
    return subscribe_with(p, &(struct subscribe_request){.channel = str_of(channel),
                                                         .epoch = str_of(position->epoch),
                                                         .offset = position->offset,
                                                         .recover = true,
                                                         .recoverable = true});
}

struct publish_answer {
    bool is_done;
    enum status status;
    struct storage_position position;
    bool is_reported;
    struct delivery_report report;
};

static inline void publish_answered(void *arg, enum status status,
                                    const struct storage_position *position,
                                    const struct delivery_report *report)
{
    struct publish_answer *a = arg;
    REQUIRE(!a->is_done);
    a->is_done = true;
    a->status = status;
    a->position = *position;
    a->is_reported = report;
    if (report) {
        a->report = *report;
    }
}

static inline void publish_start(struct world *w, const char *channel, const char *data,
                                 struct publish_answer *answer)
{
    *answer = (struct publish_answer){.is_done = false};
    struct publish_request request = {.channel = str_of(channel), .data = str_of(data)};
    hub_publish(w->hub, &request, publish_answered, answer);
    REQUIRE(!answer->is_done);
}

static inline struct publish_answer publish_with(struct world *w,
                                                 const struct publish_request *request)
{
    struct publish_answer a = {.is_done = false};
    hub_publish(w->hub, request, publish_answered, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(w, a.is_done);
    return a;
}

/* Until it is answered; what was pushed is delivered later. */
static inline struct publish_answer publish(struct world *w, const char *channel, const char *data)
{
    struct publish_answer a;
    publish_start(w, channel, data, &a);
    WAIT_FOR(w, a.is_done);
    return a;
}

struct remove_answer {
    bool is_done;
    enum status status;
};

static inline void remove_answered(void *arg, enum status status)
{
    struct remove_answer *a = arg;
    REQUIRE(!a->is_done);
    *a = (struct remove_answer){.is_done = true, .status = status};
}

static inline enum status remove_history(struct world *w, const char *channel)
{
    struct remove_answer a = {.is_done = false};
    hub_history_remove(w->hub, str_of(channel), remove_answered, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(w, a.is_done);
    return a.status;
}

static inline uint64_t world_n_sent(struct world *w)
{
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    return stats.fan_out.n_messages;
}

static inline uint64_t n_reads(struct world *w)
{
    struct storage_stats stats;
    storage_stats(w->storage, &stats);
    return stats.n_reads;
}

static inline struct hub_stats stats_of(struct world *w)
{
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    return stats;
}

#endif
