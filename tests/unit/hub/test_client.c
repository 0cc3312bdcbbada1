/* SPDX-License-Identifier: MIT */
/* One client: who may connect, its queue and its cork, and the deadlines of its life. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hub/client_internal.h"
#include "tests/unit/hub/token_maker.h"
#include "tests/unit/hub/world.h"

#define KEY      "secret"
#define SETTINGS "{\"token\":{\"hmac_secret_key\":\"" KEY "\"},\"queue_max_size\":1024,"
#define PATIENT  SETTINGS "\"expired_close_delay\":\"0s\"}"
#define QUICK                                                                                      \
    SETTINGS "\"allow_anonymous_connect_without_token\":true,\"ping_interval\":\"100ms\","         \
             "\"pong_timeout\":\"50ms\",\"stale_close_delay\":\"50ms\"}"
#define ANONYMOUS SETTINGS "\"allow_anonymous_connect_without_token\":true}"

static int set_up_with(void **state, const char *client)
{
    *state = world_create(&(struct world_options){.client = client,
                                                  .channel =
                                                      "{\"without_namespace\":{\"presence\":true,"
                                                      "\"allow_subscribe_for_client\":true,"
                                                      "\"allow_subscribe_for_anonymous\":true}}"});
    return 0;
}

static int setup(void **state)
{
    return set_up_with(state, PATIENT);
}

static int setup_anonymous(void **state)
{
    return set_up_with(state, ANONYMOUS);
}

static int setup_quick(void **state)
{
    return set_up_with(state, QUICK);
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static enum status connect_with(struct peer *p, const char *claims, struct connect_result *result)
{
    char *token = make_token(claims, KEY);
    struct connect_answer a = connect_with_token(p, token);
    *result = a.result;
    free(token);
    return a.status;
}

static enum status refresh_with(struct peer *p, const char *claims, struct connect_result *result)
{
    char *token = make_token(claims, KEY);
    struct connect_answer a = refresh_with_token(p, token);
    *result = a.result;
    free(token);
    return a.status;
}

static const char *claims_until(const char *user, int64_t seconds_from_now)
{
    static char claims[100];
    snprintf(claims, sizeof(claims), "{\"sub\":\"%s\",\"exp\":%lld}", user,
             (long long)(clock_wall_ms() / 1000 + seconds_from_now));
    return claims;
}

/* --- connect --- */

static void without_a_token_nobody_comes_in(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_open(&p, w);
    assert_int_equal(connect_with_token(&p, "").status, STATUS_CLOSED);
    assert_ptr_equal(p.why, &disconnect_bad_request);
    assert_false(client_is_connected(p.client));
    assert_true(client_is_leaving(p.client));
    peer_release(&p);
}

static void without_a_token_as_anonymous(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_open(&p, w);
    assert_false(client_is_connected(p.client));
    struct connect_answer a = connect_with_token(&p, "");
    assert_int_equal(a.status, STATUS_OK);
    assert_false(a.result.expires);
    assert_int_equal(a.result.ttl_s, 0);
    assert_int_equal(a.result.n_subs, 0);
    assert_true(client_is_connected(p.client));
    assert_int_equal(client_user(p.client).len, 0);
    assert_ptr_equal(client_hub(p.client), w->hub);
    peer_release(&p);
}

static void the_token_says_who_it_is(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct connect_result result;
    peer_open(&p, w);
    assert_int_equal(connect_with(&p, "{\"sub\":\"a\\\"b\",\"info\":{\"n\":1.10}}", &result),
                     STATUS_OK);
    assert_false(result.expires);
    assert_true(str_eq(client_user(p.client), STR("a\"b")));
    char uuid[RNG_UUID_SIZE];
    char expected[200];
    client_id(p.client, uuid);
    assert_int_equal(strlen(uuid), 36);
    assert_int_equal(uuid[14], '4');
    assert_non_null(strchr("89ab", uuid[19]));
    snprintf(expected, sizeof(expected),
             "{\"user\":\"a\\\"b\",\"client\":\"%s\",\"conn_info\":{\"n\":1.10}}", uuid);
    struct buf info;
    buf_init(&info, 1000);
    client_append_info(p.client, NULL, &info);
    assert_true(str_eq(buf_str(&info), str_of(expected)));
    buf_release(&info);
    peer_release(&p);
}

