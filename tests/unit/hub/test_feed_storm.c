/* SPDX-License-Identifier: MIT */
/* Everything that can be done with feeds at once and at random, from fixed seeds: runs, subscribers
 * who come and go, purges, words of upstreams, fan-outs of callers, upstreams that answer in every
 * way, hubs that end in each of their ways. Then: everybody was answered once, nothing is left, and
 * what is asked for is what was pushed last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hub/refresh.h"
#include "tests/unit/hub/feed_world.h"

#define N_CITIES   6
#define N_CHANNELS (N_CITIES + 3)
#define N_PEERS    6
#define N_STEPS    1500

#define REFRESH "\"refresh\":{\"every\":\"100ms\",\"grace\":\"50ms\",\"respect_cache\":true},"

static const char *const feeds[] = {
    "{\"name\":\"city\",\"channel\":\"city:{c}\",\"params\":{\"c\":\"[a-f]\"},\"timeout\":"
    "\"150ms\"," REFRESH "\"snapshot_limit\":5,\"upstreams\":[{\"name\":\"air\",\"url\":\"" FEED_URL
    "air/{c}\"},{\"name\":\"events\",\"url\":\"" FEED_URL
    "events/{c}\",\"retry\":{\"attempts\":1,\"backoff\":\"1ms\"},\"breaker\":{\"failures\":3,"
    "\"open\":\"5ms\"}}]}",
    "{\"name\":\"held\",\"channel\":\"held\",\"timeout\":\"150ms\",\"min_interval\":"
    "\"20ms\"," REFRESH "\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL
    "held\",\"on_failure\":\"fail\"}]}",
    "{\"name\":\"plain\",\"channel\":\"open\",\"timeout\":\"150ms\",\"push\":\"always\",\"max_"
    "age\":"
    "\"10ms\",\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL "open\"}]}",
    "{\"name\":\"chain\",\"channel\":\"city:chain\",\"timeout\":\"150ms\",\"merge\":\"flat\","
    "\"runs_size\":3,\"refresh\":{\"every\":\"100ms\",\"while\":\"always\"},\"upstreams\":[{"
    "\"name\":\"user\",\"url\":\"" FEED_URL "user\"},{\"name\":\"orders\",\"url\":\"" FEED_URL
    "orders/{user.v}\",\"needs\":[\"user\"]}]}",
};

static const struct {
    const char *feed;
    const char *params;
    const char *channel;
} instances[N_CHANNELS] = {
    {"city", "{\"c\":\"a\"}", "city:a"},
    {"city", "{\"c\":\"b\"}", "city:b"},
    {"city", "{\"c\":\"c\"}", "city:c"},
    {"city", "{\"c\":\"d\"}", "city:d"},
    {"city", "{\"c\":\"e\"}", "city:e"},
    {"city", "{\"c\":\"f\"}", "city:f"},
    {"held", "", "held"},
    {"plain", "", "open"},
    {"chain", "", "city:chain"},
};

struct storm;

/* Who asks anything. */
struct asker {
    struct storm *storm;
    unsigned n_answers;
};

/* A client that knows what it was sent last in each channel. */
struct watcher {
    struct storm *storm;
    struct peer peer;
    char last[N_CHANNELS][300];
};

struct storm {
    struct feed_world f;
    uint64_t random;
    struct asker *askers;
    size_t n_askers;
    size_t n_answered;
    struct watcher watchers[N_PEERS];
    bool is_calm; /* upstreams answer well */
    char body[300];
    char headers[100];
};

static uint64_t below(struct storm *s, uint64_t n)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (s->random >> 16) % n;
}

static struct asker *new_asker(struct storm *s)
{
    struct asker *a = &s->askers[s->n_askers++];
    *a = (struct asker){.storm = s};
    return a;
}

static void answered_once(struct asker *a)
{
    a->n_answers++;
    REQUIRE(a->n_answers == 1);
    a->storm->n_answered++;
}

/* --- the upstreams --- */

static void answer_well(struct storm *s, struct backend *b)
{
    snprintf(s->body, sizeof(s->body), "{\"v\":%d}", (int)below(s, 4));
    b->answer = s->body;
    if (below(s, 3) == 0) {
        snprintf(s->headers, sizeof(s->headers), "ETag: \"t%d\"\r\nCache-Control: max-age=%d\r\n",
                 (int)below(s, 3), (int)below(s, 2));
        b->headers = s->headers;
    }
    if (strstr(b->request, "If-None-Match") && below(s, 2) == 0) {
        b->status = 304;
        b->answer = "";
    }
}

