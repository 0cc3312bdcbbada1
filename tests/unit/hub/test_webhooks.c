/* SPDX-License-Identifier: MIT */
/* Webhooks with a real storage, real requests, and a backend that stands on the same loop: what it
 * is sent, and what becomes of the events when it does not answer, is away, or the hub ends. */
#include "hub/webhooks.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sqlite3.h>

#include "backend.h"
#include "base/clock.h"
#include "base/json_span.h"
#include "base/log.h"
#include "hub/webhook_signature.h"

struct test_settings {
    struct config_list webhooks;
};

static const struct config_field settings_fields[] = {
    {.key = "webhooks",
     .type = CONFIG_LIST,
     .offset = offsetof(struct test_settings, webhooks),
     .shape = &webhook_options_shape},
};
static const struct config_shape settings_shape = {
    .size = sizeof(struct test_settings), .fields = settings_fields, .n_fields = 1};

struct world {
    char folder[64];
    char path[96];
    struct loop *loop;
    struct deadlines *deadlines;
    struct storage *storage;
    struct fetch_pool *pool;
    struct backend backend;
    struct test_settings settings;
    struct webhooks *webhooks;
    size_t queue_max_size;
};

static void turn(struct world *w)
{
    (void)uv_run(loop_uv(w->loop), UV_RUN_ONCE);
}

/* --- the hub's life --- */

static void open_storage(struct world *w)
{
    struct storage_options options = {.loop = w->loop,
                                      .path = w->path,
                                      .durability = STORAGE_NORMAL,
                                      .queue_max_size = w->queue_max_size,
                                      .stream_limit = 1000,
                                      .idempotency_key_limit = 1000};
    assert_int_equal(storage_open(&options, &w->storage), STATUS_OK);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void close_storage(struct world *w)
{
    bool is_closed = false;
    storage_close(w->storage, on_closed, &is_closed);
    while (!is_closed) {
        turn(w);
    }
}

static void create_webhooks(struct world *w)
{
    struct webhooks_setup setup = {.loop = w->loop,
                                   .deadlines = w->deadlines,
                                   .storage = w->storage,
                                   .fetch_pool = w->pool,
                                   .options = &w->settings.webhooks};
    assert_int_equal(webhooks_create(&setup, &w->webhooks), STATUS_OK);
}

static void destroy_webhooks(struct world *w)
{
    webhooks_stop(w->webhooks);
    while (!webhooks_is_idle(w->webhooks)) {
        turn(w);
    }
    webhooks_destroy(w->webhooks);
}

/* list: the configuration's, where PORT stands for the backend's. */
static void configure(struct world *w, const char *list)
{
    struct config_errors errors;
    struct buf text;
    buf_init(&text, 10000);
    buf_literal(&text, "{\"webhooks\":");
    const char *at;
    while ((at = strstr(list, "PORT"))) {
        buf_append(&text, (struct str){list, (size_t)(at - list)});
        buf_printf(&text, "%d", w->backend.port);
        list = at + strlen("PORT");
    }
    buf_printf(&text, "%s}", list);
    if (config_read(buf_str(&text), &settings_shape, &w->settings, &errors) != STATUS_OK) {
        fail_msg("%s", errors.texts[0]);
    }
    buf_release(&text);
}

static void restart(struct world *w, const char *list)
{
    destroy_webhooks(w);
    close_storage(w);
    config_release(&settings_shape, &w->settings);
    configure(w, list);
    open_storage(w);
    create_webhooks(w);
}

static void open_world(struct world *w, const char *list)
{
    struct fetch_pool_options pool = {
        .max_concurrent = 8, .max_waiting = 8, .user_agent = "belfry-test/1"};
    *w = (struct world){.queue_max_size = (size_t)64 << 20};
    log_set_level(LOG_NONE);
    snprintf(w->folder, sizeof(w->folder), "/tmp/belfry-webhooks-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof(w->path), "%s/hub.db", w->folder);
    assert_int_equal(loop_create(&w->loop), STATUS_OK);
    assert_int_equal(deadlines_create(w->loop, 2, 256, &w->deadlines), STATUS_OK);
    pool.loop = w->loop;
    assert_int_equal(fetch_pool_create(&pool, &w->pool), STATUS_OK);
    backend_open(&w->backend, w->loop);
    configure(w, list);
    open_storage(w);
    create_webhooks(w);
}

static void close_world(struct world *w)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-lock"};
    destroy_webhooks(w);
    close_storage(w);
    fetch_pool_destroy(w->pool);
    backend_close(&w->backend);
    deadlines_destroy(w->deadlines);
    loop_destroy(w->loop);
    config_release(&settings_shape, &w->settings);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", w->path, suffixes[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(w->folder), 0);
}

/* --- what happens --- */

static struct webhooks_stats stats_of(struct world *w)
{
    struct webhooks_stats stats;
    webhooks_stats(w->webhooks, &stats);
    return stats;
}

static const struct webhook_client who = {
    .client = {"c-1", 3}, .user = {"u\"1", 3}, .transport = {"websocket", 9}};

/* The event carries n as its code. */
static void disconnect(struct world *w, unsigned n)
{
    webhooks_disconnected(w->webhooks, &who, n, STR("gone"));
}

static void disconnect_many(struct world *w, unsigned first, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        disconnect(w, first + i);
    }
}

