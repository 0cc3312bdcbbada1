/* SPDX-License-Identifier: MIT */
/* What becomes of a run's document: held, stored, published, purged; faults of the storage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sqlite3.h>

#include "hub/refresh_internal.h"
#include "tests/unit/hub/feed_world.h"

/* --- required upstreams, and holding --- */

static int setup_held(void **state)
{
    return feed_setup_with(
        state,
        (struct world_options){
            .feeds = {"{\"name\":\"held\",\"channel\":\"city:held\",\"timeout\":\"20s\","
                      "\"min_interval\":\"1h\",\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL
                      "a\",\"on_failure\":\"fail\"}]}",
                      "{\"name\":\"slow\",\"channel\":\"slow\",\"timeout\":\"30ms\","
                      "\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL
                      "a\",\"on_failure\":\"fail\"}]}",
                      "{\"name\":\"always\",\"channel\":\"city:always\",\"push\":\"always\","
                      "\"min_interval\":\"1h\",\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL
                      "a\"}]}"},
            .has_file = true});
}

/* As if min_interval were over now. */
static void end_hold(struct feed_world *f, const char *channel)
{
    struct feed_instance *in = instance_of(f->w, channel);
    assert_true(deadline_armed(&in->hold));
    deadline_arm(f->w->deadlines, &in->hold, 0, in->hold.fire);
    feed_instance_release(in);
}

static void a_required_upstream_has_to_answer(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/a", .status = 500};
    struct feed_answer a = refresh(f->w, "held", "");
    assert_int_equal(a.status, STATUS_UPSTREAM_FAILED);
    assert_string_equal(a.detail, "upstream \"a\" is required and failed: http_error 500");
    f->routes[0] = (struct feed_route){.path = "/a", .hangs = true};
    a = refresh(f->w, "slow", "");
    assert_int_equal(a.status, STATUS_UPSTREAM_TIMEOUT);
    assert_non_null(strstr(a.detail, "timeout"));
    assert_int_equal(stats_of_feed(f->w, "slow").n_failed, 1);
    assert_int_equal(get(f->w, "slow", "").status, STATUS_NOT_AVAILABLE);
}

/* 1, then 2 and 3 within the interval: 3 is held. */
static void hold_three(struct feed_world *f, struct peer *p)
{
    peer_connect(p, f->w);
    subscribe(p, "city:held");
    for (int i = 1; i <= 3; i++) {
        static const char *const bodies[] = {NULL, "1", "2", "3"};
        f->routes[0] = (struct feed_route){.path = "/a", .body = bodies[i]};
        struct feed_answer a = refresh(f->w, "held", "");
        assert_int_equal(a.status, STATUS_OK);
        assert_int_equal(a.is_held, i > 1);
        assert_int_equal(a.position.offset, 1);
    }
    assert_string_equal(get(f->w, "held", "").data, "{\"a\":3}");
    assert_true(get(f->w, "held", "").is_held);
}

static void the_newest_is_published_when_its_time_comes(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    hold_three(f, &p);
    f->routes[0].status = 500; /* at that moment the upstream does not answer */
    f->routes[0].hangs = true;
    struct feed_answer a;
    begin_refresh(f->w, "held", "", &a);
    WAIT_FOR(f->w, f->routes[0].n == 2);
    struct feed_instance *in = instance_of(f->w, "city:held");
    end_hold(f, "city:held");
    WAIT_FOR(f->w, !deadline_armed(&in->hold)); /* the run may bring something newer */
    assert_int_equal(p.n_messages, 1);
    f->routes[0].hangs = false;
    backend_release(&f->backend);
    WAIT_FOR(f->w, a.is_done);
    assert_int_equal(a.status, STATUS_UPSTREAM_FAILED);
    feed_instance_release(in);
    WAIT_FOR(f->w, p.n_messages == 2);
    assert_string_equal(peer_text(&p), "city:held 1 {\"a\":1}\ncity:held 2 {\"a\":3}\n");
    WAIT_FOR(f->w, f->w->hub->n_refreshes == 0);
    assert_int_equal(p.n_messages, 2);
    assert_int_equal(stats_of_feed(f->w, "held").n_refreshes, 4);
    assert_false(get(f->w, "held", "").is_held);
    peer_release(&p);
    WAIT_FOR(f->w, hub_is_idle(f->w->hub));
    world_restart(f->w); /* what was held is stored with its values */
    assert_string_equal(get(f->w, "held", "").data, "{\"a\":3}");
    assert_int_equal(get(f->w, "held", "").position.offset, 2);
}

