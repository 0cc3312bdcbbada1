/* SPDX-License-Identifier: MIT */
/* Connections and subscriptions that end unless a backend says that they go on: what it says, what
 * comes between, and a backend that says nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hub/client_internal.h"
#include "tests/unit/hub/backend.h"
#include "tests/unit/hub/token_maker.h"
#include "tests/unit/hub/world.h"

#define KEY "secret"

struct asked {
    struct world *world;
    struct backend backend;
};

static int setup(void **state)
{
    struct asked *s = calloc(1, sizeof(*s));
    char client[400];
    char channel[400];
    int port = world_free_port();
    snprintf(client, sizeof(client),
             "{\"token\":{\"hmac_secret_key\":\"" KEY
             "\"},\"proxy\":{\"refresh\":{\"enabled\":true,"
             "\"endpoint\":\"http://127.0.0.1:%d/\",\"timeout\":\"5s\"}}}",
             port);
    snprintf(channel, sizeof(channel),
             "{\"without_namespace\":{\"sub_refresh_proxy_enabled\":true},\"proxy\":{"
             "\"sub_refresh\":{\"enabled\":true,\"endpoint\":\"http://127.0.0.1:%d/\"}}}",
             port);
    s->world = world_create(&(struct world_options){.client = client, .channel = channel});
    backend_open_at(&s->backend, s->world->loop, port);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct asked *s = *state;
    backend_close(&s->backend);
    world_destroy(s->world);
    free(s);
    return 0;
}

static const char *answer_until(int64_t seconds_from_now)
{
    static char answer[200];
    snprintf(answer, sizeof(answer), "{\"result\":{\"info\":{\"n\": 1.10},\"expire_at\":%lld}}",
             (long long)(clock_wall_ms() / 1000 + seconds_from_now));
    return answer;
}

static char *token_until(const char *channel, int64_t seconds_from_now)
{
    char claims[200];
    snprintf(claims, sizeof(claims), "{\"sub\":\"u\",\"exp\":%lld%s%s%s}",
             (long long)(clock_wall_ms() / 1000 + seconds_from_now),
             channel ? ",\"channel\":\"" : "", channel ? channel : "", channel ? "\"" : "");
    return make_token(claims, KEY);
}

static void connect_user(struct asked *s, struct peer *p)
{
    char *token = token_until(NULL, 1000);
    peer_open(p, s->world);
    struct connect_answer a = connect_with_token(p, token);
    assert_int_equal(a.status, STATUS_OK);
    assert_false(a.result.expires); /* it is not the client's business */
    free(token);
    peer_forget(p);
}

static void subscribe_with_token(struct peer *p)
{
    char *token = token_until("a", 1000);
    struct subscribe_request request = {.channel = STR("a"), .token = str_of(token)};
    struct subscribe_answer a = subscribe_with(p, &request);
    assert_int_equal(a.status, STATUS_OK);
    assert_false(a.result.expires);
    free(token);
}

/* Its time has come: the backend will be asked in the next turns. */
static void connect_briefly(struct asked *s, struct peer *p)
{
    struct connect_result result;
    connect_user(s, p);
    assert_int_equal(client_set_expiry(p->client, 1, &result), STATUS_OK);
    assert_false(result.expires);
}

static void subscribe_briefly(struct asked *s, struct peer *p)
{
    struct subscribe_result result;
    connect_user(s, p);
    subscribe_with_token(p);
    struct subscription *subscription = client_subscription_named(p->client, STR("a"));
    assert_non_null(subscription);
    assert_int_equal(subscription_set_expiry(p->client, subscription, 1, &result), STATUS_OK);
    assert_false(result.expires);
}

static void check_info(const struct peer *p, const struct channel *channel, const char *expected)
{
    struct buf info;
    buf_init(&info, 1000);
    client_append_info(p->client, channel, &info);
    buf_append_char(&info, '\0');
    assert_non_null(strstr(info.ptr, expected));
    buf_release(&info);
}

static void note_under_way(void *arg, const char *name, const struct proxy_stats *stats)
{
    (void)name;
    *(size_t *)arg += stats->n_under_way;
}

static size_t n_under_way(struct asked *s)
{
    size_t n = 0;
    hub_proxies(s->world->hub, note_under_way, &n);
    return n;
}

/* What was asked has been answered, and the answer has been heard. */
static void wait_for_answer(struct asked *s, int n_requests)
{
    WAIT_FOR(s->world, s->backend.n_requests == n_requests && n_under_way(s) == 0);
}

/* --- connections --- */

static void a_connection_goes_on(void **state)
{
    struct asked *s = *state;
    struct peer p;
    connect_briefly(s, &p);
    s->backend.answer = answer_until(1000);
    wait_for_answer(s, 1);
    assert_non_null(strstr(s->backend.body, "\"user\":\"u\""));
    assert_int_equal(p.n_closes, 0);
    check_info(&p, NULL, "\"conn_info\":{\"n\": 1.10}}");
    peer_release(&p);
}

