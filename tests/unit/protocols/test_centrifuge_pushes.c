/* SPDX-License-Identifier: MIT */
/* The exact texts of pushes, in both envelopes and in all forms of data, and what stands around
 * them on each kind of connection. */
#include "protocols/centrifuge_pushes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/json_span.h"
#include "hub/client.h"

static const struct wire_format *const formats[] = {&centrifuge_websocket_format,
                                                    &centrifuge_http_stream_format,
                                                    &centrifuge_sse_format,
                                                    &centrifuge_uni_websocket_format,
                                                    &centrifuge_uni_websocket_joined_format,
                                                    &centrifuge_uni_http_stream_format,
                                                    &centrifuge_uni_sse_format};
enum { N_FORMATS_HERE = sizeof(formats) / sizeof(formats[0]) };

static struct buf out;

static int setup(void **state)
{
    (void)state;
    buf_init(&out, 100000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_release(&out);
    return 0;
}

static void check_text(const char *expected)
{
    assert_false(buf_failed(&out));
    assert_true(str_eq(buf_str(&out), str_of(expected)));
    assert_int_equal(json_check(buf_str(&out), NULL), STATUS_OK);
    assert_true(str_find(buf_str(&out), '\n') < 0);
    buf_clear(&out);
}

static void check_publication(const struct publication *p, enum publication_form form,
                              struct str patch, const char *expected)
{
    const struct wire_format *f = &centrifuge_websocket_format;
    f->publication(f, &out, STR("news"), p, form, patch);
    check_text(expected);
}

static void publications(void **state)
{
    (void)state;
    struct publication p = {.data = STR("{\"n\": 1.10}")};
    check_publication(&p, FORM_JSON, STR_EMPTY,
                      "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":{\"n\": 1.10}}}}");
    p.offset = 18446744073709551615u;
    p.info = STR("{\"user\":\"u\",\"client\":\"c\"}");
    p.tags = STR("{\"k\":\"v\"}");
    check_publication(&p, FORM_JSON, STR_EMPTY,
                      "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":{\"n\": 1.10},"
                      "\"info\":{\"user\":\"u\",\"client\":\"c\"},"
                      "\"offset\":18446744073709551615,\"tags\":{\"k\":\"v\"}}}}");
    check_publication(&p, FORM_TEXT, STR_EMPTY,
                      "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":\"{\\\"n\\\": 1.10}\","
                      "\"info\":{\"user\":\"u\",\"client\":\"c\"},"
                      "\"offset\":18446744073709551615,\"tags\":{\"k\":\"v\"}}}}");
    check_publication(&p, FORM_DELTA, STR("p\nn@0,2:\"}jrh9V;"),
                      "{\"push\":{\"channel\":\"news\",\"pub\":{"
                      "\"data\":\"p\\nn@0,2:\\\"}jrh9V;\","
                      "\"info\":{\"user\":\"u\",\"client\":\"c\"},"
                      "\"offset\":18446744073709551615,\"tags\":{\"k\":\"v\"},"
                      "\"delta\":true}}}");
}

static void joins_and_leaves(void **state)
{
    (void)state;
    const struct wire_format *f = &centrifuge_websocket_format;
    f->join(f, &out, STR("a\"b"), STR("{\"user\":\"42\",\"client\":\"c\"}"));
    check_text("{\"push\":{\"channel\":\"a\\\"b\",\"join\":{\"info\":{\"user\":\"42\","
               "\"client\":\"c\"}}}}");
    f->leave(f, &out, STR("ch"), STR("{\"user\":\"\",\"client\":\"c\"}"));
    check_text("{\"push\":{\"channel\":\"ch\",\"leave\":{\"info\":{\"user\":\"\","
               "\"client\":\"c\"}}}}");
}

static void beginnings_and_ends_of_subscriptions(void **state)
{
    (void)state;
    const struct wire_format *f = &centrifuge_websocket_format;
    struct subscribe_result r = {.expires = false};
    f->subscribe(f, &out, STR("ch"), &r);
    check_text("{\"push\":{\"channel\":\"ch\",\"subscribe\":{}}}");
    r = (struct subscribe_result){
        .positioned = true, .recoverable = true, .position = {5, "abcdefgh"}, .data = STR("[1]")};
    f->subscribe(f, &out, STR("ch"), &r);
    check_text("{\"push\":{\"channel\":\"ch\",\"subscribe\":{\"recoverable\":true,"
               "\"epoch\":\"abcdefgh\",\"offset\":5,\"positioned\":true,\"data\":[1]}}}");
    f->unsubscribe(f, &out, STR("ch"), &unsubscribe_insufficient_state);
    check_text("{\"push\":{\"channel\":\"ch\",\"unsubscribe\":{\"code\":2500,"
               "\"reason\":\"insufficient state\"}}}");
}

static void of_the_connection(void **state)
{
    (void)state;
    const struct wire_format *f = &centrifuge_http_stream_format;
    f->refresh(f, &out, true, 60);
    check_text("{\"push\":{\"refresh\":{\"expires\":true,\"ttl\":60}}}");
    f->refresh(f, &out, false, 0);
    check_text("{\"push\":{\"refresh\":{}}}");
    f->refresh(f, &out, true, -3);
    check_text("{\"push\":{\"refresh\":{\"expires\":true}}}");
    f->disconnect(f, &out, &(struct disconnect){.code = 4000, .reason = "for \"reasons\""});
    check_text("{\"push\":{\"disconnect\":{\"code\":4000,\"reason\":\"for \\\"reasons\\\"\"}}}");
}

static void alone_on_unidirectional_connections(void **state)
{
    (void)state;
    const struct wire_format *f = &centrifuge_uni_sse_format;
    struct publication p = {.data = STR("7"), .offset = 3};
    f->publication(f, &out, STR("ch"), &p, FORM_JSON, STR_EMPTY);
    check_text("{\"channel\":\"ch\",\"pub\":{\"data\":7,\"offset\":3}}");
    f->join(f, &out, STR("ch"), STR("{}"));
    check_text("{\"channel\":\"ch\",\"join\":{\"info\":{}}}");
    f->unsubscribe(f, &out, STR("ch"), &unsubscribe_insufficient_state);
    check_text("{\"channel\":\"ch\",\"unsubscribe\":{\"code\":2500,"
               "\"reason\":\"insufficient state\"}}");
    f->refresh(f, &out, true, 60);
    check_text("{\"refresh\":{\"expires\":true,\"ttl\":60}}");
    f->disconnect(f, &out, &disconnect_shutdown);
    check_text("{\"disconnect\":{\"code\":3001,\"reason\":\"shutdown\"}}");
}

static void frames_have_places_of_their_own(void **state)
{
    (void)state;
    bool is_taken[WIRE_FORMATS_MAX] = {false};
    for (size_t i = 0; i < N_FORMATS_HERE; i++) {
        assert_true(formats[i]->index < WIRE_FORMATS_MAX);
        assert_false(is_taken[formats[i]->index]);
        is_taken[formats[i]->index] = true;
        assert_true(str_eq(formats[i]->ping, STR("{}")));
    }
}

static void on_the_wire(const struct wire_format *f, const char *expected)
{
    for (int i = 0; i < 2; i++) {
        buf_append(&out, i > 0 ? f->between : STR_EMPTY);
        buf_append(&out, f->before);
        buf_append(&out, f->ping);
        buf_append(&out, f->after);
    }
    assert_true(f->joins);
    assert_true(str_eq(buf_str(&out), str_of(expected)));
    buf_clear(&out);
}

static void what_stands_around_messages(void **state)
{
    (void)state;
    on_the_wire(&centrifuge_websocket_format, "{}\n{}");
    on_the_wire(&centrifuge_http_stream_format, "{}\n{}\n");
    on_the_wire(&centrifuge_sse_format, "data: {}\n\ndata: {}\n\n");
    on_the_wire(&centrifuge_uni_websocket_joined_format, "{}\n{}");
    on_the_wire(&centrifuge_uni_http_stream_format, "{}\n{}\n");
    on_the_wire(&centrifuge_uni_sse_format, "data: {}\n\ndata: {}\n\n");
    assert_false(centrifuge_uni_websocket_format.joins);
    assert_int_equal(centrifuge_uni_websocket_format.before.len, 0);
    assert_int_equal(centrifuge_uni_websocket_format.after.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publications),
        cmocka_unit_test(joins_and_leaves),
        cmocka_unit_test(beginnings_and_ends_of_subscriptions),
        cmocka_unit_test(of_the_connection),
        cmocka_unit_test(alone_on_unidirectional_connections),
        cmocka_unit_test(frames_have_places_of_their_own),
        cmocka_unit_test(what_stands_around_messages),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
