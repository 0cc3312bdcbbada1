/* SPDX-License-Identifier: MIT */
/* A fan-out that a caller describes: fetched once, merged, published where he says so, forgotten;
 * what is refused; the end of the hub meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/hub/feed_world.h"

static int setup(void **state)
{
    return feed_setup_with(
        state,
        (struct world_options){.channel = "{\"namespaces\":[{\"name\":\"kept\",\"history_size\":5,"
                                          "\"history_ttl\":\"1h\"},{\"name\":\"objects\","
                                          "\"publication_data_format\":\"json_object\"}]}",
                               .upstreams = "{\"allow_hosts\":[\"127.0.0.1\"],\"max_refreshes\":2}",
                               .has_file = true});
}

/* --- helpers --- */

/* "PORT" becomes the server's. */
static void begin_fanout(struct feed_world *f, const char *request, struct feed_answer *a)
{
    struct buf text;
    buf_init(&text, 100000);
    for (const char *at = request; *at;) {
        if (strncmp(at, "PORT", 4) == 0) {
            buf_printf(&text, "%d", f->backend.port);
            at += 4;
        } else {
            buf_append_char(&text, *at++);
        }
    }
    *a = (struct feed_answer){.is_done = false};
    hub_fanout(f->w->hub, buf_str(&text), feed_answered, a);
    buf_release(&text); /* it was copied */
    assert_false(a->is_done);
}

static struct feed_answer fanout(struct feed_world *f, const char *request)
{
    struct feed_answer a;
    begin_fanout(f, request, &a);
    WAIT_FOR(f->w, a.is_done);
    return a;
}

static void check_nothing_left(struct feed_world *f)
{
    WAIT_FOR(f->w, hub_is_idle(f->w->hub));
    assert_int_equal(f->w->hub->feed_table.n_bytes, 0);
    assert_int_equal(HASH_COUNT(f->w->hub->feed_table.instances), 0);
    assert_null(f->w->hub->feed_table.idle);
}

#define TWO                                                                                        \
    "\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL                                           \
    "a\"},{\"name\":\"b\",\"url\":\"" FEED_URL "b\"}]"

/* --- what is fetched --- */

static void a_fan_out_is_fetched_merged_and_forgotten(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/a", .body = "[1]"};
    f->routes[1] = (struct feed_route){.path = "/b", .body = "[2.50]"};
    struct feed_answer a = fanout(f, "{" TWO "}");
    assert_int_equal(a.status, STATUS_OK);
    assert_string_equal(a.data, "{\"a\":[1],\"b\":[2.50]}");
    assert_string_equal(a.channel, "");
    assert_string_equal(a.params, "");
    assert_int_equal(a.position.offset, 0);
    assert_true(a.is_completed);
    assert_int_equal(a.n_upstreams, 2);
    check_nothing_left(f);
    assert_string_equal(fanout(f, "{\"merge\":\"array\"," TWO "}").data, "[1,2.50]");
    f->routes[0].status = 500; /* no last good value is there */
    a = fanout(f, "{" TWO "}");
    assert_string_equal(a.data, "{\"a\":null,\"b\":[2.50]}");
    assert_int_equal(a.upstreams[0].outcome, FEED_HTTP_ERROR);
    a = fanout(f, "{\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL
                  "a\",\"on_failure\":\"fail\"}]}");
    assert_int_equal(a.status, STATUS_UPSTREAM_FAILED);
    check_nothing_left(f);
}

static void a_chain_is_asked_in_order(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/user", .body = "{\"id\":7}"};
    f->routes[1] = (struct feed_route){.path = "/orders/7", .body = "[1]"};
    struct feed_answer a =
        fanout(f, "{\"upstreams\":[{\"name\":\"orders\",\"url\":\"" FEED_URL
                  "orders/{user.id}\",\"needs\":[\"user\"]},{\"name\":\"user\",\"url\":\"" FEED_URL
                  "user\"}]}");
    assert_string_equal(a.data, "{\"orders\":[1],\"user\":{\"id\":7}}");
}

static void a_channel_gets_the_document(void **state)
{
    struct feed_world *f = *state;
    struct peer p;
    peer_connect(&p, f->w);
    subscribe(&p, "kept:x");
    subscribe(&p, "plain");
    f->routes[0] = (struct feed_route){.path = "/", .body = "1"};
    struct feed_answer a = fanout(f, "{\"channel\":\"kept:x\"," TWO "}");
    assert_int_equal(a.position.offset, 1);
    assert_string_equal(a.channel, "kept:x");
    a = fanout(f, "{\"channel\":\"kept:x\"," TWO "}"); /* nobody knows that it is the same */
    assert_int_equal(a.position.offset, 2);
    assert_int_equal(fanout(f, "{\"channel\":\"plain\"," TWO "}").position.offset, 0);
    WAIT_FOR(f->w, p.n_messages == 3);
    assert_string_equal(peer_text(&p), "kept:x 1 {\"a\":1,\"b\":1}\nkept:x 2 {\"a\":1,\"b\":1}\n"
                                       "plain 0 {\"a\":1,\"b\":1}\n");
    peer_release(&p);
    check_nothing_left(f);
}

