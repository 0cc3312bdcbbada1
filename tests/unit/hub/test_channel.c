/* SPDX-License-Identifier: MIT */
/* Channels: a new epoch under subscribers' feet, publications with and without history, presence,
 * and reading history back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/hub/token_maker.h"
#include "tests/unit/hub/world.h"

static int setup(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"insecure\":true,\"token\":{\"hmac_secret_key\":\"secret\"}}",
        .channel = "{\"namespaces\":["
                   "{\"name\":\"kept\",\"history_size\":5,\"history_ttl\":\"1h\",\"presence\":true,"
                   "\"allow_positioning\":true},"
                   "{\"name\":\"brief\",\"history_size\":5,\"history_ttl\":\"1ms\","
                   "\"history_meta_ttl\":\"1ms\",\"allow_positioning\":true}]}"});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

/* --- epochs --- */

static void a_new_epoch_ends_subscriptions_that_count(void **state)
{
    struct world *w = *state;
    enum { N = 20 };
    struct peer peers[N];
    struct subscribe_answer first;
    for (int i = 0; i < N; i++) { /* every second one counts positions */
        peer_connect(&peers[i], w);
        struct subscribe_request request = {.channel = STR("brief:a"), .positioned = i % 2 == 0};
        struct subscribe_answer a = subscribe_with(&peers[i], &request);
        assert_int_equal(a.status, STATUS_OK);
        first = i == 0 ? a : first;
    }
    int64_t from_ms = clock_wall_ms();
    WAIT_FOR(w, clock_wall_ms() > from_ms + 2); /* the clients' wheel turns the loop */
    struct storage_position now = publish(w, "brief:a", "1").position;
    assert_int_equal(now.offset, 1);
    assert_string_not_equal(now.epoch, first.result.position.epoch);
    WAIT_FOR(w, peers[N - 1].n_messages == 1);
    for (int i = 0; i < N; i++) {
        bool counts = i % 2 == 0;
        assert_string_equal(peer_text(&peers[i]), counts ? "brief:a ends 2500\n" : "brief:a 1 1\n");
        struct subscribe_request request = {.channel = STR("brief:a"), .positioned = true};
        assert_int_equal(subscribe_with(&peers[i], &request).status,
                         counts ? STATUS_OK : STATUS_ALREADY);
        assert_int_equal(peers[i].n_closes, 0);
    }
    for (int i = 0; i < N; i++) {
        peer_release(&peers[i]);
    }
}

/* --- publishing --- */

static void publishing_answers_with_the_position(void **state)
{
    struct world *w = *state;
    struct publish_answer a = publish(w, "plain", "1");
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.position.offset, 0);
    assert_string_equal(a.position.epoch, "");
    a = publish(w, "kept:a", "1");
    assert_int_equal(a.position.offset, 1);
    assert_int_equal(strlen(a.position.epoch), 8);
    assert_int_equal(publish(w, "kept:a", "1").position.offset, 2);
    assert_int_equal(publish(w, "other:a", "1").status, STATUS_UNKNOWN_CHANNEL);
    assert_int_equal(publish(w, "", "1").status, STATUS_INVALID);
    assert_int_equal(publish(w, "a", "").status, STATUS_INVALID);
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_publications, 3);
    assert_int_equal(stats.n_channels, 0);
}

static void history_may_be_skipped(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    struct subscribe_request request = {.channel = STR("kept:a"), .positioned = true};
    subscribe_with(&p, &request);
    struct publish_answer a = {.is_done = false};
    hub_publish(
        w->hub,
        &(struct publish_request){.channel = STR("kept:a"), .data = STR("1"), .skip_history = true},
        publish_answered, &a);
    WAIT_FOR(w, a.is_done && p.n_messages == 1);
    assert_int_equal(a.position.offset, 0);
    assert_int_equal(publish(w, "kept:a", "2").position.offset, 1);
    WAIT_FOR(w, p.n_messages == 2);
    assert_string_equal(peer_text(&p), "kept:a 0 1\nkept:a 1 2\n");
    peer_release(&p);
}

/* The texts of a request need not outlive the call. */
static void requests_are_copied(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    subscribe(&p, "kept:a");
    char *channel = strdup("kept:a");
    char *data = strdup("[1.10]");
    assert_non_null(channel);
    assert_non_null(data);
    struct publish_answer a;
    publish_start(w, channel, data, &a);
    memset(channel, 'x', strlen(channel));
    memset(data, 'x', strlen(data));
    free(channel);
    free(data);
    WAIT_FOR(w, p.n_messages == 1);
    assert_string_equal(peer_text(&p), "kept:a 1 [1.10]\n");
    peer_release(&p);
}

