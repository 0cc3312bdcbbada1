/* SPDX-License-Identifier: MIT */
/* Many who come back at once share one read of the storage, wherever they were, however short the
 * tail is, and whatever is published meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hub/channel_internal.h"
#include "tests/unit/hub/world.h"

enum { N_PEERS = 500, N_HISTORY = 200 };

static int setup(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"insecure\":true}",
        .has_file = true,
        .channel = "{\"tail_max_size\":1000,\"idle_timeout\":\"0s\",\"namespaces\":["
                   "{\"name\":\"rec\",\"history_size\":200,\"history_ttl\":\"1h\","
                   "\"force_recovery\":true},"
                   "{\"name\":\"last\",\"history_size\":200,\"history_ttl\":\"1h\","
                   "\"force_recovery\":true,\"force_recovery_mode\":\"cache\"}]}"});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void publish_n(struct world *w, const char *channel, int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(publish(w, channel, "{\"some\":\"text\"}").status, STATUS_OK);
    }
}

/* One who comes back: all after `since` in the answer, then all further ones as pushes. */
struct returner {
    struct peer peer;
    uint64_t since;
    uint64_t last;
    bool is_done;
    bool is_recovered;
};

static void returned(void *arg, enum status status, const struct client_error *error,
                     const struct subscribe_result *result)
{
    struct returner *r = arg;
    assert_null(error);
    assert_int_equal(status, STATUS_OK);
    r->is_done = true;
    r->is_recovered = result->recovered;
    r->last = result->recovered ? r->since : result->position.offset;
    for (size_t i = 0; i < result->n_publications; i++) {
        assert_int_equal(result->publications[i]->offset, ++r->last);
    }
}

static struct returner *begin(struct world *w, size_t n)
{
    struct returner *all = calloc(n, sizeof(*all));
    assert_non_null(all);
    for (size_t i = 0; i < n; i++) {
        peer_connect(&all[i].peer, w);
    }
    return all;
}

static void come_back(struct returner *r, const char *channel, uint64_t since)
{
    r->since = since;
    struct subscribe_request request = {
        .channel = str_of(channel), .recover = true, .offset = since};
    client_subscribe(r->peer.client, &request, returned, r);
}

static void end(struct returner *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        peer_release(&all[i].peer);
    }
    free(all);
}

static void check_all(struct world *w, struct returner *all, size_t n, uint64_t top)
{
    for (size_t i = 0; i < n; i++) {
        WAIT_FOR(w, all[i].is_done);
        assert_true(all[i].is_recovered);
        assert_int_equal(all[i].last, top);
    }
}

/* --- one read --- */

static void all_at_once_cost_one_read(void **state)
{
    struct world *w = *state;
    static const int64_t budgets[] = {1000000, 2000, 0};
    publish_n(w, "rec:a", 300);
    for (int i = 0; i < 3; i++) {
        w->channel_options.tail_total_max_size = budgets[i];
        struct hub_stats before = stats_of(w);
        uint64_t n = n_reads(w);
        struct returner *all = begin(w, N_PEERS);
        for (size_t k = 0; k < N_PEERS; k++) {
            come_back(&all[k], "rec:a", 100 + k % N_HISTORY);
        }
        check_all(w, all, N_PEERS, 300);
        assert_int_equal(n_reads(w), n + 1);
        assert_int_equal(stats_of(w).n_tail_misses + stats_of(w).n_tail_hits,
                         before.n_tail_misses + before.n_tail_hits + N_PEERS);
        assert_true(stats_of(w).tail_bytes <= (size_t)budgets[i]);
        end(all, N_PEERS);
    }
}

/* The channel is in use, its tail too short. */
static void one_read_also_where_the_position_is_known(void **state)
{
    struct world *w = *state;
    struct peer holder;
    publish_n(w, "rec:a", 300);
    peer_connect(&holder, w);
    subscribe(&holder, "rec:a");
    uint64_t n = n_reads(w);
    struct returner *all = begin(w, N_PEERS);
    for (size_t k = 0; k < N_PEERS; k++) {
        come_back(&all[k], "rec:a", 101 + k % 3);
    }
    check_all(w, all, N_PEERS, 300);
    assert_int_equal(n_reads(w), n + 1);
    struct channel *c = channel_find(w->hub, STR("rec:a"));
    assert_null(c->read);
    end(all, N_PEERS);
    peer_release(&holder);
}

