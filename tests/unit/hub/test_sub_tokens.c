/* SPDX-License-Identifier: MIT */
/* Who may subscribe to what: subscription tokens, what they grant and when they end, users in the
 * name of a channel, private channels, and the flags of presence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hub/client_internal.h"
#include "tests/unit/hub/token_maker.h"
#include "tests/unit/hub/world.h"

#define KEY    "secret"
#define OPEN   "\"allow_subscribe_for_client\":true,\"allow_subscribe_for_anonymous\":true"
#define CLIENT "\"token\":{\"hmac_secret_key\":\"" KEY "\"},\"expired_sub_close_delay\":\"0s\""
#define CHANNELS                                                                                   \
    "\"without_namespace\":{" OPEN "},\"namespaces\":["                                            \
    "{\"name\":\"shut\"},"                                                                         \
    "{\"name\":\"lim\",\"allow_user_limited_channels\":true," OPEN "},"                            \
    "{\"name\":\"users\",\"allow_user_limited_channels\":true},"                                   \
    "{\"name\":\"rec\",\"history_size\":10,\"history_ttl\":\"1h\"},"                               \
    "{\"name\":\"here\",\"presence\":true,\"allow_presence_for_client\":true," OPEN "},"           \
    "{\"name\":\"told\",\"presence\":true,\"join_leave\":true," OPEN "},"                          \
    "{\"name\":\"asks\",\"presence\":true,\"join_leave\":true,"                                    \
    "\"allow_presence_for_client\":true," OPEN "},"                                                \
    "{\"name\":\"loud\",\"join_leave\":true,\"force_push_join_leave\":true," OPEN "}]"

static int set_up_with(void **state, const char *client, const char *channel)
{
    *state = world_create(&(struct world_options){.client = client, .channel = channel});
    return 0;
}

static int setup(void **state)
{
    return set_up_with(state, "{" CLIENT "}", "{" CHANNELS "}");
}

static int setup_two_keys(void **state)
{
    return set_up_with(state,
                       "{" CLIENT ",\"subscription_token\":{\"enabled\":true,"
                       "\"hmac_secret_key\":\"another\"}}",
                       "{" CHANNELS "}");
}

static int setup_other_boundaries(void **state)
{
    return set_up_with(state, "{" CLIENT "}",
                       "{\"private_prefix\":\"!!\",\"namespace_boundary\":\"/\","
                       "\"user_boundary\":\"@@\",\"user_separator\":\"|\"," CHANNELS "}");
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

/* user: NULL for nobody, who has a token as well. */
static void open_as(struct peer *p, struct world *w, const char *user)
{
    char claims[100];
    snprintf(claims, sizeof(claims), "{\"sub\":\"%s\"}", user ? user : "");
    char *token = make_token(claims, KEY);
    peer_open(p, w);
    REQUIRE(connect_with_token(p, token).status == STATUS_OK);
    free(token);
    peer_forget(p);
}

static struct subscribe_answer subscribe_by(struct peer *p, const char *channel, const char *claims,
                                            const char *key)
{
    char *token = make_token(claims, key);
    struct subscribe_request request = {.channel = str_of(channel), .token = str_of(token)};
    struct subscribe_answer a = subscribe_with(p, &request);
    free(token);
    return a;
}

