/* SPDX-License-Identifier: MIT */
/* The delivery report: every subscriber is counted once, as what became of the publication there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/hub/world.h"

static int setup(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"insecure\":true,\"queue_max_size\":1024}",
        .channel = "{\"without_namespace\":{\"allow_tags_filter\":true},\"namespaces\":["
                   "{\"name\":\"kept\",\"history_size\":10,\"history_ttl\":\"1h\"},"
                   "{\"name\":\"newest\",\"conflate\":\"1h\"},"
                   "{\"name\":\"delta\",\"history_size\":10,\"history_ttl\":\"1h\","
                   "\"allowed_delta_types\":[\"fossil\"],\"delta_publish\":true}]}"});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static struct publish_answer publish_reported(struct world *w, const char *channel,
                                              const char *data)
{
    return publish_with(w, &(struct publish_request){
                               .channel = str_of(channel), .data = str_of(data), .report = true});
}

static void assert_report(const struct publish_answer *a, struct delivery_report expected)
{
    assert_int_equal(a->status, STATUS_OK);
    assert_true(a->is_reported);
    assert_int_equal(a->report.n_subscribers, expected.n_subscribers);
    assert_int_equal(a->report.n_reached, expected.n_reached);
    assert_int_equal(a->report.n_queued, expected.n_queued);
    assert_int_equal(a->report.n_dropped, expected.n_dropped);
    assert_int_equal(a->report.n_filtered, expected.n_filtered);
    assert_int_equal(a->report.n_conflated, expected.n_conflated);
    assert_int_equal(a->report.n_left, expected.n_left);
}

static void connect_all(struct world *w, struct peer *peers, size_t n, const char *channel)
{
    for (size_t i = 0; i < n; i++) {
        peer_connect(&peers[i], w);
        assert_int_equal(subscribe(&peers[i], channel).status, STATUS_OK);
    }
}

static void release_all(struct peer *peers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        peer_release(&peers[i]);
    }
}

static void all_are_reached(void **state)
{
    struct world *w = *state;
    struct peer peers[3];
    connect_all(w, peers, 3, "kept:a");
    struct publish_answer a = publish_reported(w, "kept:a", "1");
    assert_report(&a, (struct delivery_report){.n_subscribers = 3, .n_reached = 3});
    assert_int_equal(a.position.offset, 1);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(peer_text(&peers[i]), "kept:a 1 1\n");
    }
    release_all(peers, 3);
}

static void nobody_is_there(void **state)
{
    struct world *w = *state;
    struct publish_answer a = publish_reported(w, "a", "1");
    assert_report(&a, (struct delivery_report){.n_subscribers = 0});
    a = publish_reported(w, "kept:a", "1");
    assert_report(&a, (struct delivery_report){.n_subscribers = 0});
    assert_int_equal(a.position.offset, 1);
}

static void only_who_asks_is_told(void **state)
{
    struct world *w = *state;
    assert_false(publish(w, "a", "1").is_reported);
    struct publish_answer a = publish_reported(w, "unknown:a", "1");
    assert_int_equal(a.status, STATUS_UNKNOWN_CHANNEL);
    assert_false(a.is_reported);
    hub_stop(w->hub);
    a = publish_reported(w, "a", "1");
    assert_int_equal(a.status, STATUS_CLOSED);
    assert_false(a.is_reported);
}

/* It is kept for a while, then it is too much. */
static void one_is_slow(void **state)
{
    struct world *w = *state;
    struct peer peers[3];
    char data[700];
    memset(data, '1', sizeof(data) - 1);
    data[sizeof(data) - 1] = '\0';
    connect_all(w, peers, 3, "a");
    peers[1].is_blocked = true;
    struct publish_answer a = publish_reported(w, "a", data);
    assert_report(&a, (struct delivery_report){.n_subscribers = 3, .n_reached = 2, .n_queued = 1});
    a = publish_reported(w, "a", data);
    assert_report(&a, (struct delivery_report){.n_subscribers = 3, .n_reached = 2, .n_dropped = 1});
    assert_ptr_equal(peers[1].why, &disconnect_slow);
    a = publish_reported(w, "a", data);
    assert_report(&a, (struct delivery_report){.n_subscribers = 2, .n_reached = 2});
    release_all(peers, 3);
}