/* Those who come a little later find what the first ones read; for a while. */
static void who_comes_a_little_later_needs_no_read(void **state)
{
    struct world *w = *state;
    struct peer holder;
    publish_n(w, "rec:a", 300);
    peer_connect(&holder, w);
    subscribe(&holder, "rec:a");
    struct channel *c = channel_find(w->hub, STR("rec:a"));
    uint64_t n = n_reads(w);
    for (uint64_t wave = 0; wave < 5; wave++) {
        struct returner *all = begin(w, 10);
        for (size_t k = 0; k < 10; k++) {
            come_back(&all[k], "rec:a", 110 + k);
        }
        check_all(w, all, 10, 300 + wave);
        end(all, 10);
        publish_n(w, "rec:a", 1);
    }
    assert_int_equal(n_reads(w), n + 1);
    assert_true(c->tail.n_bytes > 1000);
    c->long_until_ms = 0; /* its time is over */
    publish_n(w, "rec:a", 1);
    assert_true(c->tail.n_bytes <= 1000);
    peer_release(&holder);
}

/* Without publications it is trimmed as well. */
static void a_long_tail_is_trimmed_in_time(void **state)
{
    struct world *w = *state;
    struct peer holder;
    w->client_options.channel_position_check_delay_ms = 20;
    publish_n(w, "rec:a", 300);
    peer_connect(&holder, w);
    subscribe(&holder, "rec:a");
    struct channel *c = channel_find(w->hub, STR("rec:a"));
    struct returner *all = begin(w, 1);
    come_back(&all[0], "rec:a", 110);
    check_all(w, all, 1, 300);
    assert_true(c->tail.n_bytes > 1000);
    c->long_until_ms = 0;
    WAIT_FOR(w, c->tail.n_bytes <= 1000);
    assert_int_equal(stats_of(w).tail_bytes, tail_memory(&c->tail));
    end(all, 1);
    peer_release(&holder);
}

/* Who comes during a read from further back than that goes waits for the next, with all such. */
static void who_was_further_back_shares_the_read(void **state)
{
    struct world *w = *state;
    struct peer holder;
    publish_n(w, "rec:a", 300);
    peer_connect(&holder, w);
    subscribe(&holder, "rec:a");
    struct channel *c = channel_find(w->hub, STR("rec:a"));
    struct returner *all = begin(w, N_PEERS);
    uint64_t n = n_reads(w);
    come_back(&all[0], "rec:a", 250);
    WAIT_FOR(w, c->read);
    for (size_t k = 1; k < N_PEERS; k++) {
        come_back(&all[k], "rec:a", 100 + k % 150);
    }
    check_all(w, all, N_PEERS, 300);
    assert_int_equal(n_reads(w), n + 1);
    end(all, N_PEERS);
    peer_release(&holder);
}

static void the_newest_is_read_once(void **state)
{
    struct world *w = *state;
    publish_n(w, "last:a", 10);
    uint64_t n = n_reads(w);
    struct returner *all = begin(w, 50);
    for (size_t k = 0; k < 50; k++) {
        come_back(&all[k], "last:a", 9);
    }
    check_all(w, all, 50, 10);
    assert_int_equal(n_reads(w), n + 1);
    end(all, 50);
}

/* --- bounds --- */

static void what_is_too_much_is_not_recovered(void **state)
{
    struct world *w = *state;
    struct peer holder;
    w->client_options.history_max_size = 4000; /* some thirty of them */
    publish_n(w, "rec:a", 300);
    for (int is_held = 0; is_held < 2; is_held++) {
        peer_connect(&holder, w);
        if (is_held) {
            subscribe(&holder, "rec:a");
        }
        struct returner *all = begin(w, 3);
        come_back(&all[0], "rec:a", 110);
        come_back(&all[1], "rec:a", 285);
        come_back(&all[2], "rec:a", 50); /* out of the history */
        for (int k = 0; k < 3; k++) {
            WAIT_FOR(w, all[k].is_done);
            assert_int_equal(all[k].is_recovered, k == 1);
            assert_int_equal(all[k].last, 300);
        }
        end(all, 3);
        peer_release(&holder);
    }
}

/* --- while others publish --- */

