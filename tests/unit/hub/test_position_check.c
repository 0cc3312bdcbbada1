/* SPDX-License-Identifier: MIT */
/* Position checks: what the storage says is compared with what channels in memory believe. The file
 * is changed by a connection of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "hub/channel_internal.h"
#include "tests/unit/hub/world.h"

static const char channels[] =
    "{\"idle_timeout\":\"0s\",\"namespaces\":["
    "{\"name\":\"kept\",\"history_size\":5,\"history_ttl\":\"1h\",\"allow_positioning\":true,"
    "\"allow_recovery\":true},"
    "{\"name\":\"short\",\"history_size\":5,\"history_ttl\":\"1500ms\","
    "\"history_meta_ttl\":\"1500ms\",\"allow_positioning\":true}]}";

static struct world *create(const char *client)
{
    return world_create(
        &(struct world_options){.client = client, .channel = channels, .has_file = true});
}

static int setup(void **state)
{
    *state = create("{\"insecure\":true,\"channel_position_check_delay\":\"40ms\"}");
    return 0;
}

static int setup_without_checks(void **state)
{
    *state = create("{\"insecure\":true,\"channel_position_check_delay\":\"0s\"}");
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void change_file(struct world *w, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) {
        fail_msg("%s", error);
    }
    sqlite3_close(db);
}

static struct subscribe_answer hold(struct peer *p, struct world *w, const char *channel)
{
    peer_connect(p, w);
    struct subscribe_request request = {.channel = str_of(channel), .positioned = true};
    struct subscribe_answer a = subscribe_with(p, &request);
    assert_int_equal(a.status, STATUS_OK);
    return a;
}

static void wait_for_checks(struct world *w, uint64_t n)
{
    uint64_t before = stats_of(w).n_position_checks;
    WAIT_FOR(w, stats_of(w).n_position_checks >= before + n);
}

static void a_good_position_is_left_alone(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "kept:a");
    publish(w, "kept:a", "1");
    wait_for_checks(w, 3);
    publish(w, "kept:a", "2");
    wait_for_checks(w, 3);
    WAIT_FOR(w, p.n_messages >= 2);
    assert_string_equal(peer_text(&p), "kept:a 1 1\nkept:a 2 2\n");
    assert_int_equal(stats_of(w).n_insufficient_state, 0);
    peer_release(&p);
}

static void note_done(struct storage_append *append)
{
    assert_int_equal(append->status, STATUS_OK);
    *(bool *)append->arg = true;
}

/* A commit that the hub does not hear of. */
static void append_unheard(struct world *w)
{
    bool is_done = false;
    struct storage_append append = {
        .channel = STR("kept:a"),
        .retention = {.size = 5, .ttl_ms = 3600000, .meta_ttl_ms = 3600000},
        .data = STR("2"),
        .done = note_done,
        .arg = &is_done};
    storage_append(w->storage, &append);
    WAIT_FOR(w, is_done);
}

/* Those who count positions come again; who does not stays. sql: NULL: appends unheard. */
static void check_sent_back(struct world *w, const char *sql, const char *epoch, uint64_t offset)
{
    struct peer p, other;
    hold(&p, w, "kept:a");
    peer_connect(&other, w);
    assert_int_equal(subscribe(&other, "kept:a").status, STATUS_OK);
    wait_for_checks(w, 1);
    assert_int_equal(p.n_messages, 0);
    if (sql) {
        change_file(w, sql);
    } else {
        append_unheard(w);
    }
    WAIT_FOR(w, p.n_messages == 1);
    assert_string_equal(peer_text(&p), "kept:a ends 2500\n");
    assert_int_equal(stats_of(w).n_insufficient_state, 1);
    assert_int_equal(p.n_closes, 0);
    assert_int_equal(other.n_messages, 0);
    struct subscribe_request again = {.channel = STR("kept:a"), .positioned = true};
    struct subscribe_answer a = subscribe_with(&p, &again);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.result.position.offset, offset);
    assert_true(!epoch || strcmp(a.result.position.epoch, epoch) == 0);
    wait_for_checks(w, 2);
    assert_int_equal(stats_of(w).n_insufficient_state, 1); /* once */
    assert_int_equal(p.n_messages, 1);
    peer_release(&p);
    peer_release(&other);
}

static void another_epoch(void **state)
{
    publish(*state, "kept:a", "1");
    check_sent_back(*state, "UPDATE streams SET epoch='another'", "another", 1);
}

static void a_top_that_has_fallen(void **state)
{
    for (int i = 0; i < 3; i++) {
        publish(*state, "kept:a", "1");
    }
    check_sent_back(*state, "UPDATE streams SET top=2; DELETE FROM publications WHERE offset=3",
                    NULL, 2);
}

static void a_top_that_has_risen_unheard(void **state)
{
    publish(*state, "kept:a", "1");
    check_sent_back(*state, NULL, NULL, 2);
}