static void await_stored(struct world *w, uint64_t n)
{
    while (stats_of(w).n_events < n) {
        turn(w);
    }
}

static void await_waiting(struct world *w, size_t n)
{
    while (stats_of(w).n_waiting != n) {
        turn(w);
    }
}

static void await_failures(struct world *w, uint64_t n)
{
    while (stats_of(w).n_failed_requests < n) {
        turn(w);
    }
}

/* Returns when the backend has got one request more. */
static void await_request(struct world *w)
{
    int n = w->backend.n_requests;
    while (w->backend.n_requests == n) {
        turn(w);
    }
    assert_int_equal(w->backend.n_requests, n + 1);
}

static int64_t query_file(struct world *w, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    int64_t number = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

static const char *header(struct world *w, const char *name)
{
    static char value[300];
    char start[64];
    snprintf(start, sizeof(start), "\r\n%s: ", name);
    const char *at = strcasestr(w->backend.request, start);
    if (!at || at > w->backend.body) {
        return "";
    }
    at += strlen(start);
    snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

/* The events in the last request, each of which has its number as its code. */
struct events {
    size_t n;
    uint64_t ids[10000];
    uint64_t codes[10000];
};

static void read_events(struct world *w, struct events *events)
{
    struct str body = str_of(w->backend.body), list, event, item;
    events->n = 0;
    assert_int_equal(json_check(body, NULL), STATUS_OK);
    assert_true(json_member(body, STR("events"), &list));
    struct json_walk walk = json_walk(list);
    while (json_next_element(&walk, &event)) {
        assert_true(json_member(event, STR("id"), &item));
        assert_true(json_to_u64(item, &events->ids[events->n]));
        assert_true(json_member(event, STR("code"), &item));
        assert_true(json_to_u64(item, &events->codes[events->n]));
        events->n++;
    }
}

/* The last request has these, in this order. */
static void assert_codes(struct world *w, uint64_t first, size_t n)
{
    static struct events events;
    read_events(w, &events);
    assert_int_equal(events.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(events.codes[i], first + i);
        assert_true(i == 0 || events.ids[i] > events.ids[i - 1]);
    }
    char delivery[100];
    snprintf(delivery, sizeof(delivery), "%" PRIu64 "-%" PRIu64, events.ids[0], events.ids[n - 1]);
    assert_string_equal(header(w, "X-Belfry-Delivery"), delivery);
}

/* --- what is sent --- */

#define CRM     "{\"name\":\"crm\",\"endpoint\":\"http://127.0.0.1:PORT/crm?k=1\""
#define GONE    ",\"events\":[\"disconnect\"]"
#define ALL     ",\"events\":[\"disconnect\",\"unsubscribe\",\"channel_occupied\",\"channel_vacated\"]"
#define QUICK   ",\"retry_min_delay\":\"1ms\",\"retry_max_delay\":\"2ms\",\"timeout\":\"60s\""
#define AT_ONCE ",\"batch_max_delay\":\"0s\""
#define NEVER   ",\"batch_max_delay\":\"1h\""

static void test_every_kind_of_event(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM ALL QUICK NEVER ",\"batch_max_size\":4}]");
    int64_t before_ms = clock_wall_ms();
    webhooks_channel(w.webhooks, WEBHOOK_CHANNEL_OCCUPIED, STR("news:\xc3\xa4"));
    webhooks_unsubscribed(w.webhooks, &who, STR("news:1"), 2500, STR("insufficient state"));
    webhooks_channel(w.webhooks, WEBHOOK_CHANNEL_VACATED, STR("news:2"));
    webhooks_disconnected(w.webhooks, &who, 3001, STR("shut\ndown"));
    await_request(&w);
    int64_t after_ms = clock_wall_ms();
    static const char *const members[] = {
        "\"event\":\"channel_occupied\",\"channel\":\"news:\xc3\xa4\"",
        "\"event\":\"unsubscribe\",\"client\":\"c-1\",\"user\":\"u\\\"1\",\"transport\":"
        "\"websocket\",\"channel\":\"news:1\",\"code\":2500,\"reason\":\"insufficient state\"",
        "\"event\":\"channel_vacated\",\"channel\":\"news:2\"",
        "\"event\":\"disconnect\",\"client\":\"c-1\",\"user\":\"u\\\"1\",\"transport\":"
        "\"websocket\",\"code\":3001,\"reason\":\"shut\\ndown\"",
    };
    const char *at = w.backend.body;
    for (size_t i = 0; i < 4; i++) {
        uint64_t id;
        int64_t time_ms;
        char expected[400];
        const char *head = i == 0 ? "{\"events\":[" : ",";
        assert_memory_equal(at, head, strlen(head));
        at += strlen(head);
        assert_int_equal(sscanf(at, "{\"id\":%" SCNu64 ",\"time\":%" SCNd64, &id, &time_ms), 2);
        assert_in_range(time_ms, before_ms, after_ms);
        snprintf(expected, sizeof(expected), "{\"id\":%" PRIu64 ",\"time\":%" PRId64 ",%s}", id,
                 time_ms, members[i]);
        assert_memory_equal(at, expected, strlen(expected));
        at += strlen(expected);
    }
    assert_string_equal(at, "]}");
    assert_memory_equal(w.backend.request, "POST /crm?k=1 HTTP/1.1\r\n", 24);
    assert_string_equal(header(&w, "Content-Type"), "application/json");
    assert_string_equal(header(&w, "X-Belfry-Webhook"), "crm");
    assert_string_equal(header(&w, "X-Belfry-Signature"), "");
    await_waiting(&w, 0);
    struct webhooks_stats stats = stats_of(&w);
    assert_int_equal(stats.n_events, 4);
    assert_int_equal(stats.n_delivered, 4);
    assert_int_equal(stats.n_requests, 1);
    assert_int_equal(stats.n_failed_requests, 0);
    assert_int_equal(stats.n_dropped, 0);
    close_world(&w);
}

static void test_requests_are_signed(void **state)
{
    (void)state;
    struct world w;
    static const char key[] = "a secret";
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    long long time_s;
    char given[65];
    char hex[65];
    open_world(&w, "[" CRM GONE QUICK AT_ONCE ",\"hmac_secret_key\":\"a secret\"}]");
    disconnect(&w, 1);
    await_request(&w);
    assert_int_equal(sscanf(header(&w, "X-Belfry-Signature"), "t=%lld,v1=%64s", &time_s, given), 2);
    assert_in_range(clock_wall_ms() / 1000 - time_s, 0, 60);
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_printf(&text, "%lld.%s", time_s, w.backend.body);
    HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)text.ptr, text.len, mac,
         &mac_len);
    buf_release(&text);
    assert_int_equal(mac_len, 32);
    for (size_t i = 0; i < mac_len; i++) {
        snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    }
    assert_string_equal(given, hex);
    close_world(&w);
}