static void what_was_held_may_turn_out_old(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    hold_three(f, &p);
    f->routes[0].body = "1";
    struct feed_answer a = refresh(f->w, "held", "");
    assert_false(a.is_changed);
    assert_false(a.is_held);
    assert_string_equal(get(f->w, "held", "").data, "{\"a\":1}");
    hub_stop(f->w->hub);
    peer_leave(&p);
    WAIT_FOR(f->w, hub_is_idle(f->w->hub));
    assert_int_equal(p.n_messages, 1);
    peer_release(&p);
}

static void a_stopping_hub_publishes_what_is_held(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    hold_three(f, &p);
    hub_stop(f->w->hub);
    hub_hurry(f->w->hub);
    WAIT_FOR(f->w, p.n_messages == 2);
    assert_string_equal(peer_text(&p), "city:held 1 {\"a\":1}\ncity:held 2 {\"a\":3}\n");
    peer_release(&p);
}

/* The run that would replace it is given up. */
static void a_stopping_hub_publishes_what_is_held_though_a_run_is_under_way(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    struct feed_answer a;
    hold_three(f, &p);
    f->routes[0].hangs = true;
    begin_refresh(f->w, "held", "", &a);
    hub_stop(f->w->hub);
    assert_false(a.is_done);
    hub_hurry(f->w->hub);
    WAIT_FOR(f->w, a.is_done && p.n_messages == 2);
    assert_int_equal(a.status, STATUS_CLOSED);
    peer_release(&p);
}

static void a_hub_that_holds_can_be_destroyed(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    hold_three(f, &p);
    peer_release(&p);
    world_restart(f->w);
    assert_string_equal(get(f->w, "held", "").data, "{\"a\":1}");
}

static void push_always_is_conflated_too(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    peer_connect(&p, f->w);
    subscribe(&p, "city:always");
    f->routes[0] = (struct feed_route){.path = "/a", .body = "1"};
    assert_false(refresh(f->w, "always", "").is_held);
    assert_true(refresh(f->w, "always", "").is_held);
    assert_true(refresh(f->w, "always", "").is_held);
    end_hold(f, "city:always");
    WAIT_FOR(f->w, p.n_messages == 2);
    assert_string_equal(peer_text(&p), "city:always 1 {\"a\":1}\ncity:always 2 {\"a\":1}\n");
    peer_release(&p);
}

/* It fetches nothing: who asks meanwhile gets a run of his own. */
static void who_asks_while_what_was_held_is_published_waits_for_a_run(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    struct feed_answer a;
    hold_three(f, &p);
    struct feed_instance *in = instance_of(f->w, "city:held");
    refresh_publish_held(in);
    assert_non_null(in->running);
    f->routes[0].body = "4";
    begin_refresh(f->w, "held", "", &a);
    WAIT_FOR(f->w, a.is_done);
    assert_string_equal(a.data, "{\"a\":4}");
    assert_int_equal(stats_of_feed(f->w, "held").n_refreshes, 4);
    refresh_publish_held(in); /* and once more, with the hub stopping */
    begin_refresh(f->w, "held", "", &a);
    hub_stop(f->w->hub);
    hub_hurry(f->w->hub);
    WAIT_FOR(f->w, a.is_done);
    assert_int_equal(a.status, STATUS_CLOSED);
    WAIT_FOR(f->w, p.n_messages == 3);
    feed_instance_release(in);
    peer_release(&p);
}