static void wrong_and_old_tokens(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct connect_result result;
    peer_open(&p, w);
    assert_int_equal(connect_with(&p, "{\"sub\":\"u\",\"exp\":1}", &result), STATUS_EXPIRED);
    assert_int_equal(p.n_closes, 0); /* it may come with a new one on another connection */
    assert_false(client_is_connected(p.client));
    assert_int_equal(connect_with_token(&p, "no.such.token").status, STATUS_CLOSED);
    assert_ptr_equal(p.why, &disconnect_invalid_token);
    peer_release(&p);
}

static void a_hub_that_stops_takes_nobody(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_open(&p, w);
    hub_stop(w->hub);
    assert_int_equal(connect_with_token(&p, "").status, STATUS_CLOSED);
    assert_ptr_equal(p.why, &disconnect_shutdown);
    peer_release(&p);
}

/* --- refresh and expiry --- */

static void a_token_tells_its_time(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct connect_result result;
    peer_open(&p, w);
    assert_int_equal(connect_with(&p, claims_until("u", 1000), &result), STATUS_OK);
    assert_true(result.expires);
    assert_in_range(result.ttl_s, 1, 1000);
    assert_int_equal(refresh_with(&p, claims_until("u", 5000), &result), STATUS_OK);
    assert_true(result.expires);
    assert_in_range(result.ttl_s, 1001, 5000);
    assert_int_equal(refresh_with(&p, "{\"sub\":\"u\"}", &result), STATUS_OK);
    assert_false(result.expires);
    assert_int_equal(result.ttl_s, 0);
    assert_int_equal(p.n_closes, 0);
    peer_release(&p);
}

static void check_refresh_refused(struct world *w, const char *claims, const struct disconnect *why)
{
    struct peer p;
    struct connect_result result;
    peer_open(&p, w);
    assert_int_equal(connect_with(&p, claims_until("u", 1000), &result), STATUS_OK);
    enum status status =
        claims ? refresh_with(&p, claims, &result) : refresh_with_token(&p, "").status;
    assert_int_equal(status, STATUS_CLOSED);
    assert_ptr_equal(p.why, why);
    assert_int_equal(p.n_closes, 1);
    peer_release(&p);
}

static void refreshes_that_end_the_connection(void **state)
{
    check_refresh_refused(*state, NULL, &disconnect_bad_request);
    check_refresh_refused(*state, "{\"sub\":\"u\",\"exp\":1}", &disconnect_expired);
    check_refresh_refused(*state, "{\"sub\":\"other\"}", &disconnect_invalid_token);
    check_refresh_refused(*state, "{}", &disconnect_invalid_token);
    check_refresh_refused(*state, "{\"sub\":1}", &disconnect_invalid_token);
}

static void a_time_beyond_all_clocks(void **state)
{
    struct world *w = *state;
    static const char *const claims[] = {"{\"exp\":9223372036854775807}",
                                         "{\"exp\":9223372036854775}", "{\"exp\":9223372036854776}",
                                         "{\"exp\":253402300799}"};
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        struct peer p;
        struct connect_result result;
        peer_open(&p, w);
        assert_int_equal(connect_with(&p, claims[i], &result), STATUS_OK);
        world_turn(w);
        assert_int_equal(p.n_closes, 0);
        peer_release(&p);
    }
}

static void an_expired_connection_ends(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct connect_result result;
    peer_open(&p, w);
    int64_t exp_ms = (clock_wall_ms() / 1000 + 2) * 1000;
    assert_int_equal(connect_with(&p, claims_until("u", 2), &result), STATUS_OK);
    WAIT_FOR(w, p.n_closes > 0);
    assert_true(clock_wall_ms() >= exp_ms - 1);
    assert_ptr_equal(p.why, &disconnect_expired);
    peer_release(&p);
}

/* --- queue --- */

static void send_text(struct peer *p, const char *text)
{
    client_send(p->client, str_of(text));
}

static void what_cannot_be_sent_waits_in_order(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    send_text(&p, "a");
    p.is_blocked = true;
    send_text(&p, "b");
    struct frame *frame = frame_create(STR("c"));
    assert_non_null(frame);
    client_send_frame(p.client, frame);
    frame_unref(frame);
    p.is_blocked = false; /* not flushed yet: what comes now may not overtake */
    send_text(&p, "d");
    frame = frame_create(STR("e"));
    client_send_frame(p.client, frame);
    frame_unref(frame);
    assert_string_equal(peer_text(&p), "a\n");
    assert_true(peer_unblock(&p));
    assert_string_equal(peer_text(&p), "a\nb|c|d|e\n");
    send_text(&p, "f");
    assert_string_equal(peer_text(&p), "a\nb|c|d|e\nf\n");
    assert_true(peer_unblock(&p)); /* nothing waits */
    peer_release(&p);
}

