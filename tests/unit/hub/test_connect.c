/* SPDX-License-Identifier: MIT */
/* The way in: who a client is, limits, the channels that the server subscribes it to, and pushes
 * that wait for the reply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/hub/backend.h"
#include "tests/unit/hub/token_maker.h"
#include "tests/unit/hub/world.h"

#define KEY   "secret"
#define TOKEN "\"token\":{\"hmac_secret_key\":\"" KEY "\"}"
#define OPEN  "\"allow_subscribe_for_client\":true,\"allow_subscribe_for_anonymous\":true"

static const char channels[] =
    "{\"without_namespace\":{\"presence\":true," OPEN "},\"namespaces\":["
    "{\"name\":\"rec\",\"history_size\":100,\"history_ttl\":\"1h\",\"force_recovery\":true},"
    "{\"name\":\"pos\",\"history_size\":100,\"history_ttl\":\"1h\",\"force_positioning\":true},"
    "{\"name\":\"own\"}]}";

static int set_up_with(void **state, const char *client)
{
    *state = world_create(&(struct world_options){.client = client, .channel = channels});
    return 0;
}

static int setup(void **state)
{
    return set_up_with(state, "{" TOKEN ",\"channel_limit\":3}");
}

static int setup_anonymous(void **state)
{
    return set_up_with(state, "{" TOKEN ",\"allow_anonymous_connect_without_token\":true,"
                              "\"disallow_anonymous_connection_tokens\":true,"
                              "\"connection_rate_limit\":3}");
}

static int setup_personal(void **state)
{
    return set_up_with(state, "{" TOKEN ",\"allow_anonymous_connect_without_token\":true,"
                              "\"subscribe_to_user_personal_channel\":{\"enabled\":true}}");
}

static int setup_single(void **state)
{
    return set_up_with(state, "{" TOKEN ",\"allow_anonymous_connect_without_token\":true,"
                              "\"user_connection_limit\":1,\"subscribe_to_user_personal_channel\":{"
                              "\"enabled\":true,\"personal_channel_namespace\":\"own\","
                              "\"single_connection\":true}}");
}

static int setup_limited(void **state)
{
    return set_up_with(state, "{" TOKEN ",\"allow_anonymous_connect_without_token\":true,"
                              "\"user_connection_limit\":2,\"connection_limit\":5}");
}

static int setup_header(void **state)
{
    return set_up_with(state, "{" TOKEN ",\"user_id_http_header\":\"X-User-Id\"}");
}

static int setup_quick(void **state)
{
    return set_up_with(state, "{" TOKEN ",\"stale_close_delay\":\"50ms\"}");
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static struct connect_answer connect_with_subs(struct peer *p, const char *claims, const char *subs)
{
    char *token = make_token(claims, KEY);
    struct connect_answer a =
        connect_request(p, &(struct connect_request){.token = str_of(token), .subs = str_of(subs)});
    free(token);
    return a;
}

static struct connect_answer connect_with(struct peer *p, const char *claims)
{
    return connect_with_subs(p, claims, "");
}

static void check_user(const struct peer *p, const char *expected)
{
    assert_true(str_eq(client_user(p->client), str_of(expected)));
}

/* --- server-side subscriptions of a token --- */

static void check_subs(struct world *w, const char *claims, const char *subs, const char *expected)
{
    struct peer p;
    peer_open(&p, w);
    struct connect_answer a = connect_with_subs(&p, claims, subs);
    assert_int_equal(a.status, STATUS_OK);
    assert_string_equal(a.subs, expected);
    assert_string_equal(peer_text(&p), "connected\n");
    peer_release(&p);
}

