/* SPDX-License-Identifier: MIT */
/* When feeds are refreshed by themselves: jitter, backoff, watchers and the grace after them, what
 * upstreams say about caching, limits, words of upstreams. Times are hours: what comes next is read
 * from the schedule, and brought about by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hub/refresh.h"
#include "tests/unit/hub/feed_world.h"

#define HOUR_MS   INT64_C(3600000)
#define MINUTE_MS INT64_C(60000)

#define UPSTREAM(path) "{\"name\":\"" path "\",\"url\":\"" FEED_URL path "\"}"

static int setup(void **state)
{
    return feed_setup_with(
        state,
        (struct world_options){
            .upstreams = "{\"max_refreshes\":2,\"max_watched\":2}",
            .feeds = {"{\"name\":\"hourly\",\"channel\":\"hourly:{c}\",\"timeout\":\"20s\","
                      "\"params\":{\"c\":\"[a-z]+\"},\"max_age\":\"2h\","
                      "\"refresh\":{\"every\":\"1h\",\"jitter\":10,\"grace\":\"30m\"},"
                      "\"upstreams\":[" UPSTREAM("a") "]}",
                      "{\"name\":\"often\",\"channel\":\"often\",\"timeout\":\"20s\",\"refresh\":{"
                      "\"every\":\"1m\",\"jitter\":0,\"grace\":\"0s\"},\"upstreams\":[" UPSTREAM(
                          "a") "]}",
                      "{\"name\":\"polite\",\"channel\":\"polite\",\"timeout\":\"20s\",\"refresh\":"
                      "{\"every\":\"1h\",\"jitter\":0,\"respect_cache\":true},"
                      "\"upstreams\":[" UPSTREAM("a") "," UPSTREAM("b") "]}",
                      "{\"name\":\"asked\",\"channel\":\"asked\",\"timeout\":\"20s\",\"max_age\":"
                      "\"1h\",\"upstreams\":[" UPSTREAM("a") "]}"},
            .channel = "{\"namespaces\":[{\"name\":\"hourly\"}]}"});
}

static int setup_always(void **state)
{
    return feed_setup_with(
        state, (struct world_options){
                   .feeds = {"{\"name\":\"ever\",\"channel\":\"ever\",\"timeout\":\"20s\","
                             "\"refresh\":{\"every\":\"1h\",\"while\":\"always\"},"
                             "\"upstreams\":[" UPSTREAM("a") "]}"}});
}

/* --- helpers --- */

static int64_t until_next(const struct feed_instance *in)
{
    assert_true(in->schedule.is_on);
    assert_true(deadline_armed(&in->schedule.deadline));
    return in->schedule.next_ms - loop_now_ms(in->hub->loop);
}

/* As if the time had come. */
static void come_due(struct feed_instance *in)
{
    struct schedule *s = &in->schedule;
    assert_true(deadline_armed(&s->deadline));
    s->next_ms = loop_now_ms(in->hub->loop);
    deadline_arm(in->hub->deadlines, &s->deadline, 0, s->deadline.fire);
}

static void end_grace(struct feed_instance *in)
{
    struct schedule *s = &in->schedule;
    assert_true(s->stop_ms > 0);
    s->stop_ms = loop_now_ms(in->hub->loop);
    deadline_arm(in->hub->deadlines, &s->deadline, 0, s->deadline.fire);
}

/* The first run has ended. */
static struct feed_instance *watch(struct feed_world *f, struct peer *p, const char *channel)
{
    struct feed_instance *in = instance_of(f->w, channel);
    peer_connect(p, f->w);
    assert_int_equal(subscribe(p, channel).status, STATUS_OK);
    WAIT_FOR(f->w, !in->running && in->last_run_ms > 0);
    return in;
}

static uint64_t n_runs(struct feed_world *f, const char *feed)
{
    return stats_of_feed(f->w, feed).n_refreshes;
}

static void run_once(struct feed_world *f, struct feed_instance *in)
{
    const struct feed_stats *stats = &in->feed->stats;
    uint64_t n = stats->n_refreshes;
    come_due(in);
    WAIT_FOR(f->w, stats->n_refreshes == n + 1 && !in->running);
}

/* --- how long --- */