static void flushing_stops_where_the_transport_does(void **state)
{
    struct world *w = *state;
    struct peer p;
    char large[400];
    w->client_options.queue_max_size = 10000000;
    peer_connect(&p, w);
    p.is_blocked = true;
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    for (int i = 0; i < 400; i++) { /* 160 kB: more than one joined message */
        large[0] = (char)('a' + i % 26);
        send_text(&p, large);
    }
    size_t n_flushes = 1;
    for (p.room = 1; !peer_unblock(&p); p.room = 1) {
        assert_true(p.is_blocked);
        assert_int_equal(p.n_messages, n_flushes++);
    }
    assert_int_equal(p.n_messages, n_flushes);
    assert_true(n_flushes >= 3);
    assert_int_equal(p.received.len, 400 * 400);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(p.received.ptr[400 * i], 'a' + i % 26);
    }
    peer_release(&p);
}

static void too_much_waiting_is_slow(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct hub_stats stats;
    char text[257];
    peer_connect(&p, w);
    assert_int_equal(subscribe(&p, "room").status, STATUS_OK);
    memset(text, 'x', 256);
    text[256] = '\0';
    p.is_blocked = true;
    for (int i = 0; i < 4; i++) { /* exactly the limit */
        send_text(&p, text);
    }
    assert_int_equal(p.n_closes, 0);
    send_text(&p, "x");
    assert_ptr_equal(p.why, &disconnect_slow);
    assert_int_equal(p.n_closes, 1);
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_subscriptions, 0);
    assert_int_equal(stats.n_slow, 1);
    send_text(&p, "y");
    assert_int_equal(p.n_closes, 1);
    assert_true(peer_unblock(&p)); /* what waited is gone */
    assert_int_equal(p.n_messages, 0);
    peer_release(&p);
}

static void one_message_beyond_the_limit(void **state)
{
    struct world *w = *state;
    struct peer p;
    char text[2000];
    memset(text, 'x', 1999);
    text[1999] = '\0';
    peer_connect(&p, w);
    send_text(&p, text); /* the limit is for what waits */
    assert_int_equal(p.n_messages, 1);
    p.is_blocked = true;
    send_text(&p, text);
    assert_ptr_equal(p.why, &disconnect_slow);
    peer_release(&p);
}

static void what_waits_is_flushed_before_a_close(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    p.is_blocked = true;
    send_text(&p, "last words");
    client_disconnect(p.client, &disconnect_bad_request);
    client_disconnect(p.client, &disconnect_stale);
    assert_ptr_equal(p.why, &disconnect_bad_request);
    assert_int_equal(p.n_closes, 1);
    send_text(&p, "too late");
    assert_true(peer_unblock(&p));
    assert_string_equal(peer_text(&p), "last words\n");
    peer_release(&p);
}

/* --- cork --- */

static void a_cork_makes_one_message(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct peer other;
    peer_connect(&p, w);
    peer_connect(&other, w);
    client_cork(p.client);
    send_text(&p, "a");
    send_text(&other, "x"); /* only one client is corked */
    struct frame *frame = frame_create(STR("b"));
    client_send_frame(p.client, frame);
    frame_unref(frame);
    send_text(&p, "c");
    assert_int_equal(p.n_messages, 0);
    assert_string_equal(peer_text(&other), "x\n");
    client_uncork(p.client);
    assert_string_equal(peer_text(&p), "a|b|c\n");
    client_uncork(p.client); /* nothing happens */
    client_cork(other.client);
    client_uncork(other.client); /* nothing was written */
    assert_int_equal(p.n_messages, 1);
    assert_int_equal(other.n_messages, 1);
    peer_release(&p);
    peer_release(&other);
}

static void a_cork_keeps_the_queues_order(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    p.is_blocked = true;
    send_text(&p, "a");
    client_cork(p.client);
    send_text(&p, "b");
    p.is_blocked = false;
    client_uncork(p.client);
    assert_int_equal(p.n_messages, 0);
    assert_true(peer_unblock(&p));
    assert_string_equal(peer_text(&p), "a|b\n");
    client_cork(p.client);
    send_text(&p, "c");
    p.is_blocked = true;
    client_uncork(p.client);
    send_text(&p, "d");
    assert_true(peer_unblock(&p));
    assert_string_equal(peer_text(&p), "a|b\nc|d\n");
    peer_release(&p);
}