static void channels_come_with_the_reply(void **state)
{
    struct world *w = *state;
    struct storage_position top = {.offset = 0};
    for (int i = 0; i < 3; i++) {
        top = publish(w, "rec:a", "{}").position;
    }
    publish(w, "pos:a", "{}");
    check_subs(w, "{\"sub\":\"u\"}", "", "");
    check_subs(w, "{\"sub\":\"u\",\"channels\":[]}", "", "");
    check_subs(w, "{\"sub\":\"u\",\"channels\":[\"a\",\"own:b\"]}", "", "a 0;own:b 0;");
    check_subs(w, "{\"channels\":[\"rec:a\",\"pos:a\"]}", "", "rec:a 3;pos:a 1;");
    check_subs(w, "{\"sub\":\"u\",\"channels\":[\"a\",\"rec:a\"],\"subs\":{\"rec:a\":{}}}", "",
               "a 0;rec:a 3;");
    char subs[200];
    static const char claims[] = "{\"sub\":\"u\",\"channels\":[\"rec:a\",\"pos:a\"]}";
    snprintf(subs, sizeof(subs),
             "{\"rec:a\":{\"recover\":true,\"offset\":1,\"epoch\":\"%s\"},\"pos:a\":{\"recover\":"
             "true,\"offset\":0,\"epoch\":\"%s\"},\"other\":{\"recover\":true}}",
             top.epoch, top.epoch);
    check_subs(w, claims, subs, "rec:a 1 2 3;pos:a 1;");
    snprintf(subs, sizeof(subs), "{\"rec:a\":{\"recover\":true,\"epoch\":\"%s\"}}", top.epoch);
    check_subs(w, claims, subs, "rec:a 0 1 2 3;pos:a 1;");
    snprintf(subs, sizeof(subs),
             "{\"rec:\\u0061\":{\"offset\":2,\"epoch\":\"%s\",\"recover\":true}}", top.epoch);
    check_subs(w, claims, subs, "rec:a 2 3;pos:a 1;");
    snprintf(subs, sizeof(subs), "{\"rec:a\":{\"offset\":1,\"epoch\":\"%s\"}}", top.epoch);
    check_subs(w, claims, subs, "rec:a 3;pos:a 1;");
}

static void positions_that_are_none_recover_nothing(void **state)
{
    struct world *w = *state;
    publish(w, "rec:a", "{}");
    publish(w, "rec:a", "{}");
    static const char *const subs[] = {
        "{\"rec:a\":{\"recover\":true,\"offset\":1,\"epoch\":\"what\"}}",
        "{\"rec:a\":{\"recover\":true,\"offset\":1,\"epoch\":\"longer than any epoch of ours\"}}",
        "{\"rec:a\":{\"recover\":true,\"offset\":9}}",
        "{\"rec:a\":{\"recover\":true,\"offset\":-1}}",
        "{\"rec:a\":{\"recover\":true,\"offset\":\"1\"}}",
        "{\"rec:a\":{\"recover\":1,\"offset\":1}}",
        "{\"rec:a\":[true]}",
        "{\"rec:a\":null}",
        "{\"rec:a\":{\"recover\":true,\"recover\":true,\"offset\":1}}",
    };
    for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++) {
        check_subs(w, "{\"sub\":\"u\",\"channels\":[\"rec:a\"]}", subs[i], "rec:a 2;");
    }
}

struct connect_flags {
    struct connect_answer answer;
    struct subscribe_result sub; /* the first one */
    char data[50];
};

static void note_flags(void *arg, enum status status, const struct client_error *error,
                       const struct connect_result *result)
{
    struct connect_flags *f = arg;
    REQUIRE(status == STATUS_OK && result->n_subs == 1);
    f->sub = *result->subs[0].result;
    snprintf(f->data, sizeof(f->data), "%.*s", STR_ARG(f->sub.data));
    connect_answered(&f->answer, status, error, result);
}

static struct connect_flags connect_for_flags(struct peer *p, const char *claims, const char *subs)
{
    struct connect_flags f = {.answer = {.peer = p}};
    char *token = make_token(claims, KEY);
    client_connect(p->client,
                   &(struct connect_request){.token = str_of(token), .subs = str_of(subs)},
                   note_flags, &f);
    free(token);
    WAIT_FOR(p->world, f.answer.is_done);
    return f;
}

static void what_a_token_says_about_its_channels(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct buf info;
    publish(w, "rec:a", "{}");
    peer_open(&p, w);
    struct connect_flags f = connect_for_flags(
        &p,
        "{\"sub\":\"u\",\"subs\":{\"rec:a\":{\"info\":{\"n\": 1.10},\"data\":[1, 2],"
        "\"override\":{\"presence\":{\"value\":true}}}}}",
        "{\"rec:a\":{\"recover\":true,\"epoch\":\"x\"}}");
    assert_true(f.sub.positioned);
    assert_true(f.sub.recoverable);
    assert_true(f.sub.was_recovering);
    assert_false(f.sub.recovered);
    assert_false(f.sub.expires);
    assert_string_equal(f.data, "[1, 2]");
    buf_init(&info, 1000);
    client_append_info(p.client, channel_find(w->hub, STR("rec:a")), &info);
    buf_append_char(&info, '\0');
    assert_non_null(strstr(info.ptr, ",\"chan_info\":{\"n\": 1.10}}"));
    buf_release(&info);
    peer_release(&p);
    peer_open(&p, w);
    f = connect_for_flags(&p,
                          "{\"subs\":{\"pos:a\":{\"override\":{\"force_recovery\":"
                          "{\"value\":true}}}}}",
                          "");
    assert_true(f.sub.recoverable);
    peer_release(&p);
    peer_open(&p, w);
    f = connect_for_flags(&p,
                          "{\"subs\":{\"pos:a\":{\"override\":{\"force_positioning\":"
                          "{\"value\":false}}}}}",
                          "");
    assert_false(f.sub.positioned);
    peer_release(&p);
}