static void answer_badly(struct storm *s, struct backend *b)
{
    static const int statuses[] = {500, 503, 404, 429, 304};
    switch (below(s, 5)) {
    case 0: b->resets = true; break;
    case 1: b->hangs = true; break;
    case 2: b->answer = "{\"v\":"; break;
    case 3: b->answer = "{\"v\":\"\\u0000 / ?\"}"; break;
    default:
        b->status = statuses[below(s, 5)];
        b->headers = b->status == 429 ? "Retry-After: 1\r\n" : NULL;
    }
}

static void take(struct backend *b)
{
    struct storm *s = b->arg;
    b->status = 200;
    b->answer = "{\"v\":1}";
    b->headers = NULL;
    b->hangs = false;
    b->resets = false;
    if (s->is_calm) {
        return;
    }
    if (below(s, 3) > 0) {
        answer_well(s, b);
    } else {
        answer_badly(s, b);
    }
}

static void release_upstreams(struct storm *s)
{
    s->f.backend.status = 200;
    s->f.backend.answer = "{\"v\":2}";
    s->f.backend.headers = NULL;
    backend_release(&s->f.backend);
}

/* --- subscribers --- */

static void note(struct watcher *w, struct str channel, struct str data)
{
    for (size_t i = 0; i < N_CHANNELS; i++) {
        if (str_eq(channel, str_of(instances[i].channel))) {
            REQUIRE(data.len < sizeof(w->last[i]));
            memcpy(w->last[i], data.ptr, data.len);
            w->last[i][data.len] = '\0';
        }
    }
}

/* "city:a 3 {..}|city:b 4 {..}" */
static void on_sent(struct peer *peer)
{
    struct watcher *w = container_of(peer, struct watcher, peer);
    struct str rest = str_head(buf_str(&peer->received), peer->received.len - 1);
    while (rest.len > 0) {
        ptrdiff_t end = str_find(rest, '|');
        struct str one = end < 0 ? rest : str_head(rest, (size_t)end);
        rest = end < 0 ? STR_EMPTY : str_tail(rest, (size_t)end + 1);
        ptrdiff_t space = str_find(one, ' ');
        ptrdiff_t brace = str_find(one, '{');
        if (space > 0 && brace > space) {
            note(w, str_head(one, (size_t)space), str_tail(one, (size_t)brace));
        }
    }
    buf_clear(&peer->received);
}

static void connect_watcher(struct watcher *w)
{
    peer_release(&w->peer);
    peer_connect(&w->peer, w->storm->f.w);
    w->peer.on_send = on_sent;
    memset(w->last, 0, sizeof(w->last));
}

struct subscribing {
    struct asker *asker;
    struct watcher *watcher;
    const char *channel;
};

static void subscribed(void *arg, enum status status, const struct client_error *error,
                       const struct subscribe_result *result)
{
    struct subscribing *sub = arg;
    (void)error;
    answered_once(sub->asker);
    if (status == STATUS_OK && result->n_publications > 0) {
        note(sub->watcher, str_of(sub->channel),
             result->publications[result->n_publications - 1]->data);
    }
    free(sub);
}

static void begin_subscribe(struct watcher *w, const char *channel)
{
    struct subscribing *sub = malloc(sizeof(*sub));
    REQUIRE(sub);
    *sub = (struct subscribing){new_asker(w->storm), w, channel};
    client_subscribe(w->peer.client, &(struct subscribe_request){.channel = str_of(channel)},
                     subscribed, sub);
}

static void move_a_watcher(struct storm *s)
{
    struct watcher *w = &s->watchers[1 + below(s, N_PEERS - 1)]; /* the first one stays */
    const char *channel = instances[below(s, N_CHANNELS)].channel;
    if (hub_is_stopping(s->f.w->hub)) {
        return;
    }
    if (!w->peer.client) {
        connect_watcher(w);
    }
    switch (below(s, 4)) {
    case 0: peer_leave(&w->peer); break;
    case 1: (void)!client_unsubscribe(w->peer.client, str_of(channel)); break;
    default: begin_subscribe(w, channel);
    }
}