/* --- presence --- */

static void count_present(void *arg, const struct client *client, const struct channel *channel)
{
    (void)channel;
    assert_true(client_is_connected(client));
    ++*(size_t *)arg;
}

static void check_presence(struct world *w, const char *channel, size_t clients, size_t users)
{
    size_t n = 0;
    size_t n_clients = 99;
    size_t n_users = 99;
    assert_int_equal(hub_presence(w->hub, str_of(channel), count_present, &n), STATUS_OK);
    assert_int_equal(n, clients);
    assert_int_equal(hub_presence_stats(w->hub, str_of(channel), &n_clients, &n_users), STATUS_OK);
    assert_int_equal(n_clients, clients);
    assert_int_equal(n_users, users);
}

static void connect_as(struct peer *p, struct world *w, const char *claims)
{
    char *token = make_token(claims, "secret");
    peer_open(p, w);
    assert_int_equal(connect_with_token(p, token).status, STATUS_OK);
    free(token);
}

static void presence_counts_clients_and_users(void **state)
{
    struct world *w = *state;
    struct peer p[5];
    check_presence(w, "kept:a", 0, 0);
    connect_as(&p[0], w, "{\"sub\":\"ann\"}");
    connect_as(&p[1], w, "{\"sub\":\"ann\"}");
    connect_as(&p[2], w, "{\"sub\":\"bob\"}");
    peer_connect(&p[3], w);
    peer_connect(&p[4], w);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(subscribe(&p[i], "kept:a").status, STATUS_OK);
    }
    check_presence(w, "kept:a", 5, 3); /* nobody is one user */
    assert_int_equal(client_unsubscribe(p[2].client, STR("kept:a")), STATUS_OK);
    check_presence(w, "kept:a", 4, 2);
    client_disconnect(p[0].client, &disconnect_stale); /* not gone yet, but on its way */
    peer_leave(&p[3]);
    check_presence(w, "kept:a", 2, 2);
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_clients, 4);
    assert_int_equal(stats.n_users, 3);
    assert_int_equal(stats.n_subscriptions, 2);
    for (int i = 0; i < 5; i++) {
        peer_release(&p[i]);
    }
    check_presence(w, "kept:a", 0, 0);
}

static void check_no_presence(struct world *w, const char *channel, enum status expected)
{
    size_t n = 0;
    size_t n_clients;
    size_t n_users;
    assert_int_equal(hub_presence(w->hub, str_of(channel), count_present, &n), expected);
    assert_int_equal(hub_presence_stats(w->hub, str_of(channel), &n_clients, &n_users), expected);
}

static void presence_where_there_is_none(void **state)
{
    check_no_presence(*state, "plain", STATUS_NOT_AVAILABLE);
    check_no_presence(*state, "other:a", STATUS_UNKNOWN_CHANNEL);
    check_no_presence(*state, "", STATUS_INVALID);
}

static void note_channel(void *arg, struct str channel, size_t n_clients)
{
    struct buf *found = arg;
    buf_append(found, channel);
    buf_printf(found, "=%zu ", n_clients);
}

static void check_channels(struct world *w, const char *pattern, const char *one, const char *other)
{
    struct buf found;
    buf_init(&found, 1000);
    hub_channels(w->hub, str_of(pattern), note_channel, &found);
    assert_true(str_eq(buf_str(&found), str_of(one)) || str_eq(buf_str(&found), str_of(other)));
    buf_release(&found);
}

static void channels_are_listed_by_a_glob(void **state)
{
    struct world *w = *state;
    struct peer p[2];
    check_channels(w, "", "", "");
    peer_connect(&p[0], w);
    peer_connect(&p[1], w);
    subscribe(&p[0], "kept:a");
    subscribe(&p[1], "kept:a");
    subscribe(&p[1], "room");
    check_channels(w, "", "kept:a=2 room=1 ", "room=1 kept:a=2 ");
    check_channels(w, "*", "kept:a=2 room=1 ", "room=1 kept:a=2 ");
    check_channels(w, "kept:*", "kept:a=2 ", "");
    check_channels(w, "r??m", "room=1 ", "");
    check_channels(w, "kept", "", "");
    peer_release(&p[0]);
    peer_release(&p[1]);
    check_channels(w, "", "", "");
}

/* --- history --- */

struct history_answer {
    bool is_done;
    enum status status;
    struct storage_position top;
    char offsets[100];
};

static void history_answered(void *arg, enum status status, const struct storage_history *history)
{
    struct history_answer *a = arg;
    assert_false(a->is_done);
    a->is_done = true;
    a->status = status;
    a->top = history->top;
    for (size_t i = 0; i < history->n_items; i++) {
        size_t len = strlen(a->offsets);
        snprintf(a->offsets + len, sizeof(a->offsets) - len, "%d ", (int)history->items[i].offset);
    }
}

