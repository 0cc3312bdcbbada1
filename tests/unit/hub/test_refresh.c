/* SPDX-License-Identifier: MIT */
/* Runs of feeds: what is answered and pushed, shared runs, refusals, limits, and the end of the hub
 * at each of their steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hub/refresh.h"
#include "tests/unit/hub/feed_world.h"

static int setup(void **state)
{
    return feed_setup_with(
        state,
        (struct world_options){
            .upstreams = "{\"max_refreshes\":2}",
            .feeds = {FEED_CITY,
                      "{\"name\":\"plain\",\"channel\":\"plain\",\"timeout\":"
                      "\"20s\",\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL "plain\"}]}",
                      "{\"name\":\"lost\",\"channel\":\"nowhere:a\",\"upstreams\":["
                      "{\"name\":\"a\",\"url\":\"" FEED_URL "\"}]}"}});
}

/* --- what is answered and pushed --- */

static void a_failed_refresh_is_a_result(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    peer_connect(&p, f->w);
    assert_int_equal(subscribe(&p, "city:bilbao").status, STATUS_OK);
    struct feed_answer a = refresh(f->w, "city", "{\"city\":\"bilbao\"}");
    assert_int_equal(a.status, STATUS_OK);
    assert_string_equal(a.detail, "");
    assert_string_equal(a.data, "{\"air\":null,\"events\":null}");
    assert_string_equal(a.channel, "city:bilbao");
    assert_string_equal(a.params, "{\"city\":\"bilbao\"}");
    assert_int_equal(strlen(a.etag), 34);
    assert_int_equal(a.position.offset, 1);
    assert_true(a.is_changed);
    assert_false(a.is_completed);
    assert_int_equal(a.n_upstreams, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(a.upstreams[i].outcome, FEED_HTTP_ERROR);
        assert_int_equal(a.upstreams[i].http_status, 404);
        assert_int_equal(a.upstreams[i].age_ms, -1);
    }
    WAIT_FOR(f->w, p.n_messages == 1);
    assert_string_equal(peer_text(&p), "city:bilbao 1 {\"air\":null,\"events\":null}\n");
    struct feed_stats stats = stats_of_feed(f->w, "city");
    assert_int_equal(stats.n_refreshes, 1);
    assert_int_equal(stats.n_changed, 1);
    assert_int_equal(stats.n_incomplete, 1);
    assert_int_equal(stats.n_failed, 0);
    assert_int_equal(stats.n_running, 0);
    assert_true(stats.last_time_ms > 0);
    peer_release(&p);
}

static void an_unchanged_snapshot_is_not_pushed(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/air/bilbao", .body = "{\"no2\":1.10}"};
    struct feed_answer first = refresh(f->w, "city", "{\"city\":\"bilbao\"}");
    struct feed_answer second = refresh(f->w, "city", " { \"city\" : \"bilb\\u0061o\" } ");
    assert_string_equal(first.data, "{\"air\":{\"no2\":1.10},\"events\":null}");
    assert_true(first.is_changed);
    assert_false(second.is_changed);
    assert_string_equal(second.etag, first.etag);
    assert_int_equal(second.position.offset, 1);
    assert_string_equal(second.position.epoch, first.position.epoch);
    assert_int_equal(publish(f->w, "city:bilbao", "1").position.offset, 2);
    struct feed_answer other = refresh(f->w, "city", "{\"city\":\"getxo\"}");
    assert_true(other.is_changed);
    assert_int_equal(other.position.offset, 1);
    assert_string_not_equal(other.position.epoch, first.position.epoch);
}

static void a_channel_without_history_has_no_position(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    peer_connect(&p, f->w);
    subscribe(&p, "plain");
    struct feed_answer a = refresh(f->w, "plain", "");
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.position.offset, 0);
    WAIT_FOR(f->w, p.n_messages == 1);
    assert_string_equal(peer_text(&p), "plain 0 {\"a\":null}\n");
    peer_release(&p);
}

