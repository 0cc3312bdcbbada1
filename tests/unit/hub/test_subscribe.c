/* SPDX-License-Identifier: MIT */
/* The way into a channel: who may, positions, and recovery - from memory, from the storage, over a
 * restart, and while others publish - with nothing missing and nothing twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/hub/subscribe_world.h"
#include "tests/unit/hub/token_maker.h"

/* --- who may --- */

static void permissions(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    assert_int_equal(subscribe(&p, "open").status, STATUS_OK);
    assert_int_equal(subscribe(&p, "open").status, STATUS_ALREADY);
    assert_int_equal(subscribe(&p, "closed:a").status, STATUS_DENIED);
    assert_int_equal(subscribe(&p, "users:a").status, STATUS_DENIED);
    assert_int_equal(subscribe(&p, "$open").status, STATUS_DENIED);
    assert_int_equal(subscribe(&p, "other:a").status, STATUS_UNKNOWN_CHANNEL);
    assert_int_equal(subscribe(&p, "caf\xc3\xa9").status, STATUS_INVALID);
    assert_int_equal(subscribe(&p, "").status, STATUS_INVALID);
    assert_int_equal(subscribe(&p, "two").status, STATUS_OK);
    assert_int_equal(subscribe(&p, "three").status, STATUS_OK);
    assert_int_equal(subscribe(&p, "four").status, STATUS_LIMIT);
    assert_int_equal(subscribe(&p, "three").status, STATUS_ALREADY);
    assert_int_equal(client_unsubscribe(p.client, STR("two")), STATUS_OK);
    assert_int_equal(client_unsubscribe(p.client, STR("two")), STATUS_OK);
    assert_int_equal(client_unsubscribe(p.client, STR("never heard of")), STATUS_OK);
    assert_int_equal(client_unsubscribe(p.client, STR_EMPTY), STATUS_INVALID);
    assert_int_equal(subscribe(&p, "four").status, STATUS_OK);
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_channels, 3); /* refusals leave nothing behind */
    peer_release(&p);
}

static void a_user_may_more_than_nobody(void **state)
{
    struct world *w = *state;
    struct peer p;
    char *token = make_token("{\"sub\":\"u\"}", "secret");
    peer_open(&p, w);
    assert_int_equal(connect_with_token(&p, token).status, STATUS_OK);
    assert_int_equal(subscribe(&p, "users:a").status, STATUS_OK);
    assert_int_equal(subscribe(&p, "closed:a").status, STATUS_DENIED);
    w->client_options.insecure = true;
    assert_int_equal(subscribe(&p, "closed:a").status, STATUS_OK);
    assert_int_equal(subscribe(&p, "$secret").status, STATUS_DENIED);
    free(token);
    peer_release(&p);
}

static void who_is_not_connected_may_nothing(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_open(&p, w);
    assert_int_equal(subscribe(&p, "open").status, STATUS_CLOSED);
    peer_release(&p);
}

/* --- features --- */

static void check_features(struct world *w, const char *channel, struct subscribe_request request,
                           bool positioned, bool recoverable)
{
    struct peer p;
    peer_connect(&p, w);
    request.channel = str_of(channel);
    struct subscribe_answer a = subscribe_with(&p, &request);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.result.positioned, positioned);
    assert_int_equal(a.result.recoverable, recoverable);
    assert_int_equal(a.result.was_recovering, request.recover);
    assert_int_equal(a.result.recovered, request.recover && recoverable);
    assert_int_equal(strlen(a.result.position.epoch), positioned ? 8 : 0);
    assert_int_equal(a.result.position.offset, 0);
    peer_release(&p);
}

static void features_are_asked_for_allowed_or_forced(void **state)
{
    struct world *w = *state;
    const struct subscribe_request nothing = {.recover = false};
    const struct subscribe_request pos = {.positioned = true};
    const struct subscribe_request rec = {.recoverable = true};
    const struct subscribe_request back = {.recoverable = true, .recover = true};
    check_features(w, "a", nothing, false, false);
    check_features(w, "a", pos, false, false);
    check_features(w, "a", back, false, false);
    check_features(w, "not:a", pos, false, false);
    check_features(w, "not:a", back, false, false);
    check_features(w, "may:a", nothing, false, false);
    check_features(w, "may:a", pos, true, false);
    check_features(w, "may:a", rec, true, true);
    check_features(w, "may:a", back, true, true);
    check_features(w, "pos:a", nothing, true, false);
    check_features(w, "pos:a", rec, true, false);
    check_features(w, "rec:a", nothing, true, true);
    check_features(w, "rec:a", back, true, true);
}