/* --- refusals --- */

static void check_refused(struct feed_world *f, const char *request, enum status expected,
                          const char *words)
{
    struct feed_answer a = fanout(f, request);
    assert_int_equal(a.status, expected);
    if (!strstr(a.detail, words)) {
        fail_msg("\"%s\" has no \"%s\"", a.detail, words);
    }
}

static void refusals_say_what_was_wrong(void **state)
{
    struct feed_world *f = *state;
    check_refused(f, "{}", STATUS_INVALID, "upstreams");
    check_refused(f, "{\"upstreams\":[]}", STATUS_INVALID, "upstreams");
    check_refused(f, "{\"upstream\":1," TWO "}", STATUS_INVALID, "upstream");
    check_refused(f, "{\"refresh\":{\"every\":\"1s\"}," TWO "}", STATUS_INVALID, "refresh");
    check_refused(f, "{\"upstreams\":[{\"name\":\"a\",\"url\":\"ftp://h/\"}]}", STATUS_INVALID,
                  "url");
    check_refused(f, "{\"channel\":\"nowhere:x\"," TWO "}", STATUS_UNKNOWN_CHANNEL,
                  "\"nowhere:x\", expected a channel of a namespace");
    check_refused(f, "{\"channel\":\"objects:x\",\"merge\":\"array\"," TWO "}", STATUS_INVALID,
                  "merge: array, expected object or flat");
    check_refused(f, "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1," TWO "}",
                  STATUS_INVALID, "; and 2 more");
    check_nothing_left(f);
    assert_int_equal(f->backend.n_requests, 0);
}

static void only_hosts_that_are_allowed_are_asked(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a = fanout(
        f,
        "{\"upstreams\":[{\"name\":\"a\",\"url\":\"http://127.0.0.2:PORT/\"},{\"name\":\"b\","
        "\"url\":\"http://169.254.169.254/latest\"},{\"name\":\"c\",\"url\":\"" FEED_URL "\"}]}");
    assert_int_equal(a.upstreams[0].outcome, FEED_REFUSED);
    assert_int_equal(a.upstreams[1].outcome, FEED_REFUSED);
    assert_int_equal(a.upstreams[2].outcome, FEED_HTTP_ERROR); /* 404: it was asked */
}

static void runs_have_a_limit(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a[3];
    f->routes[0] = (struct feed_route){.path = "/", .hangs = true};
    begin_fanout(f, "{" TWO "}", &a[0]);
    begin_fanout(f, "{" TWO "}", &a[1]);
    begin_fanout(f, "{" TWO "}", &a[2]);
    WAIT_FOR(f->w, a[2].is_done);
    assert_int_equal(a[2].status, STATUS_OVERLOADED);
    assert_non_null(strstr(a[2].detail, "max_refreshes"));
    WAIT_FOR(f->w, f->routes[0].n == 4);
    feed_world_release(f, "1");
    WAIT_FOR(f->w, a[0].is_done && a[1].is_done);
    assert_string_equal(a[0].data, "{\"a\":1,\"b\":1}");
    check_nothing_left(f);
}

/* --- the end --- */

static void a_stopping_hub_gives_up_after_a_while(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a;
    f->routes[0] = (struct feed_route){.path = "/", .hangs = true};
    begin_fanout(f, "{\"channel\":\"kept:x\"," TWO "}", &a);
    WAIT_FOR(f->w, f->routes[0].n == 2);
    hub_stop(f->w->hub);
    assert_int_equal(fanout(f, "{" TWO "}").status, STATUS_CLOSED);
    assert_false(a.is_done);
    hub_hurry(f->w->hub);
    WAIT_FOR(f->w, a.is_done);
    assert_int_equal(a.status, STATUS_CLOSED);
    check_nothing_left(f);
}

static void an_abandoned_hub_publishes_nothing(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer a;
    f->routes[0] = (struct feed_route){.path = "/", .hangs = true};
    begin_fanout(f, "{\"channel\":\"kept:x\"," TWO "}", &a);
    WAIT_FOR(f->w, f->routes[0].n == 2);
    hub_abandon(f->w->hub);
    feed_world_release(f, "1");
    WAIT_FOR(f->w, a.is_done);
    assert_int_equal(a.status, STATUS_CLOSED);
    check_nothing_left(f);
}

#define IN(test) cmocka_unit_test_setup_teardown(test, setup, feed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(a_fan_out_is_fetched_merged_and_forgotten),
        IN(a_chain_is_asked_in_order),
        IN(a_channel_gets_the_document),
        IN(refusals_say_what_was_wrong),
        IN(only_hosts_that_are_allowed_are_asked),
        IN(runs_have_a_limit),
        IN(a_stopping_hub_gives_up_after_a_while),
        IN(an_abandoned_hub_publishes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