/* One that cannot be is enough. */
static void they_are_refused_together(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_open(&p, w);
    struct connect_answer a =
        connect_with(&p, "{\"sub\":\"u\",\"channels\":[\"rec:a\",\"a\",\"nope:x\"]}");
    assert_int_equal(a.status, STATUS_UNKNOWN_CHANNEL);
    assert_false(client_is_connected(p.client));
    assert_false(client_is_leaving(p.client)); /* it is told why, and is a stranger again */
    assert_int_equal(client_user(p.client).len, 0);
    struct hub_stats stats = stats_of(w);
    assert_int_equal(stats.n_subscriptions, 0);
    assert_int_equal(stats.n_users, 0);
    assert_int_equal(stats.n_clients, 1);
    publish(w, "a", "1");
    assert_string_equal(peer_text(&p), "");
    peer_release(&p);
    peer_open(&p, w);
    char name[301] = {0};
    char long_name[400];
    memset(name, 'x', sizeof(name) - 1);
    snprintf(long_name, sizeof(long_name), "{\"channels\":[\"%s\"]}", name);
    assert_int_equal(connect_with(&p, long_name).status, STATUS_INVALID);
    peer_release(&p);
}

static void what_a_stranger_would_have_got(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct connect_answer a = {.peer = &p};
    char *token = make_token("{\"sub\":\"u\",\"channels\":[\"a\",\"rec:a\",\"nope:x\"]}", KEY);
    peer_open(&p, w);
    client_connect(p.client, &(struct connect_request){.token = str_of(token)}, connect_answered,
                   &a);
    free(token);
    WAIT_FOR(w, stats_of(w).n_subscriptions == 1);
    client_send(p.client, STR("a push"));
    WAIT_FOR(w, a.is_done);
    assert_int_equal(a.status, STATUS_UNKNOWN_CHANNEL);
    assert_true(peer_unblock(&p));
    assert_string_equal(peer_text(&p), "");
    client_send(p.client, STR("why not"));
    assert_string_equal(peer_text(&p), "why not\n");
    peer_release(&p);
}

static void a_stranger_is_stale_in_the_end(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_open(&p, w);
    assert_int_equal(connect_with(&p, "{\"channels\":[\"nope:x\"]}").status,
                     STATUS_UNKNOWN_CHANNEL);
    WAIT_FOR(w, p.n_closes > 0);
    assert_ptr_equal(p.why, &disconnect_stale);
    peer_release(&p);
}

static void more_channels_than_a_client_may_have(void **state)
{
    struct world *w = *state;
    struct peer p;
    check_subs(w, "{\"channels\":[\"a\",\"b\",\"c\"]}", "", "a 0;b 0;c 0;");
    peer_open(&p, w);
    assert_int_equal(connect_with(&p, "{\"channels\":[\"a\",\"b\",\"c\",\"d\"]}").status,
                     STATUS_CLOSED);
    assert_ptr_equal(p.why, &disconnect_channel_limit);
    assert_int_equal(stats_of(w).n_subscriptions, 0);
    peer_release(&p);
}

static void they_count_for_the_channel_limit(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_open(&p, w);
    assert_int_equal(connect_with(&p, "{\"sub\":\"u\",\"channels\":[\"a\",\"b\"]}").status,
                     STATUS_OK);
    assert_int_equal(subscribe(&p, "a").status, STATUS_ALREADY);
    assert_int_equal(subscribe(&p, "c").status, STATUS_OK);
    assert_int_equal(subscribe(&p, "d").status, STATUS_LIMIT);
    peer_release(&p);
}

/* --- pushes and the reply --- */

