/* SPDX-License-Identifier: MIT */
/* The exact texts of replies of the Centrifugo JSON protocol: order, omitted zeros, payloads
 * untouched. */
#include "protocols/centrifuge_frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/json_span.h"
#include "tests/unit/protocols/speaker.h"

static struct buf out;

/* Every message is one JSON value on one line. */
static void check_text(const char *expected)
{
    buf_append_char(&out, '\0');
    assert_false(buf_failed(&out));
    assert_string_equal(out.ptr, expected);
    assert_int_equal(json_check(str_of(out.ptr), NULL), STATUS_OK);
    assert_null(strchr(out.ptr, '\n'));
    buf_clear(&out);
}

static int setup(void **state)
{
    buf_init(&out, 100000);
    *state = world_create(&(struct world_options){
        .client = "{\"insecure\":true,\"ping_interval\":\"25s\"}",
        .channel =
            "{\"without_namespace\":{\"presence\":true},\"namespaces\":[{\"name\":\"no\"}]}"});
    return 0;
}

static int teardown(void **state)
{
    buf_release(&out);
    world_destroy(*state);
    return 0;
}

static void errors_and_empty_results(void **state)
{
    (void)state;
    centrifuge_write_error(&out, 7, protocol_error_of(STATUS_DENIED));
    check_text("{\"id\":7,\"error\":{\"code\":103,\"message\":\"permission denied\"}}");
    centrifuge_write_error(&out, 4294967295u, protocol_error_of(STATUS_IO));
    check_text("{\"id\":4294967295,\"error\":{\"code\":100,\"message\":\"internal server error\","
               "\"temporary\":true}}");
    centrifuge_write_empty(&out, 4, "publish");
    check_text("{\"id\":4,\"publish\":{}}");
}

static void connect_and_refresh(void **state)
{
    struct world *w = *state;
    struct peer p;
    char uuid[RNG_UUID_SIZE];
    char expected[300];
    peer_connect(&p, w);
    client_id(p.client, uuid);
    centrifuge_write_connect(&out, 1, p.client, &(struct connect_result){.ttl_s = 0}, NULL);
    snprintf(expected, sizeof(expected),
             "{\"id\":1,\"connect\":{\"client\":\"%s\",\"version\":\"Belfry 0.0.1\",\"ping\":25,"
             "\"pong\":true}}",
             uuid);
    check_text(expected);
    w->client_options.ping_interval_ms = 1500;
    centrifuge_write_connect(&out, 1, p.client,
                             &(struct connect_result){.expires = true, .ttl_s = 60}, NULL);
    snprintf(expected, sizeof(expected),
             "{\"id\":1,\"connect\":{\"client\":\"%s\",\"version\":\"Belfry 0.0.1\","
             "\"expires\":true,\"ttl\":60,\"ping\":2,\"pong\":true}}",
             uuid);
    check_text(expected);
    centrifuge_write_refresh(&out, 9, p.client,
                             &(struct connect_result){.expires = true, .ttl_s = 1});
    snprintf(expected, sizeof(expected),
             "{\"id\":9,\"refresh\":{\"client\":\"%s\",\"version\":\"Belfry 0.0.1\","
             "\"expires\":true,\"ttl\":1}}",
             uuid);
    check_text(expected);
    peer_release(&p);
}

static void subscribe_results(void **state)
{
    (void)state;
    struct subscribe_result r = {.positioned = false};
    centrifuge_write_subscribe(&out, 2, &r);
    check_text("{\"id\":2,\"subscribe\":{}}");
    r.was_recovering = true;
    centrifuge_write_subscribe(&out, 2, &r);
    check_text("{\"id\":2,\"subscribe\":{\"was_recovering\":true}}");
    r = (struct subscribe_result){.positioned = true, .position = {0, "abcdefgh"}};
    centrifuge_write_subscribe(&out, 2, &r);
    check_text("{\"id\":2,\"subscribe\":{\"epoch\":\"abcdefgh\",\"positioned\":true}}");
    struct publication a = {.data = STR("1"), .offset = 4};
    struct publication b = {.data = STR("2"), .offset = 5, .tags = STR("{\"k\":\"v\"}")};
    struct publication *const both[] = {&a, &b};
    r.recoverable = r.recovered = r.was_recovering = true;
    r.position.offset = 3;
    r.publications = both;
    r.n_publications = 2;
    centrifuge_write_subscribe(&out, 3, &r);
    check_text("{\"id\":3,\"subscribe\":{\"recoverable\":true,\"epoch\":\"abcdefgh\","
               "\"publications\":[{\"data\":1,\"offset\":4},{\"data\":2,\"offset\":5,"
               "\"tags\":{\"k\":\"v\"}}],\"recovered\":true,\"offset\":3,\"positioned\":true,"
               "\"was_recovering\":true}}");
}

