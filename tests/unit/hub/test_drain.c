/* SPDX-License-Identifier: MIT */
/* Sending clients away spread over a time, and the end of a connection's lifetime. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hub/client_internal.h"
#include "tests/unit/hub/world.h"

#define N       20
#define HOUR_MS 3600000

static int set_up_with(void **state, const char *client)
{
    *state = world_create(&(struct world_options){.client = client});
    return 0;
}

static int setup(void **state)
{
    return set_up_with(state, "{\"insecure\":true}");
}

/* Shorter than until the first ping. */
static int setup_short(void **state)
{
    return set_up_with(state, "{\"insecure\":true,\"max_lifetime\":\"50ms\"}");
}

static int setup_pinging(void **state)
{
    return set_up_with(state, "{\"insecure\":true,\"max_lifetime\":\"400ms\","
                              "\"ping_interval\":\"100ms\",\"pong_timeout\":\"90ms\"}");
}

static int setup_hour(void **state)
{
    return set_up_with(state, "{\"insecure\":true,\"max_lifetime\":\"1h\"}");
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void connect_all(struct world *w, struct peer *peers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        peer_connect(&peers[i], w);
    }
}

static void release_all(struct peer *peers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        peer_release(&peers[i]);
    }
}

static size_t n_closed(const struct peer *peers, size_t n)
{
    size_t n_closes = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(peers[i].n_closes == 0 || peers[i].why == &disconnect_shutdown);
        n_closes += peers[i].n_closes;
    }
    return n_closes;
}

static size_t drain(struct world *w, const struct drain_request *request)
{
    size_t n_clients = 12345;
    assert_int_equal(hub_drain(w->hub, request, &n_clients), STATUS_OK);
    assert_int_equal(hub_n_to_drain(w->hub), n_clients);
    assert_int_equal(stats_of(w).n_to_drain, n_clients);
    return n_clients;
}

/* --- the pace --- */

static void they_go_one_by_one_the_oldest_first(void **state)
{
    struct world *w = *state;
    struct peer peers[N];
    connect_all(w, peers, N);
    assert_int_equal(drain(w, &(struct drain_request){.duration_ms = 200, .percent = 100}), N);
    assert_int_equal(n_closed(peers, N), 0); /* not from inside the call */
    size_t n = 0;
    while (n < N) {
        world_turn(w);
        n = n_closed(peers, N);
        assert_int_equal(hub_n_to_drain(w->hub), N - n);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(peers[i].n_closes, i < n);
        }
    }
    release_all(peers, N);
}

/* The first goes long before the time is over, and the others do not go with it. */
static void they_do_not_go_at_once(void **state)
{
    struct world *w = *state;
    enum { MANY = 400 };
    static struct peer peers[MANY];
    connect_all(w, peers, MANY);
    drain(w, &(struct drain_request){.duration_ms = 100000, .percent = 100});
    WAIT_FOR(w, hub_n_to_drain(w->hub) < MANY);
    assert_true(hub_n_to_drain(w->hub) > 0);
    drain(w, &(struct drain_request){.duration_ms = 0, .percent = 100});
    WAIT_FOR(w, hub_n_to_drain(w->hub) == 0);
    assert_int_equal(n_closed(peers, MANY), MANY);
    release_all(peers, MANY);
}

/* Without time they go in portions. */
static void a_turn_takes_five_hundred(void **state)
{
    struct world *w = *state;
    enum { MANY = 1200 };
    static struct peer peers[MANY];
    connect_all(w, peers, MANY);
    drain(w, &(struct drain_request){.duration_ms = 0, .percent = 100});
    for (size_t n_left = 700; n_left != 0; n_left = n_left > 500 ? n_left - 500 : 0) {
        WAIT_FOR(w, hub_n_to_drain(w->hub) <= n_left);
        assert_int_equal(hub_n_to_drain(w->hub), n_left);
    }
    WAIT_FOR(w, hub_n_to_drain(w->hub) == 0);
    release_all(peers, MANY);
}

/* --- who --- */

static void a_share_goes(void **state)
{
    struct world *w = *state;
    struct peer peers[N];
    connect_all(w, peers, N);
    assert_int_equal(drain(w, &(struct drain_request){.duration_ms = 20, .percent = 26}), 6);
    WAIT_FOR(w, hub_n_to_drain(w->hub) == 0);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(peers[i].n_closes, i < 6);
    }
    release_all(peers, N);
}