/* The transport has taken it, but not the socket: what follows has to wait. */
static void a_part_waits(void **state)
{
    struct world *w = *state;
    struct peer peer;
    connect_all(w, &peer, 1, "a");
    peer.room = 1;
    struct publish_answer a = publish_reported(w, "a", "1");
    assert_report(&a, (struct delivery_report){.n_subscribers = 1, .n_queued = 1});
    assert_int_equal(peer.n_messages, 1);
    assert_true(peer_unblock(&peer));
    a = publish_reported(w, "a", "2");
    assert_report(&a, (struct delivery_report){.n_subscribers = 1, .n_reached = 1});
    release_all(&peer, 1);
}

static void tags_filters_count(void **state)
{
    struct world *w = *state;
    struct peer peers[2];
    connect_all(w, peers, 1, "a");
    peer_connect(&peers[1], w);
    struct subscribe_request request = {
        .channel = STR("a"), .tags_filter = STR("{\"key\":\"k\",\"cmp\":\"eq\",\"val\":\"yes\"}")};
    assert_int_equal(subscribe_with(&peers[1], &request).status, STATUS_OK);
    struct publish_request publish = {
        .channel = STR("a"), .data = STR("1"), .tags = STR("{\"k\":\"no\"}"), .report = true};
    struct publish_answer a = publish_with(w, &publish);
    assert_report(&a,
                  (struct delivery_report){.n_subscribers = 2, .n_reached = 1, .n_filtered = 1});
    publish.tags = STR("{\"k\":\"yes\"}");
    a = publish_with(w, &publish);
    assert_report(&a, (struct delivery_report){.n_subscribers = 2, .n_reached = 2});
    release_all(peers, 2);
}

static void what_is_held_back_is_not_waited_for(void **state)
{
    struct world *w = *state;
    struct peer peers[2];
    connect_all(w, peers, 2, "newest:a");
    struct publish_answer a = publish_reported(w, "newest:a", "1");
    assert_report(&a, (struct delivery_report){.n_subscribers = 2, .n_reached = 2});
    a = publish_reported(w, "newest:a", "2");
    assert_report(&a, (struct delivery_report){.n_subscribers = 2, .n_conflated = 2});
    a = publish_reported(w, "newest:a", "3");
    assert_report(&a, (struct delivery_report){.n_subscribers = 2, .n_conflated = 2});
    hub_stop(w->hub); /* which holds nothing back */
    WAIT_FOR(w, peers[1].n_messages == 2);
    assert_string_equal(peer_text(&peers[1]), "newest:a 0 1\nnewest:a 0 3\n");
    release_all(peers, 2);
}

static void deltas_count(void **state)
{
    struct world *w = *state;
    struct peer peer;
    peer_connect(&peer, w);
    struct subscribe_request request = {.channel = STR("delta:a"), .delta = STR("fossil")};
    assert_int_equal(subscribe_with(&peer, &request).status, STATUS_OK);
    struct publish_answer a = publish_reported(w, "delta:a", "[1,2,3]");
    assert_report(&a, (struct delivery_report){.n_subscribers = 1, .n_reached = 1});
    release_all(&peer, 1);
}

