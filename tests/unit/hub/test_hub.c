/* SPDX-License-Identifier: MIT */
/* The hub as a whole: figures, and the order of going down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/hub/world.h"

static int setup(void **state)
{
    *state = world_create(
        &(struct world_options){.client = "{\"insecure\":true}",
                                .channel = "{\"namespaces\":[{\"name\":\"kept\",\"history_size\":5,"
                                           "\"history_ttl\":\"1h\"}]}"});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void figures(void **state)
{
    struct world *w = *state;
    struct peer p[2];
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_clients, 0);
    assert_int_equal(stats.n_users, 0);
    assert_int_equal(strlen(stats.node), 36);
    assert_string_equal(hub_version(w->hub), "0.0.1");
    assert_ptr_equal(hub_client_options(w->hub), &w->client_options);
    peer_connect(&p[0], w);
    peer_open(&p[1], w);
    subscribe(&p[0], "a");
    subscribe(&p[0], "kept:b");
    publish(w, "a", "1");
    publish(w, "nobody", "1");
    publish(w, "kept:b", "1");
    WAIT_FOR(w, p[0].n_messages == 2);
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_clients, 2);
    assert_int_equal(hub_n_clients(w->hub), 2);
    assert_int_equal(stats.n_users, 1); /* who is not connected is nobody */
    assert_int_equal(stats.n_subscriptions, 2);
    assert_int_equal(stats.n_channels, 2);
    assert_int_equal(stats.n_publications, 3);
    assert_int_equal(stats.fan_out.n_messages, 2);
    assert_int_equal(stats.n_idle_channels, 0);
    assert_int_equal(stats.tail_max_bytes, 67108864);
    peer_release(&p[0]);
    peer_release(&p[1]);
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_subscriptions, 0);
    assert_int_equal(stats.n_channels, 0);
    assert_int_equal(stats.n_idle_channels, 1); /* the publication told its position */
    assert_true(stats.tail_bytes > 0);
}

static void a_stopped_hub_finishes_what_it_began(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct publish_answer before;
    peer_connect(&p, w);
    subscribe(&p, "kept:a");
    publish_start(w, "kept:a", "1", &before);
    assert_false(hub_is_stopping(w->hub));
    hub_stop(w->hub);
    assert_true(hub_is_stopping(w->hub));
    assert_int_equal(publish(w, "kept:a", "2").status, STATUS_CLOSED);
    assert_int_equal(publish(w, "a", "2").status, STATUS_CLOSED);
    WAIT_FOR(w, p.n_messages == 1);
    assert_int_equal(before.status, STATUS_OK);
    assert_string_equal(peer_text(&p), "kept:a 1 1\n");
    peer_release(&p);
}

static void clients_are_sent_away_in_portions(void **state)
{
    struct world *w = *state;
    enum { N = 100 };
    struct peer p[N];
    for (int i = 0; i < N; i++) {
        peer_connect(&p[i], w);
        subscribe(&p[i], "a");
    }
    hub_stop(w->hub);
    assert_int_equal(hub_send_clients_away(w->hub, 0), 100);
    for (size_t n_left = 70;; n_left -= 30) {
        assert_int_equal(hub_send_clients_away(w->hub, 30), n_left);
        size_t n_closed = 0;
        for (int i = 0; i < N; i++) {
            n_closed += p[i].n_closes;
        }
        assert_int_equal(n_closed, N - n_left);
        if (n_left == 10) {
            break;
        }
    }
    assert_int_equal(hub_send_clients_away(w->hub, 30), 0);
    assert_int_equal(hub_send_clients_away(w->hub, 30), 0);
    assert_false(hub_is_idle(w->hub)); /* the connections are still there */
    for (int i = 0; i < N; i++) {
        assert_ptr_equal(p[i].why, &disconnect_shutdown);
        assert_int_equal(p[i].n_closes, 1);
        peer_release(&p[i]);
    }
    assert_true(hub_is_idle(w->hub));
}

static void idle_is_when_nothing_is_under_way(void **state)
{
    struct world *w = *state;
    struct publish_answer a;
    assert_true(hub_is_idle(w->hub));
    publish_start(w, "kept:a", "1", &a);
    assert_false(hub_is_idle(w->hub));
    WAIT_FOR(w, a.is_done);
    assert_true(hub_is_idle(w->hub));
    publish_start(w, "a", "1", &a);
    assert_false(hub_is_idle(w->hub));
    WAIT_FOR(w, a.is_done);
    assert_true(hub_is_idle(w->hub));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(figures, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stopped_hub_finishes_what_it_began, setup, teardown),
        cmocka_unit_test_setup_teardown(clients_are_sent_away_in_portions, setup, teardown),
        cmocka_unit_test_setup_teardown(idle_is_when_nothing_is_under_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