static struct subscribe_answer refresh_sub(struct peer *p, const char *channel, const char *token)
{
    struct subscribe_answer a = {.is_done = false};
    client_sub_refresh(p->client, str_of(channel), str_of(token), subscribe_answered, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(p->world, a.is_done);
    return a;
}

static const struct subscription *subscription_of(struct peer *p, const char *channel)
{
    const struct subscription *s = client_subscription_named(p->client, str_of(channel));
    REQUIRE(s);
    return s;
}

static const char *claims_until(const char *channel, int64_t seconds_from_now)
{
    static char claims[200];
    snprintf(claims, sizeof(claims), "{\"sub\":\"u\",\"channel\":\"%s\",\"exp\":%lld}", channel,
             (long long)(clock_wall_ms() / 1000 + seconds_from_now));
    return claims;
}

/* --- a token is enough, if it is the right one --- */

static void a_token_opens_its_channel(void **state)
{
    struct world *w = *state;
    struct peer p;
    open_as(&p, w, "u");
    static const char *const names[] = {"shut:a", "$a", "$shut:b", "users:d#7"};
    for (int i = 0; i < 4; i++) {
        char claims[100];
        snprintf(claims, sizeof(claims), "{\"sub\":\"u\",\"channel\":\"%s\"}", names[i]);
        assert_int_equal(subscribe(&p, names[i]).status, STATUS_DENIED);
        struct subscribe_answer a = subscribe_by(&p, names[i], claims, KEY);
        assert_int_equal(a.status, STATUS_OK);
        assert_false(a.result.expires);
        assert_int_equal(a.result.data.len, 0);
    }
    assert_int_equal(
        subscribe_by(&p, "shut:a", "{\"sub\":\"u\",\"channel\":\"shut:a\"}", KEY).status,
        STATUS_ALREADY);
    assert_int_equal(
        subscribe_by(&p, "nope:a", "{\"sub\":\"u\",\"channel\":\"nope:a\"}", KEY).status,
        STATUS_UNKNOWN_CHANNEL);
    assert_int_equal(p.n_closes, 0);
    peer_release(&p);
    open_as(&p, w, NULL);
    assert_int_equal(subscribe_by(&p, "$a", "{\"sub\":\"\",\"channel\":\"$a\"}", KEY).status,
                     STATUS_OK);
    assert_int_equal(subscribe_by(&p, "$b", "{\"channel\":\"$b\"}", KEY).status, STATUS_OK);
    peer_release(&p);
}

static void check_sent_away(struct world *w, const char *user, const char *claims)
{
    struct peer p;
    open_as(&p, w, user);
    assert_int_equal(subscribe_by(&p, "shut:a", claims, KEY).status, STATUS_CLOSED);
    assert_ptr_equal(p.why, &disconnect_invalid_token);
    assert_int_equal(p.n_closes, 1);
    peer_release(&p);
}

static void check_refresh_ends(struct world *w, const char *claims, const char *key)
{
    struct peer p;
    char *token = make_token(claims, key);
    open_as(&p, w, "u");
    assert_int_equal(subscribe_by(&p, "shut:a", claims_until("shut:a", 100), KEY).status,
                     STATUS_OK);
    assert_int_equal(refresh_sub(&p, "shut:a", token).status, STATUS_CLOSED);
    assert_ptr_equal(p.why, &disconnect_invalid_token);
    assert_int_equal(stats_of(w).n_subscriptions, 0);
    free(token);
    peer_release(&p);
}

static void anothers_token_ends_the_connection(void **state)
{
    struct world *w = *state;
    check_sent_away(w, "u", "{\"sub\":\"u\",\"channel\":\"shut:b\"}");
    check_sent_away(w, "u", "{\"sub\":\"u\",\"channel\":\"shut:a \"}");
    check_sent_away(w, "u", "{\"sub\":\"v\",\"channel\":\"shut:a\"}");
    check_sent_away(w, "u", "{\"channel\":\"shut:a\"}");
    check_sent_away(w, NULL, "{\"sub\":\"u\",\"channel\":\"shut:a\"}");
    assert_int_equal(stats_of(w).n_channels, 0);
}

static void a_token_of_one_connection(void **state)
{
    struct world *w = *state;
    struct peer p;
    char uuid[RNG_UUID_SIZE];
    char claims[200];
    open_as(&p, w, "u");
    client_id(p.client, uuid);
    snprintf(claims, sizeof(claims), "{\"sub\":\"u\",\"channel\":\"shut:a\",\"client\":\"%s\"}",
             uuid);
    assert_int_equal(subscribe_by(&p, "shut:a", claims, KEY).status, STATUS_OK);
    char *token = make_token(claims, KEY);
    assert_int_equal(refresh_sub(&p, "shut:a", token).status, STATUS_OK);
    free(token);
    peer_release(&p);
    check_sent_away(w, "u", claims);
    check_refresh_ends(w, claims, KEY);
}

static void tokens_that_are_none(void **state)
{
    struct world *w = *state;
    struct peer p;
    open_as(&p, w, "u");
    static const char good[] = "{\"sub\":\"u\",\"channel\":\"shut:a\"}";
    assert_int_equal(subscribe_by(&p, "shut:a", good, "wrong").status, STATUS_DENIED);
    assert_int_equal(subscribe_by(&p, "shut:a", "{\"sub\":\"u\"}", KEY).status, STATUS_DENIED);
    assert_int_equal(
        subscribe_by(&p, "shut:a", "{\"sub\":\"u\",\"channel\":\"shut:a\",\"exp\":1}", KEY).status,
        STATUS_EXPIRED);
    assert_int_equal(
        subscribe_by(&p, "shut:a", "{\"sub\":\"u\",\"channel\":\"shut:a\",\"expire_at\":1}", KEY)
            .status,
        STATUS_OVER);
    struct subscribe_request request = {.channel = STR("a"), .token = STR("no.such.token")};
    assert_int_equal(subscribe_with(&p, &request).status, STATUS_DENIED); /* though it is open */
    assert_int_equal(p.n_closes, 0);
    assert_int_equal(stats_of(w).n_channels, 0);
    peer_release(&p);
}

static void keys_of_their_own(void **state)
{
    struct world *w = *state;
    struct peer p;
    static const char claims[] = "{\"sub\":\"u\",\"channel\":\"shut:a\"}";
    open_as(&p, w, "u");
    assert_int_equal(subscribe_by(&p, "shut:a", claims, KEY).status, STATUS_DENIED);
    assert_int_equal(subscribe_by(&p, "shut:a", claims, "another").status, STATUS_OK);
    peer_release(&p);
}

static void gone_while_the_token_is_verified(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 2; i++) {
        struct peer p;
        struct subscribe_answer a[2] = {{.is_done = false}, {.is_done = false}};
        char *token = make_token("{\"sub\":\"u\",\"channel\":\"rec:a\"}", KEY);
        struct subscribe_request request = {.channel = STR("rec:a"), .token = str_of(token)};
        open_as(&p, w, "u");
        assert_int_equal(subscribe(&p, "a").status, STATUS_OK);
        client_subscribe(p.client, &request, subscribe_answered, &a[0]);
        client_sub_refresh(p.client, STR("a"), str_of(token), subscribe_answered, &a[1]);
        free(token);
        if (i == 0) {
            peer_leave(&p);
        } else {
            client_disconnect(p.client, &disconnect_stale);
        }
        WAIT_FOR(w, a[0].is_done && a[1].is_done);
        assert_int_equal(a[0].status, STATUS_CLOSED);
        assert_int_equal(a[1].status, STATUS_CLOSED);
        peer_release(&p);
        WAIT_FOR(w, hub_is_idle(w->hub));
    }
}