static void who_comes_meanwhile_stays(void **state)
{
    struct world *w = *state;
    struct peer peers[N];
    struct peer late;
    connect_all(w, peers, N);
    drain(w, &(struct drain_request){.duration_ms = 50, .percent = 100});
    peer_connect(&late, w);
    WAIT_FOR(w, hub_n_to_drain(w->hub) == 0);
    assert_int_equal(n_closed(peers, N), N);
    assert_int_equal(late.n_closes, 0);
    peer_release(&late);
    release_all(peers, N);
}

static void who_leaves_is_not_waited_for(void **state)
{
    struct world *w = *state;
    struct peer peers[N];
    connect_all(w, peers, N);
    drain(w, &(struct drain_request){.duration_ms = HOUR_MS, .percent = 50});
    for (size_t i = 0; i < N / 2; i++) { /* also the one that would be the next */
        assert_int_equal(hub_n_to_drain(w->hub), N / 2 - i);
        if (i % 2 == 0) {
            peer_leave(&peers[i]);
        } else {
            client_disconnect(peers[i].client, &disconnect_slow);
        }
    }
    assert_int_equal(hub_n_to_drain(w->hub), 0);
    release_all(peers, N);
}

/* The next one to go is not there any more: the one behind it goes. */
static void the_next_one_leaves(void **state)
{
    struct world *w = *state;
    struct peer peers[N];
    connect_all(w, peers, N);
    drain(w, &(struct drain_request){.duration_ms = 50, .percent = 100});
    for (size_t i = 0; i < N / 2; i++) {
        peer_leave(&peers[i]);
    }
    assert_int_equal(hub_n_to_drain(w->hub), N / 2);
    WAIT_FOR(w, hub_n_to_drain(w->hub) == 0);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(peers[i].n_closes, i >= N / 2);
    }
    release_all(peers, N);
}

static void nobody_is_there(void **state)
{
    struct world *w = *state;
    assert_int_equal(drain(w, &(struct drain_request){.duration_ms = HOUR_MS, .percent = 100}), 0);
}

/* Not connected yet, or already on its way out. */
static void strangers_go_too(void **state)
{
    struct world *w = *state;
    struct peer stranger;
    struct peer leaving;
    peer_open(&stranger, w);
    peer_connect(&leaving, w);
    client_disconnect(leaving.client, &disconnect_slow);
    assert_int_equal(drain(w, &(struct drain_request){.duration_ms = 0, .percent = 100}), 1);
    WAIT_FOR(w, stranger.n_closes == 1);
    assert_ptr_equal(stranger.why, &disconnect_shutdown);
    assert_int_equal(leaving.n_closes, 1);
    peer_release(&stranger);
    peer_release(&leaving);
}

/* --- one after another --- */

static void the_last_request_counts(void **state)
{
    struct world *w = *state;
    struct peer peers[N];
    connect_all(w, peers, N);
    assert_int_equal(drain(w, &(struct drain_request){.duration_ms = HOUR_MS, .percent = 100}), N);
    assert_int_equal(drain(w, &(struct drain_request){.duration_ms = 10, .percent = 10}), 2);
    WAIT_FOR(w, hub_n_to_drain(w->hub) == 0);
    assert_int_equal(n_closed(peers, N), 2);
    assert_int_equal(drain(w, &(struct drain_request){.duration_ms = HOUR_MS, .percent = 100}),
                     N - 2);
    assert_int_equal(drain(w, &(struct drain_request){.duration_ms = 0, .percent = 0}), 0);
    assert_int_equal(n_closed(peers, N), 2);
    release_all(peers, N);
}

static void new_ones_are_refused_until_they_are_not(void **state)
{
    struct world *w = *state;
    assert_false(hub_is_draining(w->hub));
    drain(w, &(struct drain_request){.duration_ms = 0, .percent = 100, .refuses_new = true});
    assert_true(hub_is_draining(w->hub));
    assert_int_equal(client_admit(w->hub), STATUS_CLOSED);
    drain(w, &(struct drain_request){.duration_ms = 0, .percent = 0});
    assert_false(hub_is_draining(w->hub));
    assert_int_equal(client_admit(w->hub), STATUS_OK);
}

