/* SPDX-License-Identifier: MIT */
/* How the last runs went: what is written down of each, how many are kept, and when they are
 * written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hub/feed_runs.h"
#include "tests/unit/hub/feed_world.h"

static int setup(void **state)
{
    return feed_setup_with(
        state,
        (struct world_options){
            .feeds = {"{\"name\":\"city\",\"channel\":\"city:{city}\",\"params\":{\"city\":"
                      "\"[a-z]+\"},\"runs_size\":3,\"upstreams\":[{\"name\":\"air\",\"url\":"
                      "\"" FEED_URL "air\"},{\"name\":\"events\",\"url\":\"" FEED_URL "events\"}]}",
                      "{\"name\":\"many\",\"channel\":\"many\",\"runs_size\":1000,"
                      "\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL "a\"}]}",
                      "{\"name\":\"none\",\"channel\":\"none\",\"runs_size\":0,"
                      "\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL "a\"}]}",
                      "{\"name\":\"must\",\"channel\":\"must\",\"upstreams\":[{\"name\":\"a\","
                      "\"url\":\"" FEED_URL "missing\",\"on_failure\":\"fail\"}]}"},
            .has_file = true});
}

/* --- helpers --- */

struct runs_answer {
    bool is_done;
    enum status status;
    size_t n;
    char first[1000]; /* its text */
    char params[400]; /* of all, newest first */
    bool is_sorted;
};

static void runs_answered(void *arg, enum status status, const char *detail,
                          const struct storage_runs_read *read)
{
    struct runs_answer *a = arg;
    assert_false(a->is_done);
    assert_non_null(detail);
    assert_int_equal(read != NULL, status == STATUS_OK);
    *a = (struct runs_answer){.is_done = true, .status = status, .is_sorted = true};
    for (size_t i = 0; read && i < read->n_runs; i++) {
        const struct storage_run *run = &read->runs[i];
        size_t len = strlen(a->params);
        if (i == 0) {
            snprintf(a->first, sizeof(a->first), "%.*s", STR_ARG(run->text));
        } else {
            a->is_sorted = a->is_sorted && run->time_ms <= run[-1].time_ms;
        }
        assert_int_equal(json_check(run->text, NULL), STATUS_OK);
        assert_true(run->time_ms > 0 && run->duration_us > 0);
        snprintf(a->params + len, sizeof(a->params) - len, "%.*s", STR_ARG(run->params));
        a->n++;
    }
}

static void begin_runs(struct world *w, const char *feed, const char *params, size_t limit,
                       struct runs_answer *a)
{
    *a = (struct runs_answer){.is_done = false};
    const struct feed_runs_request request = {
        .feed = str_of(feed), .params = str_of(params), .limit = limit};
    hub_feed_runs(w->hub, &request, runs_answered, a);
    assert_false(a->is_done);
}

static struct runs_answer runs(struct world *w, const char *feed, const char *params, size_t limit)
{
    struct runs_answer a;
    begin_runs(w, feed, params, limit, &a);
    WAIT_FOR(w, a.is_done);
    return a;
}

/* --- tests --- */

static void a_run_says_how_it_went(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/air", .body = "12345"};
    f->routes[1] = (struct feed_route){.path = "/events", .body = "[]"};
    refresh(f->w, "city", "{\"city\":\"x\"}");
    struct runs_answer a = runs(f->w, "city", "", 10);
    assert_int_equal(a.n, 1);
    assert_string_equal(a.params, "{\"city\":\"x\"}");
    assert_non_null(strstr(a.first, "{\"outcome\":\"completed\",\"trigger\":\"api\",\"upstreams\":["
                                    "{\"name\":\"air\",\"outcome\":\"fresh\",\"status\":200,"));
    assert_non_null(strstr(a.first, "\"bytes\":5,\"attempts\":1}"));
    f->routes[0].status = 500;
    refresh(f->w, "city", "{\"city\":\"x\"}");
    a = runs(f->w, "city", "", 10);
    assert_int_equal(a.n, 2);
    assert_non_null(strstr(a.first, "{\"outcome\":\"incomplete\""));
    assert_non_null(strstr(a.first, "\"outcome\":\"stale\",\"failure\":\"http_error\","
                                    "\"status\":500,"));
    refresh(f->w, "must", "");
    assert_non_null(strstr(runs(f->w, "must", "", 10).first, "{\"outcome\":\"failed\""));
}