/* RFC 4231 has no such text; this one was made with openssl dgst -sha256 -hmac. */
static void test_the_signature_of_a_known_text(void **state)
{
    (void)state;
    char text[WEBHOOK_SIGNATURE_SIZE];
    assert_int_equal(webhook_sign(STR("key"), 1700000000, STR("{\"events\":[]}"), text), STATUS_OK);
    assert_string_equal(
        text, "t=1700000000,v1=7df62a1bacc5aaabea3fd97f17eb7da317e09d87f25b1933b81d619dfc0e21fb");
}

/* --- batches --- */

static void test_a_batch_that_is_full_does_not_wait(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK NEVER ",\"batch_max_size\":3}]");
    disconnect_many(&w, 1, 7);
    await_request(&w);
    assert_codes(&w, 1, 3);
    await_request(&w);
    assert_codes(&w, 4, 3);
    await_waiting(&w, 1);
    disconnect_many(&w, 8, 2);
    await_request(&w);
    assert_codes(&w, 7, 3);
    await_waiting(&w, 0);
    close_world(&w);
}

static void test_one_that_is_not_full_waits_for_others(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK ",\"batch_max_delay\":\"60ms\"}]");
    int64_t start_ms = clock_monotonic_ms();
    disconnect(&w, 1);
    await_stored(&w, 1);
    disconnect_many(&w, 2, 4);
    await_request(&w);
    assert_true(clock_monotonic_ms() - start_ms >= 60);
    assert_codes(&w, 1, 5);
    close_world(&w);
}