/* One channel is there at once, the other has to be read first. */
static void pushes_wait_for_the_reply(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct publish_answer published[2];
    struct connect_answer a = {.peer = &p};
    char *token = make_token("{\"sub\":\"u\",\"channels\":[\"a\",\"rec:a\"]}", KEY);
    peer_open(&p, w);
    client_connect(p.client, &(struct connect_request){.token = str_of(token)}, connect_answered,
                   &a);
    free(token);
    WAIT_FOR(w, stats_of(w).n_subscriptions == 1);
    assert_false(a.is_done);
    publish_start(w, "a", "1", &published[0]);
    publish_start(w, "a", "2", &published[1]);
    WAIT_FOR(w, a.is_done && p.n_messages > 1);
    assert_int_equal(a.status, STATUS_OK);
    WAIT_FOR(w, strstr(peer_text(&p), "2\n"));
    const char *text = peer_text(&p);
    assert_memory_equal(text, "connected\na 0 1", 15);
    assert_non_null(strstr(text, "a 0 2\n"));
    assert_string_equal(a.subs, "a 0;rec:a 0;");
    peer_release(&p);
}

/* A connection that takes nothing at the moment gets them in the same order. */
static void pushes_wait_behind_a_reply_that_waits(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct publish_answer published;
    struct connect_answer a = {.peer = &p};
    char *token = make_token("{\"sub\":\"u\",\"channels\":[\"a\",\"rec:a\"]}", KEY);
    peer_open(&p, w);
    p.is_blocked = true;
    client_connect(p.client, &(struct connect_request){.token = str_of(token)}, connect_answered,
                   &a);
    free(token);
    WAIT_FOR(w, stats_of(w).n_subscriptions == 1);
    publish_start(w, "a", "1", &published);
    (void)peer_unblock(&p); /* it can, but the reply is not there */
    assert_string_equal(peer_text(&p), "");
    p.is_blocked = true;
    WAIT_FOR(w, a.is_done && published.is_done);
    uint64_t n = world_n_sent(w);
    publish(w, "a", "2");
    WAIT_FOR(w, world_n_sent(w) > n);
    assert_string_equal(peer_text(&p), "");
    assert_true(peer_unblock(&p));
    assert_string_equal(peer_text(&p), "connected|a 0 1|a 0 2\n");
    peer_release(&p);
}

/* Without the reply they would come out of nowhere. */
static void pushes_that_waited_in_vain(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct connect_answer a = {.peer = &p};
    char *token = make_token("{\"sub\":\"u\",\"channels\":[\"a\",\"rec:a\"]}", KEY);
    peer_open(&p, w);
    client_connect(p.client, &(struct connect_request){.token = str_of(token)}, connect_answered,
                   &a);
    free(token);
    WAIT_FOR(w, stats_of(w).n_subscriptions == 1);
    client_send(p.client, STR("a push"));
    client_disconnect(p.client, &disconnect_connection_limit);
    assert_true(peer_unblock(&p)); /* as a transport does before it closes */
    assert_string_equal(peer_text(&p), "");
    WAIT_FOR(w, a.is_done);
    peer_release(&p);
}

struct follower {
    struct peer peer;
    bool is_done;
    uint64_t last; /* seen in rec:a */
};

static void follow_connected(void *arg, enum status status, const struct client_error *error,
                             const struct connect_result *result)
{
    struct follower *f = arg;
    REQUIRE(status == STATUS_OK && !error && result->n_subs == 2);
    REQUIRE(f->peer.n_messages == 0); /* no push before the reply */
    const struct subscribe_result *sub = result->subs[1].result;
    REQUIRE(sub->recovered && sub->position.offset == f->last);
    for (size_t i = 0; i < sub->n_publications; i++) {
        REQUIRE(sub->publications[i]->offset == ++f->last);
    }
    f->is_done = true;
    client_send_first(f->peer.client, STR(""));
}

/* Reads "\nrec:a 7 {}|rec:a 8 {}\n..." */
static void follow_pushes(struct follower *f)
{
    const char *at = peer_text(&f->peer);
    while ((at = strstr(at, "rec:a ")) != NULL) {
        REQUIRE(strtoull(at + 6, (char **)(uintptr_t)&at, 10) == ++f->last);
    }
    peer_forget(&f->peer);
}

static void connect_while_others_publish(struct world *w, const char *token, uint64_t n_before,
                                         uint64_t since, int n_turns)
{
    enum { N = 24 };
    struct publish_answer answers[N];
    struct follower f = {.last = since};
    char subs[100];
    snprintf(subs, sizeof(subs), "{\"rec:a\":{\"recover\":true,\"offset\":%llu}}",
             (unsigned long long)since);
    peer_open(&f.peer, w);
    for (int i = 0; i < N; i++) {
        publish_start(w, "rec:a", "{}", &answers[i]);
        if (i == 4) {
            client_connect(f.peer.client,
                           &(struct connect_request){.token = str_of(token), .subs = str_of(subs)},
                           follow_connected, &f);
        }
        if (i % n_turns == 0) {
            world_turn(w);
        }
    }
    WAIT_FOR(w, answers[N - 1].is_done && f.is_done);
    while (f.last < n_before + N) {
        follow_pushes(&f);
        if (f.last < n_before + N) {
            world_turn(w);
        }
    }
    peer_release(&f.peer);
}