/* --- what it grants --- */

struct data_answer {
    struct subscribe_answer answer;
    char data[50];
};

static void note_data(void *arg, enum status status, const struct client_error *error,
                      const struct subscribe_result *result)
{
    struct data_answer *d = arg;
    REQUIRE(result);
    snprintf(d->data, sizeof(d->data), "%.*s", STR_ARG(result->data));
    subscribe_answered(&d->answer, status, error, result);
}

static void data_and_info(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct data_answer d = {.data = ""};
    struct buf info;
    char *token = make_token("{\"sub\":\"u\",\"channel\":\"here:a\",\"data\":{\"a\":\n1.10},"
                             "\"b64info\":\"eyJiIjoyfQ==\"}",
                             KEY);
    open_as(&p, w, "u");
    client_subscribe(p.client,
                     &(struct subscribe_request){.channel = STR("here:a"), .token = str_of(token)},
                     note_data, &d);
    free(token);
    WAIT_FOR(w, d.answer.is_done);
    assert_string_equal(d.data, "{\"a\":1.10}");
    buf_init(&info, 1000);
    client_append_info(p.client, channel_find(w->hub, STR("here:a")), &info);
    client_append_info(p.client, NULL, &info);
    buf_append_char(&info, '\0');
    assert_non_null(strstr(info.ptr, ",\"chan_info\":{\"b\":2}}{\"user\":\"u\""));
    assert_null(strstr(strstr(info.ptr, "}}{"), "chan_info")); /* it is of this channel only */
    buf_release(&info);
    peer_release(&p);
}

static void check_overrides(struct world *w, const char *override, bool positioned,
                            bool recoverable, bool present)
{
    struct peer p;
    char claims[300];
    open_as(&p, w, "u");
    snprintf(claims, sizeof(claims), "{\"sub\":\"u\",\"channel\":\"rec:a\",\"override\":{%s}}",
             override);
    struct subscribe_answer a = subscribe_by(&p, "rec:a", claims, KEY);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.result.positioned, positioned);
    assert_int_equal(a.result.recoverable, recoverable);
    const struct subscription *s = subscription_of(&p, "rec:a");
    assert_int_equal(s->is_positioned, positioned);
    assert_int_equal(s->is_present, present);
    peer_release(&p);
}

