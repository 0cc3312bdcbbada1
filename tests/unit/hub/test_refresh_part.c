/* SPDX-License-Identifier: MIT */
/* The upstreams of a run: last good values, conditions, chains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sqlite3.h>

#include "tests/unit/hub/feed_world.h"

/* --- the last good values --- */

static void last_good_values_stand_in(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/air", .body = "{\"no2\":1.10}"};
    assert_int_equal(refresh(f->w, "city", "{\"city\":\"x\"}").upstreams[0].outcome, FEED_FRESH);
    world_restart(f->w); /* also those from before */
    f->routes[0].status = 500;
    struct feed_answer a = refresh(f->w, "city", "{\"city\":\"x\"}");
    assert_string_equal(a.data, "{\"air\":{\"no2\":1.10},\"events\":null}");
    assert_false(a.is_completed);
    assert_int_equal(a.upstreams[0].outcome, FEED_STALE);
    assert_int_equal(a.upstreams[0].failure, FEED_HTTP_ERROR);
    assert_int_equal(a.upstreams[1].outcome, FEED_HTTP_ERROR);
    a = refresh(f->w, "city", "{\"city\":\"x\"}"); /* a failure takes nothing away */
    assert_string_equal(a.data, "{\"air\":{\"no2\":1.10},\"events\":null}");
    assert_false(a.is_changed);
    a = refresh(f->w, "city", "{\"city\":\"y\"}");
    assert_string_equal(a.data, "{\"air\":null,\"events\":null}");
}

static void the_last_snapshot_can_be_asked_for(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a = get(f->w, "city", "{\"city\":\"x\"}");
    assert_int_equal(a.status, STATUS_NOT_AVAILABLE);
    assert_non_null(strstr(a.detail, "no snapshot"));
    struct feed_answer fresh = refresh(f->w, "city", "{\"city\":\"x\"}");
    for (int i = 0; i < 2; i++) { /* from memory, from the storage */
        a = get(f->w, "city", "{\"city\":\"x\"}");
        assert_int_equal(a.status, STATUS_OK);
        assert_string_equal(a.data, fresh.data);
        assert_string_equal(a.etag, fresh.etag);
        assert_string_equal(a.channel, "city:x");
        assert_int_equal(a.position.offset, 1);
        assert_string_equal(a.position.epoch, fresh.position.epoch);
        assert_false(a.is_completed);
        assert_int_equal(a.n_upstreams, 0);
        world_restart(f->w);
    }
    assert_int_equal(get(f->w, "cities", "").status, STATUS_NOT_FOUND);
    assert_int_equal(get(f->w, "city", "{}").status, STATUS_INVALID);
}

/* --- conditions --- */

static uint64_t n_groups(struct world *w)
{
    struct storage_stats stats;
    storage_stats(w->storage, &stats);
    return stats.n_groups;
}

static int setup_conditions(void **state)
{
    return feed_setup_with(
        state,
        (struct world_options){
            .feeds = {"{\"name\":\"tagged\",\"channel\":\"tagged\",\"runs_size\":0,"
                      "\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL "a\"}]}",
                      "{\"name\":\"orders\",\"channel\":\"orders\",\"runs_size\":0,\"upstreams\":["
                      "{\"name\":\"user\",\"url\":\"" FEED_URL "user\"},"
                      "{\"name\":\"orders\",\"url\":\"" FEED_URL
                      "orders/{user.id}\",\"needs\":[\"user\"]}]}"},
            .has_file = true});
}

static void what_is_as_it_was_costs_no_write(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){
        .path = "/a", .headers = "ETag: \"v1\"\r\n", .etag = "\"v1\"", .body = "{\"x\":1}"};
    assert_true(refresh(f->w, "tagged", "").is_changed);
    world_restart(f->w); /* the condition is remembered, too */
    uint64_t before = n_groups(f->w);
    struct feed_answer a = refresh(f->w, "tagged", "");
    assert_int_equal(a.upstreams[0].http_status, 304);
    assert_int_equal(a.upstreams[0].outcome, FEED_FRESH);
    assert_string_equal(a.data, "{\"a\":{\"x\":1}}");
    assert_false(a.is_changed);
    assert_int_equal(n_groups(f->w), before);
    assert_int_equal(stats_of_feed(f->w, "tagged").n_not_modified, 1);
}