static void jitter_has_its_bounds(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    f->routes[0] = (struct feed_route){.path = "/a"};
    struct feed_instance *in = watch(f, &p, "hourly:x");
    int64_t least = INT64_MAX, most = 0;
    for (int i = 0; i < 2000; i++) {
        schedule_refreshed(in, true);
        int64_t delay_ms = until_next(in);
        assert_in_range(delay_ms, HOUR_MS * 95 / 100, HOUR_MS * 105 / 100);
        least = delay_ms < least ? delay_ms : least;
        most = delay_ms > most ? delay_ms : most;
    }
    assert_true(least < HOUR_MS * 96 / 100 && most > HOUR_MS * 104 / 100);
    feed_instance_release(in);
    peer_release(&p);
    in = watch(f, &p, "often");
    for (int i = 0; i < 10; i++) {
        schedule_refreshed(in, true);
        assert_int_equal(until_next(in), MINUTE_MS);
    }
    feed_instance_release(in);
    peer_release(&p);
}

static void check_backoff(struct feed_instance *in, int64_t most_expected)
{
    int64_t least = INT64_MAX, most = 0;
    unsigned n = in->schedule.n_fruitless;
    for (int i = 0; i < 500; i++) {
        in->schedule.n_fruitless = n;
        schedule_refreshed(in, false);
        int64_t delay_ms = until_next(in);
        assert_in_range(delay_ms, most_expected / 2, most_expected);
        least = delay_ms < least ? delay_ms : least;
        most = delay_ms > most ? delay_ms : most;
    }
    assert_true(least < most_expected * 6 / 10 && most > most_expected * 9 / 10);
    assert_int_equal(in->schedule.n_fruitless, n + 1);
}

static void a_feed_that_keeps_failing_is_refreshed_less_often(void **state)
{
    static const int64_t minutes[] = {2, 4, 5, 5};
    struct feed_world *f = *state;
    struct peer p;
    f->routes[0] = (struct feed_route){.path = "/a"};
    struct feed_instance *in = watch(f, &p, "often");
    for (size_t i = 0; i < sizeof(minutes) / sizeof(minutes[0]); i++) {
        check_backoff(in, minutes[i] * MINUTE_MS);
    }
    in->schedule.n_fruitless = 1000000;
    check_backoff(in, 5 * MINUTE_MS);
    f->routes[0].status = 500; /* and so that it is seen */
    run_once(f, in);
    assert_in_range(until_next(in), 5 * MINUTE_MS / 2, 5 * MINUTE_MS);
    f->routes[0].status = 200;
    run_once(f, in);
    assert_int_equal(in->schedule.n_fruitless, 0);
    assert_in_range(until_next(in), MINUTE_MS / 2, MINUTE_MS);
    feed_instance_release(in);
    peer_release(&p);
    in = watch(f, &p, "hourly:x"); /* never sooner than without failures */
    check_backoff(in, HOUR_MS);
    feed_instance_release(in);
    peer_release(&p);
}

/* --- who watches --- */

static void a_feed_is_refreshed_while_it_is_watched(void **state)
{
    struct feed_world *f = *state;
    struct peer first;
    struct peer second;
    f->routes[0] = (struct feed_route){.path = "/a"};
    struct feed_instance *in = watch(f, &first, "hourly:x");
    assert_int_equal(n_runs(f, "hourly"), 1);
    assert_int_equal(stats_of_feed(f->w, "hourly").n_watched, 1);
    assert_int_equal(stats_of_feed(f->w, "hourly").n_scheduled, 1);
    peer_connect(&second, f->w);
    assert_int_equal(subscribe(&second, "hourly:x").status, STATUS_OK);
    assert_false(in->running != NULL); /* it is young enough */
    run_once(f, in);
    assert_int_equal(n_runs(f, "hourly"), 2);
    peer_leave(&second);
    assert_int_equal(in->schedule.stop_ms, 0);
    peer_leave(&first);
    assert_in_range(in->schedule.stop_ms - loop_now_ms(f->w->loop), HOUR_MS / 2 - MINUTE_MS,
                    HOUR_MS / 2);
    run_once(f, in); /* the grace */
    assert_int_equal(stats_of_feed(f->w, "hourly").n_watched, 1);
    peer_release(&first);
    peer_connect(&first, f->w);
    assert_int_equal(subscribe(&first, "hourly:x").status, STATUS_OK);
    assert_int_equal(in->schedule.stop_ms, 0);
    assert_int_equal(n_runs(f, "hourly"), 3);
    run_once(f, in);
    peer_leave(&first);
    end_grace(in);
    WAIT_FOR(f->w, !in->schedule.is_on);
    assert_false(deadline_armed(&in->schedule.deadline));
    assert_int_equal(stats_of_feed(f->w, "hourly").n_watched, 0);
    assert_int_equal(in->n_refs, 1); /* ours */
    feed_instance_release(in);
    peer_release(&first);
    peer_release(&second);
}