static void who_asks_meanwhile_shares_the_run(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a[3];
    f->routes[0] = (struct feed_route){.path = "/"};
    for (int i = 0; i < 3; i++) {
        begin_refresh(f->w, "city", i == 1 ? "{ \"city\":\"x\"}" : "{\"city\":\"x\"}", &a[i]);
    }
    assert_false(hub_is_idle(f->w->hub));
    assert_int_equal(stats_of_feed(f->w, "city").n_running, 1);
    for (int i = 0; i < 3; i++) {
        WAIT_FOR(f->w, a[i].is_done);
        assert_int_equal(a[i].status, STATUS_OK);
        assert_true(a[i].is_changed);
        assert_int_equal(a[i].position.offset, 1);
    }
    assert_int_equal(f->routes[0].n, 2);
    assert_int_equal(stats_of_feed(f->w, "city").n_refreshes, 1);
    assert_int_equal(stats_of_feed(f->w, "city").n_shared, 2);
}

struct asking_again {
    struct world *w;
    struct feed_answer first, second;
};

static void ask_again(void *arg, enum status status, const char *detail,
                      const struct feed_result *result)
{
    struct asking_again *a = arg;
    feed_answered(&a->first, status, detail, result);
    begin_refresh(a->w, "city", "{\"city\":\"x\"}", &a->second);
}

static void who_asks_when_he_is_answered_starts_a_new_run(void **state)
{
    struct feed_world *f = *state;
    struct asking_again a = {.w = f->w};
    hub_feed_refresh(f->w->hub, STR("city"), STR("{\"city\":\"x\"}"), ask_again, &a);
    WAIT_FOR(f->w, a.first.is_done && a.second.is_done);
    assert_int_equal(a.second.status, STATUS_OK);
    assert_int_equal(stats_of_feed(f->w, "city").n_refreshes, 2);
}

/* --- refusals --- */

static void check_refused(struct world *w, const char *feed, const char *params,
                          enum status expected, const char *words)
{
    struct feed_answer a = refresh(w, feed, params);
    assert_int_equal(a.status, expected);
    assert_non_null(strstr(a.detail, words));
}

static void refusals_say_what_was_wrong(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    check_refused(w, "cities", "", STATUS_NOT_FOUND, "cities");
    check_refused(w, "", "", STATUS_NOT_FOUND, "\"\"");
    check_refused(w, "city", "", STATUS_INVALID, "params.city is missing");
    check_refused(w, "city", "{\"city\":\"BILBAO\"}", STATUS_INVALID, "[a-z.]+");
    check_refused(w, "lost", "", STATUS_UNKNOWN_CHANNEL, "nowhere:a");
    assert_int_equal(stats_of_feed(w, "city").n_refreshes, 0);
}

/* A value that may not stand in the FEED_URL's path fails that upstream only. */
static void a_value_that_fits_no_url(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/events", .body = "[]"};
    struct feed_answer a = refresh(f->w, "city", "{\"city\":\"..\"}");
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.upstreams[0].outcome, FEED_SKIPPED);
    assert_string_equal(a.errors[0], "a value may not stand in its request");
    assert_int_equal(a.upstreams[1].outcome, FEED_FRESH);
}

static void runs_have_a_limit(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    struct feed_answer a[4];
    begin_refresh(w, "city", "{\"city\":\"x\"}", &a[0]);
    begin_refresh(w, "city", "{\"city\":\"y\"}", &a[1]);
    begin_refresh(w, "city", "{\"city\":\"z\"}", &a[2]);
    begin_refresh(w, "city", "{\"city\":\"x\"}", &a[3]); /* shares one that runs */
    for (int i = 0; i < 4; i++) {
        WAIT_FOR(w, a[i].is_done);
        assert_int_equal(a[i].status, i == 2 ? STATUS_OVERLOADED : STATUS_OK);
    }
    assert_non_null(strstr(a[2].detail, "max_refreshes"));
    assert_int_equal(refresh(w, "city", "{\"city\":\"z\"}").status, STATUS_OK);
}

static int setup_limited(void **state)
{
    return feed_setup_with(
        state,
        (struct world_options){.feeds = {"{\"name\":\"few\",\"channel\":\"city:{c}\",\"params\":{"
                                         "\"c\":\"[a-z]\"},\"snapshot_limit\":2,\"upstreams\":["
                                         "{\"name\":\"a\",\"url\":\"" FEED_URL "{c}\"}]}"},
                               .has_file = true});
}

static void snapshots_have_a_limit(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    refresh(w, "few", "{\"c\":\"x\"}");
    refresh(w, "few", "{\"c\":\"y\"}");
    refresh(w, "few", "{\"c\":\"z\"}");
    world_restart(w);
    assert_int_equal(get(w, "few", "{\"c\":\"x\"}").status, STATUS_NOT_AVAILABLE);
    assert_int_equal(get(w, "few", "{\"c\":\"y\"}").status, STATUS_OK);
    assert_int_equal(get(w, "few", "{\"c\":\"z\"}").status, STATUS_OK);
}

