/* SPDX-License-Identifier: MIT */
/* What was once wrong between connecting, subscribing and refreshing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hub/client_internal.h"
#include "tests/unit/hub/backend.h"
#include "tests/unit/hub/token_maker.h"
#include "tests/unit/hub/world.h"

#define KEY  "secret"
#define OPEN "\"allow_subscribe_for_client\":true"

static const char channels[] =
    "{\"without_namespace\":{" OPEN "},\"namespaces\":["
    "{\"name\":\"closed\",\"join_leave\":true," OPEN "},"
    "{\"name\":\"clients\",\"join_leave\":true,\"allow_presence_for_client\":true," OPEN "},"
    "{\"name\":\"subs\",\"join_leave\":true,\"allow_presence_for_subscriber\":true," OPEN "},"
    "{\"name\":\"users\",\"allow_user_limited_channels\":true}]}";

static int setup(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"token\":{\"hmac_secret_key\":\"" KEY "\"}}", .channel = channels});
    return 0;
}

static int setup_insecure(void **state)
{
    *state =
        world_create(&(struct world_options){.client = "{\"insecure\":true}", .channel = channels});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void open_as_u(struct peer *p, struct world *w)
{
    char *token = make_token("{\"sub\":\"u\"}", KEY);
    peer_open(p, w);
    REQUIRE(connect_with_token(p, token).status == STATUS_OK);
    free(token);
    peer_forget(p);
}

/* --- who is told who comes and goes --- */

static bool is_told(struct world *w, const char *channel)
{
    struct peer p;
    open_as_u(&p, w);
    struct subscribe_request request = {.channel = str_of(channel), .join_leave = true};
    assert_int_equal(subscribe_with(&p, &request).status, STATUS_OK);
    bool has_joins = client_subscription_named(p.client, str_of(channel))->has_joins;
    peer_release(&p);
    return has_joins;
}

/* That presence is off is no permission; and who subscribes is a subscriber. */
static void joins_are_for_those_who_may_ask_for_presence(void **state)
{
    struct world *w = *state;
    assert_false(is_told(w, "closed:a"));
    assert_true(is_told(w, "clients:a"));
    assert_true(is_told(w, "subs:a"));
}

/* --- tokens that have not expired, but grant a time that is over --- */

static void a_refresh_until_yesterday_ends_the_connection(void **state)
{
    struct world *w = *state;
    struct peer p;
    char *token = make_token("{\"sub\":\"u\",\"expire_at\":1000}", KEY);
    open_as_u(&p, w);
    assert_int_equal(refresh_with_token(&p, token).status, STATUS_CLOSED);
    assert_ptr_equal(p.why, &disconnect_expired);
    free(token);
    peer_release(&p);
}

static void a_sub_refresh_until_yesterday_is_refused(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct subscribe_answer a = {.is_done = false};
    char *token = make_token("{\"sub\":\"u\",\"channel\":\"a\",\"expire_at\":1000}", KEY);
    open_as_u(&p, w);
    assert_int_equal(subscribe(&p, "a").status, STATUS_OK);
    client_sub_refresh(p.client, STR("a"), str_of(token), subscribe_answered, &a);
    WAIT_FOR(w, a.is_done);
    assert_int_equal(a.status, STATUS_OVER);
    assert_int_equal(p.n_closes, 0);
    free(token);
    peer_release(&p);
}

/* --- what a new token says about the client --- */

static void check_info(const struct peer *p, const char *expected)
{
    struct buf info;
    buf_init(&info, 1000);
    client_append_info(p->client, channel_find(p->world->hub, STR("a")), &info);
    buf_append_char(&info, '\0');
    assert_non_null(strstr(info.ptr, expected));
    buf_release(&info);
}

static void refresh_sub(struct peer *p, const char *claims)
{
    struct subscribe_answer a = {.is_done = false};
    char *token = make_token(claims, KEY);
    client_sub_refresh(p->client, STR("a"), str_of(token), subscribe_answered, &a);
    WAIT_FOR(p->world, a.is_done);
    assert_int_equal(a.status, STATUS_OK);
    free(token);
}

static void refresh(struct peer *p, const char *claims)
{
    char *token = make_token(claims, KEY);
    assert_int_equal(refresh_with_token(p, token).status, STATUS_OK);
    free(token);
}

/* A token that says nothing takes nothing away. */
static void a_new_token_has_new_info(void **state)
{
    struct world *w = *state;
    struct peer p;
    open_as_u(&p, w);
    assert_int_equal(subscribe(&p, "a").status, STATUS_OK);
    for (int i = 0; i < 2; i++) {
        refresh(&p, i == 0 ? "{\"sub\":\"u\",\"info\":{\"n\":1}}" : "{\"sub\":\"u\"}");
        check_info(&p, ",\"conn_info\":{\"n\":1}}");
    }
    for (int i = 0; i < 2; i++) {
        refresh_sub(&p, i == 0 ? "{\"sub\":\"u\",\"channel\":\"a\",\"info\":[2]}"
                               : "{\"sub\":\"u\",\"channel\":\"a\"}");
        check_info(&p, ",\"conn_info\":{\"n\":1},\"chan_info\":[2]}");
    }
    refresh(&p, "{\"sub\":\"u\",\"info\":3}");
    check_info(&p, ",\"conn_info\":3,\"chan_info\":[2]}");
    peer_release(&p);
}