static void test_many_come_once_and_in_order(void **state)
{
    (void)state;
    struct world w;
    static struct events events;
    uint64_t next = 0, last_id = 0;
    open_world(&w, "[" CRM GONE QUICK AT_ONCE ",\"batch_max_size\":7}]");
    for (unsigned i = 0; next < 1000;) {
        int n = w.backend.n_requests;
        for (unsigned k = 0; k < 13 && i < 1000; k++) {
            disconnect(&w, i++);
        }
        turn(&w);
        if (w.backend.n_requests == n) {
            continue;
        }
        assert_int_equal(w.backend.n_requests, n + 1);
        read_events(&w, &events);
        assert_in_range(events.n, 1, 7);
        for (size_t k = 0; k < events.n; k++) {
            assert_int_equal(events.codes[k], next++);
            assert_true(events.ids[k] > last_id);
            last_id = events.ids[k];
        }
    }
    await_waiting(&w, 0);
    assert_int_equal(stats_of(&w).n_delivered, 1000);
    assert_int_equal(query_file(&w, "SELECT count(*) FROM events"), 0);
    close_world(&w);
}

static void test_a_batch_has_a_limit_of_bytes(void **state)
{
    (void)state;
    struct world w;
    static char name[100000];
    memset(name, 'n', sizeof(name));
    open_world(&w, "[" CRM ALL QUICK NEVER ",\"batch_max_size\":12}]");
    for (int i = 0; i < 12; i++) {
        webhooks_channel(w.webhooks, WEBHOOK_CHANNEL_OCCUPIED, (struct str){name, sizeof(name)});
    }
    await_request(&w);
    assert_in_range(strlen(w.backend.body), 600000, 700000);
    await_request(&w);
    assert_in_range(strlen(w.backend.body), 600000, 700000);
    await_waiting(&w, 0);
    close_world(&w);
}

/* --- a backend that does not want them --- */

static void test_a_refused_batch_comes_again_as_it_was(void **state)
{
    (void)state;
    static const int statuses[] = {500, 503, 404, 410, 301, 401};
    struct world w;
    open_world(&w, "[" CRM GONE QUICK AT_ONCE ",\"batch_max_size\":3}]");
    w.backend.status = 400;
    disconnect_many(&w, 1, 2);
    await_request(&w);
    char *first = strdup(w.backend.body);
    disconnect_many(&w, 3, 2);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        w.backend.status = statuses[i];
        await_request(&w);
        assert_string_equal(w.backend.body, first);
        assert_int_equal(stats_of(&w).n_delivered, 0);
    }
    w.backend.status = 204;
    w.backend.answer = "";
    await_request(&w);
    assert_string_equal(w.backend.body, first);
    await_request(&w);
    assert_codes(&w, 3, 2);
    await_waiting(&w, 0);
    assert_int_equal(stats_of(&w).n_failed_requests, w.backend.n_requests - 2);
    assert_int_equal(stats_of(&w).n_delivered, 4);
    free(first);
    close_world(&w);
}

static void test_a_backend_that_is_away_gets_all_when_it_comes_back(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    int port = w.backend.port;
    backend_close(&w.backend);
    disconnect_many(&w, 0, 3);
    await_failures(&w, 3);
    disconnect_many(&w, 3, 3);
    await_stored(&w, 6);
    assert_int_equal(stats_of(&w).n_waiting, 6);
    backend_open_at(&w.backend, w.loop, port);
    static struct events events;
    for (uint64_t next = 0; next < 6;) {
        await_request(&w);
        read_events(&w, &events);
        for (size_t i = 0; i < events.n; i++) {
            assert_int_equal(events.codes[i], next++);
        }
    }
    await_waiting(&w, 0);
    close_world(&w);
}

