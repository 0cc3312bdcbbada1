/* SPDX-License-Identifier: MIT */
/* What backends do to connections: which ones are meant, what they are told and in which order, and
 * the ends of subscriptions that the server made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hub/client_internal.h"
#include "tests/unit/hub/token_maker.h"
#include "tests/unit/hub/world.h"

#define KEY  "secret"
#define OPEN "\"allow_subscribe_for_client\":true,\"allow_subscribe_for_anonymous\":true"

static int setup(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"token\":{\"hmac_secret_key\":\"" KEY "\"},\"channel_limit\":3,"
                  "\"allow_anonymous_connect_without_token\":true,\"expired_close_delay\":\"0s\","
                  "\"expired_sub_close_delay\":\"0s\"}",
        .channel = "{\"without_namespace\":{\"presence\":true," OPEN "},\"namespaces\":["
                   "{\"name\":\"rec\",\"history_size\":100,\"history_ttl\":\"1h\","
                   "\"force_recovery\":true," OPEN "},"
                   "{\"name\":\"pos\",\"history_size\":100,\"history_ttl\":\"1h\","
                   "\"force_positioning\":true,\"presence\":true},"
                   "{\"name\":\"shut\"}]}"});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

/* --- three connections: two of "ann", one of "bob" --- */

enum { ANN, ANN_TOO, BOB, N_PEERS };

static void open_all(struct peer p[N_PEERS], struct world *w)
{
    for (int i = 0; i < N_PEERS; i++) {
        char *token = make_token(i == BOB ? "{\"sub\":\"bob\",\"info\":{\"old\":1}}"
                                          : "{\"sub\":\"ann\",\"info\":{\"old\":1}}",
                                 KEY);
        peer_open(&p[i], w);
        client_set_session(p[i].client, i == ANN_TOO ? "session too" : "session");
        REQUIRE(connect_with_token(&p[i], token).status == STATUS_OK);
        free(token);
        peer_forget(&p[i]);
    }
}

static void release_all(struct peer p[N_PEERS])
{
    for (int i = 0; i < N_PEERS; i++) {
        peer_release(&p[i]);
    }
}

static void check_texts(struct peer p[N_PEERS], const char *ann, const char *ann_too,
                        const char *bob)
{
    const char *expected[N_PEERS] = {ann, ann_too, bob};
    for (int i = 0; i < N_PEERS; i++) {
        assert_string_equal(peer_text(&p[i]), expected[i]);
        peer_forget(&p[i]);
    }
}

static void check_closes(const struct peer p[N_PEERS], unsigned ann, unsigned ann_too, unsigned bob)
{
    const unsigned expected[N_PEERS] = {ann, ann_too, bob};
    for (int i = 0; i < N_PEERS; i++) {
        unsigned code = p[i].why ? p[i].why->code : 0;
        assert_int_equal(code, expected[i]);
        assert_int_equal(p[i].n_closes, expected[i] > 0);
    }
}

static struct client_selector user_called(const char *user)
{
    return (struct client_selector){.user = str_of(user)};
}

/* One connection, by its id; uuid keeps it. */
static struct client_selector client_of(const char *user, const struct peer *p, char *uuid)
{
    client_id(p->client, uuid);
    return (struct client_selector){.user = str_of(user), .client = str_of(uuid)};
}

struct control_answer {
    bool is_done;
    enum status status;
};

static void controlled(void *arg, enum status status, const char *detail)
{
    struct control_answer *a = arg;
    REQUIRE(!a->is_done && detail);
    *a = (struct control_answer){.is_done = true, .status = status};
}