static void the_position_is_the_streams(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    struct subscribe_answer a = subscribe(&p, "rec:a");
    assert_int_equal(a.result.position.offset, 0);
    struct storage_position top = publish_n(w, "rec:a", 3);
    assert_string_equal(top.epoch, a.result.position.epoch);
    WAIT_FOR(w, world_n_sent(w) == 3);
    assert_int_equal(client_unsubscribe(p.client, STR("rec:a")), STATUS_OK);
    a = subscribe(&p, "rec:a");
    assert_int_equal(a.result.position.offset, 3);
    assert_string_equal(top.epoch, a.result.position.epoch);
    assert_string_equal(a.offsets, "");
    peer_release(&p);
}

/* --- recovery --- */

static void what_was_missed_comes_in_order(void **state)
{
    struct world *w = *state;
    struct storage_position top = publish_n(w, "rec:a", 6);
    struct storage_position at = top;
    for (int from_tail = 0; from_tail <= 1; from_tail++) {
        struct peer holder; /* keeps the channel, and so its tail, in memory */
        peer_connect(&holder, w);
        if (from_tail) {
            subscribe(&holder, "rec:a");
        }
        at.offset = 3;
        check_recovery(w, "rec:a", &at, true, "4 5 6 ");
        at.offset = 6;
        check_recovery(w, "rec:a", &at, true, "");
        at.offset = 0;
        check_recovery(w, "rec:a", &at, true, "1 2 3 4 5 6 ");
        at.epoch[0] = '\0'; /* any epoch */
        check_recovery(w, "rec:a", &at, true, "1 2 3 4 5 6 ");
        at = top;
        peer_release(&holder);
    }
}

static void what_cannot_be_recovered(void **state)
{
    struct world *w = *state;
    struct storage_position at = publish_n(w, "few:a", 20);
    at.offset = 21; /* of another life */
    check_recovery(w, "few:a", &at, false, "");
    at.offset = UINT64_MAX;
    check_recovery(w, "few:a", &at, false, "");
    at.offset = 14; /* 15 is gone */
    check_recovery(w, "few:a", &at, false, "");
    at.offset = 15;
    check_recovery(w, "few:a", &at, true, "16 17 18 19 20 ");
    at.epoch[0] = at.epoch[0] == 'a' ? 'b' : 'a';
    check_recovery(w, "few:a", &at, false, "");
    at = publish_n(w, "rec:a", 60);
    at.offset = 9; /* 51 are more than may be recovered at once */
    check_recovery(w, "rec:a", &at, false, "");
    at.offset = 10;
    struct peer p;
    peer_connect(&p, w);
    struct subscribe_answer a = recover(&p, "rec:a", &at);
    assert_true(a.result.recovered);
    assert_non_null(strstr(a.offsets, "11 "));
    assert_non_null(strstr(a.offsets, "60 "));
    peer_release(&p);
}

/* 60 publications of which the newest 50 may be recovered at once, and 20 of which 5 are kept; from
 * the tail in memory, from the storage, and from both. */
