/* SPDX-License-Identifier: MIT */
/* Delivery: everybody who was there gets it once, in order, in slices, while others come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/hub/world.h"

#define N_PEERS 10000
#define N_NEW   50

static int setup(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"insecure\":true}",
        .channel = "{\"namespaces\":[{\"name\":\"kept\",\"history_size\":1000,"
                   "\"history_ttl\":\"1h\",\"force_positioning\":true}]}"});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void count_done(void *arg, enum status status, const struct client_error *error,
                       const struct subscribe_result *result)
{
    (void)error;
    REQUIRE(status == STATUS_OK && result);
    ++*(size_t *)arg;
}

/* Places in the channel are in the order of the peers. */
static void subscribe_all(struct world *w, struct peer *peers, size_t n, const char *channel)
{
    size_t n_done = 0;
    struct subscribe_request request = {.channel = str_of(channel)};
    for (size_t i = 0; i < n; i++) {
        client_subscribe(peers[i].client, &request, count_done, &n_done);
    }
    WAIT_FOR(w, n_done == n);
}

static struct peer *make_peers(struct world *w, size_t n)
{
    struct peer *peers = calloc(n, sizeof(*peers));
    assert_non_null(peers);
    for (size_t i = 0; i < n; i++) {
        peer_connect(&peers[i], w);
    }
    return peers;
}

static void free_peers(struct peer *peers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        peer_release(&peers[i]);
    }
    free(peers);
}

/* Uses up the time of this turn of the loop, so that the rest is delivered in another. */
static void use_up_the_turn(struct peer *p)
{
    (void)p;
    int64_t until_us = clock_monotonic_us() + 6000;
    while (clock_monotonic_us() < until_us) {
    }
}

static void wait_until_sent(struct world *w, uint64_t n)
{
    WAIT_FOR(w, world_n_sent(w) >= n);
    world_turn(w);
    assert_int_equal(world_n_sent(w), n);
}

static void all_of_ten_thousand_get_it_once(void **state)
{
    struct world *w = *state;
    struct peer *peers = make_peers(w, N_PEERS);
    subscribe_all(w, peers, N_PEERS, "many");
    assert_int_equal(publish(w, "many", "1").status, STATUS_OK);
    assert_int_equal(publish(w, "many", "2").status, STATUS_OK);
    wait_until_sent(w, 2 * N_PEERS);
    for (size_t i = 0; i < N_PEERS; i++) {
        struct str all = buf_str(&peers[i].received);
        assert_true(str_eq(all, STR("many 0 1\nmany 0 2\n")) ||
                    str_eq(all, STR("many 0 1|many 0 2\n")));
    }
    free_peers(peers, N_PEERS);
}

/* Between two slices of the first publication: of the peers not served yet some unsubscribe, some
 * are destroyed, new ones come, and the next publication is made. */
static void coming_and_going_between_slices(void **state)
{
    struct world *w = *state;
    struct peer *peers = make_peers(w, N_PEERS);
    struct peer *late = make_peers(w, N_NEW);
    subscribe_all(w, peers, N_PEERS, "many");
    peers[1000].on_send = use_up_the_turn;

    assert_int_equal(publish(w, "many", "1").status, STATUS_OK);
    WAIT_FOR(w, peers[1000].n_messages == 1);
    assert_int_equal(peers[5000].n_messages, 0);
    peers[1000].on_send = NULL;
    bool *is_served = calloc(N_PEERS, sizeof(*is_served));
    assert_non_null(is_served);
    for (size_t i = 0; i < N_PEERS; i++) {
        is_served[i] = peers[i].n_messages > 0;
    }
    for (size_t i = 0; i < N_PEERS; i += 10) {
        assert_int_equal(client_unsubscribe(peers[i].client, STR("many")), STATUS_OK);
        peer_leave(&peers[i + 1]);
    }
    subscribe_all(w, late, N_NEW, "many");
    assert_int_equal(publish(w, "many", "2").status, STATUS_OK);
    WAIT_FOR(w, peers[N_PEERS - 1].n_messages == 2 && late[N_NEW - 1].n_messages == 1);

    for (size_t i = 0; i < N_PEERS; i++) {
        bool left = i % 10 < 2;
        if (!left) {
            assert_string_equal(peer_text(&peers[i]), "many 0 1\nmany 0 2\n");
        } else {
            assert_string_equal(peer_text(&peers[i]), is_served[i] ? "many 0 1\n" : "");
        }
    }
    for (size_t i = 0; i < N_NEW; i++) {
        assert_string_equal(peer_text(&late[i]), "many 0 2\n");
    }
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_subscriptions, N_PEERS / 10 * 8 + N_NEW);
    free(is_served);
    free_peers(peers, N_PEERS);
    free_peers(late, N_NEW);
}