static void the_grace_may_end_during_a_run(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    f->routes[0] = (struct feed_route){.path = "/a", .body = "1"};
    struct feed_instance *in = watch(f, &p, "hourly:x");
    f->routes[0].hangs = true;
    come_due(in);
    WAIT_FOR(f->w, f->routes[0].n == 2);
    peer_release(&p);
    end_grace(in);
    WAIT_FOR(f->w, !in->schedule.is_on);
    feed_instance_release(in); /* only the run holds it now */
    f->w->upstreams_options.memory_max_size = 0;
    feed_world_release(f, "2");
    WAIT_FOR(f->w, hub_is_idle(f->w->hub));
    assert_int_equal(n_runs(f, "hourly"), 2);
    assert_int_equal(HASH_COUNT(f->w->hub->feed_table.instances), 0);
    assert_int_equal(f->w->hub->feed_table.n_bytes, 0);
}

static void always_needs_nobody(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    struct feed_instance *in = instance_of(f->w, "ever");
    WAIT_FOR(f->w, in->last_run_ms > 0 && !in->running);
    run_once(f, in);
    f->routes[0] = (struct feed_route){.path = "/a"};
    run_once(f, in);
    assert_in_range(until_next(in), HOUR_MS * 94 / 100, HOUR_MS * 105 / 100);
    peer_connect(&p, f->w);
    assert_int_equal(subscribe(&p, "ever").status, STATUS_OK);
    peer_release(&p);
    assert_int_equal(in->schedule.stop_ms, 0);
    assert_true(in->schedule.is_on);
    assert_int_equal(stats_of_feed(f->w, "ever").n_watched, 1);
    hub_stop(f->w->hub);
    assert_false(deadline_armed(&in->schedule.deadline));
    assert_int_equal(stats_of_feed(f->w, "ever").n_watched, 0);
    feed_instance_release(in);
}

/* --- respect_cache --- */

static void max_age_is_waited_for(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    f->routes[0] = (struct feed_route){.path = "/a", .headers = "Cache-Control: max-age=7200\r\n"};
    f->routes[1] = (struct feed_route){.path = "/b", .headers = "Cache-Control: max-age=5400\r\n"};
    struct feed_instance *in = watch(f, &p, "polite");
    assert_in_range(until_next(in), 5340000, 5400000); /* the first of them */
    run_once(f, in);                                   /* as if it were sooner */
    assert_int_equal(f->routes[0].n + f->routes[1].n, 2);
    in->values[1].not_before_ms = 1; /* over */
    run_once(f, in);
    assert_int_equal(f->routes[0].n, 1);
    assert_int_equal(f->routes[1].n, 2);
    struct feed_answer a = refresh(f->w, "polite", ""); /* who asks gets what is true now */
    assert_int_equal(a.upstreams[0].outcome, FEED_FRESH);
    assert_int_equal(f->routes[0].n, 2);
    f->routes[0].headers = f->routes[1].headers = NULL;
    refresh(f->w, "polite", "");
    assert_in_range(until_next(in), HOUR_MS - MINUTE_MS, HOUR_MS);
    feed_instance_release(in);
    peer_release(&p);
}

