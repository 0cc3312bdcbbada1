/* SPDX-License-Identifier: MIT */
/* What clients publish and call: who may, what the backend changes, refuses and ends, and clients
 * that go meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/hub/backend.h"
#include "tests/unit/hub/token_maker.h"
#include "tests/unit/hub/world.h"

#define KEY  "secret"
#define OPEN "\"allow_subscribe_for_client\":true,\"allow_subscribe_for_anonymous\":true"

struct asked {
    struct world *world;
    struct backend backend;
};

static int setup(void **state)
{
    struct asked *s = calloc(1, sizeof(*s));
    char channel[1000];
    char rpc[300];
    int port = world_free_port();
    snprintf(channel, sizeof(channel),
             "{\"without_namespace\":{" OPEN "},\"proxy\":{"
             "\"publish\":{\"enabled\":true,\"endpoint\":\"http://127.0.0.1:%d/publish\"},"
             "\"subscribe\":{\"enabled\":true,\"endpoint\":\"http://127.0.0.1:%d/subscribe\"}},"
             "\"namespaces\":[{\"name\":\"pub\",\"allow_publish_for_client\":true," OPEN "},"
             "{\"name\":\"sub\",\"allow_publish_for_subscriber\":true," OPEN "},"
             "{\"name\":\"obj\",\"allow_publish_for_client\":true,"
             "\"publication_data_format\":\"json_object\"},"
             "{\"name\":\"ask\",\"publish_proxy_enabled\":true,\"subscribe_proxy_enabled\":true,"
             "\"history_size\":10,\"history_ttl\":\"1h\",\"presence\":true}]}",
             port, port);
    snprintf(rpc, sizeof(rpc),
             "{\"proxy\":{\"enabled\":true,\"endpoint\":\"http://127.0.0.1:%d/rpc\"},"
             "\"without_namespace\":{\"proxy_enabled\":true},\"namespaces\":[{\"name\":\"off\"}]}",
             port);
    s->world = world_create(
        &(struct world_options){.client = "{\"allow_anonymous_connect_without_token\":true,"
                                          "\"token\":{\"hmac_secret_key\":\"" KEY "\"}}",
                                .channel = channel,
                                .rpc = rpc});
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

static void open_user(struct peer *p, struct world *w)
{
    char *token = make_token("{\"sub\":\"u\",\"info\":{\"n\":1}}", KEY);
    peer_open(p, w);
    REQUIRE(connect_with_token(p, token).status == STATUS_OK);
    free(token);
    peer_forget(p);
}

struct call_answer {
    bool is_done;
    enum status status;
    uint32_t code;  /* of the error */
    char text[100]; /* its message, or the data */
};

static void published(void *arg, enum status status, const struct client_error *error)
{
    struct call_answer *a = arg;
    REQUIRE(!a->is_done && (status == STATUS_REFUSED) == (error != NULL));
    *a = (struct call_answer){.is_done = true, .status = status, .code = error ? error->code : 0};
    snprintf(a->text, sizeof(a->text), "%s", error ? error->message : "");
}

static void called(void *arg, enum status status, const struct client_error *error, struct str data)
{
    struct call_answer *a = arg;
    published(arg, status, error);
    if (!error) {
        snprintf(a->text, sizeof(a->text), "%.*s", STR_ARG(data));
    }
}