/* The places that were left are closed: the next rounds reach exactly those who stayed. */
static void places_are_right_after_many_rounds(void **state)
{
    struct world *w = *state;
    enum { N = 400 };
    struct peer *peers = make_peers(w, N);
    bool in[N] = {false};
    size_t expected[N] = {0};
    for (size_t round = 0; round < 60; round++) {
        for (size_t i = 0; i < N; i++) {
            if ((i * 7 + round * 13) % 11 < 3 && !in[i]) {
                in[i] = subscribe(&peers[i], "room").status == STATUS_OK;
            }
        }
        peers[round].on_send = use_up_the_turn;
        size_t n_before = peers[round].n_messages;
        assert_int_equal(publish(w, "room", "1").status, STATUS_OK);
        for (size_t i = 0; i < N; i++) {
            expected[i] += in[i];
        }
        WAIT_FOR(w, !in[round] || peers[round].n_messages > n_before);
        peers[round].on_send = NULL;
        for (size_t i = 0; i < N; i++) {
            if ((i * 5 + round * 3) % 13 < 4 && in[i]) {
                expected[i] = peers[i].n_messages; /* what is not sent by now is not sent */
                assert_int_equal(client_unsubscribe(peers[i].client, STR("room")), STATUS_OK);
                in[i] = false;
            }
        }
        for (size_t i = 0; i < N; i++) {
            WAIT_FOR(w, peers[i].n_messages >= expected[i]);
        }
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(peers[i].n_messages, expected[i]);
        }
    }
    free_peers(peers, N);
}

static void publications_of_one_turn_are_one_message(void **state)
{
    struct world *w = *state;
    struct peer peer;
    struct publish_answer answers[130];
    peer_connect(&peer, w);
    assert_int_equal(subscribe(&peer, "news").status, STATUS_OK);
    for (int i = 0; i < 3; i++) {
        publish_start(w, "news", i == 0 ? "[\n]" : "{}", &answers[i]);
    }
    WAIT_FOR(w, peer.n_messages > 0);
    assert_string_equal(peer_text(&peer), "news 0 []|news 0 {}|news 0 {}\n");
    peer_forget(&peer);
    for (int i = 0; i < 130; i++) { /* a message has its limit */
        publish_start(w, "news", "1", &answers[i]);
    }
    WAIT_FOR(w, peer.n_messages == 3);
    struct str all = buf_str(&peer.received);
    assert_int_equal(all.len, 130 * strlen("news 0 1|"));
    assert_int_equal(str_find(all, '\n'), 64 * 9 - 1);
    peer_release(&peer);
}

static void large_ones_are_not_joined(void **state)
{
    struct world *w = *state;
    struct peer peer;
    struct publish_answer answers[3];
    char *large = malloc(40003);
    assert_non_null(large);
    memset(large, 'a', 40002);
    large[0] = large[40001] = '"';
    large[40002] = '\0';
    peer_connect(&peer, w);
    assert_int_equal(subscribe(&peer, "news").status, STATUS_OK);
    for (int i = 0; i < 3; i++) {
        publish_start(w, "news", large, &answers[i]);
    }
    WAIT_FOR(w, peer.n_messages == 3);
    assert_int_equal(peer.received.len, 3 * (strlen("news 0 ") + 40002 + 1));
    free(large);
    peer_release(&peer);
}

static void other_publication(const struct wire_format *format, struct buf *out, struct str channel,
                              const struct publication *p, enum publication_form form,
                              struct str patch)
{
    (void)format;
    (void)channel;
    (void)form;
    (void)patch;
    buf_append(out, p->data);
}

