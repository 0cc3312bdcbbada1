/* SPDX-License-Identifier: MIT */
/* Whatever is counted comes under one of the values that labels may have. */
#include "hub/traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void known_codes_have_places_of_their_own(void **state)
{
    (void)state;
    struct traffic t = {0};
    for (size_t i = 0; i < N_CLOSE_CODES - 1; i++) {
        traffic_closed(&t, TRANSPORT_SSE, traffic_close_codes[i]);
        assert_int_equal(t.n_closes[TRANSPORT_SSE][i], 1);
    }
    for (size_t i = 0; i < N_REPLY_CODES - 1; i++) {
        traffic_error(&t, COMMAND_RPC, traffic_reply_codes[i]);
        assert_int_equal(t.n_errors[COMMAND_RPC][i], 1);
    }
    for (size_t i = 0; i < N_UNSUBSCRIBE_CODES - 1; i++) {
        traffic_unsubscribed(&t, traffic_unsubscribe_codes[i]);
        assert_int_equal(t.n_unsubscribes[i], 1);
    }
}

static void other_codes_are_one(void **state)
{
    (void)state;
    struct traffic t = {0};
    static const uint32_t codes[] = {0, 1, 4000, 4999, UINT32_MAX, 65536 + 3001};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        traffic_closed(&t, TRANSPORT_WEBSOCKET, codes[i]);
        traffic_error(&t, COMMAND_PUBLISH, codes[i]);
        traffic_unsubscribed(&t, codes[i]);
        assert_int_equal(t.n_closes[TRANSPORT_WEBSOCKET][N_CLOSE_CODES - 1], i + 1);
        assert_int_equal(t.n_errors[COMMAND_PUBLISH][N_REPLY_CODES - 1], i + 1);
        assert_int_equal(t.n_unsubscribes[N_UNSUBSCRIBE_CODES - 1], i + 1);
    }
}

/* What the peer did is not counted as the hub's doing. */
static void a_peer_that_closes_is_not_sent_away(void **state)
{
    (void)state;
    struct traffic t = {0};
    traffic_closed(&t, TRANSPORT_WEBSOCKET, 1000);
    traffic_closed(&t, TRANSPORT_WEBSOCKET, 1006);
    for (size_t i = 0; i < N_CLOSE_CODES; i++) {
        assert_int_equal(t.n_closes[TRANSPORT_WEBSOCKET][i], 0);
    }
}

/* The hub never uses a code that would be counted as another's. */
static void all_codes_of_the_hub_are_known(void **state)
{
    (void)state;
    static const struct disconnect *const all[] = {
        &disconnect_shutdown,
        &disconnect_max_lifetime,
        &disconnect_internal_error,
        &disconnect_expired,
        &disconnect_subscription_expired,
        &disconnect_slow,
        &disconnect_insufficient_state,
        &disconnect_no_pong,
        &disconnect_too_many_requests,
        &disconnect_invalid_token,
        &disconnect_bad_request,
        &disconnect_stale,
        &disconnect_forced,
        &disconnect_connection_limit,
        &disconnect_channel_limit,
        &disconnect_permission_denied,
        &disconnect_not_available,
    };
    struct traffic t = {0};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        traffic_closed(&t, TRANSPORT_WEBSOCKET, all[i]->code);
    }
    assert_int_equal(t.n_closes[TRANSPORT_WEBSOCKET][N_CLOSE_CODES - 1], 0);
    traffic_unsubscribed(&t, unsubscribe_by_server.code);
    traffic_unsubscribed(&t, unsubscribe_insufficient_state.code);
    traffic_unsubscribed(&t, unsubscribe_expired.code);
    assert_int_equal(t.n_unsubscribes[N_UNSUBSCRIBE_CODES - 1], 0);
}

static void names_of_libraries_are_known_and_others_are_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < N_CLIENT_NAMES; i++) {
        assert_int_equal(traffic_client_name(str_of(traffic_client_names[i])), i);
    }
    assert_string_equal(traffic_client_names[N_CLIENT_NAMES - 1], "other");
    assert_int_equal(traffic_client_name(STR_EMPTY), N_CLIENT_NAMES - 1);
    assert_int_equal(traffic_client_name(STR("JS")), N_CLIENT_NAMES - 1);
    assert_int_equal(traffic_client_name(STR("j")), N_CLIENT_NAMES - 1);
    assert_int_equal(traffic_client_name(STR("js\0")), N_CLIENT_NAMES - 1);
}

static void everything_has_a_name(void **state)
{
    (void)state;
    for (enum client_command command = 0; command < N_CLIENT_COMMANDS; command++) {
        assert_true(client_command_name(command)[0] != '\0');
    }
    for (enum transport_kind kind = 0; kind < N_TRANSPORT_KINDS; kind++) {
        assert_true(transport_kind_name(kind)[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_codes_have_places_of_their_own),
        cmocka_unit_test(other_codes_are_one),
        cmocka_unit_test(a_peer_that_closes_is_not_sent_away),
        cmocka_unit_test(all_codes_of_the_hub_are_known),
        cmocka_unit_test(names_of_libraries_are_known_and_others_are_one),
        cmocka_unit_test(everything_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