static void test_an_answer_that_does_not_come_or_breaks_off(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE AT_ONCE ",\"timeout\":\"20ms\",\"retry_min_delay\":\"1ms\"}]");
    w.backend.hangs = true;
    disconnect(&w, 1);
    await_failures(&w, 2);
    w.backend.hangs = false;
    w.backend.resets = true;
    await_failures(&w, stats_of(&w).n_failed_requests + 2);
    w.backend.resets = false;
    await_waiting(&w, 0);
    assert_codes(&w, 1, 1);
    assert_int_equal(stats_of(&w).n_delivered, 1);
    close_world(&w);
}

static void test_a_long_answer_is_an_answer(void **state)
{
    (void)state;
    static char page[100000];
    struct world w;
    memset(page, 'x', sizeof(page) - 1);
    open_world(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    w.backend.answer = page;
    disconnect(&w, 1);
    await_waiting(&w, 0);
    await_stored(&w, 1);
    await_waiting(&w, 0);
    assert_int_equal(stats_of(&w).n_delivered, 1);
    assert_int_equal(stats_of(&w).n_failed_requests, 0);
    close_world(&w);
}

/* At least half of the doubled delay lies between two requests: what is waited for longer does no
 * harm. */
static void test_the_delay_grows(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE AT_ONCE ",\"retry_min_delay\":\"20ms\"}]");
    w.backend.status = 500;
    disconnect(&w, 1);
    await_request(&w);
    for (int64_t least_ms = 10; least_ms <= 160; least_ms *= 2) {
        int64_t before_ms = clock_monotonic_ms();
        await_request(&w);
        assert_true(clock_monotonic_ms() - before_ms + 1 >= least_ms);
    }
    close_world(&w);
}

static void test_one_endpoint_does_not_hold_up_another(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[{\"name\":\"slow\",\"endpoint\":\"http://127.0.0.1:1/\"" ALL QUICK
                   "}," CRM GONE QUICK AT_ONCE "}]");
    disconnect(&w, 1);
    webhooks_channel(w.webhooks, WEBHOOK_CHANNEL_OCCUPIED, STR("a"));
    disconnect(&w, 2);
    await_stored(&w, 5);
    while (stats_of(&w).n_delivered < 2) {
        turn(&w);
    }
    await_waiting(&w, 3);
    assert_true(webhooks_want(w.webhooks, WEBHOOK_UNSUBSCRIBE));
    close_world(&w);
}

static void test_what_nobody_wants_is_not_kept(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    assert_true(webhooks_want(w.webhooks, WEBHOOK_DISCONNECT));
    assert_false(webhooks_want(w.webhooks, WEBHOOK_UNSUBSCRIBE));
    assert_false(webhooks_want(w.webhooks, WEBHOOK_CHANNEL_OCCUPIED));
    assert_false(webhooks_want(w.webhooks, WEBHOOK_CHANNEL_VACATED));
    webhooks_channel(w.webhooks, WEBHOOK_CHANNEL_VACATED, STR("a"));
    webhooks_unsubscribed(w.webhooks, &who, STR("a"), 1, STR("r"));
    disconnect(&w, 1);
    await_request(&w);
    assert_codes(&w, 1, 1);
    assert_int_equal(stats_of(&w).n_events, 1);
    close_world(&w);
}

/* --- the hub ends --- */

static void test_a_restart_goes_on(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK NEVER "}]");
    disconnect_many(&w, 1, 5);
    await_stored(&w, 5);
    restart(&w, "[" CRM GONE QUICK NEVER "}]");
    disconnect(&w, 6); /* before anything is known about what is there */
    await_request(&w);
    assert_in_range(strlen(w.backend.body), 1, 2000);
    static struct events events;
    read_events(&w, &events);
    assert_in_range(events.n, 5, 6);
    for (size_t i = 0; i < events.n; i++) {
        assert_int_equal(events.codes[i], i + 1);
    }
    await_waiting(&w, 6 - events.n);
    close_world(&w);
}