static enum status control(struct world *w, const struct control_subscribe *request)
{
    struct control_answer a = {.is_done = false};
    hub_subscribe(w->hub, request, controlled, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(w, a.is_done);
    return a.status;
}

static enum status control_simply(struct world *w, struct client_selector who, const char *channel)
{
    return control(w, &(struct control_subscribe){.who = who, .channel = str_of(channel)});
}

static void say_to(struct world *w, const char *channel, const char *data)
{
    uint64_t n = world_n_sent(w);
    REQUIRE(publish(w, channel, data).status == STATUS_OK);
    WAIT_FOR(w, world_n_sent(w) > n);
}

/* --- subscribe --- */

static void subscribes_all_of_a_user(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    open_all(p, w);
    assert_int_equal(control_simply(w, user_called("ann"), "shut:a"), STATUS_OK);
    check_texts(p, "shut:a begins 0\n", "shut:a begins 0\n", "");
    say_to(w, "shut:a", "1");
    check_texts(p, "shut:a 0 1\n", "shut:a 0 1\n", "");
    assert_int_equal(control_simply(w, user_called("nobody"), "shut:a"), STATUS_OK);
    assert_int_equal(control_simply(w, user_called("an"), "shut:a"), STATUS_OK);
    check_texts(p, "", "", "");
    assert_int_equal(stats_of(w).n_subscriptions, 2);
    release_all(p);
}

static void subscribes_the_one_that_is_meant(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    char uuid[RNG_UUID_SIZE];
    open_all(p, w);
    assert_int_equal(control_simply(w, client_of("ann", &p[ANN_TOO], uuid), "a"), STATUS_OK);
    check_texts(p, "", "a begins 0\n", "");
    struct client_selector who = {.user = STR("ann"), .session = STR("session")};
    assert_int_equal(control_simply(w, who, "b"), STATUS_OK);
    check_texts(p, "b begins 0\n", "", "");
    who.client = client_of("ann", &p[ANN_TOO], uuid).client; /* both must fit */
    assert_int_equal(control_simply(w, who, "c"), STATUS_OK);
    assert_int_equal(control_simply(w, client_of("bob", &p[ANN], uuid), "c"), STATUS_OK);
    check_texts(p, "", "", "");
    release_all(p);
}

static void who_is_subscribed_stays_as_it_is(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    open_all(p, w);
    assert_int_equal(subscribe(&p[ANN], "a").status, STATUS_OK);
    assert_int_equal(control_simply(w, user_called("ann"), "a"), STATUS_OK);
    check_texts(p, "", "a begins 0\n", "");
    assert_int_equal(control_simply(w, user_called("ann"), "a"), STATUS_OK);
    assert_int_equal(subscribe(&p[ANN_TOO], "a").status, STATUS_ALREADY);
    check_texts(p, "", "", "");
    say_to(w, "a", "1");
    check_texts(p, "a 0 1\n", "a 0 1\n", "");
    release_all(p);
}

static void subscriptions_that_cannot_be(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    char uuid[RNG_UUID_SIZE];
    open_all(p, w);
    assert_int_equal(control_simply(w, user_called("ann"), "nope:a"), STATUS_UNKNOWN_CHANNEL);
    assert_int_equal(control_simply(w, user_called("nobody"), "nope:a"), STATUS_UNKNOWN_CHANNEL);
    assert_int_equal(control_simply(w, user_called("ann"), "\x01"), STATUS_INVALID);
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(control_simply(w, client_of("ann", &p[ANN], uuid), names[i]), STATUS_OK);
    }
    peer_forget(&p[ANN]);
    assert_int_equal(control_simply(w, user_called("ann"), "d"), STATUS_LIMIT);
    check_texts(p, "", "d begins 0\n", ""); /* the other one could */
    check_closes(p, 0, 0, 0);
    release_all(p);
}

static void what_was_missed_follows_the_beginning(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    struct storage_position at = {.offset = 0};
    for (int i = 0; i < 3; i++) {
        at = publish(w, "rec:a", i == 2 ? "3" : "{}").position;
    }
    open_all(p, w);
    at.offset = 1;
    struct control_subscribe request = {
        .who = user_called("bob"), .channel = STR("rec:a"), .recover = true, .since = at};
    assert_int_equal(control(w, &request), STATUS_OK);
    check_texts(p, "", "", "rec:a begins 1\nrec:a 2 {}\nrec:a 3 3\n");
    say_to(w, "rec:a", "4");
    check_texts(p, "", "", "rec:a 4 4\n");
    request.who = user_called("ann");
    request.since.epoch[0]++; /* what was missed is not known: it begins at the top */
    assert_int_equal(control(w, &request), STATUS_OK);
    check_texts(p, "rec:a begins 4\n", "rec:a begins 4\n", "");
    release_all(p);
}

static void note_info(void *arg, const struct client *client, const struct channel *channel)
{
    client_append_info(client, channel, arg);
}