/* --- the end --- */

static void giving_up_answers_all(void **state)
{
    struct feed_world *f = *state;
    struct world *w = f->w;
    struct peer p;
    struct feed_answer a[3];
    f->routes[0] = (struct feed_route){.path = "/", .hangs = true};
    peer_connect(&p, w);
    subscribe(&p, "city:x");
    begin_refresh(w, "city", "{\"city\":\"x\"}", &a[0]);
    begin_refresh(w, "city", "{\"city\":\"x\"}", &a[1]);
    WAIT_FOR(w, f->routes[0].n == 2);
    begin_refresh(w, "city", "{\"city\":\"y\"}", &a[2]); /* is still recalling */
    hub_stop(w->hub);
    hub_hurry(w->hub);
    for (int i = 0; i < 3; i++) {
        WAIT_FOR(w, a[i].is_done);
        assert_int_equal(a[i].status, STATUS_CLOSED);
        assert_string_equal(a[i].detail, "shutting down");
    }
    assert_int_equal(refresh(w, "city", "{\"city\":\"x\"}").status, STATUS_CLOSED);
    assert_int_equal(changed(w, "city", "").status, STATUS_CLOSED);
    assert_int_equal(purge(w, "city", "").status, STATUS_CLOSED);
    peer_leave(&p);
    WAIT_FOR(w, hub_is_idle(w->hub));
    assert_int_equal(p.n_messages, 0);
    assert_int_equal(f->routes[0].n, 2);
    assert_int_equal(stats_of_feed(w, "city").n_failed, 2);
    hub_hurry(w->hub); /* nothing left to do */
    peer_release(&p);
}

/* What is under way goes on, until there is hurry. */
static void a_stopped_hub_ends_its_runs(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a;
    begin_refresh(f->w, "city", "{\"city\":\"x\"}", &a);
    hub_stop(f->w->hub);
    WAIT_FOR(f->w, a.is_done);
    assert_int_equal(a.status, STATUS_OK);
}

/* The storage may be closed by then. */
static void an_abandoned_hub_stores_and_reads_nothing(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    struct feed_answer running;
    struct storage_stats before;
    struct storage_stats after;
    begin_refresh(w, "city", "{\"city\":\"x\"}", &running);
    hub_abandon(w->hub);
    hub_hurry(w->hub);
    WAIT_FOR(w, running.is_done);
    assert_int_equal(running.status, STATUS_CLOSED);
    storage_stats(w->storage, &before);
    assert_int_equal(get(w, "city", "{\"city\":\"x\"}").status, STATUS_CLOSED);
    assert_int_equal(refresh(w, "city", "{\"city\":\"x\"}").status, STATUS_CLOSED);
    storage_stats(w->storage, &after);
    assert_int_equal(after.n_reads, before.n_reads);
    assert_int_equal(after.n_appends, 0);
}

static void outcomes_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {"fresh",      "cached",     "stale",        "timeout",
                                        "http_error", "dns_error",  "tls_error",    "invalid_json",
                                        "refused",    "overloaded", "rate_limited", "breaker_open",
                                        "too_large",  "skipped",    "connect_error"};
    for (int outcome = 0; outcome < N_FEED_OUTCOMES; outcome++) {
        size_t i = 0;
        while (strcmp(names[i], feed_outcome_name((enum feed_outcome)outcome)) != 0) {
            i++;
            assert_true(i < sizeof(names) / sizeof(names[0]));
        }
    }
}

#define IN(setup, test) cmocka_unit_test_setup_teardown(test, setup, feed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(setup, a_failed_refresh_is_a_result),
        IN(setup, an_unchanged_snapshot_is_not_pushed),
        IN(setup, a_channel_without_history_has_no_position),
        IN(setup, who_asks_meanwhile_shares_the_run),
        IN(setup, who_asks_when_he_is_answered_starts_a_new_run),
        IN(setup, refusals_say_what_was_wrong),
        IN(setup, a_value_that_fits_no_url),
        IN(setup, runs_have_a_limit),
        IN(setup_limited, snapshots_have_a_limit),
        IN(setup, giving_up_answers_all),
        IN(setup, a_stopped_hub_ends_its_runs),
        IN(setup, an_abandoned_hub_stores_and_reads_nothing),
        cmocka_unit_test(outcomes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