/* --- faults of the storage --- */

static void execute(struct world *w, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void a_storage_that_fails(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    peer_connect(&p, f->w);
    subscribe(&p, "city:x");
    f->routes[0] = (struct feed_route){.path = "/", .body = "1"};
    refresh(f->w, "city", "{\"city\":\"x\"}");
    WAIT_FOR(f->w, p.n_messages == 1);
    execute(f->w, "ALTER TABLE feed_snapshots RENAME TO gone");
    assert_int_equal(get(f->w, "city", "{\"city\":\"y\"}").status, STATUS_IO);
    f->routes[0].body = "2";
    struct feed_answer a = refresh(f->w, "city", "{\"city\":\"x\"}");
    assert_int_equal(a.status, STATUS_IO);
    assert_non_null(strstr(a.detail, "could not be stored"));
    assert_int_equal(refresh(f->w, "city", "{\"city\":\"y\"}").status, STATUS_IO);
    assert_string_equal(get(f->w, "city", "{\"city\":\"x\"}").data, "{\"air\":1,\"events\":1}");
    assert_int_equal(stats_of_feed(f->w, "city").n_failed, 2);
    execute(f->w, "ALTER TABLE gone RENAME TO feed_snapshots");
    assert_int_equal(refresh(f->w, "city", "{\"city\":\"x\"}").status, STATUS_OK);
    WAIT_FOR(f->w, p.n_messages == 2); /* nothing was pushed that was not stored */
    assert_string_equal(peer_text(&p), "city:x 1 {\"air\":1,\"events\":1}\n"
                                       "city:x 2 {\"air\":2,\"events\":2}\n");
    assert_int_equal(get(f->w, "city", "{\"city\":\"y\"}").status, STATUS_NOT_AVAILABLE);
    peer_release(&p);
}

static void what_is_held_and_cannot_be_stored_is_tried_again(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    hold_three(f, &p);
    execute(f->w, "ALTER TABLE feed_snapshots RENAME TO gone");
    end_hold(f, "city:held");
    WAIT_FOR(f->w, stats_of_feed(f->w, "held").n_failed > 0);
    execute(f->w, "ALTER TABLE gone RENAME TO feed_snapshots");
    end_hold(f, "city:held");
    WAIT_FOR(f->w, p.n_messages == 2);
    assert_string_equal(peer_text(&p), "city:held 1 {\"a\":1}\ncity:held 2 {\"a\":3}\n");
    peer_release(&p);
}

/* --- purge --- */

static void a_purge_during_a_run_forgets_what_it_leaves(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a;
    f->routes[0] = (struct feed_route){.path = "/", .body = "1"};
    refresh(f->w, "city", "{\"city\":\"x\"}");
    f->routes[0].hangs = true;
    begin_refresh(f->w, "city", "{\"city\":\"x\"}", &a);
    WAIT_FOR(f->w, f->routes[0].n == 4);
    struct purge_answer purged = purge(f->w, "city", "");
    assert_int_equal(purged.status, STATUS_OK);
    assert_int_equal(purged.n, 1);
    assert_false(a.is_done);
    feed_world_release(f, "1");
    WAIT_FOR(f->w, a.is_done);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(get(f->w, "city", "{\"city\":\"x\"}").status, STATUS_NOT_AVAILABLE);
    assert_true(refresh(f->w, "city", "{\"city\":\"x\"}").is_changed);
}

/* What is published at this moment is forgotten when it is done. */
static void a_purge_while_what_was_held_is_published(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    hold_three(f, &p);
    struct feed_instance *in = instance_of(f->w, "city:held");
    refresh_publish_held(in);
    assert_non_null(in->running);
    feed_instance_forget(in); /* as a purge does; its commit would come behind the run's */
    assert_true(in->is_to_forget);
    WAIT_FOR(f->w, p.n_messages == 2);
    WAIT_FOR(f->w, !in->running && f->w->hub->n_refreshes == 0);
    assert_false(in->is_to_forget);
    assert_null(in->held.document);
    assert_false(deadline_armed(&in->hold));
    assert_int_equal(stats_of_feed(f->w, "held").n_refreshes, 4); /* for who watches */
    assert_string_equal(get(f->w, "held", "").data, "{\"a\":3}"); /* the storage has it */
    assert_int_equal(p.n_messages, 2);
    feed_instance_release(in);
    peer_release(&p);
}

/* --- the end while a run is being stored --- */

static void begin_storing(struct feed_world *f, struct feed_instance *in, struct feed_answer *a)
{
    begin_refresh(f->w, "city", "{\"city\":\"x\"}", a);
    WAIT_FOR(f->w, a->is_done || (in->running && in->running->state == REFRESH_STORING));
}

static void what_is_being_stored_is_answered_as_stored(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a;
    struct peer p;
    peer_connect(&p, f->w);
    subscribe(&p, "city:x");
    struct feed_instance *in = instance_of(f->w, "city:x");
    begin_storing(f, in, &a);
    hub_stop(f->w->hub);
    hub_hurry(f->w->hub);
    hub_abandon(f->w->hub);
    WAIT_FOR(f->w, a.is_done && p.n_messages == 1);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.position.offset, 1);
    assert_null(f->w->hub->refreshes);
    feed_instance_release(in);
    peer_release(&p);
    world_restart(f->w);
    assert_int_equal(get(f->w, "city", "{\"city\":\"x\"}").position.offset, 1);
}