static void nothing_is_lost_and_nothing_twice(void **state)
{
    struct world *w = *state;
    char *token = make_token("{\"sub\":\"u\",\"channels\":[\"pos:a\",\"rec:a\"]}", KEY);
    uint64_t n = 10;
    for (uint64_t i = 0; i < n; i++) {
        publish(w, "rec:a", "{}");
    }
    for (int round = 0; round < 40; round++) {
        connect_while_others_publish(w, token, n, n - (uint64_t)(round % 9), 1 + round % 4);
        n += 24;
    }
    free(token);
}

/* --- ends in the middle --- */

static void check_gone(struct world *w, int n_turns, bool is_destroyed)
{
    struct peer p;
    struct connect_answer a = {.peer = &p};
    char *token = make_token("{\"sub\":\"u\",\"channels\":[\"a\",\"rec:a\"]}", KEY);
    peer_open(&p, w);
    client_connect(p.client, &(struct connect_request){.token = str_of(token)}, connect_answered,
                   &a);
    free(token);
    for (int i = 0; i < n_turns; i++) {
        world_turn(w);
    }
    bool was_done = a.is_done;
    if (is_destroyed) {
        peer_leave(&p);
    } else {
        client_disconnect(p.client, &disconnect_forced);
    }
    WAIT_FOR(w, a.is_done);
    assert_int_equal(a.status, was_done ? STATUS_OK : STATUS_CLOSED);
    peer_release(&p);
    WAIT_FOR(w, hub_is_idle(w->hub));
    struct hub_stats stats = stats_of(w);
    assert_int_equal(stats.n_clients, 0);
    assert_int_equal(stats.n_users, 0);
    assert_int_equal(stats.n_subscriptions, 0);
}

static void gone_while_it_connects(void **state)
{
    for (int n_turns = 0; n_turns < 5; n_turns++) {
        check_gone(*state, n_turns, true);
        check_gone(*state, n_turns, false);
    }
}

/* --- limits --- */

static void the_users_limit(void **state)
{
    struct world *w = *state;
    struct peer p[5];
    for (int i = 0; i < 3; i++) {
        peer_open(&p[i], w);
        struct connect_answer a = connect_with(&p[i], "{\"sub\":\"u\"}");
        assert_int_equal(a.status, i < 2 ? STATUS_OK : STATUS_CLOSED);
    }
    assert_ptr_equal(p[2].why, &disconnect_connection_limit);
    assert_int_equal(p[0].n_closes + p[1].n_closes, 0);
    assert_int_equal(stats_of(w).n_refused_user_limit, 1);
    peer_release(&p[2]);
    peer_release(&p[0]);
    peer_open(&p[0], w);
    assert_int_equal(connect_with(&p[0], "{\"sub\":\"u\"}").status, STATUS_OK);
    for (int i = 2; i < 5; i++) { /* nobody is no user */
        peer_open(&p[i], w);
        assert_int_equal(connect_with_token(&p[i], "").status, STATUS_OK);
    }
    assert_int_equal(client_admit(w->hub), STATUS_OVERLOADED);
    assert_int_equal(stats_of(w).n_refused_limit, 1);
    peer_release(&p[4]);
    assert_int_equal(client_admit(w->hub), STATUS_OK);
    for (int i = 0; i < 4; i++) {
        peer_release(&p[i]);
    }
}

static void the_rate_of_connections(void **state)
{
    struct world *w = *state;
    int64_t second = loop_now_ms(w->loop) / 1000;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(client_admit(w->hub), STATUS_OK);
    }
    assert_int_equal(client_admit(w->hub), STATUS_OVERLOADED);
    assert_int_equal(client_admit(w->hub), STATUS_OVERLOADED);
    assert_int_equal(stats_of(w).n_refused_rate, 2);
    while (loop_now_ms(w->loop) / 1000 == second) {
        uv_run(loop_uv(w->loop), UV_RUN_NOWAIT);
    }
    assert_int_equal(client_admit(w->hub), STATUS_OK);
    hub_stop(w->hub);
    assert_int_equal(client_admit(w->hub), STATUS_CLOSED);
}

/* --- the channel of one's own --- */