/* --- callers --- */

static void feed_done(void *arg, enum status status, const char *detail,
                      const struct feed_result *result)
{
    (void)detail;
    answered_once(arg);
    REQUIRE(!result || status == STATUS_OK);
    REQUIRE(!result || json_check(result->data, NULL) == STATUS_OK);
}

static void purge_done(void *arg, enum status status, const char *detail, uint64_t n)
{
    (void)status;
    (void)detail;
    (void)n;
    answered_once(arg);
}

static void runs_done(void *arg, enum status status, const char *detail,
                      const struct storage_runs_read *read)
{
    (void)detail;
    answered_once(arg);
    REQUIRE((read != NULL) == (status == STATUS_OK));
}

static void begin_fanout(struct storm *s)
{
    char request[400];
    int port = s->f.backend.port;
    snprintf(request, sizeof(request),
             "{\"merge\":\"%s\",\"timeout\":\"100ms\",\"upstreams\":[{\"name\":\"a\",\"url\":"
             "\"http://127.0.0.1:%d/f\"},{\"name\":\"b\",\"url\":\"http://127.0.0.1:%d/g\"}]%s}",
             below(s, 2) ? "object" : "array", port, port,
             below(s, 3) ? "" : ",\"channel\":\"city:adhoc\"");
    hub_fanout(s->f.w->hub, str_of(request), feed_done, new_asker(s));
}

static void ask(struct storm *s)
{
    struct hub *hub = s->f.w->hub;
    size_t i = below(s, N_CHANNELS);
    struct str feed = str_of(instances[i].feed);
    struct str params = str_of(below(s, 30) ? instances[i].params : "{\"c\":\"nobody\"}");
    struct str any = below(s, 3) ? params : STR_EMPTY;
    switch (below(s, 16)) {
    case 0: hub_feed_changed(hub, feed, any, feed_done, new_asker(s)); break;
    case 1:
        if (below(s, 4) == 0) {
            hub_feed_purge(hub, feed, any, purge_done, new_asker(s));
        }
        break;
    case 2:
        hub_feed_runs(hub, &(struct feed_runs_request){.feed = feed, .params = any, .limit = 9},
                      runs_done, new_asker(s));
        break;
    case 3: begin_fanout(s); break;
    case 4:
    case 5:
    case 6: hub_feed_get(hub, feed, params, feed_done, new_asker(s)); break;
    case 7:
    case 8:
    case 9: move_a_watcher(s); break;
    case 10: release_upstreams(s); break;
    default: hub_feed_refresh(hub, feed, params, feed_done, new_asker(s));
    }
}

/* --- calm --- */

static bool holds_any(const struct hub *hub)
{
    struct feed_instance *in;
    struct feed_instance *next;
    HASH_ITER (hh, hub->feed_table.instances, in, next) {
        if (in->held.document || in->running) {
            return true;
        }
    }
    return false;
}

static bool is_calm(const struct storm *s)
{
    const struct hub *hub = s->f.w->hub;
    return s->n_answered == s->n_askers && hub->n_refreshes == 0 && hub->n_operations == 0 &&
           fan_out_is_idle(hub->fan_out) && !holds_any(hub);
}

static void calm_down(struct storm *s)
{
    s->is_calm = true;
    release_upstreams(s);
    WAIT_FOR(s->f.w, is_calm(s));
}

/* The first watcher is in all channels: what it was told last is what is asked for. */
static void check_pushed(struct storm *s)
{
    calm_down(s);
    for (size_t i = 0; i < N_CHANNELS; i++) {
        struct feed_answer a =
            refresh(s->f.w, instances[i].feed, instances[i].params); /* also what was purged */
        assert_int_equal(a.status, STATUS_OK);
        WAIT_FOR(s->f.w, is_calm(s));
        a = get(s->f.w, instances[i].feed, instances[i].params);
        assert_int_equal(a.status, STATUS_OK);
        WAIT_FOR(s->f.w, is_calm(s));
        assert_string_equal(s->watchers[0].last[i], a.data);
    }
}

static void send_all_away(struct storm *s)
{
    for (size_t i = 0; i < N_PEERS; i++) {
        peer_release(&s->watchers[i].peer);
        s->watchers[i].peer = (struct peer){.client = NULL};
    }
}