static void every_position_is_recovered_or_not(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *channel;
        uint64_t since;
        bool has_epoch;
        bool is_recovered;
        uint64_t n_publications;
    } cases[] = {
        {"rec:a", 0, true, false, 0},   {"rec:a", 9, true, false, 0},
        {"rec:a", 10, true, true, 50},  {"rec:a", 11, true, true, 49},
        {"rec:a", 9, false, false, 0},  {"rec:a", 10, false, true, 50},
        {"rec:a", 59, true, true, 1},   {"rec:a", 60, true, true, 0},
        {"rec:a", 60, false, true, 0},  {"rec:a", 61, true, false, 0},
        {"rec:a", 61, false, false, 0}, {"rec:a", UINT64_MAX, true, false, 0},
        {"few:a", 14, true, false, 0},  {"few:a", 14, false, false, 0},
        {"few:a", 15, true, true, 5},   {"few:a", 19, false, true, 1},
        {"few:a", 20, true, true, 0},   {"few:a", 21, true, false, 0},
    };
    static const int64_t tail_sizes[] = {100000, 500, 0};
    const struct storage_position tops[] = {publish_n(w, "rec:a", 60), publish_n(w, "few:a", 20)};
    for (size_t i = 0; i < 3 * sizeof(cases) / sizeof(cases[0]); i++) {
        w->channel_options.tail_max_size = tail_sizes[i % 3];
        size_t k = i / 3;
        const struct storage_position *top = &tops[cases[k].channel[0] == 'f'];
        struct peer p;
        peer_connect(&p, w);
        struct subscribe_answer a = subscribe_with(
            &p, &(struct subscribe_request){.channel = str_of(cases[k].channel),
                                            .epoch = str_of(cases[k].has_epoch ? top->epoch : ""),
                                            .offset = cases[k].since,
                                            .recover = true});
        assert_int_equal(a.result.recovered, cases[k].is_recovered);
        assert_int_equal(a.n_publications, cases[k].n_publications);
        assert_true(a.result.position.offset ==
                    (cases[k].is_recovered ? cases[k].since : top->offset));
        assert_string_equal(a.result.position.epoch, top->epoch);
        peer_release(&p);
    }
}

static void a_failed_recovery_tells_where_the_stream_is(void **state)
{
    struct world *w = *state;
    struct storage_position top = publish_n(w, "few:a", 20);
    struct storage_position at = {.offset = 3, .epoch = "tooold"};
    struct peer p;
    peer_connect(&p, w);
    struct subscribe_answer a = recover(&p, "few:a", &at);
    assert_false(a.result.recovered);
    assert_int_equal(a.result.position.offset, 20);
    assert_string_equal(a.result.position.epoch, top.epoch);
    peer_release(&p);
}

static void a_strange_epoch_fits_no_stream(void **state)
{
    struct world *w = *state;
    publish_n(w, "rec:a", 1);
    static const struct str epochs[] = {
        {"12345678", 8}, {"123456789", 9}, {"\0", 1}, {"a very long text", 16}};
    for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
        struct peer p;
        peer_connect(&p, w);
        struct subscribe_answer a =
            subscribe_with(&p, &(struct subscribe_request){
                                   .channel = STR("rec:a"), .epoch = epochs[i], .recover = true});
        assert_int_equal(a.status, STATUS_OK);
        assert_false(a.result.recovered);
        peer_release(&p);
    }
}

static void a_failure_may_be_an_error(void **state)
{
    struct world *w = *state;
    publish_n(w, "rec:a", 2);
    struct peer p;
    peer_connect(&p, w);
    struct subscribe_request request = {.channel = STR("rec:a"),
                                        .epoch = STR("another"),
                                        .recover = true,
                                        .fail_unrecovered = true};
    assert_int_equal(subscribe_with(&p, &request).status, STATUS_UNRECOVERABLE);
    request.epoch = STR_EMPTY;
    struct subscribe_answer a = subscribe_with(&p, &request);
    assert_int_equal(a.status, STATUS_OK);
    assert_string_equal(a.offsets, "1 2 ");
    peer_release(&p);
}

static void what_has_expired_is_not_recovered(void **state)
{
    struct world *w = *state;
    struct peer holder;
    peer_connect(&holder, w);
    assert_int_equal(subscribe(&holder, "brief:a").status, STATUS_OK);
    struct storage_position at = publish_n(w, "brief:a", 2);
    at.offset = 1;
    int64_t from_ms = clock_wall_ms();
    WAIT_FOR(w, clock_wall_ms() > from_ms + 2); /* the holder's wheel turns the loop */
    check_recovery(w, "brief:a", &at, false, "");
    at.offset = 2; /* nothing was missed */
    check_recovery(w, "brief:a", &at, true, "");
    peer_release(&holder);
}