static void what_changed_nothing_reached_nobody(void **state)
{
    struct world *w = *state;
    struct peer peer;
    connect_all(w, &peer, 1, "kept:a");
    const struct publish_request request = {
        .channel = STR("kept:a"), .data = STR("1"), .idempotency_key = STR("key"), .report = true};
    struct publish_answer a = publish_with(w, &request);
    assert_report(&a, (struct delivery_report){.n_subscribers = 1, .n_reached = 1});
    a = publish_with(w, &request);
    assert_report(&a, (struct delivery_report){.n_subscribers = 0});
    assert_int_equal(a.position.offset, 1);
    release_all(&peer, 1);
}

/* --- in slices --- */

static void use_up_the_turn(struct peer *p)
{
    (void)p;
    int64_t until_us = clock_monotonic_us() + 6000;
    while (clock_monotonic_us() < until_us) {
    }
}

/* The first slice takes all of the turn; in between one goes, and another unsubscribes. */
static void the_answer_waits_for_the_last_slice(void **state)
{
    struct world *w = *state;
    enum { N = 200 };
    static struct peer peers[N];
    connect_all(w, peers, N, "a");
    peers[0].on_send = use_up_the_turn;
    struct publish_answer a = {.is_done = false};
    hub_publish(w->hub,
                &(struct publish_request){.channel = STR("a"), .data = STR("1"), .report = true},
                publish_answered, &a);
    WAIT_FOR(w, peers[0].n_messages == 1);
    assert_false(a.is_done);
    assert_false(hub_is_idle(w->hub));
    peer_leave(&peers[150]);
    assert_int_equal(client_unsubscribe(peers[151].client, STR("a")), STATUS_OK);
    WAIT_FOR(w, a.is_done);
    assert_int_equal(peers[N - 1].n_messages, 1);
    assert_report(&a,
                  (struct delivery_report){.n_subscribers = N, .n_reached = N - 2, .n_left = 2});
    release_all(peers, N);
}

static void all_leave_before_it_is_their_turn(void **state)
{
    struct world *w = *state;
    static struct peer peers[200];
    connect_all(w, peers, 200, "a");
    peers[0].on_send = use_up_the_turn;
    struct publish_answer a = {.is_done = false};
    hub_publish(w->hub,
                &(struct publish_request){.channel = STR("a"), .data = STR("1"), .report = true},
                publish_answered, &a);
    WAIT_FOR(w, peers[0].n_messages == 1);
    for (int i = 0; i < 200; i++) {
        peer_leave(&peers[i]);
    }
    WAIT_FOR(w, a.is_done);
    assert_int_equal(a.report.n_subscribers, 200);
    assert_int_equal(a.report.n_reached + a.report.n_left, 200);
    assert_true(a.report.n_left >= 100);
    release_all(peers, 200);
}

/* Publications of one turn are one message otherwise. */
static void it_goes_by_itself(void **state)
{
    struct world *w = *state;
    struct peer peer;
    struct publish_answer a[5] = {{.is_done = false}};
    connect_all(w, &peer, 1, "a");
    for (int i = 0; i < 5; i++) {
        const char *data[] = {"1", "2", "3", "4", "5"};
        struct publish_request request = {
            .channel = STR("a"), .data = str_of(data[i]), .report = i == 2};
        hub_publish(w->hub, &request, publish_answered, &a[i]);
    }
    WAIT_FOR(w, a[2].is_done && a[4].is_done);
    WAIT_FOR(w, peer.n_messages == 3);
    assert_string_equal(peer_text(&peer), "a 0 1|a 0 2\na 0 3\na 0 4|a 0 5\n");
    assert_report(&a[2], (struct delivery_report){.n_subscribers = 1, .n_reached = 1});
    assert_false(a[4].is_reported);
    release_all(&peer, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_are_reached, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(only_who_asks_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(one_is_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(a_part_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(tags_filters_count, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_held_back_is_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(deltas_count, setup, teardown),
        cmocka_unit_test_setup_teardown(what_changed_nothing_reached_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(the_answer_waits_for_the_last_slice, setup, teardown),
        cmocka_unit_test_setup_teardown(all_leave_before_it_is_their_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(it_goes_by_itself, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