static void overrides_of_the_namespace(void **state)
{
    struct world *w = *state;
    check_overrides(w, "", false, false, false);
    check_overrides(w, "\"force_positioning\":{\"value\":true}", true, false, false);
    check_overrides(w, "\"force_recovery\":{\"value\":true}", true, true, false);
    check_overrides(w, "\"force_recovery\":{\"value\":false}", false, false, false);
    check_overrides(w, "\"presence\":{\"value\":true}", false, false, true);
    /* where nothing is kept there is nothing to count */
    struct peer p;
    open_as(&p, w, "u");
    struct subscribe_answer a =
        subscribe_by(&p, "a",
                     "{\"sub\":\"u\",\"channel\":\"a\",\"override\":{\"force_recovery\":"
                     "{\"value\":true},\"force_positioning\":{\"value\":true}}}",
                     KEY);
    assert_int_equal(a.status, STATUS_OK);
    assert_false(a.result.positioned);
    assert_false(a.result.recoverable);
    peer_release(&p);
}

/* --- its end --- */

static void a_subscription_ends_with_its_token(void **state)
{
    struct world *w = *state;
    struct peer p;
    open_as(&p, w, "u");
    struct subscribe_answer a = subscribe_by(&p, "shut:a", claims_until("shut:a", 2), KEY);
    assert_true(a.result.expires);
    assert_in_range(a.result.ttl_s, 1, 2);
    assert_int_equal(subscribe_by(&p, "shut:b", claims_until("shut:b", 100), KEY).status,
                     STATUS_OK);
    WAIT_FOR(w, p.n_messages > 0);
    assert_string_equal(peer_text(&p), "shut:a ends 2501\n");
    assert_int_equal(p.n_closes, 0);
    assert_int_equal(stats_of(w).n_subscriptions, 1);
    a = subscribe_by(&p, "shut:a", claims_until("shut:a", 100), KEY);
    assert_int_equal(a.status, STATUS_OK);
    assert_in_range(a.result.ttl_s, 98, 100);
    peer_release(&p);
}

static void times_beyond_all_clocks(void **state)
{
    struct world *w = *state;
    static const char *const ends[] = {"9223372036854775807", "9223372036854775", "4294967296"};
    for (int i = 0; i < 3; i++) {
        struct peer p;
        char claims[200];
        open_as(&p, w, "u");
        snprintf(claims, sizeof(claims), "{\"sub\":\"u\",\"channel\":\"shut:a\",\"exp\":%s}",
                 ends[i]);
        struct subscribe_answer a = subscribe_by(&p, "shut:a", claims, KEY);
        assert_int_equal(a.status, STATUS_OK);
        assert_in_range(a.result.ttl_s, 1000000, UINT32_MAX);
        world_turn(w);
        assert_int_equal(p.n_messages, 0);
        peer_release(&p);
    }
}

static void a_new_token_in_time(void **state)
{
    struct world *w = *state;
    struct peer p;
    open_as(&p, w, "u");
    assert_int_equal(subscribe_by(&p, "shut:a", claims_until("shut:a", 2), KEY).status, STATUS_OK);
    assert_int_equal(subscribe_by(&p, "shut:b", claims_until("shut:b", 2), KEY).status, STATUS_OK);
    assert_int_equal(subscribe_by(&p, "shut:c", claims_until("shut:c", 3), KEY).status, STATUS_OK);
    char *token = make_token(claims_until("shut:a", 1000), KEY);
    struct subscribe_answer a = refresh_sub(&p, "shut:a", token);
    free(token);
    assert_int_equal(a.status, STATUS_OK);
    assert_true(a.result.expires);
    assert_in_range(a.result.ttl_s, 998, 1000);
    token = make_token("{\"sub\":\"u\",\"channel\":\"shut:b\"}", KEY); /* without an end */
    a = refresh_sub(&p, "shut:b", token);
    free(token);
    assert_int_equal(a.status, STATUS_OK);
    assert_false(a.result.expires);
    WAIT_FOR(w, p.n_messages > 0); /* the other two would have ended before */
    assert_string_equal(peer_text(&p), "shut:c ends 2501\n");
    assert_int_equal(stats_of(w).n_subscriptions, 2);
    peer_release(&p);
}