static void the_last_ones_are_kept(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    static const char *const params[] = {"{\"city\":\"a\"}", "{\"city\":\"b\"}", "{\"city\":\"c\"}",
                                         "{\"city\":\"d\"}", "{\"city\":\"b\"}"};
    for (size_t i = 0; i < 5; i++) {
        refresh(w, "city", params[i]);
    }
    struct runs_answer a = runs(w, "city", "", 10);
    assert_string_equal(a.params, "{\"city\":\"b\"}{\"city\":\"d\"}{\"city\":\"c\"}");
    assert_true(a.is_sorted);
    assert_int_equal(runs(w, "city", "", 2).n, 2);
    assert_int_equal(runs(w, "city", " {\"city\" : \"\\u0062\"} ", 10).n, 1);
    assert_int_equal(runs(w, "city", "{\"city\":\"a\"}", 10).n, 0);
    refresh(w, "city", params[0]);
    world_restart(w); /* what waits is lost when nobody stops the hub first */
    assert_int_equal(runs(w, "city", "", 10).n, 3);
}

/* More than wait at one time: they are written on the way. */
static void none_is_lost_that_is_to_be_kept(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    for (int i = 0; i < 250; i++) {
        refresh(w, "many", "");
    }
    struct runs_answer a = runs(w, "many", "", 1000);
    assert_int_equal(a.n, 250);
    assert_true(a.is_sorted);
}

static void nothing_is_kept_where_nothing_is_to_be(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    refresh(w, "none", "");
    struct runs_answer a = runs(w, "none", "", 10);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.n, 0);
}

static void a_stopping_hub_writes_what_waits(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a;
    refresh(f->w, "many", "");
    f->routes[0] = (struct feed_route){.path = "/a", .hangs = true};
    begin_refresh(f->w, "many", "", &a);
    WAIT_FOR(f->w, f->routes[0].n == 1);
    hub_stop(f->w->hub);
    feed_world_release(f, "1");
    WAIT_FOR(f->w, a.is_done);
    assert_int_equal(runs(f->w, "many", "", 10).status, STATUS_CLOSED);
    world_restart(f->w);
    assert_int_equal(runs(f->w, "many", "", 10).n, 2);
}

/* It is no news of the upstreams. */
static void what_is_given_up_is_not_written_down(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a;
    f->routes[0] = (struct feed_route){.path = "/a", .hangs = true};
    begin_refresh(f->w, "many", "", &a);
    WAIT_FOR(f->w, f->routes[0].n == 1);
    hub_stop(f->w->hub);
    hub_hurry(f->w->hub);
    WAIT_FOR(f->w, a.is_done);
    world_restart(f->w);
    assert_int_equal(runs(f->w, "many", "", 10).n, 0);
}

/* Who reads while runs are being written waits for those, too. */
static void who_reads_waits_for_what_is_written(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    struct runs_answer a[3];
    for (int i = 0; i < 5; i++) {
        refresh(w, "many", "");
    }
    assert_true(feed_runs_flush(w->hub->feeds[1]->runs, NULL));
    assert_false(hub_is_idle(w->hub));
    for (int i = 0; i < 3; i++) {
        begin_runs(w, "many", "", 10, &a[i]);
    }
    for (int i = 0; i < 3; i++) {
        WAIT_FOR(w, a[i].is_done);
        assert_int_equal(a[i].n, 5);
    }
    assert_false(feed_runs_flush(w->hub->feeds[1]->runs, NULL));
    assert_false(feed_runs_flush(NULL, NULL));
}

static void an_abandoned_hub_writes_and_reads_nothing(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    struct runs_answer a;
    refresh(w, "many", "");
    begin_runs(w, "many", "", 10, &a); /* writes first */
    hub_abandon(w->hub);
    WAIT_FOR(w, a.is_done);
    assert_int_equal(a.status, STATUS_CLOSED);
    assert_int_equal(runs(w, "many", "", 10).status, STATUS_CLOSED);
    assert_false(feed_runs_flush(w->hub->feeds[1]->runs, NULL));
}

static void refusals_say_what_was_wrong(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    assert_int_equal(runs(w, "towns", "", 1).status, STATUS_NOT_FOUND);
    assert_int_equal(runs(w, "city", "{}", 1).status, STATUS_INVALID);
}

#define IN(test) cmocka_unit_test_setup_teardown(test, setup, feed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(a_run_says_how_it_went),
        IN(the_last_ones_are_kept),
        IN(none_is_lost_that_is_to_be_kept),
        IN(nothing_is_kept_where_nothing_is_to_be),
        IN(a_stopping_hub_writes_what_waits),
        IN(what_is_given_up_is_not_written_down),
        IN(who_reads_waits_for_what_is_written),
        IN(an_abandoned_hub_writes_and_reads_nothing),
        IN(refusals_say_what_was_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