static void histories_write_their_zeros(void **state)
{
    (void)state;
    struct storage_history h = {.top = {0, "abcdefgh"}};
    centrifuge_write_history(&out, 5, &h);
    check_text("{\"id\":5,\"history\":{\"publications\":[],\"epoch\":\"abcdefgh\",\"offset\":0}}");
    struct storage_item items[] = {
        {.offset = 2, .time_ms = 99, .data = STR("{}"), .info = STR("{\"user\":\"\"}")},
        {.offset = 1, .data = STR("\"\xc3\xa9\"")}};
    h.items = items;
    h.n_items = 2;
    h.top.offset = 2;
    centrifuge_append_history(&out, &h);
    check_text("{\"publications\":[{\"data\":{},\"info\":{\"user\":\"\"},\"offset\":2},"
               "{\"data\":\"\xc3\xa9\",\"offset\":1}],\"epoch\":\"abcdefgh\",\"offset\":2}");
}

static void presences(void **state)
{
    struct world *w = *state;
    struct peer p;
    char uuid[RNG_UUID_SIZE];
    char expected[300];
    assert_int_equal(centrifuge_write_presence(&out, 1, w->hub, STR("a")), STATUS_OK);
    check_text("{\"id\":1,\"presence\":{\"presence\":{}}}");
    assert_int_equal(centrifuge_write_presence_stats(&out, 1, w->hub, STR("a")), STATUS_OK);
    check_text("{\"id\":1,\"presence_stats\":{\"num_clients\":0,\"num_users\":0}}");
    peer_connect(&p, w);
    subscribe(&p, "a");
    client_id(p.client, uuid);
    snprintf(expected, sizeof(expected),
             "{\"id\":1,\"presence\":{\"presence\":{\"%s\":{\"user\":\"\",\"client\":\"%s\"}}}}",
             uuid, uuid);
    assert_int_equal(centrifuge_write_presence(&out, 1, w->hub, STR("a")), STATUS_OK);
    check_text(expected);
    assert_int_equal(centrifuge_write_presence_stats(&out, 1, w->hub, STR("a")), STATUS_OK);
    check_text("{\"id\":1,\"presence_stats\":{\"num_clients\":1,\"num_users\":1}}");
    peer_release(&p);
}

static void a_refused_presence_writes_nothing(void **state)
{
    struct world *w = *state;
    buf_literal(&out, "1");
    assert_int_equal(centrifuge_write_presence(&out, 1, w->hub, STR("no:a")), STATUS_NOT_AVAILABLE);
    assert_int_equal(centrifuge_write_presence_stats(&out, 1, w->hub, STR("no:a")),
                     STATUS_NOT_AVAILABLE);
    assert_int_equal(centrifuge_append_presence(&out, w->hub, STR("what:a")),
                     STATUS_UNKNOWN_CHANNEL);
    assert_int_equal(centrifuge_append_presence_stats(&out, w->hub, STR("what:a")),
                     STATUS_UNKNOWN_CHANNEL);
    check_text("1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(errors_and_empty_results, setup, teardown),
        cmocka_unit_test_setup_teardown(connect_and_refresh, setup, teardown),
        cmocka_unit_test_setup_teardown(subscribe_results, setup, teardown),
        cmocka_unit_test_setup_teardown(histories_write_their_zeros, setup, teardown),
        cmocka_unit_test_setup_teardown(presences, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_presence_writes_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
