/* SPDX-License-Identifier: MIT */
/* Commands over a real hub: order, what must come first, what is refused and how, pongs, and
 * connections that go while a command is under way. */
#include "protocols/centrifuge_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/unit/protocols/speaker.h"

#define CONNECT "{\"connect\":{},\"id\":1}"

static int set_up_with(void **state, const char *client)
{
    *state = world_create(&(struct world_options){
        .client = client,
        .channel =
            "{\"without_namespace\":{\"presence\":true},\"namespaces\":["
            "{\"name\":\"kept\",\"history_size\":10,\"history_ttl\":\"1h\","
            "\"force_recovery\":true,\"presence\":true,\"allow_subscribe_for_client\":true,"
            "\"allow_subscribe_for_anonymous\":true,\"allow_history_for_client\":true,"
            "\"allow_history_for_anonymous\":true,\"allow_publish_for_subscriber\":true,"
            "\"allow_publish_for_anonymous\":true},{\"name\":\"closed\",\"presence\":true}]}"});
    return 0;
}

static int setup(void **state)
{
    return set_up_with(state, "{\"insecure\":true}");
}

static int setup_strict(void **state)
{
    return set_up_with(state, "{\"allow_anonymous_connect_without_token\":true,"
                              "\"token\":{\"hmac_secret_key\":\"secret\"}}");
}