static void replies_before_a_disconnect_still_go(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    client_cork(p.client);
    send_text(&p, "a");
    client_disconnect(p.client, &disconnect_bad_request);
    send_text(&p, "b");
    client_uncork(p.client);
    assert_string_equal(peer_text(&p), "a\n");
    peer_release(&p);
}

static void destroyed_while_corked(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct peer other;
    peer_connect(&p, w);
    peer_connect(&other, w);
    client_cork(p.client);
    send_text(&p, "a");
    peer_leave(&p);
    client_cork(other.client);
    send_text(&other, "x");
    client_uncork(other.client);
    assert_string_equal(peer_text(&other), "x\n");
    peer_release(&p);
    peer_release(&other);
}

/* --- deadlines --- */

static void who_never_connects_is_stale(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_open(&p, w);
    int64_t start_ms = clock_monotonic_ms();
    WAIT_FOR(w, p.n_closes > 0);
    assert_true(clock_monotonic_ms() - start_ms >= 49);
    assert_ptr_equal(p.why, &disconnect_stale);
    peer_release(&p);
}

static void pings_go_on_while_pongs_come(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    int64_t start_us = clock_monotonic_us();
    assert_int_equal(client_pong(p.client), STATUS_INVALID);
    for (size_t i = 1; i <= 3; i++) {
        WAIT_FOR(w, p.n_messages == i || p.n_closes > 0);
        assert_int_equal(p.n_closes, 0);
        int64_t least_ms = 50 + 100 * ((int64_t)i - 1) - 2 * (int64_t)i;
        assert_true(clock_monotonic_us() - start_us >= least_ms * 1000);
        assert_true(client_is_connected(p.client));
        assert_int_equal(client_pong(p.client), STATUS_OK);
        assert_int_equal(client_pong(p.client), STATUS_INVALID);
    }
    assert_string_equal(peer_text(&p), "ping\nping\nping\n");
    peer_release(&p);
}

static void no_pong_ends_it(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    WAIT_FOR(w, p.n_closes > 0);
    assert_ptr_equal(p.why, &disconnect_no_pong);
    assert_string_equal(peer_text(&p), "ping\n");
    assert_int_equal(client_pong(p.client), STATUS_INVALID);
    peer_release(&p);
}

/* A ping that cannot even be queued: the client is sent away from inside its own deadline. */
static void a_ping_beyond_the_queues_limit(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    p.is_blocked = true;
    w->client_options.queue_max_size = 3;
    WAIT_FOR(w, p.n_closes > 0);
    assert_ptr_equal(p.why, &disconnect_slow);
    peer_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_token_nobody_comes_in, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_token_as_anonymous, setup_anonymous, teardown),
        cmocka_unit_test_setup_teardown(the_token_says_who_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_and_old_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hub_that_stops_takes_nobody, setup_anonymous, teardown),
        cmocka_unit_test_setup_teardown(a_token_tells_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(refreshes_that_end_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(an_expired_connection_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_sent_waits_in_order, setup_anonymous,
                                        teardown),
        cmocka_unit_test_setup_teardown(flushing_stops_where_the_transport_does, setup_anonymous,
                                        teardown),
        cmocka_unit_test_setup_teardown(too_much_waiting_is_slow, setup_anonymous, teardown),
        cmocka_unit_test_setup_teardown(one_message_beyond_the_limit, setup_anonymous, teardown),
        cmocka_unit_test_setup_teardown(what_waits_is_flushed_before_a_close, setup_anonymous,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_cork_makes_one_message, setup_anonymous, teardown),
        cmocka_unit_test_setup_teardown(a_cork_keeps_the_queues_order, setup_anonymous, teardown),
        cmocka_unit_test_setup_teardown(replies_before_a_disconnect_still_go, setup_anonymous,
                                        teardown),
        cmocka_unit_test_setup_teardown(destroyed_while_corked, setup_anonymous, teardown),
        cmocka_unit_test_setup_teardown(who_never_connects_is_stale, setup_quick, teardown),
        cmocka_unit_test_setup_teardown(pings_go_on_while_pongs_come, setup_quick, teardown),
        cmocka_unit_test_setup_teardown(no_pong_ends_it, setup_quick, teardown),
        cmocka_unit_test_setup_teardown(a_ping_beyond_the_queues_limit, setup_quick, teardown),
        cmocka_unit_test_setup_teardown(a_time_beyond_all_clocks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