/* An upstream that calls each of its answers another one does not make us write. */
static void another_condition_alone_is_not_written(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/a", .headers = "ETag: \"v1\"\r\n", .body = "1"};
    assert_true(refresh(f->w, "tagged", "").is_changed);
    f->routes[0].headers = "ETag: \"v2\"\r\n";
    uint64_t before = n_groups(f->w);
    assert_int_equal(refresh(f->w, "tagged", "").status, STATUS_OK);
    assert_int_equal(n_groups(f->w), before);
    f->routes[0].etag = "\"v2\"";
    assert_int_equal(refresh(f->w, "tagged", "").upstreams[0].http_status, 304);
}

static void a_304_that_was_not_asked_for_is_an_error(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/a", .status = 304, .body = ""};
    struct feed_answer a = refresh(f->w, "tagged", "");
    assert_int_equal(a.upstreams[0].outcome, FEED_HTTP_ERROR);
    assert_int_equal(a.upstreams[0].http_status, 304);
    assert_string_equal(a.data, "{\"a\":null}");
}

static void execute(struct world *w, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* A damaged file may say anything: it gets no further headers into a request. */
static void a_condition_with_control_characters_is_not_sent(void **state)
{
    static const char *const damages[] = {"char(13)", "char(10)", "char(13,10)", "char(0)",
                                          "char(127)"};
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){
        .path = "/a",
        .headers = "ETag: \"v1\"\r\nLast-Modified: Mon, 23 Nov 2026 10:00:00 GMT\r\n",
        .body = "1"};
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        char sql[300];
        assert_int_equal(refresh(f->w, "tagged", "").status, STATUS_OK);
        world_restart(f->w);
        snprintf(
            sql, sizeof(sql),
            "UPDATE feed_values SET condition=replace(replace(condition, '\"v1\"', '\"v1\"' || "
            "%s || 'X-Evil: 1'), 'GMT', 'GMT' || %s || 'X-Evil: 2')",
            damages[i], damages[i]);
        execute(f->w, sql);
        struct feed_answer a = refresh(f->w, "tagged", "");
        assert_int_equal(a.upstreams[0].outcome, FEED_FRESH);
        assert_null(strstr(f->requested, "X-Evil"));
        assert_null(strstr(f->requested, "If-Modified-Since"));
        assert_int_equal(purge(f->w, "tagged", "").n, 1);
    }
    assert_int_equal(refresh(f->w, "tagged", "").status, STATUS_OK);
    assert_int_equal(refresh(f->w, "tagged", "").status, STATUS_OK);
    assert_non_null(strstr(f->requested, "If-None-Match: \"v1\"\r\n"));
    assert_non_null(strstr(f->requested, "If-Modified-Since: Mon, 23 Nov 2026 10:00:00 GMT\r\n"));
}

/* What another user has ordered is neither a last good value nor what a 304 means. */
static void values_of_a_chain_belong_to_their_request(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/user", .body = "{\"id\":1}"};
    f->routes[1] = (struct feed_route){
        .path = "/orders/1", .headers = "ETag: \"o\"\r\n", .etag = "\"o\"", .body = "[\"book\"]"};
    f->routes[2] = (struct feed_route){.path = "/orders/2", .status = 500};
    assert_string_equal(refresh(f->w, "orders", "").data,
                        "{\"user\":{\"id\":1},\"orders\":[\"book\"]}");
    f->routes[1].etag = NULL;
    f->routes[1].status = 503;
    assert_int_equal(refresh(f->w, "orders", "").upstreams[1].outcome, FEED_STALE);
    f->routes[0].body = "{\"id\":2}";
    struct feed_answer a = refresh(f->w, "orders", "");
    assert_string_equal(a.data, "{\"user\":{\"id\":2},\"orders\":null}");
    assert_null(strstr(f->requested, "\"o\""));
    f->routes[0].body = "{}"; /* nothing is known of another one */
    a = refresh(f->w, "orders", "");
    assert_int_equal(a.upstreams[1].outcome, FEED_STALE);
    assert_int_equal(a.upstreams[1].failure, FEED_SKIPPED);
}

/* --- chains --- */

#define DEEP 12

static int setup_chain(void **state)
{
    struct buf text;
    buf_init(&text, 100000);
    buf_literal(&text, "{\"name\":\"deep\",\"channel\":\"deep\",\"timeout\":\"20s\",\"merge\":"
                       "\"array\",\"upstreams\":[");
    for (int i = DEEP - 1; i >= 0; i--) { /* the last one stands first */
        buf_printf(&text, "{\"name\":\"u%d\",\"url\":\"" FEED_URL "u%d/", i, i);
        if (i > 0) {
            buf_printf(&text, "{u%d.v.0}\",\"needs\":[\"u%d\"]}%s", i - 1, i - 1, ",");
        } else {
            buf_literal(&text, "\"}]}");
        }
    }
    buf_append_char(&text, '\0');
    feed_setup_with(state, (struct world_options){.feeds = {text.ptr}});
    buf_release(&text);
    return 0;
}