/* "Until a moment ago" is no time to ask again at. */
static void check_connection_ends(struct asked *s, const char *answer, unsigned code)
{
    struct peer p;
    int n = s->backend.n_requests;
    connect_briefly(s, &p);
    s->backend.answer = answer;
    WAIT_FOR(s->world, p.n_closes > 0);
    assert_int_equal(p.why->code, code);
    assert_int_equal(s->backend.n_requests, n + 1);
    peer_release(&p);
}

static void a_connection_ends(void **state)
{
    struct asked *s = *state;
    check_connection_ends(s, "{\"result\":{\"expired\":true}}", 3005);
    check_connection_ends(s, "{}", 3005);
    check_connection_ends(s, "{\"result\":{\"expire_at\":1}}", 3005);
    check_connection_ends(s, "{\"disconnect\":{\"code\":4000,\"reason\":\"out\"}}", 4000);
}

static void a_backend_that_fails_ends_nothing(void **state)
{
    struct asked *s = *state;
    struct peer p;
    s->backend.status = 500;
    connect_briefly(s, &p);
    wait_for_answer(s, 1);
    assert_int_equal(p.n_closes, 0);
    assert_in_range(p.client->more->expires_at - clock_wall_ms() / 1000, 50, CLIENT_ASK_AGAIN_S);
    peer_release(&p);
}

/* While the backend thinks, the server API sets another time. */
static void a_new_time_while_the_backend_is_asked(void **state)
{
    struct asked *s = *state;
    struct peer p;
    struct client_selector u = {.user = STR("u")};
    s->backend.hangs = true;
    connect_briefly(s, &p);
    WAIT_FOR(s->world, s->backend.n_requests == 1);
    assert_int_equal(n_under_way(s), 1);
    hub_refresh(s->world->hub, &u, false, clock_wall_ms() / 1000 + 1, STR_EMPTY);
    assert_int_equal(n_under_way(s), 0);
    WAIT_FOR(s->world, s->backend.n_requests == 2);
    assert_int_equal(n_under_way(s), 1);
    assert_int_equal(p.n_closes, 0);
    peer_release(&p); /* it goes while the backend is asked */
    assert_int_equal(n_under_way(s), 0);
}

/* --- subscriptions --- */

static void a_subscription_goes_on(void **state)
{
    struct asked *s = *state;
    struct peer p;
    subscribe_briefly(s, &p);
    s->backend.answer = answer_until(1000);
    wait_for_answer(s, 1);
    assert_non_null(strstr(s->backend.body, "\"channel\":\"a\""));
    struct channel *channel = channel_find(s->world->hub, STR("a"));
    check_info(&p, channel, ",\"chan_info\":{\"n\": 1.10}}");
    assert_string_equal(peer_text(&p), "");
    peer_release(&p);
}

static void check_subscription_ends(struct asked *s, const char *answer)
{
    struct peer p;
    int n = s->backend.n_requests;
    subscribe_briefly(s, &p);
    s->backend.answer = answer;
    WAIT_FOR(s->world, p.n_messages > 0);
    assert_string_equal(peer_text(&p), "a ends 2501\n");
    assert_int_equal(s->backend.n_requests, n + 1);
    assert_int_equal(p.n_closes, 0);
    peer_release(&p);
}

static void a_subscription_ends(void **state)
{
    struct asked *s = *state;
    check_subscription_ends(s, "{\"result\":{\"expired\":true}}");
    check_subscription_ends(s, "{}");
    check_subscription_ends(s, "{\"result\":{\"expire_at\":1}}");
}

static void left_while_the_backend_is_asked(void **state)
{
    struct asked *s = *state;
    struct peer p;
    s->backend.hangs = true;
    subscribe_briefly(s, &p);
    WAIT_FOR(s->world, s->backend.n_requests == 1);
    char *token = token_until("a", 2);
    struct subscribe_answer a = {.is_done = false};
    client_sub_refresh(p.client, STR("a"), str_of(token), subscribe_answered, &a);
    WAIT_FOR(s->world, a.is_done);
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(n_under_way(s), 0);
    free(token);
    WAIT_FOR(s->world, s->backend.n_requests == 2);
    assert_int_equal(n_under_way(s), 1);
    assert_int_equal(client_unsubscribe(p.client, STR("a")), STATUS_OK);
    assert_int_equal(n_under_way(s), 0);
    peer_release(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_connection_goes_on),
        TEST(a_connection_ends),
        TEST(a_backend_that_fails_ends_nothing),
        TEST(a_new_time_while_the_backend_is_asked),
        TEST(a_subscription_goes_on),
        TEST(a_subscription_ends),
        TEST(left_while_the_backend_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