static void retry_after_is_waited_for(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    f->routes[0] = (struct feed_route){.path = "/a", .body = "1"};
    f->routes[1] = (struct feed_route){.path = "/b", .body = "2"};
    struct feed_instance *in = watch(f, &p, "polite");
    f->routes[0].status = 429;
    f->routes[0].headers = "Retry-After: 7200\r\n";
    run_once(f, in);
    assert_true(in->values[0].is_told_to_wait);
    assert_in_range(until_next(in), HOUR_MS - MINUTE_MS, HOUR_MS); /* the other one may be asked */
    run_once(f, in);
    assert_int_equal(f->routes[0].n, 2);
    assert_int_equal(f->routes[1].n, 3);
    struct feed_answer a = get(f->w, "polite", "");
    assert_string_equal(a.data, "{\"a\":1,\"b\":2}");
    assert_false(a.is_completed);
    f->routes[1].hangs = true; /* what was told holds also when nothing is answered */
    struct feed_answer slow;
    f->routes[0].hangs = true;
    begin_refresh(f->w, "polite", "", &slow);
    WAIT_FOR(f->w, f->routes[1].n == 4);
    hub_hurry(f->w->hub);
    WAIT_FOR(f->w, slow.is_done);
    assert_true(in->values[0].is_told_to_wait);
    feed_instance_release(in);
    peer_release(&p);
}

/* A year would be for ever. */
static void no_word_silences_an_upstream_for_longer_than_a_day(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    f->routes[0] = f->routes[1] =
        (struct feed_route){.path = "/", .headers = "Cache-Control: max-age=31536000\r\n"};
    struct feed_instance *in = watch(f, &p, "polite");
    assert_in_range(until_next(in), 24 * HOUR_MS - MINUTE_MS, 24 * HOUR_MS);
    f->routes[0].status = 503;
    f->routes[0].headers = "Retry-After: 99999999999\r\n";
    refresh(f->w, "polite", "");
    assert_in_range(until_next(in), 24 * HOUR_MS - MINUTE_MS, 24 * HOUR_MS);
    feed_instance_release(in);
    peer_release(&p);
}

/* --- limits --- */

static void what_is_watched_has_a_limit(void **state)
{
    static const char *const channels[] = {"hourly:x", "hourly:y", "hourly:z"};
    struct feed_world *f = *state;
    struct peer p[3];
    struct feed_instance *in[3];
    f->routes[0] = (struct feed_route){.path = "/a"};
    for (int i = 0; i < 3; i++) {
        in[i] = watch(f, &p[i], channels[i]); /* a subscriber gets a snapshot all the same */
        assert_int_equal(in[i]->schedule.is_on, i < 2);
    }
    assert_int_equal(f->w->hub->feed_table.n_watched, 2);
    assert_int_equal(f->w->hub->feed_table.n_watch_refused, 1);
    assert_false(deadline_armed(&in[2]->schedule.deadline));
    peer_leave(&p[2]);
    assert_int_equal(f->w->hub->feed_table.n_watched, 2);
    peer_leave(&p[0]);
    end_grace(in[0]);
    WAIT_FOR(f->w, !in[0]->schedule.is_on);
    peer_release(&p[2]);
    peer_connect(&p[2], f->w);
    assert_int_equal(subscribe(&p[2], channels[2]).status, STATUS_OK);
    assert_true(in[2]->schedule.is_on);
    for (int i = 0; i < 3; i++) {
        feed_instance_release(in[i]);
        peer_release(&p[i]);
    }
}

static void a_run_that_finds_no_room_comes_soon(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    struct feed_answer a[2];
    f->routes[0] = (struct feed_route){.path = "/a"};
    struct feed_instance *in = watch(f, &p, "often");
    f->routes[0].hangs = true;
    begin_refresh(f->w, "hourly", "{\"c\":\"x\"}", &a[0]);
    begin_refresh(f->w, "hourly", "{\"c\":\"y\"}", &a[1]);
    WAIT_FOR(f->w, f->routes[0].n == 3);
    come_due(in);
    int64_t due_ms = in->schedule.next_ms;
    WAIT_FOR(f->w, in->schedule.next_ms != due_ms);
    assert_in_range(until_next(in), 1, 200);
    assert_int_equal(n_runs(f, "often"), 1);
    feed_world_release(f, "1");
    WAIT_FOR(f->w, n_runs(f, "often") == 2);
    WAIT_FOR(f->w, a[0].is_done && a[1].is_done && !in->running);
    feed_instance_release(in);
    peer_release(&p);
}