static struct call_answer publish_by(struct peer *p, const char *channel, const char *data)
{
    struct call_answer a = {.is_done = false};
    client_publish(p->client, str_of(channel), str_of(data), published, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(p->world, a.is_done);
    return a;
}

static struct call_answer call(struct peer *p, const char *method, const char *data)
{
    struct call_answer a = {.is_done = false};
    client_rpc(p->client, str_of(method), str_of(data), called, &a);
    REQUIRE(!a.is_done);
    WAIT_FOR(p->world, a.is_done);
    return a;
}

/* --- without a backend --- */

static void who_may_publish(void **state)
{
    struct asked *s = *state;
    struct peer p;
    struct peer nobody;
    open_user(&p, s->world);
    peer_connect(&nobody, s->world);
    assert_int_equal(publish_by(&p, "pub:a", "1").status, STATUS_OK);
    assert_int_equal(publish_by(&nobody, "pub:a", "1").status, STATUS_DENIED);
    assert_int_equal(publish_by(&p, "a", "1").status, STATUS_DENIED);
    assert_int_equal(publish_by(&p, "sub:a", "1").status, STATUS_DENIED);
    assert_int_equal(subscribe(&p, "sub:a").status, STATUS_OK);
    assert_int_equal(publish_by(&p, "sub:a", "1").status, STATUS_OK);
    assert_int_equal(publish_by(&p, "sub:b", "1").status, STATUS_DENIED);
    assert_int_equal(publish_by(&p, "nope:a", "1").status, STATUS_UNKNOWN_CHANNEL);
    assert_int_equal(publish_by(&p, "", "1").status, STATUS_INVALID);
    assert_int_equal(publish_by(&p, "obj:a", "{\"a\":1}").status, STATUS_OK);
    assert_int_equal(publish_by(&p, "obj:a", "[1]").status, STATUS_WRONG_FORMAT);
    assert_int_equal(s->backend.n_requests, 0);
    peer_release(&p);
    peer_release(&nobody);
}

static void note_publication(const struct wire_format *format, struct buf *out, struct str channel,
                             const struct publication *p, enum publication_form form,
                             struct str patch)
{
    (void)format;
    (void)form;
    (void)patch;
    buf_printf(out, "%.*s %llu %.*s %.*s %.*s", STR_ARG(channel), (unsigned long long)p->offset,
               STR_ARG(p->data), STR_ARG(p->info), STR_ARG(p->tags));
}

static const char *heard_from(struct peer *listener)
{
    WAIT_FOR(listener->world, listener->n_messages > 0);
    return peer_text(listener);
}

static void it_says_who_published(void **state)
{
    struct asked *s = *state;
    struct wire_format format = plain_format;
    struct client_transport transport = plain_transport;
    struct peer p;
    struct peer listener;
    char uuid[RNG_UUID_SIZE];
    char expected[200];
    format.publication = note_publication;
    transport.format = &format;
    open_user(&p, s->world);
    peer_open_with(&listener, s->world, &transport);
    assert_int_equal(connect_with_token(&listener, "").status, STATUS_OK);
    assert_int_equal(subscribe(&listener, "pub:a").status, STATUS_OK);
    peer_forget(&listener);
    char data[] = "[1.10]";
    struct call_answer a = {.is_done = false};
    client_publish(p.client, STR("pub:a"), str_of(data), published, &a);
    memset(data, 'x', sizeof(data)); /* it was copied */
    client_id(p.client, uuid);
    snprintf(expected, sizeof(expected),
             "pub:a 0 [1.10] {\"user\":\"u\",\"client\":\"%s\",\"conn_info\":{\"n\":1}} \n", uuid);
    assert_string_equal(heard_from(&listener), expected);
    WAIT_FOR(s->world, a.is_done);
    peer_release(&p);
    peer_release(&listener);
}

/* --- the backend --- */

static void a_backend_says_what_is_published(void **state)
{
    struct asked *s = *state;
    struct peer p;
    open_user(&p, s->world);
    s->backend.answer = "{\"result\":{}}";
    assert_int_equal(subscribe(&p, "ask:a").status, STATUS_OK);
    assert_non_null(strstr(s->backend.request, "POST /subscribe"));
    peer_forget(&p);
    s->backend.answer = "{\"result\":{\"data\":{\"by\":\"backend\"}}}";
    assert_int_equal(publish_by(&p, "ask:a", "1").status, STATUS_OK);
    assert_non_null(strstr(s->backend.request, "POST /publish"));
    assert_non_null(strstr(s->backend.body, "\"channel\":\"ask:a\""));
    assert_non_null(strstr(s->backend.body, "\"data\":1"));
    assert_string_equal(heard_from(&p), "ask:a 1 {\"by\":\"backend\"}\n");
    peer_forget(&p);
    s->backend.answer = "{\"result\":{\"skip_history\":true}}";
    assert_int_equal(publish_by(&p, "ask:a", "2").status, STATUS_OK);
    assert_string_equal(heard_from(&p), "ask:a 0 2\n");
    peer_release(&p);
}

static void a_backend_refuses(void **state)
{
    struct asked *s = *state;
    struct peer p;
    open_user(&p, s->world);
    s->backend.answer = "{\"error\":{\"code\":1001,\"message\":\"not this\"}}";
    struct call_answer a = publish_by(&p, "ask:a", "1");
    assert_int_equal(a.status, STATUS_REFUSED);
    assert_int_equal(a.code, 1001);
    assert_string_equal(a.text, "not this");
    a = call(&p, "m", "1");
    assert_int_equal(a.status, STATUS_REFUSED);
    assert_int_equal(a.code, 1001);
    assert_int_equal(subscribe(&p, "ask:a").status, STATUS_REFUSED);
    s->backend.status = 500;
    a = publish_by(&p, "ask:a", "1");
    assert_int_equal(a.status, STATUS_REFUSED);
    assert_int_equal(a.code, 100);
    assert_int_equal(p.n_closes, 0);
    assert_int_equal(stats_of(s->world).n_publications, 0);
    peer_release(&p);
}

static void a_backend_ends_the_connection(void **state)
{
    struct asked *s = *state;
    for (int i = 0; i < 3; i++) {
        struct peer p;
        open_user(&p, s->world);
        s->backend.answer = "{\"disconnect\":{\"code\":4123,\"reason\":\"enough\"}}";
        enum status status = i == 0   ? publish_by(&p, "ask:a", "1").status
                             : i == 1 ? call(&p, "m", "1").status
                                      : subscribe(&p, "ask:a").status;
        assert_int_equal(status, STATUS_CLOSED);
        assert_int_equal(p.why->code, 4123);
        assert_string_equal(p.why->reason, "enough");
        peer_release(&p);
    }
}

static void procedures(void **state)
{
    struct asked *s = *state;
    struct peer p;
    open_user(&p, s->world);
    s->backend.answer = "{\"result\":{\"data\":[1.10]}}";
    struct call_answer a = call(&p, "sum", "{\"k\":1}");
    assert_int_equal(a.status, STATUS_OK);
    assert_string_equal(a.text, "[1.10]");
    assert_non_null(strstr(s->backend.body, "\"method\":\"sum\""));
    assert_non_null(strstr(s->backend.body, "\"data\":{\"k\":1}"));
    s->backend.answer = "{\"result\":{}}";
    a = call(&p, "", "");
    assert_int_equal(a.status, STATUS_OK);
    assert_string_equal(a.text, "");
    assert_int_equal(call(&p, "off:sum", "1").status, STATUS_NOT_AVAILABLE);
    assert_int_equal(call(&p, "nope:sum", "1").status, STATUS_NO_METHOD);
    assert_int_equal(s->backend.n_requests, 2);
    peer_release(&p);
}

/* What it published goes on without it. */
static void gone_while_the_backend_is_asked(void **state)
{
    struct asked *s = *state;
    struct peer p;
    struct call_answer a[2] = {{.is_done = false}, {.is_done = false}};
    struct subscribe_answer sub = {.is_done = false};
    open_user(&p, s->world);
    s->backend.answer = "{\"result\":{}}";
    client_publish(p.client, STR("ask:a"), STR("1"), published, &a[0]);
    client_rpc(p.client, STR("m"), STR("1"), called, &a[1]);
    client_subscribe(p.client, &(struct subscribe_request){.channel = STR("ask:a")},
                     subscribe_answered, &sub);
    peer_leave(&p);
    WAIT_FOR(s->world, a[0].is_done && a[1].is_done && sub.is_done);
    assert_int_equal(a[0].status, STATUS_CLOSED);
    assert_int_equal(a[1].status, STATUS_CLOSED);
    assert_int_equal(sub.status, STATUS_CLOSED);
    WAIT_FOR(s->world, hub_is_idle(s->world->hub));
    assert_int_equal(stats_of(s->world).n_publications, 1);
    peer_release(&p);
}

static void a_hub_that_stops_publishes_nothing(void **state)
{
    struct asked *s = *state;
    struct peer p;
    open_user(&p, s->world);
    hub_stop(s->world->hub);
    assert_int_equal(publish_by(&p, "pub:a", "1").status, STATUS_CLOSED);
    assert_int_equal(p.n_closes, 0);
    peer_release(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_may_publish),
        TEST(it_says_who_published),
        TEST(a_backend_says_what_is_published),
        TEST(a_backend_refuses),
        TEST(a_backend_ends_the_connection),
        TEST(procedures),
        TEST(gone_while_the_backend_is_asked),
        TEST(a_hub_that_stops_publishes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