static void test_the_end_cancels_a_request(void **state)
{
    (void)state;
    struct world w;
    struct fetch_stats fetches;
    open_world(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    w.backend.hangs = true;
    disconnect(&w, 1);
    await_request(&w);
    webhooks_stop(w.webhooks);
    fetch_pool_stats(w.pool, &fetches);
    assert_int_equal(fetches.n_active, 0);
    disconnect(&w, 2); /* still kept */
    await_stored(&w, 2);
    assert_true(webhooks_is_idle(w.webhooks));
    assert_int_equal(w.backend.n_requests, 1);
    w.backend.hangs = false;
    restart(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    await_request(&w);
    assert_codes(&w, 1, 2);
    close_world(&w);
}

static void test_an_abandoned_storage_gets_no_more_events(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    while (!webhooks_is_idle(w.webhooks)) {
        turn(&w);
    }
    webhooks_abandon(w.webhooks);
    disconnect(&w, 1);
    assert_true(webhooks_is_idle(w.webhooks));
    assert_int_equal(stats_of(&w).n_dropped, 1);
    close_world(&w);
}

static void test_events_of_a_webhook_that_is_no_more_go(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[{\"name\":\"old\",\"endpoint\":\"http://127.0.0.1:PORT/\"" GONE NEVER
                   "}," CRM GONE QUICK NEVER "}]");
    w.backend.status = 500;
    disconnect_many(&w, 0, 600);
    await_stored(&w, 1200);
    restart(&w, "[" CRM GONE QUICK NEVER "}]");
    while (query_file(&w, "SELECT count(*) FROM events WHERE endpoint='old'") > 0) {
        turn(&w);
    }
    assert_int_equal(query_file(&w, "SELECT count(*) FROM events WHERE endpoint='crm'"), 600);
    close_world(&w);
}

/* --- limits --- */

static void test_what_is_beyond_the_queues_limit_is_dropped(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK NEVER ",\"queue_limit\":5}]");
    disconnect_many(&w, 1, 4);
    await_stored(&w, 4);
    disconnect_many(&w, 5, 4);
    assert_int_equal(stats_of(&w).n_dropped, 3); /* those on their way count */
    await_waiting(&w, 5);
    /* What an earlier run has left counts, too. */
    w.backend.hangs = true;
    restart(&w, "[" CRM GONE QUICK NEVER ",\"queue_limit\":5}]");
    await_request(&w);
    disconnect(&w, 9);
    assert_int_equal(stats_of(&w).n_dropped, 1);
    w.backend.hangs = false;
    restart(&w, "[" CRM GONE QUICK AT_ONCE ",\"queue_limit\":5}]");
    await_request(&w);
    assert_codes(&w, 1, 5);
    await_waiting(&w, 0);
    disconnect(&w, 10); /* there is room again */
    await_request(&w);
    assert_codes(&w, 10, 1);
    close_world(&w);
}

static void test_what_a_full_storage_refuses_is_dropped(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    w.queue_max_size = 3000;
    restart(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    disconnect_many(&w, 0, 100);
    while (stats_of(&w).n_dropped + stats_of(&w).n_delivered < 100) {
        turn(&w);
    }
    assert_in_range(stats_of(&w).n_dropped, 1, 99);
    await_waiting(&w, 0);
    close_world(&w);
}

static void test_a_text_that_is_too_large_is_dropped(void **state)
{
    (void)state;
    static char name[400000];
    struct world w;
    memset(name, '\1', sizeof(name)); /* six letters each */
    open_world(&w, "[" CRM ALL QUICK AT_ONCE "}]");
    webhooks_channel(w.webhooks, WEBHOOK_CHANNEL_OCCUPIED, (struct str){name, sizeof(name)});
    assert_int_equal(stats_of(&w).n_dropped, 1);
    disconnect(&w, 1);
    await_request(&w);
    assert_codes(&w, 1, 1);
    close_world(&w);
}

/* --- faults of the storage --- */

static void test_what_cannot_be_stored_is_dropped(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    query_file(&w, "CREATE TRIGGER fault BEFORE INSERT ON events BEGIN SELECT raise(FAIL,''); END");
    disconnect(&w, 1);
    while (stats_of(&w).n_dropped == 0) {
        turn(&w);
    }
    query_file(&w, "DROP TRIGGER fault");
    disconnect(&w, 2);
    await_request(&w);
    assert_codes(&w, 2, 1);
    close_world(&w);
}

/* It was delivered: only the removal is tried again. */
static void test_a_removal_that_fails_is_repeated(void **state)
{
    (void)state;
    struct world w;
    struct storage_stats storage = {0};
    open_world(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    query_file(&w, "CREATE TRIGGER fault BEFORE DELETE ON events BEGIN SELECT raise(FAIL,''); END");
    disconnect(&w, 1);
    while (storage.n_failed < 3) {
        turn(&w);
        storage_stats(w.storage, &storage);
    }
    assert_int_equal(stats_of(&w).n_waiting, 1);
    query_file(&w, "DROP TRIGGER fault");
    await_waiting(&w, 0);
    assert_int_equal(w.backend.n_requests, 1);
    assert_int_equal(stats_of(&w).n_delivered, 1);
    close_world(&w);
}

static void test_a_damaged_event_is_left_out(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK NEVER ",\"batch_max_size\":3}]");
    disconnect_many(&w, 1, 2);
    await_stored(&w, 2);
    query_file(&w, "UPDATE events SET text='{' WHERE text LIKE '%\"code\":1,%'");
    disconnect(&w, 3);
    await_request(&w);
    static struct events events;
    read_events(&w, &events);
    assert_int_equal(events.n, 2);
    assert_int_equal(events.codes[0], 2);
    await_waiting(&w, 0);
    /* Nothing else in the batch: there is no request. */
    disconnect_many(&w, 4, 2);
    await_stored(&w, 5);
    query_file(&w, "UPDATE events SET text='{'");
    int n = w.backend.n_requests;
    restart(&w, "[" CRM GONE QUICK AT_ONCE "}]");
    while (query_file(&w, "SELECT count(*) FROM events") > 0) {
        turn(&w);
    }
    disconnect(&w, 6);
    await_request(&w);
    assert_codes(&w, 6, 1);
    assert_int_equal(w.backend.n_requests, n + 1);
    close_world(&w);
}

static void test_somebody_empties_the_table(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[" CRM GONE QUICK AT_ONCE ",\"batch_max_size\":1}]");
    w.backend.status = 500;
    disconnect_many(&w, 1, 2);
    await_failures(&w, 1);
    await_stored(&w, 2);
    query_file(&w, "DELETE FROM events");
    w.backend.status = 200;
    await_waiting(&w, 0);
    assert_int_equal(stats_of(&w).n_delivered, 1);
    disconnect(&w, 3);
    await_request(&w);
    assert_codes(&w, 3, 1);
    close_world(&w);
}

static void test_none_are_configured(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "[]");
    for (int event = 0; event < WEBHOOK_N_EVENTS; event++) {
        assert_false(webhooks_want(w.webhooks, (enum webhook_event)event));
    }
    disconnect(&w, 1);
    assert_int_equal(stats_of(&w).n_dropped, 0);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_event),
        cmocka_unit_test(test_requests_are_signed),
        cmocka_unit_test(test_the_signature_of_a_known_text),
        cmocka_unit_test(test_a_batch_that_is_full_does_not_wait),
        cmocka_unit_test(test_one_that_is_not_full_waits_for_others),
        cmocka_unit_test(test_many_come_once_and_in_order),
        cmocka_unit_test(test_a_batch_has_a_limit_of_bytes),
        cmocka_unit_test(test_a_refused_batch_comes_again_as_it_was),
        cmocka_unit_test(test_a_backend_that_is_away_gets_all_when_it_comes_back),
        cmocka_unit_test(test_an_answer_that_does_not_come_or_breaks_off),
        cmocka_unit_test(test_a_long_answer_is_an_answer),
        cmocka_unit_test(test_the_delay_grows),
        cmocka_unit_test(test_one_endpoint_does_not_hold_up_another),
        cmocka_unit_test(test_what_nobody_wants_is_not_kept),
        cmocka_unit_test(test_a_restart_goes_on),
        cmocka_unit_test(test_the_end_cancels_a_request),
        cmocka_unit_test(test_an_abandoned_storage_gets_no_more_events),
        cmocka_unit_test(test_events_of_a_webhook_that_is_no_more_go),
        cmocka_unit_test(test_what_is_beyond_the_queues_limit_is_dropped),
        cmocka_unit_test(test_what_a_full_storage_refuses_is_dropped),
        cmocka_unit_test(test_a_text_that_is_too_large_is_dropped),
        cmocka_unit_test(test_what_cannot_be_stored_is_dropped),
        cmocka_unit_test(test_a_removal_that_fails_is_repeated),
        cmocka_unit_test(test_a_damaged_event_is_left_out),
        cmocka_unit_test(test_somebody_empties_the_table),
        cmocka_unit_test(test_none_are_configured),
    };
    return cmocka_run_group_tests_name("webhooks", tests, NULL, NULL);
}