/* Publishing goes on until the last one has gone. */
static void the_final_one_lets_no_other_follow(void **state)
{
    struct world *w = *state;
    struct peer peer;
    size_t n_clients = 12345;
    const struct drain_request none = {.duration_ms = 0, .percent = 0};
    peer_connect(&peer, w);
    assert_int_equal(subscribe(&peer, "a").status, STATUS_OK);
    drain(w, &(struct drain_request){.duration_ms = HOUR_MS, .percent = 100, .is_final = true});
    assert_true(hub_is_draining(w->hub));
    assert_int_equal(client_admit(w->hub), STATUS_CLOSED);
    assert_int_equal(hub_drain(w->hub, &none, &n_clients), STATUS_CLOSED);
    assert_int_equal(n_clients, 12345);
    assert_int_equal(publish(w, "a", "1").status, STATUS_OK);
    WAIT_FOR(w, peer.n_messages == 1);
    assert_int_equal(hub_n_to_drain(w->hub), 1);
    hub_stop(w->hub);
    assert_int_equal(hub_drain(w->hub, &none, &n_clients), STATUS_CLOSED);
    peer_release(&peer);
}

/* --- max_lifetime --- */

static void pong_at_once(struct peer *p)
{
    if (str_eq(str_tail(buf_str(&p->received), p->received.len - 5), STR("ping\n"))) {
        assert_int_equal(client_pong(p->client), STATUS_OK);
    }
}

static void a_lifetime_ends_without_a_ping(void **state)
{
    struct world *w = *state;
    struct peer peer;
    peer_connect(&peer, w);
    WAIT_FOR(w, peer.n_closes == 1);
    assert_ptr_equal(peer.why, &disconnect_max_lifetime);
    assert_true(peer.why->code >= 3000 && peer.why->code < 3500); /* it comes again */
    assert_int_equal(peer.n_messages, 0);
    assert_int_equal(stats_of(w).n_rotated, 1);
    peer_release(&peer);
}

static void a_lifetime_ends_between_pings(void **state)
{
    struct world *w = *state;
    struct peer peer;
    peer_connect(&peer, w);
    peer.on_send = pong_at_once;
    WAIT_FOR(w, peer.n_closes == 1);
    assert_ptr_equal(peer.why, &disconnect_max_lifetime);
    assert_true(peer.n_messages > 0);
    peer_release(&peer);
}

static void who_answers_no_ping_has_one_too(void **state)
{
    struct world *w = *state;
    struct client_transport one_way = plain_transport;
    struct peer peer;
    one_way.pongs = false;
    peer_open_with(&peer, w, &one_way);
    assert_int_equal(connect_with_token(&peer, "").status, STATUS_OK);
    WAIT_FOR(w, peer.n_closes == 1);
    assert_ptr_equal(peer.why, &disconnect_max_lifetime);
    peer_release(&peer);
}

static void lifetimes_differ(void **state)
{
    struct world *w = *state;
    struct peer peers[N];
    uint32_t least = UINT32_MAX;
    uint32_t most = 0;
    for (size_t i = 0; i < N; i++) {
        uint32_t before = (uint32_t)loop_now_ms(w->loop);
        peer_connect(&peers[i], w);
        uint32_t after = (uint32_t)loop_now_ms(w->loop);
        uint32_t ends = peers[i].client->ends_ms;
        assert_true(ends - before >= HOUR_MS / 10 * 9);
        assert_true(ends - after <= HOUR_MS);
        least = ends - after < least ? ends - after : least;
        most = ends - after > most ? ends - after : most;
    }
    assert_true(most - least > 1000);
    release_all(peers, N);
}

static void without_it_there_is_no_end(void **state)
{
    struct world *w = *state;
    struct peer peer;
    peer_connect(&peer, w);
    assert_int_equal(peer.client->ends_ms, 0);
    peer_release(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(they_go_one_by_one_the_oldest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(they_do_not_go_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_takes_five_hundred, setup, teardown),
        cmocka_unit_test_setup_teardown(a_share_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(who_comes_meanwhile_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(who_leaves_is_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(the_next_one_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(strangers_go_too, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_request_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(new_ones_are_refused_until_they_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(the_final_one_lets_no_other_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lifetime_ends_without_a_ping, setup_short, teardown),
        cmocka_unit_test_setup_teardown(a_lifetime_ends_between_pings, setup_pinging, teardown),
        cmocka_unit_test_setup_teardown(who_answers_no_ping_has_one_too, setup_short, teardown),
        cmocka_unit_test_setup_teardown(lifetimes_differ, setup_hour, teardown),
        cmocka_unit_test_setup_teardown(without_it_there_is_no_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