static void everybody_has_a_channel(void **state)
{
    struct world *w = *state;
    check_subs(w, "{\"sub\":\"42\"}", "", "#42 0;");
    check_subs(w, "{\"sub\":\"42\",\"channels\":[\"a\"]}", "", "a 0;#42 0;");
    check_subs(w, "{\"sub\":\"42\",\"channels\":[\"#42\",\"#7\"]}", "", "#42 0;#7 0;");
    check_subs(w, "{}", "", "");
    struct peer p;
    peer_open(&p, w);
    assert_string_equal(connect_with_token(&p, "").subs, "");
    peer_release(&p);
}

static void one_connection_per_user(void **state)
{
    struct world *w = *state;
    struct peer p[4];
    for (int i = 0; i < 4; i++) {
        peer_open(&p[i], w);
        struct connect_answer a =
            i == 3 ? connect_with_token(&p[i], "")
                   : connect_with(&p[i], i == 1 ? "{\"sub\":\"other\"}" : "{\"sub\":\"u\"}");
        assert_int_equal(a.status, STATUS_OK); /* the limit of one is kept by it */
        assert_string_equal(a.subs, i == 3 ? "" : i == 1 ? "own:#other 0;" : "own:#u 0;");
    }
    assert_ptr_equal(p[0].why, &disconnect_connection_limit);
    assert_int_equal(p[0].n_closes, 1);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(p[i].n_closes, 0);
        assert_true(client_is_connected(p[i].client));
    }
    struct hub_stats stats = stats_of(w);
    assert_int_equal(stats.n_users, 3);
    assert_int_equal(stats.n_subscriptions, 2);
    assert_int_equal(stats.n_refused_user_limit, 0);
    for (int i = 0; i < 4; i++) {
        peer_release(&p[i]);
    }
}

/* Both are under way: the second one ends the first. */
static void two_at_once_leave_one(void **state)
{
    struct world *w = *state;
    struct peer p[2];
    struct connect_answer a[2] = {{.peer = &p[0]}, {.peer = &p[1]}};
    char *token = make_token("{\"sub\":\"u\",\"channels\":[\"rec:a\"]}", KEY);
    for (int i = 0; i < 2; i++) {
        peer_open(&p[i], w);
        client_connect(p[i].client, &(struct connect_request){.token = str_of(token)},
                       connect_answered, &a[i]);
    }
    free(token);
    WAIT_FOR(w, a[0].is_done && a[1].is_done);
    assert_int_equal(a[0].status, STATUS_CLOSED);
    assert_ptr_equal(p[0].why, &disconnect_connection_limit);
    assert_int_equal(a[1].status, STATUS_OK);
    assert_int_equal(stats_of(w).n_subscriptions, 2);
    peer_release(&p[0]);
    peer_release(&p[1]);
}

/* --- the end of a token --- */

static const char *claims_with(const char *name, int64_t seconds_from_now)
{
    static char claims[200];
    int64_t now = clock_wall_ms() / 1000;
    snprintf(claims, sizeof(claims), "{\"sub\":\"u\",\"exp\":%lld,\"%s\":%lld}",
             (long long)(now + 100), name, (long long)(now + seconds_from_now));
    return claims;
}

static void the_connection_may_outlive_the_token(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_open(&p, w);
    struct connect_answer a = connect_with(&p, claims_with("expire_at", 5000));
    assert_int_equal(a.status, STATUS_OK);
    assert_true(a.result.expires);
    assert_in_range(a.result.ttl_s, 4900, 5000);
    peer_release(&p);
    peer_open(&p, w);
    a = connect_with(&p, claims_with("expire_at", -clock_wall_ms() / 1000)); /* 0: never */
    assert_int_equal(a.status, STATUS_OK);
    assert_false(a.result.expires);
    peer_release(&p);
    peer_open(&p, w);
    assert_int_equal(connect_with(&p, claims_with("expire_at", -5)).status, STATUS_OVER);
    assert_false(client_is_connected(p.client));
    assert_int_equal(stats_of(w).n_users, 0);
    peer_release(&p);
}

static void check_refresh(struct world *w, const char *claims, const struct disconnect *why)
{
    struct peer p;
    char *token = make_token(claims, KEY);
    peer_open(&p, w);
    assert_int_equal(connect_with(&p, "{\"sub\":\"u\",\"channels\":[\"a\",\"rec:a\"]}").status,
                     STATUS_OK);
    assert_int_equal(subscribe(&p, "c").status, STATUS_OK); /* the client's own does not count */
    enum status status = refresh_with_token(&p, token).status;
    assert_int_equal(status, why ? STATUS_CLOSED : STATUS_OK);
    assert_ptr_equal(p.why, why);
    free(token);
    peer_release(&p);
}