static void what_is_granted(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    struct buf info;
    open_all(p, w);
    struct control_subscribe request = {
        .who = user_called("bob"), .channel = STR("a"), .grant = {.info = (char[]){"[1.10]"}}};
    assert_int_equal(control(w, &request), STATUS_OK);
    request.who = user_called("ann");
    request.grant.override.presence = OVERRIDE_FALSE;
    assert_int_equal(control(w, &request), STATUS_OK);
    buf_init(&info, 1000);
    assert_int_equal(hub_presence(w->hub, STR("a"), note_info, &info), STATUS_OK);
    buf_append_char(&info, '\0');
    assert_non_null(strstr(info.ptr, "{\"user\":\"bob\""));
    assert_non_null(strstr(info.ptr, ",\"conn_info\":{\"old\":1},\"chan_info\":[1.10]}"));
    assert_null(strstr(info.ptr, "ann"));
    buf_release(&info);
    request.grant.expires_at = clock_wall_ms() / 1000 - 1;
    request.channel = STR("b");
    assert_int_equal(control(w, &request), STATUS_OVER);
    check_closes(p, 0, 0, 0);
    release_all(p);
}

static void they_end_with_their_time(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    open_all(p, w);
    struct control_subscribe request = {.who = user_called("ann"), .channel = STR("a")};
    request.grant.expires_at = clock_wall_ms() / 1000 + 2;
    assert_int_equal(control(w, &request), STATUS_OK);
    WAIT_FOR(w, p[ANN].n_closes + p[ANN_TOO].n_closes == 2);
    check_closes(p, 3006, 3006, 0);
    assert_true(clock_wall_ms() / 1000 >= request.grant.expires_at - 1);
    request.grant.expires_at = INT64_MAX; /* beyond all clocks */
    request.who = user_called("bob");
    assert_int_equal(control(w, &request), STATUS_OK);
    world_turn(w);
    check_closes(p, 3006, 3006, 0);
    release_all(p);
}

/* A client cannot subscribe again to what the server made: it shall connect again. */
static void an_insufficient_state_ends_the_connection(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    open_all(p, w);
    assert_int_equal(control_simply(w, user_called("ann"), "rec:a"), STATUS_OK);
    assert_int_equal(subscribe(&p[BOB], "rec:a").status, STATUS_OK);
    check_texts(p, "rec:a begins 0\n", "rec:a begins 0\n", "");
    struct channel *channel = channel_find(w->hub, STR("rec:a"));
    client_end_subscription(p[ANN].client, channel, &unsubscribe_insufficient_state);
    client_end_subscription(p[BOB].client, channel, &unsubscribe_insufficient_state);
    check_closes(p, 3010, 0, 0);
    check_texts(p, "", "", "rec:a ends 2500\n");
    release_all(p);
}

static void gone_while_it_is_subscribed(void **state)
{
    struct world *w = *state;
    for (int n_turns = 0; n_turns < 3; n_turns++) {
        struct peer p[N_PEERS];
        struct control_answer a = {.is_done = false};
        open_all(p, w);
        struct control_subscribe request = {.who = user_called("ann"), .channel = STR("rec:a")};
        hub_subscribe(w->hub, &request, controlled, &a);
        for (int i = 0; i < n_turns; i++) {
            world_turn(w);
        }
        peer_leave(&p[ANN]);
        client_disconnect(p[ANN_TOO].client, &disconnect_stale);
        WAIT_FOR(w, a.is_done);
        assert_int_equal(a.status, STATUS_OK);
        assert_int_equal(stats_of(w).n_subscriptions, 0);
        release_all(p);
        WAIT_FOR(w, hub_is_idle(w->hub));
    }
}

/* --- unsubscribe --- */