static void a_deep_chain_is_asked_in_order(void **state)
{
    struct feed_world *f = *state;
    char paths[DEEP][32];
    for (int i = 0; i < DEEP; i++) {
        snprintf(paths[i], sizeof(paths[i]), i == 0 ? "/u0/" : "/u%d/y%%20z ", i);
        f->routes[i] = (struct feed_route){.path = paths[i], .body = "{\"v\":[\"y z\"]}"};
    }
    struct feed_answer a = refresh(f->w, "deep", "");
    assert_true(a.is_completed);
    for (int i = 0; i < DEEP; i++) {
        assert_int_equal(f->routes[i].n, 1);
    }
}

static void a_broken_chain_skips_the_rest_at_once(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/u0/", .body = "{\"v\":[{}]}"};
    struct feed_answer a = refresh(f->w, "deep", "");
    assert_int_equal(a.status, STATUS_OK);
    for (size_t i = 0; i < DEEP - 1; i++) {
        assert_int_equal(a.upstreams[i].outcome, FEED_SKIPPED);
    }
    assert_int_equal(a.upstreams[DEEP - 1].outcome, FEED_FRESH);
    assert_string_equal(a.errors[DEEP - 2], "u0.v.0 is no text, number or truth");
    assert_string_equal(a.errors[0], "u10, which it needs, has no value");
    assert_int_equal(f->backend.n_requests, 1);
}

/* --- answers that do not do --- */

static int setup_group(void **state)
{
    return feed_setup_with(
        state, (struct world_options){
                   .feeds = {"{\"name\":\"nested\",\"channel\":\"nested\",\"upstreams\":[{\"name\":"
                             "\"a\",\"url\":\"" FEED_URL "a\",\"group\":\"g\"}]}"}});
}

/* What the document adds must not make it one that nobody reads. */
static void an_answer_may_be_nested_so_deep_that_the_document_can_be_read(void **state)
{
    enum { DEPTH_MAX = JSON_DEPTH_MAX - 2 };
    struct feed_world *f = *state;
    char body[2 * (DEPTH_MAX + 1) + 1] = "";
    f->routes[0] = (struct feed_route){.path = "/a", .body = body};
    memset(body, '[', DEPTH_MAX);
    memset(body + DEPTH_MAX, ']', DEPTH_MAX);
    struct feed_answer a = refresh(f->w, "nested", "");
    assert_int_equal(a.upstreams[0].outcome, FEED_FRESH);
    assert_int_equal(json_check(str_of(a.data), NULL), STATUS_OK);
    memset(body, '[', DEPTH_MAX + 1);
    memset(body + DEPTH_MAX + 1, ']', DEPTH_MAX + 1);
    a = refresh(f->w, "nested", "");
    assert_int_equal(a.upstreams[0].outcome, FEED_STALE);
    assert_int_equal(a.upstreams[0].failure, FEED_INVALID_JSON);
    assert_string_equal(a.errors[0], "byte 126: expected no deeper nesting");
}

static void an_answer_that_is_no_json_says_where(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/a", .body = "{\"a\":x}"};
    struct feed_answer a = refresh(f->w, "tagged", "");
    assert_int_equal(a.upstreams[0].outcome, FEED_INVALID_JSON);
    assert_string_equal(a.errors[0], "byte 5: expected a value");
}

#define IN(setup, test) cmocka_unit_test_setup_teardown(test, setup, feed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(feed_setup_file, last_good_values_stand_in),
        IN(feed_setup_file, the_last_snapshot_can_be_asked_for),
        IN(setup_conditions, what_is_as_it_was_costs_no_write),
        IN(setup_conditions, another_condition_alone_is_not_written),
        IN(setup_conditions, a_304_that_was_not_asked_for_is_an_error),
        IN(setup_conditions, a_condition_with_control_characters_is_not_sent),
        IN(setup_conditions, values_of_a_chain_belong_to_their_request),
        IN(setup_chain, a_deep_chain_is_asked_in_order),
        IN(setup_chain, a_broken_chain_skips_the_rest_at_once),
        IN(setup_group, an_answer_may_be_nested_so_deep_that_the_document_can_be_read),
        IN(setup_conditions, an_answer_that_is_no_json_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