static void recovery_over_a_restart(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    struct subscribe_answer a = subscribe(&p, "rec:a");
    publish_n(w, "rec:a", 3);
    WAIT_FOR(w, world_n_sent(w) == 3);
    assert_string_equal(peer_text(&p), "rec:a 1 {}\nrec:a 2 {}\nrec:a 3 {}\n");
    peer_release(&p);
    publish_n(w, "rec:a", 2);
    world_restart(w);
    struct storage_position at = {.offset = 3};
    memcpy(at.epoch, a.result.position.epoch, sizeof(at.epoch));
    check_recovery(w, "rec:a", &at, true, "4 5 ");
    publish_n(w, "rec:a", 1);
    check_recovery(w, "rec:a", &at, true, "4 5 6 ");
}

static void a_tail_makes_reading_needless(void **state)
{
    struct world *w = *state;
    struct peer holder;
    struct storage_position at = publish_n(w, "rec:a", 6);
    at.offset = 2;
    peer_connect(&holder, w);
    subscribe(&holder, "rec:a");
    uint64_t n = n_reads(w);
    check_recovery(w, "rec:a", &at, true, "3 4 5 6 ");
    publish_n(w, "rec:a", 1);
    check_recovery(w, "rec:a", &at, true, "3 4 5 6 7 ");
    assert_int_equal(n_reads(w), n);
    peer_release(&holder);
}

static struct world *publishing_world;

static void publish_deferred(void *arg)
{
    publish_start(publishing_world, "rec:a", "{}", arg);
}

/* A publication that comes while the position is read must not keep the tail from being filled. */
static void a_tail_is_filled_also_while_others_publish(void **state)
{
    struct world *w = *state;
    struct peer holder;
    struct publish_answer answer = {.is_done = false};
    struct deferred later = {.fn = publish_deferred, .arg = &answer};
    struct storage_position at = publish_n(w, "rec:a", 6);
    at.offset = 2;
    peer_connect(&holder, w);
    struct subscribe_answer a = {.is_done = false};
    struct subscribe_request request = {.channel = STR("rec:a")};
    publishing_world = w;
    loop_defer(w->loop, &later); /* both at one tail: the append, then the read that sees it */
    client_subscribe(holder.client, &request, subscribe_answered, &a);
    WAIT_FOR(w, a.is_done && answer.is_done);
    assert_int_equal(a.result.position.offset, 7);
    assert_int_equal(n_reads(w), 1);
    check_recovery(w, "rec:a", &at, true, "3 4 5 6 7 ");
    assert_int_equal(n_reads(w), 1);
    peer_release(&holder);
}

static void one_read_serves_all_who_come_together(void **state)
{
    struct world *w = *state;
    enum { N = 50 };
    struct peer peers[N];
    struct subscribe_answer answers[N] = {{.is_done = false}};
    publish_n(w, "rec:a", 4);
    uint64_t n = n_reads(w);
    for (int i = 0; i < N; i++) {
        peer_connect(&peers[i], w);
        struct subscribe_request request = {
            .channel = STR("rec:a"), .recover = true, .offset = 4 - (uint64_t)(i % 5)};
        client_subscribe(peers[i].client, &request, subscribe_answered, &answers[i]);
    }
    for (int i = 0; i < N; i++) {
        static const char *const expected[] = {"", "4 ", "3 4 ", "2 3 4 ", "1 2 3 4 "};
        WAIT_FOR(w, answers[i].is_done);
        assert_true(answers[i].result.recovered);
        assert_string_equal(answers[i].offsets, expected[i % 5]);
    }
    assert_int_equal(n_reads(w), n + 1);
    for (int i = 0; i < N; i++) {
        peer_release(&peers[i]);
    }
}

/* --- nothing missing, nothing twice, whatever comes between --- */

struct follower {
    struct peer peer;
    uint64_t last; /* seen */
    bool is_done;
};

static void follow_recovered(void *arg, enum status status, const struct client_error *error,
                             const struct subscribe_result *result)
{
    struct follower *f = arg;
    REQUIRE(!error);
    f->is_done = true;
    REQUIRE(status == STATUS_OK && result->recovered);
    REQUIRE(f->peer.n_messages == 0); /* no push before the reply */
    REQUIRE(result->position.offset == f->last);
    for (size_t i = 0; i < result->n_publications; i++) {
        REQUIRE(result->publications[i]->offset == ++f->last);
    }
}