static void each_format_has_its_own_frame(void **state)
{
    struct world *w = *state;
    struct wire_format format = plain_format;
    format.index = 3;
    format.before = STR("<");
    format.after = STR(">");
    format.between = STR("+");
    format.publication = other_publication;
    struct client_transport transport = plain_transport;
    transport.format = &format;
    struct peer plain;
    struct peer other;
    peer_connect(&plain, w);
    peer_open_with(&other, w, &transport);
    assert_int_equal(connect_with_token(&other, "").status, STATUS_OK);
    peer_forget(&other);
    assert_int_equal(subscribe(&plain, "news").status, STATUS_OK);
    assert_int_equal(subscribe(&other, "news").status, STATUS_OK);
    struct publish_answer answers[2];
    publish_start(w, "news", "1", &answers[0]);
    publish_start(w, "news", "2", &answers[1]);
    WAIT_FOR(w, other.n_messages > 0);
    assert_string_equal(peer_text(&plain), "news 0 1|news 0 2\n");
    assert_string_equal(peer_text(&other), "<1>+<2>\n");
    peer_release(&plain);
    peer_release(&other);
}

static struct peer *victims;
static size_t n_victims;

static void destroy_the_victims(struct peer *p)
{
    p->on_send = NULL;
    for (size_t i = 0; i < n_victims; i++) {
        if (&victims[i] != p) {
            peer_leave(&victims[i]);
        }
    }
}

static void clients_destroyed_inside_a_send(void **state)
{
    struct world *w = *state;
    struct peer *peers = make_peers(w, 200);
    subscribe_all(w, peers, 200, "room");
    victims = peers;
    n_victims = 150;
    peers[100].on_send = destroy_the_victims;
    assert_int_equal(publish(w, "room", "1").status, STATUS_OK);
    WAIT_FOR(w, peers[199].n_messages == 1);
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(peers[i].n_messages, i <= 100 || i >= 150);
    }
    assert_int_equal(hub_n_clients(w->hub), 51);
    n_victims = 200;
    peers[150].on_send = destroy_the_victims; /* all others: the channel is left with one */
    assert_int_equal(publish(w, "room", "2").status, STATUS_OK);
    WAIT_FOR(w, peers[150].n_messages == 2);
    peer_leave(&peers[150]);
    struct hub_stats stats;
    WAIT_FOR(w, (hub_stats(w->hub, &stats), stats.n_channels == 0));
    assert_int_equal(stats.n_subscriptions, 0);
    free_peers(peers, 200);
}

/* Between the answer to the publisher and the delivery, at the tail of the same turn. */
static void leave_when_published(void *arg, enum status status,
                                 const struct storage_position *position,
                                 const struct delivery_report *report)
{
    struct peer *peer = arg;
    (void)position;
    (void)report;
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(client_unsubscribe(peer->client, STR("room")), STATUS_OK);
}

static void the_last_subscriber_leaves_before_delivery(void **state)
{
    struct world *w = *state;
    struct peer peer;
    struct hub_stats stats;
    peer_connect(&peer, w);
    assert_int_equal(subscribe(&peer, "room").status, STATUS_OK);
    struct publish_request request = {.channel = STR("room"), .data = STR("1")};
    hub_publish(w->hub, &request, leave_when_published, &peer);
    WAIT_FOR(w, (hub_stats(w->hub, &stats), stats.n_subscriptions == 0));
    WAIT_FOR(w, (hub_stats(w->hub, &stats), stats.n_channels == 0));
    assert_int_equal(peer.n_messages, 0);
    peer_release(&peer);
}