static void begin_watching(struct storm *s)
{
    struct watcher *w = &s->watchers[0];
    connect_watcher(w);
    for (size_t i = 0; i < N_CHANNELS; i++) {
        begin_subscribe(w, instances[i].channel);
    }
}

/* In the middle of everything. */
static void restart(struct storm *s)
{
    struct hub *hub = s->f.w->hub;
    uint64_t how = below(s, 4);
    if (how == 3) {
        hub_abandon(hub);
    }
    hub_stop(hub);
    send_all_away(s);
    if (how == 0) {
        s->is_calm = true;
        release_upstreams(s);
    } else {
        hub_hurry(hub);
    }
    for (uint64_t n = below(s, 5); n > 0; n--) {
        ask(s); /* refused, but later as ever */
        uv_run(loop_uv(s->f.w->loop), UV_RUN_NOWAIT);
    }
    WAIT_FOR(s->f.w, hub_is_idle(hub));
    assert_int_equal(s->n_answered, s->n_askers);
    assert_null(hub->refreshes);
    assert_int_equal(hub->feed_table.n_watched, 0);
    world_restart(s->f.w);
    s->is_calm = false;
    begin_watching(s);
}

/* Nothing that ended has left anything behind. */
static void check_nothing_left(struct storm *s)
{
    struct world *w = s->f.w;
    struct feed_table *table = &w->hub->feed_table;
    send_all_away(s);
    WAIT_FOR(w, is_calm(s) && table->n_watched == 1); /* one is refreshed always */
    hub_stop(w->hub);
    WAIT_FOR(w, hub_is_idle(w->hub));
    assert_int_equal(table->n_watched, 0);
    w->upstreams_options.memory_max_size = 0;
    feed_instance_release(instance_of(w, "held"));
    assert_int_equal(HASH_COUNT(table->instances), 0);
    assert_int_equal(table->n_bytes, 0);
    assert_null(table->idle);
    for (size_t i = 0; i < w->hub->n_feeds; i++) {
        assert_int_equal(w->hub->feeds[i]->stats.n_running, 0);
    }
    for (size_t i = 0; i < s->n_askers; i++) {
        assert_int_equal(s->askers[i].n_answers, 1);
    }
}

static void open_storm(struct storm *s, uint64_t seed)
{
    *s = (struct storm){.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    s->askers = calloc((size_t)4 * N_STEPS, sizeof(*s->askers));
    REQUIRE(s->askers);
    feed_world_open(&s->f,
                    (struct world_options){.client = FEED_CLIENT,
                                           .channel = FEED_CHANNEL,
                                           .upstreams = "{\"max_refreshes\":6,\"max_watched\":5,"
                                                        "\"memory_max_size\":6000,\"allow_hosts\":["
                                                        "\"127.0.0.1\"]}",
                                           .feeds = {feeds[0], feeds[1], feeds[2], feeds[3]},
                                           .has_file = true});
    s->f.backend.arg = s;
    s->f.backend.on_request = take;
    for (size_t i = 0; i < N_PEERS; i++) {
        s->watchers[i].storm = s;
    }
    begin_watching(s);
}

/* Mostly nothing is over when the next one asks. */
static void pass_time(struct storm *s)
{
    bool is_long = below(s, 15) == 0;
    for (uint64_t n = is_long ? 4 : below(s, 3); n > 0; n--) {
        bool is_to_wait = is_long && s->f.w->hub->n_refreshes > 0;
        uv_run(loop_uv(s->f.w->loop), is_to_wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    }
}

static void weather(uint64_t seed)
{
    static struct storm s;
    open_storm(&s, seed);
    for (int i = 0; i < N_STEPS; i++) {
        ask(&s);
        pass_time(&s);
        if (below(&s, 250) == 0) {
            restart(&s);
        }
    }
    check_pushed(&s);
    check_nothing_left(&s);
    feed_world_close(&s.f);
    free(s.askers);
}

static void storm_1(void **state)
{
    (void)state;
    weather(1);
}

static void storm_2(void **state)
{
    (void)state;
    weather(2);
}

static void storm_3(void **state)
{
    (void)state;
    weather(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(storm_1),
        cmocka_unit_test(storm_2),
        cmocka_unit_test(storm_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