/* --- words of upstreams, and those who come --- */

static void a_change_is_looked_at_when_somebody_watches_or_comes(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    f->routes[0] = (struct feed_route){.path = "/a", .body = "1"};
    struct feed_instance *in = watch(f, &p, "hourly:x");
    assert_int_equal(changed(f->w, "hourly", "{\"c\":\"x\"}").status, STATUS_OK);
    WAIT_FOR(f->w, n_runs(f, "hourly") == 2 && !in->running);
    f->routes[0].hangs = true;
    come_due(in);
    WAIT_FOR(f->w, f->routes[0].n == 3);
    assert_int_equal(changed(f->w, "hourly", "").status,
                     STATUS_OK); /* what runs may be too early */
    assert_int_equal(changed(f->w, "hourly", "").status, STATUS_OK);
    feed_world_release(f, "2");
    WAIT_FOR(f->w, n_runs(f, "hourly") == 4 && !in->running);
    assert_int_equal(f->routes[0].n, 4);
    peer_leave(&p);
    end_grace(in);
    WAIT_FOR(f->w, !in->schedule.is_on);
    assert_int_equal(changed(f->w, "hourly", "{\"c\":\"x\"}").status, STATUS_OK);
    assert_true(in->is_outdated && !in->running);
    assert_int_equal(get(f->w, "hourly", "{\"c\":\"x\"}").status, STATUS_OK);
    WAIT_FOR(f->w, n_runs(f, "hourly") == 5 && !in->running);
    assert_false(in->is_outdated);
    feed_instance_release(in);
    peer_release(&p);
}

static void who_comes_finds_out_that_it_is_old(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/a", .body = "1"};
    refresh(f->w, "asked", "");
    struct feed_instance *in = instance_of(f->w, "asked");
    get(f->w, "asked", "");
    assert_null(in->running);
    in->last_run_ms = loop_now_ms(f->w->loop) - HOUR_MS - 1;
    get(f->w, "asked", "");
    WAIT_FOR(f->w, n_runs(f, "asked") == 2 && !in->running);
    f->routes[0].status = 500;
    in->last_run_ms = loop_now_ms(f->w->loop) - HOUR_MS - 1;
    get(f->w, "asked", "");
    WAIT_FOR(f->w, n_runs(f, "asked") == 3 && !in->running);
    get(f->w, "asked", ""); /* a failure is not tried again by everybody who comes */
    assert_null(in->running);
    assert_false(deadline_armed(&in->schedule.deadline));
    feed_instance_release(in);
}

static void a_stopped_hub_begins_nothing(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    f->routes[0] = (struct feed_route){.path = "/a"};
    struct feed_instance *in = watch(f, &p, "hourly:x");
    schedule_changed(in, SCHEDULE_SOON);
    assert_true(in->schedule.retry_ms > 0);
    hub_stop(f->w->hub);
    assert_false(in->schedule.is_on || deadline_armed(&in->schedule.deadline));
    schedule_changed(in, SCHEDULE_NOW);
    schedule_touch(in, true);
    schedule_watched(in);
    assert_false(in->schedule.is_on || deadline_armed(&in->schedule.deadline));
    assert_null(in->running);
    assert_int_equal(f->w->hub->feed_table.n_watched, 0);
    feed_instance_release(in);
    peer_release(&p);
}

#define IN(setup, test) cmocka_unit_test_setup_teardown(test, setup, feed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(setup, jitter_has_its_bounds),
        IN(setup, a_feed_that_keeps_failing_is_refreshed_less_often),
        IN(setup, a_feed_is_refreshed_while_it_is_watched),
        IN(setup, the_grace_may_end_during_a_run),
        IN(setup_always, always_needs_nobody),
        IN(setup, max_age_is_waited_for),
        IN(setup, retry_after_is_waited_for),
        IN(setup, no_word_silences_an_upstream_for_longer_than_a_day),
        IN(setup, what_is_watched_has_a_limit),
        IN(setup, a_run_that_finds_no_room_comes_soon),
        IN(setup, a_change_is_looked_at_when_somebody_watches_or_comes),
        IN(setup, who_comes_finds_out_that_it_is_old),
        IN(setup, a_stopped_hub_begins_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