static struct history_answer history_of(struct world *w, struct history_request request)
{
    struct history_answer a = {.is_done = false};
    request.channel = request.channel.len > 0 ? request.channel : STR("kept:a");
    hub_history(w->hub, &request, history_answered, &a);
    assert_false(a.is_done);
    WAIT_FOR(w, a.is_done);
    return a;
}

static void check_history(struct world *w, struct history_request request, const char *offsets)
{
    struct history_answer a = history_of(w, request);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.top.offset, 7);
    assert_string_equal(a.offsets, offsets);
}

static void history_is_read_within_its_limits(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 7; i++) {
        publish(w, "kept:a", "1");
    }
    check_history(w, (struct history_request){.limit = 0}, "");
    check_history(w, (struct history_request){.limit = -1}, "3 4 5 6 7 ");
    check_history(w, (struct history_request){.limit = 2}, "3 4 ");
    check_history(w, (struct history_request){.limit = INT64_MAX}, "3 4 5 6 7 ");
    check_history(w, (struct history_request){.limit = -1, .max_limit = 3}, "3 4 5 ");
    check_history(w, (struct history_request){.limit = 4, .max_limit = 3}, "3 4 5 ");
    check_history(w, (struct history_request){.limit = 2, .max_limit = 300}, "3 4 ");
    check_history(w, (struct history_request){.limit = -1, .has_since = true, .since = 5}, "6 7 ");
    check_history(w, (struct history_request){.limit = -1, .has_since = true}, "3 4 5 6 7 ");
    check_history(w, (struct history_request){.limit = -1, .has_since = true, .since = 99}, "");
    check_history(w, (struct history_request){.limit = 2, .reverse = true}, "7 6 ");
    check_history(
        w, (struct history_request){.limit = -1, .reverse = true, .has_since = true, .since = 6},
        "5 4 3 ");
}

static void history_of_the_right_epoch_only(void **state)
{
    struct world *w = *state;
    struct storage_position top = {.offset = 0};
    for (int i = 0; i < 7; i++) {
        top = publish(w, "kept:a", "1").position;
    }
    struct history_request request = {.limit = 1, .has_since = true, .epoch = str_of(top.epoch)};
    check_history(w, request, "3 ");
    request.epoch = STR("abcdefgh");
    struct history_answer a = history_of(w, request);
    assert_int_equal(a.status, STATUS_UNRECOVERABLE);
    request.epoch = STR("a text that is longer than any epoch");
    assert_int_equal(history_of(w, request).status, STATUS_UNRECOVERABLE);
}

static void history_that_is_refused(void **state)
{
    struct world *w = *state;
    assert_int_equal(history_of(w, (struct history_request){.channel = STR("plain")}).status,
                     STATUS_NOT_AVAILABLE);
    assert_int_equal(history_of(w, (struct history_request){.channel = STR("other:a")}).status,
                     STATUS_UNKNOWN_CHANNEL);
    assert_int_equal(history_of(w, (struct history_request){.channel = STR("\xff")}).status,
                     STATUS_INVALID);
    assert_int_equal(history_of(w, (struct history_request){.limit = -2}).status, STATUS_INVALID);
    assert_int_equal(
        history_of(w, (struct history_request){.limit = 1, .reverse = true, .has_since = true})
            .status,
        STATUS_INVALID);
}

static void a_history_under_way_keeps_the_hub_busy(void **state)
{
    struct world *w = *state;
    struct history_answer a = {.is_done = false};
    struct history_request request = {.channel = STR("kept:a"), .limit = -1};
    assert_true(hub_is_idle(w->hub));
    hub_history(w->hub, &request, history_answered, &a);
    assert_false(hub_is_idle(w->hub));
    WAIT_FOR(w, a.is_done);
    assert_int_equal(a.top.offset, 0);
    assert_true(hub_is_idle(w->hub));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_epoch_ends_subscriptions_that_count, setup, teardown),
        cmocka_unit_test_setup_teardown(publishing_answers_with_the_position, setup, teardown),
        cmocka_unit_test_setup_teardown(history_may_be_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_are_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(presence_counts_clients_and_users, setup, teardown),
        cmocka_unit_test_setup_teardown(presence_where_there_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(channels_are_listed_by_a_glob, setup, teardown),
        cmocka_unit_test_setup_teardown(history_is_read_within_its_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(history_of_the_right_epoch_only, setup, teardown),
        cmocka_unit_test_setup_teardown(history_that_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_history_under_way_keeps_the_hub_busy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
