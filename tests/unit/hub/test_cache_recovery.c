/* SPDX-License-Identifier: MIT */
/* Recovery of the newest publication only, and recovery after a removal of the history. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/hub/subscribe_world.h"

/* --- recovery of the newest publication only --- */

static struct subscribe_answer cache_answer(struct world *w, struct subscribe_request request)
{
    struct peer p;
    peer_connect(&p, w);
    request.recover = true;
    struct subscribe_answer a = subscribe_with(&p, &request);
    peer_release(&p);
    return a;
}

static void check_cache(struct world *w, const char *epoch, uint64_t since, const char *offsets,
                        uint64_t expected_offset)
{
    struct subscribe_answer a =
        cache_answer(w, (struct subscribe_request){
                            .channel = STR("last:a"), .epoch = str_of(epoch), .offset = since});
    assert_int_equal(a.status, STATUS_OK);
    assert_true(a.result.recovered && a.result.was_recovering);
    assert_string_equal(a.offsets, offsets);
    assert_true(a.result.position.offset == expected_offset);
}

static void a_cache_gives_the_newest_from_anywhere(void **state)
{
    struct world *w = *state;
    for (int64_t tail_size = 100000; tail_size >= 0; tail_size -= 100000) {
        w->channel_options.tail_max_size = tail_size; /* with 0 a new channel has to read */
        struct storage_position top = publish_n(w, "last:a", 8);
        uint64_t n = top.offset;
        char newest[16];
        snprintf(newest, sizeof(newest), "%u ", (unsigned)n);
        check_cache(w, "", 0, newest, 0);
        check_cache(w, top.epoch, 1, newest, 1); /* long gone from the history */
        check_cache(w, top.epoch, n - 1, newest, n - 1);
        check_cache(w, top.epoch, n, "", n); /* has it */
        check_cache(w, "", n, newest, n - 1);
        check_cache(w, "another", 2, newest, 2);
        check_cache(w, "another", n, newest, n - 1); /* the answer stands before the publication */
        check_cache(w, "another", UINT64_MAX, newest, n - 1);
    }
}

/* A channel of which only the position was read so far. */
static void a_cache_without_a_tail_is_read(void **state)
{
    struct world *w = *state;
    w->channel_options.tail_max_size = 0;
    publish_n(w, "last:a", 3);
    check_cache(w, "", 0, "3 ", 0);
    check_cache(w, "", 2, "3 ", 2);
}

static void a_cache_in_memory_is_not_read(void **state)
{
    struct world *w = *state;
    struct peer holder;
    publish_n(w, "last:a", 3);
    peer_connect(&holder, w);
    assert_string_equal(subscribe(&holder, "last:a").offsets, ""); /* did not ask for it */
    uint64_t n = n_reads(w);
    check_cache(w, "", 0, "3 ", 0);
    publish_n(w, "last:a", 1);
    check_cache(w, "", 0, "4 ", 0);
    assert_int_equal(n_reads(w), n);
    peer_release(&holder);
}

/* The channel was loaded without its publications, and a commit comes while they are read. */
static void a_commit_does_not_spoil_a_recall(void **state)
{
    struct world *w = *state;
    w->channel_options.tail_max_size = 0;
    for (int i = 0; i < 30; i++) {
        char channel[32];
        struct peer holder, p;
        struct publish_answer published;
        struct subscribe_answer a = {.is_done = false};
        snprintf(channel, sizeof(channel), "rec:%d", i);
        struct storage_position top = publish_n(w, channel, 5);
        peer_connect(&holder, w);
        peer_connect(&p, w);
        subscribe(&holder, channel);
        publish_start(w, channel, "2", &published);
        for (int turns = i % 3; turns > 0; turns--) {
            uv_run(loop_uv(w->loop), UV_RUN_NOWAIT);
        }
        struct subscribe_request request = {
            .channel = str_of(channel), .epoch = str_of(top.epoch), .offset = 2, .recover = true};
        client_subscribe(p.client, &request, subscribe_answered, &a);
        WAIT_FOR(w, a.is_done && published.is_done);
        assert_true(a.result.recovered);
        peer_release(&p);
        peer_release(&holder);
    }
}

static void an_empty_cache_recovers_nothing(void **state)
{
    struct world *w = *state;
    struct subscribe_request request = {.channel = STR("last:a")};
    struct subscribe_answer a = cache_answer(w, request);
    assert_int_equal(a.status, STATUS_OK);
    assert_true(a.result.was_recovering);
    assert_false(a.result.recovered);
    assert_int_equal(a.result.position.offset, 0);
    struct peer holder;
    peer_connect(&holder, w);
    a = subscribe(&holder, "last:a");
    uint64_t n = n_reads(w);
    request.epoch = str_of(a.result.position.epoch); /* knows that there is nothing */
    assert_false(cache_answer(w, request).result.recovered);
    assert_int_equal(n_reads(w), n); /* so do we */
    request.fail_unrecovered = true;
    assert_int_equal(cache_answer(w, request).status, STATUS_UNRECOVERABLE);
    publish_n(w, "last:a", 1);
    request.epoch = STR("another"); /* is no obstacle */
    request.offset = 9;
    assert_string_equal(cache_answer(w, request).offsets, "1 ");
    peer_release(&holder);
}