/* Reads "rec:a 7 {}|rec:a 8 {}\n...". */
static void follow_pushes(struct follower *f)
{
    char *at = (char *)(uintptr_t)peer_text(&f->peer);
    while (*at) {
        REQUIRE(strncmp(at, "rec:a ", 6) == 0);
        REQUIRE(strtoull(at + 6, &at, 10) == ++f->last);
        REQUIRE(strncmp(at, " {}", 3) == 0);
        at += 4;
    }
    peer_forget(&f->peer);
}

/* The publications go on in every turn, before, while and after the history is read. */
static void follow_while_others_publish(struct world *w, uint64_t n_before, uint64_t since,
                                        bool has_holder)
{
    enum { N = 24 };
    struct publish_answer answers[N];
    struct follower f = {.last = since};
    struct peer holder;
    peer_connect(&holder, w);
    if (has_holder) {
        subscribe(&holder, "rec:a");
    }
    peer_connect(&f.peer, w);
    for (int i = 0; i < N; i++) {
        publish_start(w, "rec:a", "{}", &answers[i]);
        if (i == 4) {
            struct subscribe_request request = {
                .channel = STR("rec:a"), .recover = true, .offset = since};
            client_subscribe(f.peer.client, &request, follow_recovered, &f);
        }
        if (i % 3 == 2) {
            world_turn(w);
        }
    }
    WAIT_FOR(w, answers[N - 1].is_done && f.is_done);
    uint64_t top = n_before + N;
    while (f.last < top) {
        follow_pushes(&f);
        if (f.last < top) {
            world_turn(w);
        }
    }
    peer_release(&f.peer);
    peer_release(&holder);
}

static void following_while_others_publish(void **state)
{
    struct world *w = *state;
    static const size_t tail_sizes[] = {0, 300, 100000};
    uint64_t n = 10;
    publish_n(w, "rec:a", (int)n);
    for (int round = 0; round < 60; round++) {
        w->channel_options.tail_max_size = (int64_t)tail_sizes[round % 3];
        uint64_t since = n - (uint64_t)(round % 9);
        follow_while_others_publish(w, n, since, round % 2 == 0);
        n += 24;
    }
}

/* --- clients that go in the middle --- */

static void destroyed_while_it_subscribes(void **state)
{
    struct world *w = *state;
    for (int n_turns = 0; n_turns < 3; n_turns++) {
        struct peer p;
        struct subscribe_answer a = {.is_done = false};
        struct subscribe_request request = {.channel = STR("rec:a"), .recover = true};
        peer_connect(&p, w);
        client_subscribe(p.client, &request, subscribe_answered, &a);
        for (int i = 0; i < n_turns && !a.is_done; i++) {
            world_turn(w);
        }
        peer_leave(&p);
        bool was_done = a.is_done;
        WAIT_FOR(w, a.is_done);
        assert_int_equal(a.status, was_done ? STATUS_OK : STATUS_CLOSED);
        peer_release(&p);
    }
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_channels, 0);
    assert_int_equal(stats.n_subscriptions, 0);
}

static void disconnected_while_it_subscribes(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct subscribe_answer a = {.is_done = false};
    struct subscribe_request request = {.channel = STR("rec:a")};
    peer_connect(&p, w);
    client_subscribe(p.client, &request, subscribe_answered, &a);
    client_disconnect(p.client, &disconnect_stale);
    WAIT_FOR(w, a.is_done);
    assert_int_equal(a.status, STATUS_CLOSED);
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_subscriptions, 0);
    peer_release(&p);
}

/* hub_destroy() relies on hub_is_idle(). */
static void a_hub_with_a_subscribe_under_way_is_not_idle(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"open", "rec:a", "rec:a"};
    struct peer holder; /* the position is known in the last round */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct peer p;
        struct subscribe_answer a = {.is_done = false};
        struct subscribe_request request = {.channel = str_of(names[i])};
        peer_connect(&holder, w);
        if (i == 2) {
            subscribe(&holder, "rec:a");
        }
        peer_connect(&p, w);
        client_subscribe(p.client, &request, subscribe_answered, &a);
        peer_leave(&p);
        peer_leave(&holder);
        bool was_idle = false;
        while (!a.is_done) {
            was_idle = was_idle || hub_is_idle(w->hub);
            world_turn(w);
        }
        assert_int_equal(a.status, STATUS_CLOSED);
        assert_false(was_idle);
        peer_release(&p);
        peer_release(&holder);
    }
}