static void refreshes_that_are_refused(void **state)
{
    struct world *w = *state;
    struct peer p;
    char *good = make_token(claims_until("shut:a", 100), KEY);
    char *over = make_token(claims_until("shut:a", -10), KEY);
    open_as(&p, w, "u");
    assert_int_equal(refresh_sub(&p, "shut:a", good).status, STATUS_DENIED); /* not subscribed */
    assert_int_equal(refresh_sub(&p, "", good).status, STATUS_DENIED);
    assert_int_equal(refresh_sub(&p, "nope:a", "").status, STATUS_DENIED);
    assert_int_equal(subscribe_by(&p, "shut:a", claims_until("shut:a", 100), KEY).status,
                     STATUS_OK);
    assert_int_equal(refresh_sub(&p, "shut:a", "").status, STATUS_INVALID);
    assert_int_equal(refresh_sub(&p, "shut:a", over).status, STATUS_OVER);
    assert_int_equal(p.n_closes, 0);
    assert_int_equal(stats_of(w).n_subscriptions, 1);
    peer_release(&p);
    free(good);
    free(over);
    check_refresh_ends(w, "{\"sub\":\"u\",\"channel\":\"shut:b\"}", KEY);
    check_refresh_ends(w, "{\"sub\":\"v\",\"channel\":\"shut:a\"}", KEY);
    check_refresh_ends(w, "{\"sub\":\"u\"}", KEY);
    check_refresh_ends(w, "{\"sub\":\"u\",\"channel\":\"shut:a\"}", "wrong");
}

static void unsubscribed_while_the_new_token_is_verified(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct subscribe_answer a = {.is_done = false};
    char *token = make_token(claims_until("shut:a", 100), KEY);
    open_as(&p, w, "u");
    assert_int_equal(subscribe_by(&p, "shut:a", claims_until("shut:a", 100), KEY).status,
                     STATUS_OK);
    client_sub_refresh(p.client, STR("shut:a"), str_of(token), subscribe_answered, &a);
    free(token);
    assert_int_equal(client_unsubscribe(p.client, STR("shut:a")), STATUS_OK);
    WAIT_FOR(w, a.is_done);
    assert_int_equal(a.status, STATUS_DENIED);
    assert_int_equal(p.n_closes, 0);
    peer_release(&p);
}

/* --- users in the name --- */

static void check_may(struct world *w, const char *user, const char *channel, bool expected)
{
    struct peer p;
    open_as(&p, w, user);
    enum status status = subscribe(&p, channel).status;
    if (status != (expected ? STATUS_OK : STATUS_DENIED)) {
        fail_msg("%s, %s: %s", user ? user : "nobody", channel, status_name(status));
    }
    peer_release(&p);
}

static void channels_of_users(void **state)
{
    struct world *w = *state;
    check_may(w, "42", "users:dialog#42,567", true); /* nothing else would let them in */
    check_may(w, "567", "users:dialog#42,567", true);
    check_may(w, "4", "users:dialog#42,567", false);
    check_may(w, "2,5", "users:dialog#42,567", false);
    check_may(w, "42,567", "users:dialog#42,567", false);
    check_may(w, NULL, "users:dialog#42,567", false);
    check_may(w, NULL, "users:dialog#", false);
    check_may(w, NULL, "users:dialog#,42", false);
    check_may(w, "42", "users:a#7#42", true); /* behind the last one */
    check_may(w, "7", "users:a#7#42", false);
    check_may(w, "7", "lim:a#42", false); /* though everybody may subscribe here */
    check_may(w, "7", "lim:a", true);
    check_may(w, NULL, "lim:a", true);
    check_may(w, "7", "a#42", true); /* no users are known here */
    check_may(w, "42", "$users:a#42", false);
}

static void other_boundaries(void **state)
{
    struct world *w = *state;
    check_may(w, "42", "users/a@@42|7", true);
    check_may(w, "7", "users/a@@42|7", true);
    check_may(w, "42|7", "users/a@@42|7", false);
    check_may(w, "42", "users/a#42", false);
    check_may(w, "42", "!!a", false);
    check_may(w, "42", "$a", true);
    check_may(w, "42", "here:a", true); /* no namespace */
    check_may(w, "42", "!!lim/a", false);
    struct peer p;
    open_as(&p, w, "u");
    assert_int_equal(
        subscribe_by(&p, "!!shut/a", "{\"sub\":\"u\",\"channel\":\"!!shut/a\"}", KEY).status,
        STATUS_OK);
    assert_int_equal(subscribe(&p, "nope/a").status, STATUS_UNKNOWN_CHANNEL);
    peer_release(&p);
}

