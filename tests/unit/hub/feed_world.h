/* What the tests of feeds share: a world whose feeds ask an HTTP server of the test, by routes. */
#ifndef BELFRY_TESTS_HUB_FEED_WORLD_H
#define BELFRY_TESTS_HUB_FEED_WORLD_H

#include "hub/hub_internal.h"
#include "tests/unit/hub/backend.h"
#include "tests/unit/hub/world.h"

#define ROUTES_MAX 16

#define FEED_URL "http://127.0.0.1:PORT/"

/* Without pings: messages are counted. */
#define FEED_CLIENT "{\"insecure\":true,\"ping_interval\":\"1h\"}"
#define FEED_CHANNEL                                                                               \
    "{\"namespaces\":[{\"name\":\"city\",\"history_size\":5,\"history_ttl\":\"1h\","               \
    "\"force_positioning\":true}]}"
#define FEED_CITY                                                                                  \
    "{\"name\":\"city\",\"channel\":\"city:{city}\",\"params\":{\"city\":\"[a-z.]+\"},"            \
    "\"timeout\":\"20s\",\"upstreams\":["                                                          \
    "{\"name\":\"air\",\"url\":\"" FEED_URL "air/{city}\"},"                                       \
    "{\"name\":\"events\",\"url\":\"" FEED_URL "events?near={city}\"}]}"

struct feed_route {
    const char *path; /* what the request's path begins with */
    int status;       /* 0: 200 */
    const char *headers;
    const char *body; /* NULL: null */
    const char *etag; /* 304 for who has it; its header is to be among headers */
    bool hangs;
    int n; /* requests */
};

struct feed_world {
    struct world *w;
    struct backend backend;
    struct feed_route routes[ROUTES_MAX];
    char requested[4096]; /* the last request */
};

static inline bool path_fits(const struct backend *b, const char *path)
{
    const char *at = strchr(b->request, ' ');
    return at && path && strncmp(at + 1, path, strlen(path)) == 0;
}

static inline void feed_world_take(struct backend *b)
{
    struct feed_world *f = b->arg;
    struct feed_route *route = f->routes;
    snprintf(f->requested, sizeof(f->requested), "%s", b->request);
    while (route < f->routes + ROUTES_MAX && !path_fits(b, route->path)) {
        route++;
    }
    bool is_known = route < f->routes + ROUTES_MAX;
    b->status = !is_known ? 404 : route->status ? route->status : 200;
    b->answer = is_known && route->body ? route->body : "null";
    b->headers = is_known ? route->headers : NULL;
    b->hangs = is_known && route->hangs;
    if (is_known) {
        route->n++;
    }
    if (is_known && route->etag && strstr(b->request, route->etag)) {
        b->status = 304;
        b->answer = "";
    }
}

/* "PORT" in the feeds becomes the server's. */
static inline void feed_world_open(struct feed_world *f, struct world_options options)
{
    char *texts[4] = {NULL};
    int port = world_free_port();
    *f = (struct feed_world){.w = NULL};
    for (int i = 0; i < 4 && options.feeds[i]; i++) {
        struct buf text;
        buf_init(&text, 1000000);
        for (const char *at = options.feeds[i]; *at;) {
            if (strncmp(at, "PORT", 4) == 0) {
                buf_printf(&text, "%d", port);
                at += 4;
            } else {
                buf_append_char(&text, *at++);
            }
        }
        texts[i] = buf_take(&text);
        REQUIRE(texts[i]);
        options.feeds[i] = texts[i];
    }
    f->w = world_create(&options);
    backend_open_at(&f->backend, f->w->loop, port);
    f->backend.arg = f;
    f->backend.on_request = feed_world_take;
    for (int i = 0; i < 4; i++) {
        free(texts[i]);
    }
}

/* A test that failed leaves its peers, and the world with them. */
static inline void feed_world_close(struct feed_world *f)
{
    if (hub_n_clients(f->w->hub) > 0) {
        (void)fprintf(stderr, "peers are left over\n");
        return;
    }
    f->backend.on_request = NULL;
    backend_release(&f->backend);
    WAIT_FOR(f->w, hub_is_idle(f->w->hub));
    backend_close(&f->backend);
    world_destroy(f->w);
}

/* --- setups of cmocka, with one world --- */

static inline int feed_setup_with(void **state, struct world_options options)
{
    static struct feed_world world;
    options.client = FEED_CLIENT;
    options.channel = options.channel ? options.channel : FEED_CHANNEL;
    feed_world_open(&world, options);
    *state = &world;
    return 0;
}

static inline int feed_setup_file(void **state)
{
    return feed_setup_with(state, (struct world_options){.feeds = {FEED_CITY}, .has_file = true});
}

static inline int feed_teardown(void **state)
{
    feed_world_close(*state);
    return 0;
}

/* --- the server --- */