static void unsubscribes_from_one_or_all(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    char uuid[RNG_UUID_SIZE];
    struct client_selector ann = user_called("ann");
    open_all(p, w);
    for (int i = 0; i < N_PEERS; i++) {
        assert_int_equal(subscribe(&p[i], "a").status, STATUS_OK);
        assert_int_equal(subscribe(&p[i], "rec:b").status, STATUS_OK);
    }
    assert_int_equal(control_simply(w, ann, "shut:c"), STATUS_OK);
    check_texts(p, "shut:c begins 0\n", "shut:c begins 0\n", "");
    assert_int_equal(hub_unsubscribe(w->hub, &ann, STR("a")), STATUS_OK);
    check_texts(p, "a ends 2000\n", "a ends 2000\n", "");
    assert_int_equal(hub_unsubscribe(w->hub, &ann, STR("a")), STATUS_OK);
    assert_int_equal(hub_unsubscribe(w->hub, &ann, STR("never")), STATUS_OK);
    assert_int_equal(hub_unsubscribe(w->hub, &ann, STR("nope:a")), STATUS_UNKNOWN_CHANNEL);
    check_texts(p, "", "", "");
    struct client_selector too = client_of("ann", &p[ANN_TOO], uuid);
    assert_int_equal(hub_unsubscribe(w->hub, &too, STR_EMPTY), STATUS_OK);
    assert_non_null(strstr(peer_text(&p[ANN_TOO]), "shut:c ends 2000\n"));
    assert_non_null(strstr(peer_text(&p[ANN_TOO]), "rec:b ends 2000\n"));
    assert_int_equal(p[ANN_TOO].n_messages, 2);
    check_closes(p, 0, 0, 0);
    assert_int_equal(stats_of(w).n_subscriptions, 4);
    peer_forget(&p[ANN_TOO]);
    say_to(w, "rec:b", "1");
    check_texts(p, "rec:b 1 1\n", "", "rec:b 1 1\n");
    assert_int_equal(subscribe(&p[ANN_TOO], "a").status, STATUS_OK);
    release_all(p);
}

/* --- disconnect --- */

static void disconnects_but_not_those_that_are_kept(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    char uuid[RNG_UUID_SIZE];
    char keep[100];
    open_all(p, w);
    struct client_selector ann = user_called("ann");
    client_id(p[ANN].client, uuid);
    snprintf(keep, sizeof(keep), "[1, \"%s\", \"no such\"]", uuid);
    hub_disconnect(w->hub, &ann, str_of(keep), 0, STR_EMPTY);
    check_closes(p, 0, 3503, 0);
    assert_ptr_equal(p[ANN_TOO].why, &disconnect_forced);
    char reason[] = "go \"away\"";
    hub_disconnect(w->hub, &ann, STR_EMPTY, 4321, str_of(reason));
    memset(reason, 'x', sizeof(reason)); /* it was copied */
    check_closes(p, 4321, 3503, 0);
    assert_string_equal(p[ANN].why->reason, "go \"away\"");
    struct client_selector bob = {.user = STR("bob"), .session = STR("other")};
    hub_disconnect(w->hub, &bob, STR_EMPTY, 0, STR_EMPTY);
    check_closes(p, 4321, 3503, 0);
    release_all(p);
    assert_int_equal(stats_of(w).n_users, 0);
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    char reason[201];
    open_all(p, w);
    for (size_t i = 0; i < 200; i += 2) {
        memcpy(reason + i, "\xc3\xa9", 2);
    }
    reason[200] = '\0';
    hub_disconnect(w->hub, &(struct client_selector){.user = STR("bob")}, STR_EMPTY, 3000,
                   str_of(reason));
    assert_int_equal(strlen(p[BOB].why->reason), 122);
    release_all(p);
}

/* --- refresh --- */

static void check_info(const struct peer *p, const char *expected)
{
    struct buf info;
    buf_init(&info, 1000);
    client_append_info(p->client, NULL, &info);
    buf_append_char(&info, '\0');
    assert_non_null(strstr(info.ptr, expected));
    buf_release(&info);
}