static void a_cache_may_recover_without_being_asked(void **state)
{
    struct world *w = *state;
    struct peer p;
    for (uint64_t n = 0; n < 2; n++) {
        peer_connect(&p, w);
        struct subscribe_answer a = subscribe_with(
            &p, &(struct subscribe_request){.channel = STR("auto:a"), .fail_unrecovered = true});
        assert_int_equal(a.status, STATUS_OK);
        assert_true(a.result.was_recovering);
        assert_int_equal(a.result.recovered, n > 0);
        assert_string_equal(a.offsets, n > 0 ? "1 " : "");
        publish_n(w, "auto:a", 1);
        peer_release(&p);
    }
}

static void an_expired_cache_recovers_only_who_has_it(void **state)
{
    struct world *w = *state;
    struct peer holder;
    peer_connect(&holder, w);
    assert_int_equal(subscribe(&holder, "flash:a").status, STATUS_OK);
    struct storage_position top = publish_n(w, "flash:a", 2);
    int64_t from_ms = clock_wall_ms();
    WAIT_FOR(w, clock_wall_ms() > from_ms + 2); /* the holder's wheel turns the loop */
    struct subscribe_request request = {.channel = STR("flash:a")};
    struct subscribe_answer a = cache_answer(w, request);
    assert_false(a.result.recovered);
    assert_int_equal(a.result.position.offset, 2);
    request.epoch = str_of(top.epoch);
    request.offset = 2;
    assert_true(cache_answer(w, request).result.recovered);
    request.fail_unrecovered = true;
    request.offset = 1;
    assert_int_equal(cache_answer(w, request).status, STATUS_UNRECOVERABLE);
    peer_release(&holder);
}

/* The newest of the moment of the answer, whatever is published while it is read. */
static void a_cache_while_others_publish(void **state)
{
    struct world *w = *state;
    w->channel_options.tail_max_size = 0;
    for (int round = 0; round < 30; round++) {
        enum { N = 6 };
        struct publish_answer answers[N];
        struct peer p;
        struct subscribe_answer a = {.is_done = false};
        struct subscribe_request request = {.channel = STR("auto:a")};
        peer_connect(&p, w);
        publish_n(w, "auto:a", 1);
        for (int i = 0; i < N; i++) {
            publish_start(w, "auto:a", "{}", &answers[i]);
            if (i == round % N) {
                client_subscribe(p.client, &request, subscribe_answered, &a);
            }
            if (i % 2 == round / 10 % 2) {
                world_turn(w);
            }
        }
        WAIT_FOR(w, a.is_done && answers[N - 1].is_done);
        uint64_t top = answers[N - 1].position.offset;
        uint64_t at = strtoull(a.offsets, NULL, 10);
        assert_true(a.result.recovered);
        assert_true(at > 0);
        char expected[256] = ""; /* everything behind it comes as a push */
        WAIT_FOR(w, at == top || (snprintf(expected, sizeof(expected), "auto:a %llu {}",
                                           (unsigned long long)top),
                                  strstr(peer_text(&p), expected)));
        const char *text = peer_text(&p);
        for (uint64_t offset = at + 1; offset <= top; offset++) {
            snprintf(expected, sizeof(expected), "auto:a %llu {}", (unsigned long long)offset);
            assert_non_null(strstr(text, expected));
        }
        peer_release(&p);
    }
}

static void recoveries_are_counted(void **state)
{
    struct world *w = *state;
    struct storage_position at = publish_n(w, "few:a", 20);
    check_recovery(w, "few:a", &at, true, "");
    at.offset = 3;
    check_recovery(w, "few:a", &at, false, "");
    check_recovery(w, "not:a", &(struct storage_position){0}, false, ""); /* does not recover */
    cache_answer(w, (struct subscribe_request){.channel = STR("last:a"), .fail_unrecovered = true});
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_recovered, 1);
    assert_int_equal(stats.n_unrecovered, 2);
}

/* --- after a removal of the history --- */

static void what_was_removed_is_not_recovered(void **state)
{
    struct world *w = *state;
    for (int has_holder = 0; has_holder <= 1; has_holder++) {
        const char *channel = has_holder ? "rec:b" : "rec:a";
        struct peer holder;
        peer_connect(&holder, w);
        if (has_holder) {
            subscribe(&holder, channel);
        }
        struct storage_position top = publish_n(w, channel, 4);
        struct storage_position at = top;
        at.offset = 2;
        assert_int_equal(remove_history(w, channel), STATUS_OK);
        check_recovery(w, channel, &at, false, "");
        check_recovery(w, channel, &top, true, "");
        assert_int_equal(publish_n(w, channel, 1).offset, 5);
        check_recovery(w, channel, &at, false, "");
        check_recovery(w, channel, &top, true, "5 ");
        peer_release(&holder);
    }
    assert_int_equal(remove_history(w, "a"), STATUS_NOT_AVAILABLE);
    assert_int_equal(remove_history(w, "nowhere:a"), STATUS_UNKNOWN_CHANNEL);
    assert_int_equal(remove_history(w, ""), STATUS_INVALID);
    assert_int_equal(remove_history(w, "rec:never"), STATUS_OK);
}