/* Commits that the hub does not hear of leave a gap before the next one that it hears of. */
static void a_gap_between_commits(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "kept:a");
    publish(w, "kept:a", "1");
    WAIT_FOR(w, p.n_messages == 1);
    append_unheard(w);
    struct publish_answer third = publish(w, "kept:a", "3");
    assert_int_equal(third.position.offset, 3);
    WAIT_FOR(w, p.n_messages == 2);
    assert_string_equal(peer_text(&p), "kept:a 1 1\nkept:a ends 2500\n");
    assert_int_equal(stats_of(w).n_insufficient_state, 1);
    third.position.offset = 1;
    assert_string_equal(recover(&p, "kept:a", &third.position).offsets, "2 3 ");
    peer_release(&p);
}

static void without_checks_nothing_is_read(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "kept:a");
    change_file(w, "UPDATE streams SET epoch='another'");
    int64_t from_ms = clock_wall_ms();
    WAIT_FOR(w, clock_wall_ms() > from_ms + 100); /* the clients' wheel turns the loop */
    assert_int_equal(stats_of(w).n_position_checks, 0);
    assert_int_equal(p.n_messages, 0);
    assert_false(deadline_armed(&w->hub->position_check.due));
    peer_release(&p);
}

/* A channel that is served from memory only keeps its position beyond history_meta_ttl. */
static void checks_keep_a_position_alive(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct subscribe_answer a = hold(&p, w, "short:a");
    int64_t from_ms = clock_wall_ms();
    WAIT_FOR(w, clock_wall_ms() > from_ms + 2000);
    struct publish_answer published = publish(w, "short:a", "1");
    assert_string_equal(published.position.epoch, a.result.position.epoch);
    WAIT_FOR(w, p.n_messages == 1);
    assert_string_equal(peer_text(&p), "short:a 1 1\n");
    peer_release(&p);
}

/* A commit says as much as a check would. */
static void a_commit_saves_a_check(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "kept:a");
    for (int round = 0; round < 3; round++) {
        publish(w, "kept:a", "1");
        struct channel *c = w->hub->channels;
        assert_true(c->had_commit);
        uint64_t n_checks = stats_of(w).n_position_checks;
        while (c->had_commit) {
            assert_int_equal(stats_of(w).n_position_checks, n_checks);
            world_turn(w);
        }
        assert_int_equal(w->hub->position_check.n_reading, 0);
        wait_for_checks(w, 1);
    }
    peer_release(&p);
}

/* Many channels: each gets its turn, few reads at a time. */
static void all_get_their_turn(void **state)
{
    struct world *w = *state;
    enum { N = 100 };
    struct peer p;
    w->client_options.channel_limit = N;
    peer_connect(&p, w);
    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof(name), "kept:%d", i);
        struct subscribe_request request = {.channel = str_of(name), .positioned = true};
        assert_int_equal(subscribe_with(&p, &request).status, STATUS_OK);
    }
    assert_int_equal(w->hub->position_check.n_channels, N);
    uint64_t before = stats_of(w).n_position_checks;
    while (stats_of(w).n_position_checks < before + 2 * N) {
        assert_true(w->hub->position_check.n_reading <= 16);
        world_turn(w);
    }
    change_file(w, "UPDATE streams SET epoch='another'");
    WAIT_FOR(w, p.n_messages == N);
    assert_int_equal(stats_of(w).n_insufficient_state, N);
    assert_int_equal(w->hub->position_check.n_channels, 0);
    peer_release(&p);
}

/* The subscriber, or the hub, goes while a check reads. */
static void going_while_a_check_reads(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "kept:a");
    WAIT_FOR(w, w->hub->position_check.n_reading == 1);
    assert_false(hub_is_idle(w->hub));
    peer_leave(&p);
    WAIT_FOR(w, w->hub->position_check.n_reading == 0);
    assert_null(w->hub->channels);
    assert_true(hub_is_idle(w->hub));
    peer_release(&p);
    hold(&p, w, "kept:a");
    WAIT_FOR(w, w->hub->position_check.n_reading == 1);
    hub_stop(w->hub);
    WAIT_FOR(w, w->hub->position_check.n_reading == 0);
    hub_abandon(w->hub);
    assert_false(deadline_armed(&w->hub->position_check.due));
    peer_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_position_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(another_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(a_top_that_has_fallen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_top_that_has_risen_unheard, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gap_between_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(without_checks_nothing_is_read, setup_without_checks,
                                        teardown),
        cmocka_unit_test_setup_teardown(checks_keep_a_position_alive, setup, teardown),
        cmocka_unit_test_setup_teardown(a_commit_saves_a_check, setup, teardown),
        cmocka_unit_test_setup_teardown(all_get_their_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(going_while_a_check_reads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