/* Unsubscribed and subscribed again while a delivery waits: the old place is not served. */
static void a_new_place_is_not_the_old_one(void **state)
{
    struct world *w = *state;
    struct peer *peers = make_peers(w, 200);
    subscribe_all(w, peers, 200, "room");
    peers[0].on_send = use_up_the_turn;
    assert_int_equal(publish(w, "room", "1").status, STATUS_OK);
    WAIT_FOR(w, peers[0].n_messages == 1);
    assert_int_equal(peers[150].n_messages, 0);
    assert_int_equal(client_unsubscribe(peers[150].client, STR("room")), STATUS_OK);
    assert_int_equal(subscribe(&peers[150], "room").status, STATUS_OK);
    WAIT_FOR(w, peers[199].n_messages == 1);
    assert_int_equal(publish(w, "room", "2").status, STATUS_OK);
    WAIT_FOR(w, peers[150].n_messages == 1);
    assert_string_equal(peer_text(&peers[150]), "room 0 2\n");
    free_peers(peers, 200);
}

static struct peer *giants_last;

static void giant_is_not_done(struct peer *p)
{
    (void)p;
    assert_int_equal(giants_last->n_messages, 0);
}

static void a_small_channel_does_not_wait_for_a_giant(void **state)
{
    struct world *w = *state;
    struct peer *peers = make_peers(w, 1000);
    struct peer small;
    struct publish_answer answers[2];
    subscribe_all(w, peers, 1000, "giant");
    peer_connect(&small, w);
    assert_int_equal(subscribe(&small, "small").status, STATUS_OK);
    giants_last = &peers[999];
    small.on_send = giant_is_not_done;
    publish_start(w, "giant", "1", &answers[0]);
    publish_start(w, "small", "1", &answers[1]);
    WAIT_FOR(w, giants_last->n_messages == 1 && small.n_messages == 1);
    free_peers(peers, 1000);
    peer_release(&small);
}

static void take_a_millisecond(struct peer *p)
{
    (void)p;
    int64_t until_us = clock_monotonic_us() + 1000;
    while (clock_monotonic_us() < until_us) {
    }
}

/* More than the time for second slices, less than that of a round; unless the machine is busy. */
static void each_channel_is_served_in_a_turn(void **state)
{
    struct world *w = *state;
    struct peer *peers = make_peers(w, 2);
    struct publish_answer answers[2];
    unsigned n_together = 0;
    assert_int_equal(subscribe(&peers[0], "first").status, STATUS_OK);
    assert_int_equal(subscribe(&peers[1], "second").status, STATUS_OK);
    peers[0].on_send = take_a_millisecond;
    for (uint64_t i = 1; i <= 20; i++) {
        publish_start(w, "first", "1", &answers[0]);
        publish_start(w, "second", "1", &answers[1]);
        WAIT_FOR(w, peers[0].n_messages == i);
        n_together += peers[1].n_messages == i;
        WAIT_FOR(w, peers[1].n_messages == i);
    }
    assert_true(n_together > 0);
    free_peers(peers, 2);
}

/* One cannot take anything, and is sent away in the middle of the walk. */
static void a_slow_one_does_not_disturb_the_others(void **state)
{
    struct world *w = *state;
    struct peer *peers = make_peers(w, 100);
    subscribe_all(w, peers, 100, "kept:room");
    w->client_options.queue_max_size = 50;
    peers[50].is_blocked = true;
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(publish(w, "kept:room", "\"0123456789\"").position.offset, i);
        WAIT_FOR(w, peers[99].n_messages == i);
    }
    assert_ptr_equal(peers[50].why, &disconnect_slow);
    assert_int_equal(peers[50].n_closes, 1);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(peers[i].n_messages, i == 50 ? 0 : 5);
    }
    free_peers(peers, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_of_ten_thousand_get_it_once, setup, teardown),
        cmocka_unit_test_setup_teardown(coming_and_going_between_slices, setup, teardown),
        cmocka_unit_test_setup_teardown(places_are_right_after_many_rounds, setup, teardown),
        cmocka_unit_test_setup_teardown(publications_of_one_turn_are_one_message, setup, teardown),
        cmocka_unit_test_setup_teardown(large_ones_are_not_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(each_format_has_its_own_frame, setup, teardown),
        cmocka_unit_test_setup_teardown(clients_destroyed_inside_a_send, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_subscriber_leaves_before_delivery, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_new_place_is_not_the_old_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_small_channel_does_not_wait_for_a_giant, setup, teardown),
        cmocka_unit_test_setup_teardown(each_channel_is_served_in_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_one_does_not_disturb_the_others, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