static void a_removed_cache_is_empty(void **state)
{
    struct world *w = *state;
    struct peer holder;
    peer_connect(&holder, w);
    subscribe(&holder, "last:a");
    struct storage_position top = publish_n(w, "last:a", 2);
    assert_int_equal(remove_history(w, "last:a"), STATUS_OK);
    struct subscribe_request request = {.channel = STR("last:a")};
    assert_false(cache_answer(w, request).result.recovered);
    uint64_t n = n_reads(w);
    for (int i = 0; i < 5; i++) { /* it is known by now */
        assert_false(cache_answer(w, request).result.recovered);
    }
    assert_int_equal(n_reads(w), n);
    check_cache(w, top.epoch, 2, "", 2);
    publish_n(w, "last:a", 1);
    check_cache(w, "", 0, "3 ", 0);
    peer_release(&holder);
}

/* The storage gives the order, whether the channel is in memory or just being loaded. */
static void publications_after_a_removal_stay(void **state)
{
    struct world *w = *state;
    for (int n_turns = 0; n_turns < 6; n_turns++) {
        struct peer p;
        struct subscribe_answer subscribed = {.is_done = false};
        struct remove_answer removed = {.is_done = false};
        struct publish_answer answers[3];
        struct subscribe_request request = {.channel = STR("rec:a")};
        peer_connect(&p, w);
        publish_n(w, "rec:a", 2);
        client_subscribe(p.client, &request, subscribe_answered, &subscribed);
        for (int i = 0; i < n_turns && !subscribed.is_done; i++) {
            world_turn(w);
        }
        publish_start(w, "rec:a", "{}", &answers[0]);
        hub_history_remove(w->hub, STR("rec:a"), remove_answered, &removed);
        publish_start(w, "rec:a", "{}", &answers[1]);
        publish_start(w, "rec:a", "{}", &answers[2]);
        WAIT_FOR(w, subscribed.is_done && removed.is_done && answers[2].is_done);
        struct storage_position at = answers[0].position;
        check_recovery(w, "rec:a", &answers[2].position, true, "");
        char both[64];
        snprintf(both, sizeof(both), "%llu %llu ", (unsigned long long)at.offset + 1,
                 (unsigned long long)at.offset + 2);
        check_recovery(w, "rec:a", &at, true, both);
        at.offset--;
        check_recovery(w, "rec:a", &at, false, "");
        peer_release(&p);
    }
}

/* A read that is slow because there is much to read, and so comes back after the removal with what
 * was there before it. */
static void what_was_read_before_a_removal_does_not_come_back(void **state)
{
    struct world *w = *state;
    w->channel_options.tail_max_size = 64 << 20;
    char *large = calloc(1, 200003);
    REQUIRE(large);
    memset(large, 'x', 200002);
    large[0] = large[200001] = '"';
    for (int round = 0; round < 10; round++) {
        char channel[16];
        struct peer p;
        struct subscribe_answer subscribed = {.is_done = false};
        struct remove_answer removed = {.is_done = false};
        snprintf(channel, sizeof(channel), "rec:%d", round);
        struct subscribe_request request = {.channel = str_of(channel)};
        peer_connect(&p, w);
        struct storage_position at = {.offset = 0};
        for (int i = 0; i < 40; i++) {
            at = publish(w, channel, large).position;
        }
        client_subscribe(p.client, &request, subscribe_answered, &subscribed);
        world_turn(w);
        hub_history_remove(w->hub, str_of(channel), remove_answered, &removed);
        WAIT_FOR(w, subscribed.is_done && removed.is_done);
        at.offset--;
        check_recovery(w, channel, &at, false, "");
        peer_release(&p);
    }
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cache_gives_the_newest_from_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cache_gives_the_newest_from_anywhere, setup_with_file,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_cache_without_a_tail_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cache_in_memory_is_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_commit_does_not_spoil_a_recall, setup_with_file,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_empty_cache_recovers_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cache_may_recover_without_being_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(an_expired_cache_recovers_only_who_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cache_while_others_publish, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cache_while_others_publish, setup_with_file, teardown),
        cmocka_unit_test_setup_teardown(recoveries_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_removed_is_not_recovered, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_removed_is_not_recovered, setup_with_file,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_removed_cache_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_read_before_a_removal_does_not_come_back,
                                        setup_with_file, teardown),
        cmocka_unit_test_setup_teardown(publications_after_a_removal_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(publications_after_a_removal_stay, setup_with_file,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