/* --- the end --- */

/* After hub_abandon() the storage may be closed: nothing is read any more, also for those who came
 * before; nobody new is let in. */
static void an_abandoned_hub_reads_nothing(void **state)
{
    struct world *w = *state;
    struct peer holder;
    struct peer p;
    w->channel_options.tail_max_size = 0; /* one publication only */
    publish_n(w, "rec:a", 5);
    publish_n(w, "rec:b", 1);
    peer_connect(&holder, w);
    subscribe(&holder, "rec:a");
    peer_connect(&p, w);
    uint64_t n = n_reads(w);
    struct subscribe_answer a = {.is_done = false};
    struct subscribe_answer b = {.is_done = false};
    struct subscribe_request request = {.channel = STR("rec:a"), .offset = 2, .recover = true};
    client_subscribe(p.client, &request, subscribe_answered, &a);
    request.channel = STR("rec:b");
    client_subscribe(p.client, &request, subscribe_answered, &b);
    hub_abandon(w->hub);
    assert_true(hub_is_stopping(w->hub));
    WAIT_FOR(w, a.is_done && b.is_done);
    assert_int_equal(a.status, STATUS_OK);
    assert_false(a.result.recovered);
    assert_int_equal(b.status, STATUS_CLOSED);
    assert_int_equal(subscribe(&p, "rec:b").status, STATUS_CLOSED);
    assert_int_equal(publish(w, "rec:a", "1").status, STATUS_CLOSED);
    assert_int_equal(n_reads(w), n);
    peer_release(&p);
    peer_release(&holder);
}

/* The tail in memory forgets with the stream: what has expired does not come back with the next
 * publication. */
static void an_expired_tail_does_not_come_back(void **state)
{
    struct world *w = *state;
    struct peer holder;
    peer_connect(&holder, w);
    assert_int_equal(subscribe(&holder, "brief:a").status, STATUS_OK);
    struct storage_position at = publish_n(w, "brief:a", 2);
    at.offset = 1;
    int64_t from_ms = clock_wall_ms();
    WAIT_FOR(w, clock_wall_ms() > from_ms + 2);
    publish_n(w, "brief:a", 1);
    check_recovery(w, "brief:a", &at, false, "");
    peer_release(&holder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(permissions, setup, teardown),
        cmocka_unit_test_setup_teardown(a_user_may_more_than_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_not_connected_may_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(features_are_asked_for_allowed_or_forced, setup, teardown),
        cmocka_unit_test_setup_teardown(the_position_is_the_streams, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_missed_comes_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_recovered, setup, teardown),
        cmocka_unit_test_setup_teardown(every_position_is_recovered_or_not, setup, teardown),
        cmocka_unit_test_setup_teardown(every_position_is_recovered_or_not, setup_with_file,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_failed_recovery_tells_where_the_stream_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_strange_epoch_fits_no_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_may_be_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_expired_is_not_recovered, setup, teardown),
        cmocka_unit_test_setup_teardown(recovery_over_a_restart, setup_with_file, teardown),
        cmocka_unit_test_setup_teardown(a_tail_makes_reading_needless, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tail_is_filled_also_while_others_publish, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_read_serves_all_who_come_together, setup, teardown),
        cmocka_unit_test_setup_teardown(following_while_others_publish, setup, teardown),
        cmocka_unit_test_setup_teardown(following_while_others_publish, setup_with_file, teardown),
        cmocka_unit_test_setup_teardown(destroyed_while_it_subscribes, setup, teardown),
        cmocka_unit_test_setup_teardown(disconnected_while_it_subscribes, setup, teardown),
        cmocka_unit_test_setup_teardown(an_abandoned_hub_reads_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(an_expired_tail_does_not_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hub_with_a_subscribe_under_way_is_not_idle, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