static void a_refreshed_token_has_the_same_channels(void **state)
{
    struct world *w = *state;
    check_refresh(w, "{\"sub\":\"u\",\"channels\":[\"a\",\"rec:a\"]}", NULL);
    check_refresh(w, "{\"sub\":\"u\",\"channels\":[\"rec:a\"],\"subs\":{\"a\":{}}}", NULL);
    check_refresh(w, "{\"sub\":\"u\",\"channels\":[\"a\"]}", &disconnect_insufficient_state);
    check_refresh(w, "{\"sub\":\"u\",\"channels\":[\"a\",\"c\"]}", &disconnect_insufficient_state);
    check_refresh(w, "{\"sub\":\"u\",\"channels\":[\"a\",\"rec:a\",\"d\"]}",
                  &disconnect_insufficient_state);
    check_refresh(w, "{\"sub\":\"u\"}", &disconnect_insufficient_state);
}

/* --- who it is --- */

static void nobody_with_and_without_a_token(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_open(&p, w);
    assert_int_equal(connect_with_token(&p, "").status, STATUS_OK);
    peer_release(&p);
    static const char *const claims[] = {"{}", "{\"sub\":\"\"}"};
    for (int i = 0; i < 2; i++) {
        peer_open(&p, w);
        assert_int_equal(connect_with(&p, claims[i]).status, STATUS_CLOSED);
        assert_ptr_equal(p.why, &disconnect_permission_denied);
        peer_release(&p);
    }
    peer_open(&p, w);
    assert_int_equal(connect_with(&p, "{\"sub\":\"u\"}").status, STATUS_OK);
    peer_release(&p);
}

static void check_header(struct world *w, const char *lines, const char *user)
{
    struct peer p;
    peer_open(&p, w);
    client_set_headers(p.client, str_of(lines));
    enum status status = connect_with_token(&p, "").status;
    assert_int_equal(status, user ? STATUS_OK : STATUS_CLOSED);
    if (user) {
        check_user(&p, user);
    } else {
        assert_ptr_equal(p.why, &disconnect_bad_request);
    }
    peer_release(&p);
}

static void a_header_that_is_trusted(void **state)
{
    struct world *w = *state;
    const struct config_list *wanted = client_wanted_headers(w->hub);
    assert_int_equal(wanted->n_items, 1);
    assert_string_equal(((char **)wanted->items)[0], "X-User-Id");
    check_header(w, "X-User-Id: 42\n", "42");
    check_header(w, "Other: 7\nx-user-ID:  a b \nX-Last: 1\n", "a b");
    check_header(w, "X-User-Id: \n", NULL);
    check_header(w, "X-User-Id\n", NULL);
    check_header(w, "X-User: 42\nX-User-Id-Too: 42\n", NULL);
    check_header(w, "", NULL);
    struct peer p;
    peer_open(&p, w);
    client_set_headers(p.client, STR("X-User-Id: 42\n"));
    assert_int_equal(connect_with(&p, "{\"sub\":\"u\"}").status, STATUS_OK);
    check_user(&p, "u"); /* a token says more than a header */
    peer_release(&p);
}

/* --- the backend says --- */

struct asked {
    struct world *world;
    struct backend backend;
};

static int setup_proxy(void **state)
{
    struct asked *s = calloc(1, sizeof(*s));
    char client[400];
    int port = world_free_port();
    snprintf(client, sizeof(client),
             "{" TOKEN ",\"allow_anonymous_connect_without_token\":true,\"stale_close_delay\":"
             "\"300ms\",\"proxy\":{\"connect\":{\"enabled\":true,\"endpoint\":"
             "\"http://127.0.0.1:%d/\",\"timeout\":\"600ms\"}}}",
             port);
    s->world = world_create(&(struct world_options){.client = client, .channel = channels});
    backend_open_at(&s->backend, s->world->loop, port);
    *state = s;
    return 0;
}

static int teardown_proxy(void **state)
{
    struct asked *s = *state;
    backend_close(&s->backend);
    world_destroy(s->world);
    free(s);
    return 0;
}

static struct connect_answer ask(struct asked *s, struct peer *p, const char *answer)
{
    s->backend.answer = answer;
    peer_open(p, s->world);
    return connect_request(p, &(struct connect_request){.data = STR("{\"k\":1}"),
                                                        .subs = STR("{\"a\":{},\"rec:a\":{}}")});
}

static void check_sent_away(struct asked *s, const char *answer, unsigned code, const char *reason)
{
    struct peer p;
    assert_int_equal(ask(s, &p, answer).status, STATUS_CLOSED);
    assert_int_equal(p.why->code, code);
    assert_string_equal(p.why->reason, reason);
    assert_int_equal(p.n_closes, 1);
    peer_release(&p);
}