static void follow(struct returner *r)
{
    char *at = (char *)(uintptr_t)peer_text(&r->peer);
    while (*at) {
        assert_memory_equal(at, "rec:a ", 6);
        assert_int_equal(strtoull(at + 6, &at, 10), ++r->last);
        at += strcspn(at, "|\n") + 1;
    }
    peer_forget(&r->peer);
}

/* Each of many rounds: some come back while publications go on, at any budget. */
static void nothing_is_missed_while_others_publish(void **state)
{
    struct world *w = *state;
    static const int64_t budgets[] = {1000000, 1500, 0};
    enum { N = 40, N_NEW = 60 };
    uint64_t top = 150;
    publish_n(w, "rec:a", 150);
    for (int round = 0; round < 12; round++) {
        struct publish_answer answers[N_NEW];
        struct peer holder;
        w->channel_options.tail_total_max_size = budgets[round % 3];
        peer_connect(&holder, w);
        if (round % 2 == 0) {
            subscribe(&holder, "rec:a");
        }
        struct returner *all = begin(w, N);
        for (size_t i = 0; i < N_NEW; i++) {
            publish_start(w, "rec:a", "{}", &answers[i]);
            if (i < N) {
                come_back(&all[i], "rec:a", top - i * 2);
            }
            if (i % 5 == 4) {
                world_turn(w);
            }
        }
        top += N_NEW;
        WAIT_FOR(w, answers[N_NEW - 1].is_done);
        for (size_t i = 0; i < N; i++) {
            WAIT_FOR(w, all[i].is_done);
            assert_true(all[i].is_recovered);
            for (follow(&all[i]); all[i].last < top; follow(&all[i])) {
                world_turn(w);
            }
        }
        end(all, N);
        peer_release(&holder);
    }
}

/* --- those who go --- */

static void going_while_it_is_read(void **state)
{
    struct world *w = *state;
    publish_n(w, "rec:a", 300);
    for (int n_turns = 0; n_turns < 4; n_turns++) {
        struct returner *all = begin(w, 20);
        struct subscribe_answer answers[20] = {{.is_done = false}};
        struct subscribe_request request = {
            .channel = STR("rec:a"), .recover = true, .offset = 150};
        for (int i = 0; i < 20; i++) {
            client_subscribe(all[i].peer.client, &request, subscribe_answered, &answers[i]);
        }
        for (int i = 0; i < n_turns; i++) {
            world_turn(w);
        }
        for (int i = 0; i < 20; i++) {
            peer_leave(&all[i].peer);
        }
        for (int i = 0; i < 20; i++) {
            WAIT_FOR(w, answers[i].is_done);
        }
        assert_null(w->hub->channels);
        end(all, 20);
    }
}

/* A removal during the read: what it brings has been forgotten meanwhile. */
static void history_is_removed_while_it_is_read(void **state)
{
    struct world *w = *state;
    struct peer holder;
    struct remove_answer removed = {.is_done = false};
    publish_n(w, "rec:a", 300);
    peer_connect(&holder, w);
    subscribe(&holder, "rec:a");
    struct returner *all = begin(w, 1);
    come_back(&all[0], "rec:a", 150);
    hub_history_remove(w->hub, STR("rec:a"), remove_answered, &removed);
    WAIT_FOR(w, removed.is_done && all[0].is_done);
    assert_int_equal(channel_first(channel_find(w->hub, STR("rec:a"))), 301);
    assert_int_equal(channel_find(w->hub, STR("rec:a"))->tail.n_items, 0);
    publish_n(w, "rec:a", 1);
    struct returner *later = begin(w, 2);
    come_back(&later[0], "rec:a", 300);
    come_back(&later[1], "rec:a", 299);
    WAIT_FOR(w, later[0].is_done && later[1].is_done);
    assert_true(later[0].is_recovered);
    assert_false(later[1].is_recovered);
    end(later, 2);
    end(all, 1);
    peer_release(&holder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_at_once_cost_one_read, setup, teardown),
        cmocka_unit_test_setup_teardown(one_read_also_where_the_position_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_further_back_shares_the_read, setup, teardown),
        cmocka_unit_test_setup_teardown(who_comes_a_little_later_needs_no_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_tail_is_trimmed_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newest_is_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_much_is_not_recovered, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_missed_while_others_publish, setup, teardown),
        cmocka_unit_test_setup_teardown(going_while_it_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(history_is_removed_while_it_is_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