/* --- more questions than the backend is asked at a time --- */

static void note_refusal(void *arg, enum status status, const struct client_error *error,
                         struct str data)
{
    (void)error;
    (void)data;
    *(enum status *)arg = status;
}

static void questions_that_are_not_asked_are_counted(void **state)
{
    char rpc[200];
    static struct backend backend; /* the loop closes it later */
    struct peer p;
    enum status answers[2] = {STATUS_PENDING, STATUS_PENDING};
    int port = world_free_port();
    snprintf(rpc, sizeof(rpc),
             "{\"proxy\":{\"enabled\":true,\"endpoint\":\"http://127.0.0.1:%d/\",\"timeout\":"
             "\"5s\",\"max_concurrent\":1},\"without_namespace\":{\"proxy_enabled\":true}}",
             port);
    struct world *w =
        world_create(&(struct world_options){.client = "{\"insecure\":true}", .rpc = rpc});
    *state = w;
    backend_open_at(&backend, w->loop, port);
    backend.hangs = true;
    peer_connect(&p, w);
    client_rpc(p.client, STR("m"), STR_EMPTY, note_refusal, &answers[0]);
    client_rpc(p.client, STR("m"), STR_EMPTY, note_refusal, &answers[1]);
    assert_int_equal(stats_of(w).n_proxy_calls, 1);
    assert_int_equal(stats_of(w).n_proxy_overloaded, 1);
    WAIT_FOR(w, answers[1] != STATUS_PENDING);
    assert_int_equal(answers[1], STATUS_INTERNAL);
    hub_stop(w->hub); /* does not wait for the slow backend */
    WAIT_FOR(w, answers[0] != STATUS_PENDING);
    assert_int_equal(answers[0], STATUS_REFUSED);
    assert_int_equal(stats_of(w).n_proxy_calls, 0);
    peer_release(&p);
    backend_close(&backend);
}

/* --- more subscriptions at once than are begun --- */

struct crowd {
    size_t n_done;
    size_t n_overloaded;
};

static void note_one(void *arg, enum status status, const char *detail)
{
    struct crowd *crowd = arg;
    (void)detail;
    crowd->n_done++;
    crowd->n_overloaded += status == STATUS_OVERLOADED;
}

static void a_backend_that_subscribes_without_waiting(void **state)
{
    enum { N = 2000 };
    struct world *w = *state;
    struct peer p;
    struct crowd crowd = {.n_done = 0};
    open_as_u(&p, w);
    for (size_t i = 0; i < N; i++) {
        struct control_subscribe request = {.who = {.user = STR("u")}, .channel = STR("a")};
        hub_subscribe(w->hub, &request, note_one, &crowd);
    }
    WAIT_FOR(w, crowd.n_done == N);
    assert_int_equal(crowd.n_overloaded, N - 1000);
    assert_int_equal(stats_of(w).n_subscriptions, 1);
    peer_release(&p);
}

/* --- headers that a client brings in its command --- */

static int setup_headers(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"proxy\":{\"connect\":{\"enabled\":true,\"endpoint\":\"http://127.0.0.1:1/\","
                  "\"http_headers\":[\"X-Wanted\"],\"emulated_headers\":[\"X-Too\"]}}}"});
    return 0;
}

static void check_headers(struct world *w, const char *headers, const char *kept)
{
    struct peer p;
    struct connect_request request = {.headers = str_of(headers)};
    peer_open(&p, w);
    assert_int_equal(connect_request(&p, &request).status, STATUS_REFUSED); /* nobody is there */
    const char *found = p.client->more ? p.client->more->emulated_headers : NULL;
    assert_string_equal(found ? found : "", kept);
    peer_release(&p);
}

static void no_more_headers_than_are_wanted(void **state)
{
    struct world *w = *state;
    check_headers(w, "{\"large\":\"....\", \"x-wanted\" : \"\\u0061\",\"x\":1,\"X-Too\":2 }",
                  "{\"x-wanted\":\"\\u0061\",\"X-Too\":2}");
    check_headers(w, "{\"large\":\"....\"}", "");
    check_headers(w, "{}", "");
    check_headers(w, "", "");
}

/* --- insecure --- */

static void everybody_may_means_everybody(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    assert_int_equal(subscribe(&p, "users:a#42").status, STATUS_OK);
    assert_int_equal(subscribe(&p, "$users:a").status, STATUS_DENIED); /* but not what is private */
    peer_release(&p);
}

#define TEST(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(joins_are_for_those_who_may_ask_for_presence, setup),
        TEST(a_refresh_until_yesterday_ends_the_connection, setup),
        TEST(a_sub_refresh_until_yesterday_is_refused, setup),
        TEST(a_new_token_has_new_info, setup),
        TEST(questions_that_are_not_asked_are_counted, NULL),
        TEST(a_backend_that_subscribes_without_waiting, setup),
        TEST(no_more_headers_than_are_wanted, setup_headers),
        TEST(everybody_may_means_everybody, setup_insecure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