static int setup_quick(void **state)
{
    return set_up_with(state, "{\"insecure\":true,\"ping_interval\":\"100ms\","
                              "\"pong_timeout\":\"50ms\"}");
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static int setup_debug(void **state)
{
    log_set_level(LOG_DEBUG);
    return setup(state);
}

static int setup_strict_debug(void **state)
{
    log_set_level(LOG_DEBUG);
    return setup_strict(state);
}

static int teardown_debug(void **state)
{
    log_set_level(LOG_INFO);
    return teardown(state);
}

/* Until what was asked for is answered. */
static void finish(struct speaker *s)
{
    WAIT_FOR(s->peer.world, !s->session.is_busy && centrifuge_waiting_bytes(&s->session) == 0);
}

static void connected(struct speaker *s, struct world *w)
{
    speaker_open(s, w);
    say(s, CONNECT);
    finish(s);
    assert_int_equal(s->peer.n_messages, 1);
    assert_non_null(strstr(peer_text(&s->peer), "{\"id\":1,\"connect\":{\"client\":"));
    peer_forget(&s->peer);
    s->n_idle = 0;
}

static void check_said(struct speaker *s, const char *expected)
{
    finish(s);
    assert_string_equal(peer_text(&s->peer), expected);
    peer_forget(&s->peer);
}

static void ask(struct speaker *s, const char *message, const char *expected)
{
    say(s, message);
    check_said(s, expected);
    assert_int_equal(s->peer.n_closes, 0);
}

/* --- order --- */

static void a_frame_of_commands_is_answered_in_order(void **state)
{
    struct speaker s;
    speaker_open(&s, *state);
    say(&s, CONNECT "\n{\"subscribe\":{\"channel\":\"a\"},\"id\":2}\n"
                    "{\"publish\":{\"channel\":\"a\",\"data\":[1.0]},\"id\":3}\n"
                    "{\"presence_stats\":{\"channel\":\"a\"},\"id\":4}\n"
                    "{\"unsubscribe\":{\"channel\":\"a\"},\"id\":5}\n");
    WAIT_FOR(s.peer.world, s.peer.n_messages > 0);
    const char *first = peer_text(&s.peer);
    assert_memory_equal(first, "{\"id\":1,\"connect\":", 18);
    assert_int_equal(strchr(first, '\n')[1], '\0'); /* it does not wait for the rest */
    peer_forget(&s.peer);
    finish(&s);
    const char *text = peer_text(&s.peer);
    const char *at = text;
    for (int id = 2; id <= 5; id++) {
        char start[20];
        snprintf(start, sizeof(start), "{\"id\":%d,", id);
        at = strstr(at, start);
        assert_non_null(at);
    }
    assert_non_null(strstr(text, "{\"id\":4,\"presence_stats\":{\"num_clients\":1,"));
    speaker_release(&s);
}

static void what_comes_meanwhile_waits_for_its_turn(void **state)
{
    struct speaker s;
    connected(&s, *state);
    say(&s, "{\"subscribe\":{\"channel\":\"kept:a\"},\"id\":2}");
    assert_true(s.session.is_busy);
    assert_int_equal(centrifuge_waiting_bytes(&s.session), 0);
    say(&s, "{\"presence_stats\":{\"channel\":\"kept:b\"},\"id\":3}\n");
    say(&s, "{\"unsubscribe\":{\"channel\":\"none\"},\"id\":4}");
    assert_true(centrifuge_waiting_bytes(&s.session) > 80);
    assert_int_equal(s.peer.n_messages, 0);
    unsigned n_idle = s.n_idle;
    finish(&s);
    assert_int_equal(centrifuge_waiting_bytes(&s.session), 0);
    assert_int_equal(s.n_idle, n_idle + 1);
    const char *text = peer_text(&s.peer);
    assert_memory_equal(text, "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"epoch\":\"", 46);
    assert_non_null(strstr(text, "\n{\"id\":3,\"presence_stats\":{\"num_clients\":0,"));
    assert_non_null(strstr(text, "\n{\"id\":4,\"unsubscribe\":{}}\n"));
    speaker_release(&s);
}

static void the_reply_to_a_publication_comes_before_or_with_its_push(void **state)
{
    struct world *w = *state;
    struct speaker s;
    char uuid[RNG_UUID_SIZE];
    char expected[300];
    connected(&s, w);
    client_id(s.peer.client, uuid);
    ask(&s, "{\"subscribe\":{\"channel\":\"a\"},\"id\":2}", "{\"id\":2,\"subscribe\":{}}\n");
    say(&s, "{\"publish\":{\"channel\":\"a\",\"data\":{\n\"n\":1.10\n}},\"id\":3}");
    assert_ptr_equal(s.peer.why, &disconnect_bad_request); /* a line is a command */
    speaker_release(&s);
    connected(&s, w);
    client_id(s.peer.client, uuid);
    ask(&s, "{\"subscribe\":{\"channel\":\"a\"},\"id\":2}", "{\"id\":2,\"subscribe\":{}}\n");
    say(&s, "{\"publish\":{\"channel\":\"a\",\"data\":{\"n\": 1.10}},\"id\":3}");
    WAIT_FOR(w, s.peer.n_messages == 2);
    snprintf(expected, sizeof(expected),
             "{\"id\":3,\"publish\":{}}\n{\"push\":{\"channel\":\"a\",\"pub\":{\"data\":"
             "{\"n\": 1.10},\"info\":{\"user\":\"\",\"client\":\"%s\"}}}}\n",
             uuid);
    check_said(&s, expected);
    speaker_release(&s);
}

static void recovered_ones_come_with_the_reply(void **state)
{
    struct world *w = *state;
    struct speaker s;
    struct storage_position top = {.offset = 0};
    for (int i = 0; i < 3; i++) {
        top = publish(w, "kept:a", "1").position;
    }
    char expected[400];
    connected(&s, w);
    snprintf(
        expected, sizeof(expected),
        "{\"subscribe\":{\"channel\":\"kept:a\",\"recover\":true,\"offset\":1,\"epoch\":\"%s\","
        "\"flag\":1},\"id\":2}",
        top.epoch);
    say(&s, expected);
    snprintf(expected, sizeof(expected),
             "{\"id\":2,\"subscribe\":{\"recoverable\":true,\"epoch\":\"%s\",\"publications\":["
             "{\"data\":1,\"offset\":2},{\"data\":1,\"offset\":3}],\"recovered\":true,\"offset\":1,"
             "\"positioned\":true,\"was_recovering\":true}}\n",
             top.epoch);
    check_said(&s, expected);
    ask(&s, "{\"unsubscribe\":{\"channel\":\"kept:a\"},\"id\":3}",
        "{\"id\":3,\"unsubscribe\":{}}\n");
    ask(&s,
        "{\"subscribe\":{\"channel\":\"kept:a\",\"recover\":true,\"epoch\":\"no\",\"flag\":2},"
        "\"id\":4}",
        "{\"id\":4,\"error\":{\"code\":112,\"message\":\"unrecoverable position\"}}\n");
    snprintf(expected, sizeof(expected),
             "{\"id\":5,\"history\":{\"publications\":[{\"data\":1,\"offset\":2}],\"epoch\":\"%s\","
             "\"offset\":3}}\n",
             top.epoch);
    ask(&s,
        "{\"history\":{\"channel\":\"kept:a\",\"limit\":1,\"reverse\":true,\"since\":{\"offset\":3}"
        "},"
        "\"id\":5}",
        expected);
    speaker_release(&s);
}

/* --- refusals that end the connection --- */

static void check_ends(struct world *w, const char *first, struct str message,
                       const struct disconnect *why)
{
    struct speaker s;
    speaker_open(&s, w);
    if (first) {
        say(&s, first);
        finish(&s);
    }
    peer_forget(&s.peer);
    say_str(&s, message);
    finish(&s);
    if (s.peer.why != why) {
        fail_msg("%.*s: %s", STR_ARG(message), s.peer.why ? s.peer.why->reason : "no disconnect");
    }
    assert_int_equal(s.peer.n_closes, 1);
    assert_int_equal(s.peer.n_messages, 0);
    say(&s, CONNECT); /* is not heard any more */
    assert_int_equal(s.peer.n_messages, 0);
    speaker_release(&s);
}

static void what_is_no_command(void **state)
{
    struct world *w = *state;
    static const struct str messages[] = {
        {"", 0},
        {"\n", 1},
        {" ", 1},
        {"\n{\"connect\":{},\"id\":1}", 23},
        {"hello", 5},
        {"[]", 2},
        {"{", 1},
        {"null", 4},
        {"\"connect\"", 9},
        {"{}x", 3},
        {"{}", 2},
        {"{\"id\":1}", 8},
        {"{\"connect\":{}}", 14},
        {"{\"connect\":{},\"id\":0}", 21},
        {"{\"connect\":{},\"id\":-1}", 22},
        {"{\"connect\":{},\"id\":1.5}", 23},
        {"{\"connect\":{},\"id\":\"1\"}", 23},
        {"{\"connect\":{},\"id\":4294967296}", 30},
        {"{\"connect\":[],\"id\":1}", 21},
        {"{\"connect\":null,\"id\":1}", 23},
        {"{\"connect\":{\"token\":1},\"id\":1}", 30},
        {"{\"connect\":{},\"connect\":{},\"id\":1}", 34},
        {"{\"connect\":{},\"id\":1,\"id\":1}", 28},
        {"{\"connect\":{},\"rpc\":{},\"id\":1}", 30},
        {"{\"unknown\":{},\"id\":1}", 21},
        {"{\"ping\":{},\"id\":1}", 18},
        {"{\"connect\":{\"token\":\"a\",\"token\":\"b\"},\"id\":1}", 44},
        {"{\"connect\":{\"name\":1},\"id\":1}", 29},
        {"{\"connect\":{\"headers\":[]},\"id\":1}", 33},
        {"{\"connect\":{\"subs\":[]},\"id\":1}", 30},
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        check_ends(w, NULL, messages[i], &disconnect_bad_request);
    }
}

static void connect_comes_first_and_once(void **state)
{
    struct world *w = *state;
    check_ends(w, NULL, STR("{\"subscribe\":{\"channel\":\"a\"},\"id\":1}"),
               &disconnect_bad_request);
    check_ends(w, NULL, STR("{\"send\":{\"data\":1}}"), &disconnect_bad_request);
    check_ends(w, CONNECT, STR("{\"connect\":{},\"id\":2}"), &disconnect_bad_request);
}

static void wrong_members_of_commands(void **state)
{
    struct world *w = *state;
    static const char *const messages[] = {
        "{\"subscribe\":{},\"id\":2}",
        "{\"subscribe\":{\"channel\":\"\"},\"id\":2}",
        "{\"subscribe\":{\"channel\":1},\"id\":2}",
        "{\"subscribe\":{\"channel\":\"a\",\"recover\":1},\"id\":2}",
        "{\"subscribe\":{\"channel\":\"a\",\"offset\":-1},\"id\":2}",
        "{\"subscribe\":{\"channel\":\"a\",\"offset\":\"1\"},\"id\":2}",
        "{\"subscribe\":{\"channel\":\"a\",\"epoch\":1},\"id\":2}",
        "{\"subscribe\":{\"channel\":\"a\",\"channel\":\"b\"},\"id\":2}",
        "{\"subscribe\":{\"channel\":\"a\",\"token\":{}},\"id\":2}",
        "{\"subscribe\":{\"channel\":\"a\",\"delta\":\"xdelta\"},\"id\":2}",
        "{\"subscribe\":{\"channel\":\"a\",\"tf\":[]},\"id\":2}",
        "{\"subscribe\":{\"channel\":\"a\",\"type\":\"0\"},\"id\":2}",
        "{\"sub_refresh\":{\"token\":\"a\"},\"id\":2}",
        "{\"sub_refresh\":{\"channel\":\"a\",\"token\":1},\"id\":2}",
        "{\"rpc\":{\"method\":1},\"id\":2}",
        "{\"rpc\":[],\"id\":2}",
        "{\"unsubscribe\":{},\"id\":2}",
        "{\"unsubscribe\":{\"channel\":[]},\"id\":2}",
        "{\"publish\":{\"channel\":\"a\"},\"id\":2}",
        "{\"publish\":{\"data\":1},\"id\":2}",
        "{\"presence\":{},\"id\":2}",
        "{\"presence_stats\":{\"channel\":\"\"},\"id\":2}",
        "{\"history\":{},\"id\":2}",
        "{\"history\":{\"channel\":\"kept:a\",\"limit\":\"1\"},\"id\":2}",
        "{\"history\":{\"channel\":\"kept:a\",\"since\":1},\"id\":2}",
        "{\"history\":{\"channel\":\"kept:a\",\"since\":{\"offset\":-1}},\"id\":2}",
        "{\"refresh\":{},\"id\":2}",
        "{\"refresh\":{\"token\":7},\"id\":2}",
        "{\"publish\":{\"channel\":\"a\",\"data\":1}}",
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        check_ends(w, CONNECT, str_of(messages[i]), &disconnect_bad_request);
    }
    check_ends(w, CONNECT, STR("{\"send\":{\"data\":1}}"), &disconnect_not_available);
}

static void an_invalid_token_ends_it(void **state)
{
    check_ends(*state, NULL, STR("{\"connect\":{\"token\":\"nonsense\"},\"id\":1}"),
               &disconnect_invalid_token);
}

static void what_follows_an_ending_command_is_not_heard(void **state)
{
    struct world *w = *state;
    struct speaker s;
    connected(&s, w);
    say(&s, "{\"unsubscribe\":{\"channel\":\"a\"},\"id\":2}\nnonsense\n"
            "{\"unsubscribe\":{\"channel\":\"a\"},\"id\":3}");
    assert_string_equal(peer_text(&s.peer), "{\"id\":2,\"unsubscribe\":{}}\n");
    assert_ptr_equal(s.peer.why, &disconnect_bad_request);
    speaker_release(&s);
    connected(&s, w);
    say(&s, "{\"subscribe\":{\"channel\":\"a\"},\"id\":2}\nnonsense\n"
            "{\"unsubscribe\":{\"channel\":\"a\"},\"id\":3}");
    check_said(&s, "{\"id\":2,\"subscribe\":{}}\n");
    assert_ptr_equal(s.peer.why, &disconnect_bad_request);
    speaker_release(&s);
}

/* --- refusals that are replies --- */

static void errors_of_commands(void **state)
{
    struct speaker s;
    connected(&s, *state);
    ask(&s, "{\"rpc\":{\"method\":\"x\"},\"id\":2}",
        "{\"id\":2,\"error\":{\"code\":108,\"message\":\"not available\"}}\n");
    ask(&s, "{\"sub_refresh\":{\"channel\":\"x\"},\"id\":3}",
        "{\"id\":3,\"error\":{\"code\":103,\"message\":\"permission denied\"}}\n");
    ask(&s, "{\"subscribe\":{\"channel\":\"kept:a\",\"type\":1},\"id\":3}",
        "{\"id\":3,\"error\":{\"code\":103,\"message\":\"permission denied\"}}\n");
    ask(&s, "{\"subscribe\":{\"channel\":\"kept:a\",\"token\":\"a.b.c\"},\"id\":3}",
        "{\"id\":3,\"error\":{\"code\":103,\"message\":\"permission denied\"}}\n");
    ask(&s, "{\"subscribe\":{\"channel\":\"kept:a\",\"tf\":{}},\"id\":3}",
        "{\"id\":3,\"error\":{\"code\":107,\"message\":\"bad request\"}}\n");
    ask(&s, "{\"subscribe\":{\"channel\":\"other:a\"},\"id\":4}",
        "{\"id\":4,\"error\":{\"code\":102,\"message\":\"unknown channel\"}}\n");
    ask(&s, "{\"subscribe\":{\"channel\":\"closed:a\"},\"id\":5}",
        "{\"id\":5,\"error\":{\"code\":103,\"message\":\"permission denied\"}}\n");
    ask(&s, "{\"publish\":{\"channel\":\"kept:a\",\"data\":1},\"id\":6}",
        "{\"id\":6,\"error\":{\"code\":103,\"message\":\"permission denied\"}}\n");
    ask(&s, "{\"history\":{\"channel\":\"closed:a\"},\"id\":7}",
        "{\"id\":7,\"error\":{\"code\":108,\"message\":\"not available\"}}\n");
    ask(&s, "{\"presence\":{\"channel\":\"closed:a\"},\"id\":8}",
        "{\"id\":8,\"error\":{\"code\":103,\"message\":\"permission denied\"}}\n");
    ask(&s, "{\"history\":{\"channel\":\"kept:a\",\"reverse\":true,\"since\":{}},\"id\":9}",
        "{\"id\":9,\"error\":{\"code\":107,\"message\":\"bad request\"}}\n");
    ask(&s, "{\"subscribe\":{\"channel\":\"caf\xc3\xa9\"},\"id\":10}",
        "{\"id\":10,\"error\":{\"code\":107,\"message\":\"bad request\"}}\n");
    say(&s, "{\"subscribe\":{\"channel\":\"kept:a\"},\"id\":11}");
    finish(&s);
    peer_forget(&s.peer);
    ask(&s, "{\"subscribe\":{\"channel\":\"kept:a\"},\"id\":12}",
        "{\"id\":12,\"error\":{\"code\":105,\"message\":\"already subscribed\"}}\n");
    speaker_release(&s);
}

static void an_expired_token_is_a_reply(void **state)
{
    struct speaker s;
    speaker_open(&s, *state);
    /* {"alg":"HS256"}.{"exp":1} */
    ask(&s,
        "{\"connect\":{\"token\":\"eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9."
        "NED7FDrPJCtAvhJ-OxAe5ft0SIqmDbUaeKm7233QG3A\"},\"id\":1}",
        "{\"id\":1,\"error\":{\"code\":109,\"message\":\"token expired\"}}\n");
    say(&s, "{\"connect\":{},\"id\":2}"); /* the connection is unusable */
    assert_ptr_equal(s.peer.why, &disconnect_bad_request);
    assert_int_equal(s.peer.n_messages, 0);
    speaker_release(&s);
}

/* --- what is tolerated --- */

static void members_in_any_order_and_unknown_ones(void **state)
{
    struct speaker s;
    connected(&s, *state);
    ask(&s,
        " {\"id\" : 2 , \"x\":{\"connect\":{}},\"unsubscribe\" : {\"y\":[],\"channel\":\"a\"}} ",
        "{\"id\":2,\"unsubscribe\":{}}\n");
    ask(&s, "{\"unsubscribe\":{\"channel\":\"a\"},\"id\":4294967295}\n",
        "{\"id\":4294967295,\"unsubscribe\":{}}\n");
    ask(&s, "{\"uns\\u0075bscribe\":{\"ch\\u0061nnel\":\"a\"},\"id\":3}\r\n",
        "{\"id\":3,\"unsubscribe\":{}}\n");
    speaker_release(&s);
}

static void escapes_in_channel_names(void **state)
{
    struct world *w = *state;
    struct speaker s;
    connected(&s, w);
    ask(&s, "{\"subscribe\":{\"channel\":\"a\\u0022\\\\\\/b\"},\"id\":2}",
        "{\"id\":2,\"subscribe\":{}}\n");
    publish(w, "a\"\\/b", "1");
    WAIT_FOR(w, s.peer.n_messages == 1);
    check_said(&s, "{\"push\":{\"channel\":\"a\\\"\\\\/b\",\"pub\":{\"data\":1}}}\n");
    ask(&s, "{\"subscribe\":{\"channel\":\"a\\u0000b\"},\"id\":3}",
        "{\"id\":3,\"error\":{\"code\":107,\"message\":\"bad request\"}}\n");
    ask(&s,
        "{\"unsubscribe\":{\"channel\":\"x\\u0061\"},\"id\":4}\n"
        "{\"unsubscribe\":{\"channel\":\"y\\u0061\"},\"id\":5}",
        "{\"id\":4,\"unsubscribe\":{}}\n{\"id\":5,\"unsubscribe\":{}}\n");
    speaker_release(&s);
}

/* --- pongs --- */

static void a_pong_answers_a_ping_once(void **state)
{
    struct world *w = *state;
    struct speaker s;
    connected(&s, w);
    for (int i = 0; i < 2; i++) {
        WAIT_FOR(w, s.peer.n_messages == 1 || s.peer.n_closes > 0);
        check_said(&s, "{}\n");
        say(&s, i == 0 ? "{}" : "{}\n");
        assert_int_equal(s.peer.n_closes, 0);
    }
    say(&s, "{}");
    assert_ptr_equal(s.peer.why, &disconnect_bad_request);
    speaker_release(&s);
}

/* It has no order with commands: a slow disk must not look like a dead client. */
static void a_pong_is_heard_while_a_command_is_under_way(void **state)
{
    struct world *w = *state;
    struct speaker s;
    connected(&s, w);
    WAIT_FOR(w, s.peer.n_messages == 1 || s.peer.n_closes > 0);
    check_said(&s, "{}\n");
    say(&s, "{\"subscribe\":{\"channel\":\"kept:a\"},\"id\":2}");
    say(&s, "{}");
    assert_int_equal(centrifuge_waiting_bytes(&s.session), 0);
    say(&s, "{}"); /* there is no second ping to answer */
    assert_ptr_equal(s.peer.why, &disconnect_bad_request);
    speaker_release(&s);
}

static void a_pong_without_a_ping(void **state)
{
    check_ends(*state, CONNECT, STR("{}"), &disconnect_bad_request);
    check_ends(*state, NULL, STR("{}"), &disconnect_bad_request);
}

/* --- ends --- */

static void the_connection_goes_while_a_command_is_under_way(void **state)
{
    struct world *w = *state;
    static const char *const messages[] = {
        "{\"subscribe\":{\"channel\":\"kept:a\"},\"id\":2}",
        "{\"publish\":{\"channel\":\"a\",\"data\":1},\"id\":2}",
        "{\"history\":{\"channel\":\"kept:a\"},\"id\":2}",
        "{\"refresh\":{\"token\":\"a.b.c\"},\"id\":2}",
        "{\"sub_refresh\":{\"channel\":\"a\",\"token\":\"a.b.c\"},\"id\":2}",
        "{\"rpc\":{\"method\":\"a\"},\"id\":2}",
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct speaker s;
        connected(&s, w);
        say(&s, messages[i]);
        say(&s, "{\"unsubscribe\":{\"channel\":\"a\"},\"id\":3}");
        assert_true(s.session.is_busy);
        assert_false(speaker_close(&s));
        assert_int_equal(s.n_idle, 0);
        WAIT_FOR(w, s.n_idle == 1);
        assert_int_equal(s.peer.n_messages, 0);
        speaker_release(&s);
    }
    struct speaker s;
    connected(&s, w);
    assert_true(speaker_close(&s));
    speaker_release(&s);
    speaker_open(&s, w);
    say(&s, CONNECT);
    assert_false(speaker_close(&s));
    WAIT_FOR(w, s.n_idle == 1);
    assert_int_equal(s.peer.n_messages, 0);
    speaker_release(&s);
}

static void sent_away_while_a_command_is_under_way(void **state)
{
    struct world *w = *state;
    struct speaker s;
    connected(&s, w);
    say(&s, "{\"subscribe\":{\"channel\":\"kept:a\"},\"id\":2}");
    say(&s, "{\"unsubscribe\":{\"channel\":\"a\"},\"id\":3}");
    client_disconnect(s.peer.client, &disconnect_shutdown);
    check_said(&s, "");
    assert_int_equal(s.n_idle, 1);
    assert_ptr_equal(s.peer.why, &disconnect_shutdown);
    speaker_release(&s);
}

static void too_many_commands_wait(void **state)
{
    struct world *w = *state;
    struct speaker s;
    connected(&s, w);
    size_t len = 1 << 20;
    char *blanks = malloc(len);
    assert_non_null(blanks);
    memset(blanks, ' ', len);
    say(&s, "{\"subscribe\":{\"channel\":\"kept:a\"},\"id\":2}");
    for (int i = 0; i < 17 && s.peer.n_closes == 0; i++) {
        say_str(&s, (struct str){blanks, len});
    }
    assert_ptr_equal(s.peer.why, &disconnect_bad_request);
    free(blanks);
    speaker_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_frame_of_commands_is_answered_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(what_comes_meanwhile_waits_for_its_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(the_reply_to_a_publication_comes_before_or_with_its_push,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(recovered_ones_come_with_the_reply, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_command, setup, teardown),
        cmocka_unit_test_setup_teardown(connect_comes_first_and_once, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_members_of_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(an_invalid_token_ends_it, setup_strict, teardown),
        cmocka_unit_test_setup_teardown(what_follows_an_ending_command_is_not_heard, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(errors_of_commands, setup_strict, teardown),
        cmocka_unit_test_setup_teardown(an_expired_token_is_a_reply, setup_strict, teardown),
        cmocka_unit_test_setup_teardown(members_in_any_order_and_unknown_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(escapes_in_channel_names, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pong_answers_a_ping_once, setup_quick, teardown),
        cmocka_unit_test_setup_teardown(a_pong_is_heard_while_a_command_is_under_way, setup_quick,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_pong_without_a_ping, setup, teardown),
        cmocka_unit_test_setup_teardown(the_connection_goes_while_a_command_is_under_way, setup,
                                        teardown),
        {"the_connection_goes_while_the_log_knows_its_command",
         the_connection_goes_while_a_command_is_under_way, setup_debug, teardown_debug, NULL},
        {"commands_wait_while_the_log_knows_the_first", what_comes_meanwhile_waits_for_its_turn,
         setup_debug, teardown_debug, NULL},
        {"errors_with_lines_of_the_log", errors_of_commands, setup_strict_debug, teardown_debug,
         NULL},
        {"wrong_members_with_lines_of_the_log", wrong_members_of_commands, setup_debug,
         teardown_debug, NULL},
        cmocka_unit_test_setup_teardown(sent_away_while_a_command_is_under_way, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_commands_wait, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