static void refreshes_end_and_info(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    struct client_selector ann = user_called("ann");
    open_all(p, w);
    hub_refresh(w->hub, &ann, false, 0, STR_EMPTY);
    check_texts(p, "refresh 0 0\n", "refresh 0 0\n", "");
    check_info(&p[ANN], "\"conn_info\":{\"old\":1}}");
    hub_refresh(w->hub, &ann, false, clock_wall_ms() / 1000 + 1000, STR("{\n\"new\": 1.10\n}"));
    assert_memory_equal(peer_text(&p[ANN]), "refresh 1 ", 10);
    assert_in_range(strtol(peer_text(&p[ANN]) + 10, NULL, 10), 990, 1000);
    assert_non_null(strstr(peer_text(&p[ANN_TOO]), "refresh 1 "));
    check_info(&p[ANN], "\"conn_info\":{\"new\": 1.10}}"); /* on one line, as messages are */
    check_info(&p[BOB], "\"conn_info\":{\"old\":1}}");
    hub_refresh(w->hub, &(struct client_selector){.user = STR("bob")}, false, INT64_MAX, STR_EMPTY);
    assert_memory_equal(peer_text(&p[BOB]), "refresh 1 ", 10);
    assert_true(strtoll(peer_text(&p[BOB]) + 10, NULL, 10) <= UINT32_MAX);
    check_closes(p, 0, 0, 0);
    release_all(p);
}

static void refreshes_that_end_the_connection(void **state)
{
    struct world *w = *state;
    struct peer p[N_PEERS];
    char uuid[RNG_UUID_SIZE];
    open_all(p, w);
    struct client_selector ann = client_of("ann", &p[ANN], uuid);
    hub_refresh(w->hub, &ann, true, 0, STR_EMPTY);
    check_closes(p, 3005, 0, 0);
    hub_refresh(w->hub, &(struct client_selector){.user = STR("ann")}, false,
                clock_wall_ms() / 1000 - 1, STR_EMPTY);
    check_closes(p, 3005, 3005, 0);
    hub_refresh(w->hub, &(struct client_selector){.user = STR("bob")}, false,
                clock_wall_ms() / 1000 + 2, STR_EMPTY);
    check_closes(p, 3005, 3005, 0);
    WAIT_FOR(w, p[BOB].n_closes > 0);
    check_closes(p, 3005, 3005, 3005);
    release_all(p);
}

/* The anonymous user is nobody: no selector means it. */
static void nobody_is_not_meant(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct client_selector nobody = {.user = STR_EMPTY};
    peer_connect(&p, w);
    assert_int_equal(control_simply(w, nobody, "a"), STATUS_OK);
    hub_refresh(w->hub, &nobody, true, 0, STR_EMPTY);
    hub_disconnect(w->hub, &nobody, STR_EMPTY, 0, STR_EMPTY);
    assert_int_equal(p.n_closes, 0);
    assert_int_equal(stats_of(w).n_subscriptions, 0);
    peer_release(&p);
}

/* What it is sent first is the reply to its connect. */
static void who_is_connecting_is_left_alone(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct connect_answer a = {.peer = &p};
    struct client_selector ann = user_called("ann");
    char *token = make_token("{\"sub\":\"ann\",\"channels\":[\"a\",\"rec:a\"]}", KEY);
    peer_open(&p, w);
    client_connect(p.client, &(struct connect_request){.token = str_of(token)}, connect_answered,
                   &a);
    free(token);
    WAIT_FOR(w, stats_of(w).n_subscriptions == 1);
    assert_false(a.is_done);
    hub_refresh(w->hub, &ann, false, 0, STR_EMPTY);
    assert_int_equal(hub_unsubscribe(w->hub, &ann, STR_EMPTY), STATUS_OK);
    WAIT_FOR(w, a.is_done);
    assert_string_equal(a.subs, "a 0;rec:a 0;");
    assert_string_equal(peer_text(&p), "connected\n");
    assert_int_equal(stats_of(w).n_subscriptions, 2);
    peer_release(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(subscribes_all_of_a_user),
        TEST(subscribes_the_one_that_is_meant),
        TEST(who_is_subscribed_stays_as_it_is),
        TEST(subscriptions_that_cannot_be),
        TEST(what_was_missed_follows_the_beginning),
        TEST(what_is_granted),
        TEST(they_end_with_their_time),
        TEST(an_insufficient_state_ends_the_connection),
        TEST(gone_while_it_is_subscribed),
        TEST(unsubscribes_from_one_or_all),
        TEST(disconnects_but_not_those_that_are_kept),
        TEST(a_long_reason_is_cut_between_characters),
        TEST(refreshes_end_and_info),
        TEST(refreshes_that_end_the_connection),
        TEST(nobody_is_not_meant),
        TEST(who_is_connecting_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