/* The last subscriber goes, and the purge comes, before the commit does. */
static void who_leaves_while_it_is_stored_leaves_nothing(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a;
    struct peer p;
    peer_connect(&p, f->w);
    subscribe(&p, "city:x");
    struct feed_instance *in = instance_of(f->w, "city:x");
    begin_storing(f, in, &a);
    peer_release(&p);
    feed_instance_release(in); /* the run holds it */
    f->w->upstreams_options.memory_max_size = 0;
    struct purge_answer purged = purge(f->w, "city", "");
    assert_int_equal(purged.status, STATUS_OK);
    assert_int_equal(purged.n, 1);
    WAIT_FOR(f->w, a.is_done && hub_is_idle(f->w->hub));
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(HASH_COUNT(f->w->hub->feed_table.instances), 0);
    assert_int_equal(f->w->hub->feed_table.n_bytes, 0);
    assert_int_equal(get(f->w, "city", "{\"city\":\"x\"}").status, STATUS_NOT_AVAILABLE);
}

#define IN(setup, test) cmocka_unit_test_setup_teardown(test, setup, feed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(setup_held, a_required_upstream_has_to_answer),
        IN(setup_held, the_newest_is_published_when_its_time_comes),
        IN(setup_held, what_was_held_may_turn_out_old),
        IN(setup_held, a_stopping_hub_publishes_what_is_held),
        IN(setup_held, a_stopping_hub_publishes_what_is_held_though_a_run_is_under_way),
        IN(setup_held, a_hub_that_holds_can_be_destroyed),
        IN(setup_held, push_always_is_conflated_too),
        IN(setup_held, who_asks_while_what_was_held_is_published_waits_for_a_run),
        IN(feed_setup_file, a_storage_that_fails),
        IN(setup_held, what_is_held_and_cannot_be_stored_is_tried_again),
        IN(feed_setup_file, a_purge_during_a_run_forgets_what_it_leaves),
        IN(setup_held, a_purge_while_what_was_held_is_published),
        IN(feed_setup_file, what_is_being_stored_is_answered_as_stored),
        IN(feed_setup_file, who_leaves_while_it_is_stored_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