/* What hangs is answered now, and nothing hangs any more. */
static inline void feed_world_release(struct feed_world *f, const char *answer)
{
    for (int i = 0; i < ROUTES_MAX; i++) {
        f->routes[i].hangs = false;
    }
    f->backend.status = 200;
    f->backend.headers = NULL;
    f->backend.answer = answer;
    backend_release(&f->backend);
}

/* --- asking --- */

struct feed_answer {
    bool is_done;
    enum status status;
    char detail[1000];
    char data[1000];
    char channel[100];
    char params[100];
    char etag[FEED_ETAG_SIZE];
    struct storage_position position;
    bool is_changed, is_completed, is_held;
    size_t n_upstreams;
    struct feed_upstream_result upstreams[32]; /* without their texts */
    char errors[32][200];
};

static inline void feed_answered(void *arg, enum status status, const char *detail,
                                 const struct feed_result *result)
{
    struct feed_answer *a = arg;
    REQUIRE(!a->is_done);
    REQUIRE((result != NULL) == (status == STATUS_OK));
    a->is_done = true;
    a->status = status;
    snprintf(a->detail, sizeof(a->detail), "%s", detail);
    if (!result) {
        return;
    }
    snprintf(a->data, sizeof(a->data), "%.*s", STR_ARG(result->data));
    snprintf(a->channel, sizeof(a->channel), "%.*s", STR_ARG(result->channel));
    snprintf(a->params, sizeof(a->params), "%.*s", STR_ARG(result->params));
    snprintf(a->etag, sizeof(a->etag), "%.*s", STR_ARG(result->etag));
    a->position = result->position;
    a->is_changed = result->is_changed;
    a->is_completed = result->is_completed;
    a->is_held = result->is_held;
    a->n_upstreams = result->n_upstreams;
    for (size_t i = 0; i < result->n_upstreams && i < 32; i++) {
        a->upstreams[i] = result->upstreams[i];
        snprintf(a->errors[i], sizeof(a->errors[i]), "%.*s", STR_ARG(result->upstreams[i].error));
    }
}

static inline void begin_refresh(struct world *w, const char *feed, const char *params,
                                 struct feed_answer *answer)
{
    *answer = (struct feed_answer){.is_done = false};
    hub_feed_refresh(w->hub, str_of(feed), str_of(params), feed_answered, answer);
    REQUIRE(!answer->is_done);
}

static inline struct feed_answer refresh(struct world *w, const char *feed, const char *params)
{
    struct feed_answer a;
    begin_refresh(w, feed, params, &a);
    WAIT_FOR(w, a.is_done);
    return a;
}

static inline struct feed_answer get(struct world *w, const char *feed, const char *params)
{
    struct feed_answer a = {.is_done = false};
    hub_feed_get(w->hub, str_of(feed), str_of(params), feed_answered, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(w, a.is_done);
    return a;
}

static inline void feed_told(void *arg, enum status status, const char *detail,
                             const struct feed_result *result)
{
    struct feed_answer *a = arg;
    REQUIRE(!a->is_done && !result);
    a->is_done = true;
    a->status = status;
    snprintf(a->detail, sizeof(a->detail), "%s", detail);
}

static inline struct feed_answer changed(struct world *w, const char *feed, const char *params)
{
    struct feed_answer a = {.is_done = false};
    hub_feed_changed(w->hub, str_of(feed), str_of(params), feed_told, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(w, a.is_done);
    return a;
}

struct purge_answer {
    bool is_done;
    enum status status;
    uint64_t n;
};

static inline void purge_answered(void *arg, enum status status, const char *detail, uint64_t n)
{
    struct purge_answer *a = arg;
    REQUIRE(!a->is_done && detail);
    *a = (struct purge_answer){.is_done = true, .status = status, .n = n};
}

static inline struct purge_answer purge(struct world *w, const char *feed, const char *params)
{
    struct purge_answer a = {.is_done = false};
    hub_feed_purge(w->hub, str_of(feed), str_of(params), purge_answered, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(w, a.is_done);
    return a;
}

struct named_stats {
    const char *feed;
    struct feed_stats stats;
};

static inline void note_stats(void *arg, const struct feed_options *options,
                              const struct feed_stats *stats)
{
    struct named_stats *named = arg;
    if (strcmp(options->name, named->feed) == 0) {
        named->stats = *stats;
    }
}

static inline struct feed_stats stats_of_feed(struct world *w, const char *feed)
{
    struct named_stats named = {.feed = feed, .stats = {.n_running = 99}};
    hub_feeds(w->hub, note_stats, &named);
    return named.stats;
}

/* Held. */
static inline struct feed_instance *instance_of(struct world *w, const char *channel)
{
    struct feed_instance *in = feed_instance_of_channel(w->hub, str_of(channel));
    REQUIRE(in);
    return in;
}

#endif