/* --- presence, coming and going --- */

static size_t n_present(struct world *w, const char *channel)
{
    size_t n_clients;
    size_t n_users;
    REQUIRE(hub_presence_stats(w->hub, str_of(channel), &n_clients, &n_users) == STATUS_OK);
    return n_clients;
}

static void who_is_there(void **state)
{
    struct world *w = *state;
    struct peer p[2];
    size_t n_clients;
    size_t n_users;
    open_as(&p[0], w, "u");
    open_as(&p[1], w, "u");
    assert_int_equal(subscribe(&p[0], "here:a").status, STATUS_OK);
    assert_int_equal(n_present(w, "here:a"), 1);
    struct subscribe_answer a = subscribe_by(
        &p[1], "here:a",
        "{\"sub\":\"u\",\"channel\":\"here:a\",\"override\":{\"presence\":{\"value\":false}}}",
        KEY);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(n_present(w, "here:a"), 1);
    assert_int_equal(client_unsubscribe(p[0].client, STR("here:a")), STATUS_OK);
    assert_int_equal(n_present(w, "here:a"), 0);
    a = subscribe_by(&p[0], "shut:a",
                     "{\"sub\":\"u\",\"channel\":\"shut:a\",\"override\":{\"presence\":"
                     "{\"value\":true}}}",
                     KEY);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(hub_presence_stats(w->hub, STR("shut:a"), &n_clients, &n_users),
                     STATUS_NOT_AVAILABLE); /* it is the namespace that says who may be asked */
    peer_release(&p[0]);
    peer_release(&p[1]);
}

static void check_flags(struct world *w, const char *channel, const char *override, bool asks,
                        bool tells_joins, bool has_joins)
{
    struct peer p;
    char claims[200];
    snprintf(claims, sizeof(claims), "{\"sub\":\"u\",\"channel\":\"%s\",\"override\":{%s}}",
             channel, override ? override : "");
    char *token = make_token(claims, KEY);
    struct subscribe_request request = {
        .channel = str_of(channel), .token = str_of(override ? token : NULL), .join_leave = asks};
    open_as(&p, w, "u");
    assert_int_equal(subscribe_with(&p, &request).status, STATUS_OK);
    const struct subscription *s = subscription_of(&p, channel);
    assert_int_equal(s->tells_joins, tells_joins);
    assert_int_equal(s->has_joins, has_joins);
    free(token);
    peer_release(&p);
}

static void who_is_told_about_whom(void **state)
{
    struct world *w = *state;
    check_flags(w, "here:a", NULL, false, false, false);
    check_flags(w, "told:a", NULL, false, true, false);
    check_flags(w, "told:a", NULL, true, true, false); /* may not ask who is there */
    check_flags(w, "asks:a", NULL, false, true, false);
    check_flags(w, "asks:a", NULL, true, true, true);
    check_flags(w, "loud:a", NULL, false, true, true);
    check_flags(w, "loud:a", "\"force_push_join_leave\":{\"value\":false}", false, true, false);
    check_flags(w, "loud:a", "\"join_leave\":{\"value\":false}", false, false, true);
    check_flags(w, "told:a", "\"force_push_join_leave\":{\"value\":true}", false, true, true);
    check_flags(w, "shut:a", "\"join_leave\":{\"value\":true}", false, true, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_opens_its_channel),
        TEST(anothers_token_ends_the_connection),
        TEST(a_token_of_one_connection),
        TEST(tokens_that_are_none),
        cmocka_unit_test_setup_teardown(keys_of_their_own, setup_two_keys, teardown),
        TEST(gone_while_the_token_is_verified),
        TEST(data_and_info),
        TEST(overrides_of_the_namespace),
        TEST(a_subscription_ends_with_its_token),
        TEST(times_beyond_all_clocks),
        TEST(a_new_token_in_time),
        TEST(refreshes_that_are_refused),
        TEST(unsubscribed_while_the_new_token_is_verified),
        TEST(channels_of_users),
        cmocka_unit_test_setup_teardown(other_boundaries, setup_other_boundaries, teardown),
        TEST(who_is_there),
        TEST(who_is_told_about_whom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