static void a_backend_says_who_it_is(void **state)
{
    struct asked *s = *state;
    struct peer p;
    struct connect_answer a =
        ask(s, &p, "{\"result\":{\"user\":\"56\",\"channels\":[\"a\"],\"expire_at\":4000000000}}");
    assert_int_equal(a.status, STATUS_OK);
    check_user(&p, "56");
    assert_true(a.result.expires);
    assert_string_equal(a.subs, "a 0;");
    assert_non_null(strstr(s->backend.body, "\"data\":{\"k\":1}"));
    assert_non_null(strstr(s->backend.body, "\"channels\":[\"a\",\"rec:a\"]"));
    peer_release(&p);
    assert_int_equal(ask(s, &p, "{\"result\":{\"user\":\"\"}}").status, STATUS_OK);
    check_user(&p, "");
    peer_release(&p);
    peer_open(&p, s->world);
    assert_int_equal(connect_with(&p, "{\"sub\":\"u\"}").status, STATUS_OK);
    assert_int_equal(s->backend.n_requests, 2); /* who has a token is not asked about */
    peer_release(&p);
}

static void a_backend_refuses(void **state)
{
    struct asked *s = *state;
    struct peer p;
    struct connect_answer a =
        ask(s, &p, "{\"error\":{\"code\":1001,\"message\":\"not today\",\"temporary\":true}}");
    assert_int_equal(a.status, STATUS_REFUSED);
    assert_int_equal(a.error.code, 1001);
    assert_string_equal(a.error.message, "not today");
    assert_true(a.error.is_temporary);
    assert_int_equal(p.n_closes, 0);
    peer_release(&p);
    check_sent_away(s, "{\"disconnect\":{\"code\":4500,\"reason\":\"banned\"}}", 4500, "banned");
    check_sent_away(s, "{}", 3501, "bad request"); /* says nothing: admits nobody */
    assert_int_equal(ask(s, &p, "{\"result\":{\"user\":\"u\",\"expire_at\":1}}").status,
                     STATUS_OVER);
    peer_release(&p);
}

static void a_backend_that_is_slow(void **state)
{
    struct asked *s = *state;
    struct peer p;
    s->backend.hangs = true;
    assert_int_equal(ask(s, &p, "{}").status, STATUS_CLOSED); /* stale before the answer */
    assert_ptr_equal(p.why, &disconnect_stale);
    peer_release(&p);
    struct connect_answer a = {.peer = NULL};
    peer_open(&p, s->world);
    client_connect(p.client, &(struct connect_request){.name = STR("js")}, connect_answered, &a);
    WAIT_FOR(s->world, s->backend.n_requests == 2);
    peer_leave(&p);
    WAIT_FOR(s->world, a.is_done);
    assert_int_equal(a.status, STATUS_CLOSED);
    peer_release(&p);
}

#define TEST(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(channels_come_with_the_reply, setup),
        TEST(positions_that_are_none_recover_nothing, setup),
        TEST(what_a_token_says_about_its_channels, setup),
        TEST(they_are_refused_together, setup),
        TEST(what_a_stranger_would_have_got, setup),
        TEST(a_stranger_is_stale_in_the_end, setup_quick),
        TEST(more_channels_than_a_client_may_have, setup),
        TEST(they_count_for_the_channel_limit, setup),
        TEST(pushes_wait_for_the_reply, setup),
        TEST(pushes_wait_behind_a_reply_that_waits, setup),
        TEST(pushes_that_waited_in_vain, setup),
        TEST(nothing_is_lost_and_nothing_twice, setup),
        TEST(gone_while_it_connects, setup),
        TEST(the_users_limit, setup_limited),
        TEST(the_rate_of_connections, setup_anonymous),
        TEST(everybody_has_a_channel, setup_personal),
        TEST(one_connection_per_user, setup_single),
        TEST(two_at_once_leave_one, setup_single),
        TEST(the_connection_may_outlive_the_token, setup),
        TEST(a_refreshed_token_has_the_same_channels, setup),
        TEST(nobody_with_and_without_a_token, setup_anonymous),
        TEST(a_header_that_is_trusted, setup_header),
        cmocka_unit_test_setup_teardown(a_backend_says_who_it_is, setup_proxy, teardown_proxy),
        cmocka_unit_test_setup_teardown(a_backend_refuses, setup_proxy, teardown_proxy),
        cmocka_unit_test_setup_teardown(a_backend_that_is_slow, setup_proxy, teardown_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
