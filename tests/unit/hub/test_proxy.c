/* SPDX-License-Identifier: MIT */
/* Questions to a backend that stands on the same loop: what it is sent, byte for byte, and what
 * becomes of everything that it can answer, or not answer. */
#include "hub/proxy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "backend.h"
#include "base/log.h"
#include "hub/proxy_decode.h"

struct world {
    struct loop *loop;
    struct fetch_pool *pool;
    struct backend backend;
    struct proxy_options options;
    struct proxy *proxy;
};

/* What done() got, copied. */
struct asked {
    struct proxy_call *call;
    int n_done;
    struct proxy_answer answer;
    char message[200];
    char *result, *user, *info, *data, *meta, *tags, *idempotency_key, *version_epoch;
    struct world *ends;         /* in done() */
    struct world *asks;         /* once more, in done() */
    struct proxy_call *cancels; /* in done() */
};

static void open_world(struct world *w, const char *members)
{
    char text[2000];
    struct config_errors errors;
    log_set_level(LOG_NONE);
    assert_int_equal(loop_create(&w->loop), STATUS_OK);
    struct fetch_pool_options pool_options = {
        .loop = w->loop, .max_concurrent = 8, .max_waiting = 2, .user_agent = "belfry-test/1"};
    assert_int_equal(fetch_pool_create(&pool_options, &w->pool), STATUS_OK);
    backend_open(&w->backend, w->loop);
    (void)snprintf(text, sizeof(text),
                   "{\"enabled\": true, \"endpoint\": \"http://127.0.0.1:%d/ask?key=1\","
                   " \"timeout\": \"30s\"%s%s}",
                   w->backend.port, members[0] ? ", " : "", members);
    if (config_read(str_of(text), &proxy_options_shape, &w->options, &errors) != STATUS_OK) {
        fail_msg("%s", errors.texts[0]);
    }
    assert_int_equal(proxy_create(w->pool, &w->options, &w->proxy), STATUS_OK);
}

static void close_world(struct world *w)
{
    proxy_destroy(w->proxy);
    fetch_pool_destroy(w->pool);
    backend_close(&w->backend);
    loop_destroy(w->loop);
    config_release(&proxy_options_shape, &w->options);
}

static char *copy(struct str text)
{
    char *copied = str_dup(text);
    assert_non_null(copied);
    return copied;
}

static void on_answer(void *arg, const struct proxy_answer *answer);

static void ask(struct world *w, struct asked *a, const struct proxy_request *request)
{
    struct proxy_stats before;
    proxy_stats(w->proxy, &before);
    *a = (struct asked){.ends = a->ends, .asks = a->asks, .cancels = a->cancels};
    assert_int_equal(proxy_ask(w->proxy, request, on_answer, a, &a->call), STATUS_OK);
    struct proxy_stats after;
    proxy_stats(w->proxy, &after);
    assert_int_equal(after.n_under_way, before.n_under_way + 1);
    assert_int_equal(after.n_asked[request->event], before.n_asked[request->event] + 1);
    assert_int_equal(a->n_done, 0);
}

static void on_answer(void *arg, const struct proxy_answer *answer)
{
    struct asked *a = arg;
    a->n_done++;
    a->answer = *answer;
    (void)snprintf(a->message, sizeof(a->message), "%s", answer->message ? answer->message : "");
    a->result = copy(answer->result);
    a->user = copy(answer->user);
    a->info = copy(answer->info);
    a->data = copy(answer->data);
    a->meta = copy(answer->meta);
    a->tags = copy(answer->tags);
    a->idempotency_key = copy(answer->idempotency_key);
    a->version_epoch = copy(answer->version_epoch);
    if (a->cancels) {
        proxy_cancel(a->cancels);
    }
    if (a->ends) {
        proxy_destroy(a->ends->proxy);
        a->ends->proxy = NULL;
    }
    if (a->asks) {
        struct world *w = a->asks;
        struct proxy_request request = {.event = PROXY_RPC};
        a->asks = NULL;
        assert_int_equal(proxy_ask(w->proxy, &request, on_answer, a, &a->call), STATUS_OK);
    }
}

static void release(struct asked *a)
{
    char *texts[] = {a->result,          a->user,         a->info, a->data, a->meta, a->tags,
                     a->idempotency_key, a->version_epoch};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        free(texts[i]);
    }
    *a = (struct asked){0};
}

static void run_until_done(struct world *w, const struct asked *a)
{
    while (a->n_done == 0) {
        (void)uv_run(loop_uv(w->loop), UV_RUN_ONCE);
    }
}

static void ask_and_wait(struct world *w, struct asked *a, const struct proxy_request *request)
{
    ask(w, a, request);
    run_until_done(w, a);
    assert_int_equal(a->n_done, 1);
}

/* --- what is sent --- */

static void assert_sent(struct world *w, const struct proxy_request *request, const char *body)
{
    struct asked a = {0};
    ask_and_wait(w, &a, request);
    assert_int_equal(a.answer.verdict, PROXY_RESULT);
    assert_string_equal(w->backend.body, body);
    release(&a);
}

#define WHO .client = STR("c-1"), .transport = STR("websocket")

static void test_bodies(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "");
    struct proxy_request r = {.event = PROXY_CONNECT,
                              WHO,
                              .user = STR("never"),
                              .meta = STR("{\"never\":1}"),
                              .data = STR("{\"n\": 1.10}"),
                              .name = STR("js"),
                              .version = STR("5\""),
                              .channels = STR("[\"a\",\"b\"]")};
    assert_sent(&w, &r,
                "{\"client\":\"c-1\",\"transport\":\"websocket\",\"protocol\":\"json\","
                "\"encoding\":\"json\",\"name\":\"js\",\"version\":\"5\\\"\","
                "\"data\":{\"n\": 1.10},\"channels\":[\"a\",\"b\"]}");
    r = (struct proxy_request){.event = PROXY_REFRESH, WHO, .user = STR("42")};
    assert_sent(&w, &r,
                "{\"client\":\"c-1\",\"transport\":\"websocket\",\"protocol\":\"json\","
                "\"encoding\":\"json\",\"user\":\"42\"}");
    r = (struct proxy_request){.event = PROXY_SUBSCRIBE,
                               WHO,
                               .channel = STR("news:1"),
                               .token = STR("t.t.t"),
                               .data = STR("null")};
    assert_sent(&w, &r,
                "{\"client\":\"c-1\",\"transport\":\"websocket\",\"protocol\":\"json\","
                "\"encoding\":\"json\",\"user\":\"\",\"channel\":\"news:1\",\"token\":\"t.t.t\","
                "\"data\":null}");
    r = (struct proxy_request){.event = PROXY_PUBLISH,
                               WHO,
                               .user = STR("42"),
                               .channel = STR("news:1"),
                               .data = STR("[1,\n2]")};
    assert_sent(&w, &r,
                "{\"client\":\"c-1\",\"transport\":\"websocket\",\"protocol\":\"json\","
                "\"encoding\":\"json\",\"user\":\"42\",\"channel\":\"news:1\",\"data\":[1,\n2]}");
    r = (struct proxy_request){.event = PROXY_RPC,
                               WHO,
                               .user = STR("42"),
                               .method = STR("sum"),
                               .data = STR("12345678901234567890")};
    assert_sent(&w, &r,
                "{\"client\":\"c-1\",\"transport\":\"websocket\",\"protocol\":\"json\","
                "\"encoding\":\"json\",\"user\":\"42\",\"method\":\"sum\","
                "\"data\":12345678901234567890}");
    r = (struct proxy_request){
        .event = PROXY_SUB_REFRESH, WHO, .user = STR("42"), .channel = STR("news:1")};
    assert_sent(&w, &r,
                "{\"client\":\"c-1\",\"transport\":\"websocket\",\"protocol\":\"json\","
                "\"encoding\":\"json\",\"user\":\"42\",\"channel\":\"news:1\"}");
    assert_int_equal(w.backend.n_requests, 6);
    close_world(&w);
}

static void test_binary_encoding_and_meta(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "\"binary_encoding\": true, \"include_connection_meta\": true");
    struct proxy_request r = {.event = PROXY_RPC,
                              WHO,
                              .method = STR("sum"),
                              .data = STR("{\"a\":1}"),
                              .meta = STR("{\"m\":1}")};
    assert_sent(&w, &r,
                "{\"client\":\"c-1\",\"transport\":\"websocket\",\"protocol\":\"json\","
                "\"encoding\":\"binary\",\"user\":\"\",\"method\":\"sum\","
                "\"b64data\":\"eyJhIjoxfQ==\",\"meta\":{\"m\":1}}");
    r = (struct proxy_request){.event = PROXY_REFRESH, WHO};
    assert_sent(&w, &r,
                "{\"client\":\"c-1\",\"transport\":\"websocket\",\"protocol\":\"json\","
                "\"encoding\":\"binary\",\"user\":\"\"}");
    close_world(&w);
}

static void assert_has(const struct world *w, const char *part)
{
    if (!strstr(w->backend.request, part)) {
        fail_msg("%s is not in %s", part, w->backend.request);
    }
}

static void assert_lacks(const struct world *w, const char *part)
{
    if (strcasestr(w->backend.request, part)) {
        fail_msg("%s is in %s", part, w->backend.request);
    }
}

static void test_the_request_itself(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    struct proxy_request r = {.event = PROXY_RPC, WHO};
    open_world(&w, "");
    ask_and_wait(&w, &a, &r);
    assert_has(&w, "POST /ask?key=1 HTTP/1.1\r\n");
    assert_has(&w, "Content-Type: application/json\r\n");
    assert_has(&w, "User-Agent: belfry-test/1\r\n");
    release(&a);

    /* libcurl would wait for "100 Continue" before so much. */
    size_t much = 1500000;
    char *data = malloc(much);
    assert_non_null(data);
    memset(data, '1', much);
    r.data = (struct str){data, much};
    ask_and_wait(&w, &a, &r);
    assert_lacks(&w, "\r\nExpect:");
    assert_true(strlen(w.backend.body) > much);
    release(&a);
    free(data);
    close_world(&w);
}

static void test_headers(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    open_world(&w, "\"http_headers\": [\"Cookie\", \"X-Own\", \"x-both\", \"X-Bad\", \"X-Static\"],"
                   " \"emulated_headers\": [\"Authorization\", \"X-Both\", \"X-Bad\", \"X-Number\","
                   " \"X-Static\"],"
                   " \"http\": {\"static_headers\": {\"X-Static\": \"ours\"}}");
    struct proxy_request r = {
        .event = PROXY_CONNECT,
        .http_headers = STR("cookie: a=1\nHost: evil\nCOOKIE: b=2\nX-Both: real\nX-Secret: s\n"
                            "X-Bad: a\rEvil: b\nX-Static: theirs\nno header\n\nX-Own: last"),
        .emulated_headers = STR("{\"authorization\":\"Bearer \\u00e4\",\"x-both\":\"emulated\","
                                "\"X-Bad\":\"a\\r\\nEvil: b\",\"X-Number\":1,\"X-Other\":\"o\","
                                "\"X-Static\":\"theirs\",\"Authorization\":\"again\"}")};
    ask_and_wait(&w, &a, &r);
    assert_has(&w, "\r\ncookie: a=1\r\n");
    assert_has(&w, "\r\nCOOKIE: b=2\r\n");
    assert_has(&w, "\r\nX-Own: last\r\n");
    assert_has(&w, "\r\nX-Both: real\r\n");
    assert_has(&w, "\r\nauthorization: Bearer \xc3\xa4\r\n");
    assert_has(&w, "\r\nX-Static: ours\r\n");
    static const char *const never[] = {"evil",    "emulated", "X-Secret", "X-Bad",    "X-Number",
                                        "X-Other", "theirs",   "again",    "no header"};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        assert_lacks(&w, never[i]);
    }
    release(&a);

    /* The next one has none of them. */
    r = (struct proxy_request){.event = PROXY_CONNECT};
    ask_and_wait(&w, &a, &r);
    assert_lacks(&w, "cookie");
    assert_has(&w, "\r\nX-Static: ours\r\n");
    release(&a);
    close_world(&w);
}

static void test_headers_that_are_too_large(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    struct proxy_stats stats;
    static char lines[70000] = "Cookie: ";
    memset(lines + 8, 'c', sizeof(lines) - 9);
    open_world(&w, "\"http_headers\": [\"Cookie\"]");
    struct proxy_request r = {.event = PROXY_CONNECT, .http_headers = str_of(lines)};
    assert_int_equal(proxy_ask(w.proxy, &r, on_answer, &a, &a.call), STATUS_TOO_LARGE);
    proxy_stats(w.proxy, &stats);
    assert_int_equal(stats.n_under_way, 0);
    assert_int_equal(stats.n_asked[PROXY_CONNECT], 0);
    close_world(&w);
    assert_int_equal(a.n_done, 0);
}

/* --- what comes back --- */

static void answered(struct world *w, enum proxy_event event, const char *answer, struct asked *a)
{
    struct proxy_request r = {.event = event, WHO};
    w->backend.answer = answer;
    ask_and_wait(w, a, &r);
}

static void assert_failure(const struct asked *a)
{
    assert_int_equal(a->answer.verdict, PROXY_ERROR);
    assert_int_equal(a->answer.code, 100);
    assert_string_equal(a->message, "internal server error");
    assert_true(a->answer.is_temporary);
    assert_true(a->answer.is_failure);
    assert_string_equal(a->result, "");
}

static void test_connect_results(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    open_world(&w, "");
    answered(&w, PROXY_CONNECT,
             " {\"result\":{\"user\":\"\\u00e4\",\"expire_at\":1700000000,\"info\":{\"n\":\n1.10},"
             "\"data\":[1,\r\n2],\"meta\":{\"m\":\n1},\"channels\":[\"a\"],"
             "\"subs\":{\"b\":{\"info\":1}},\"expired\":7,\"caps\":[]},\"error\":null} ",
             &a);
    assert_int_equal(a.answer.verdict, PROXY_RESULT);
    assert_true(a.answer.has_user);
    assert_string_equal(a.user, "\xc3\xa4");
    assert_int_equal(a.answer.expire_at, 1700000000);
    assert_string_equal(a.info, "{\"n\":1.10}");
    assert_string_equal(a.data, "[1,2]");
    assert_string_equal(a.meta, "{\"m\":1}");
    assert_int_equal(a.result[0], '{');
    assert_non_null(strstr(a.result, "\"subs\":{\"b\":{\"info\":1}}"));
    assert_false(a.answer.is_failure);
    release(&a);

    answered(&w, PROXY_CONNECT, "{\"result\":{\"user\":\"\"}}", &a);
    assert_true(a.answer.has_user);
    assert_string_equal(a.user, "");
    assert_int_equal(a.answer.expire_at, 0);
    release(&a);
    answered(&w, PROXY_CONNECT, "{\"result\":{\"user\":null,\"info\":null,\"meta\":null}}", &a);
    assert_int_equal(a.answer.verdict, PROXY_RESULT);
    assert_true(a.answer.has_user);
    assert_string_equal(a.user, "");
    assert_string_equal(a.info, "");
    release(&a);
    close_world(&w);
}

static void test_base64_results(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    open_world(&w, "");
    answered(&w, PROXY_SUBSCRIBE,
             "{\"result\":{\"b64info\":\"eyJhIjoxfQ==\",\"info\":2,\"b64data\":\"IFsxLAoyXSA=\","
             "\"expire_at\":5}}",
             &a);
    assert_int_equal(a.answer.verdict, PROXY_RESULT);
    assert_string_equal(a.info, "{\"a\":1}");
    assert_string_equal(a.data, "[1,2]");
    assert_int_equal(a.answer.expire_at, 5);
    release(&a);
    answered(&w, PROXY_RPC, "{\"result\":{\"b64data\":\"\",\"data\":3}}", &a);
    assert_string_equal(a.data, "3");
    release(&a);
    close_world(&w);
}

static void test_publish_results(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    open_world(&w, "");
    answered(
        &w, PROXY_PUBLISH,
        "{\"result\":{\"data\":{\"x\":1},\"skip_history\":true,\"delta\":true,"
        "\"tags\":{\"a\":\n\"b\"},\"idempotency_key\":\"k\\n\",\"version\":9223372036854775807,"
        "\"version_epoch\":\"e\",\"user\":1}}",
        &a);
    assert_int_equal(a.answer.verdict, PROXY_RESULT);
    assert_string_equal(a.data, "{\"x\":1}");
    assert_true(a.answer.skip_history);
    assert_true(a.answer.delta);
    assert_string_equal(a.tags, "{\"a\":\"b\"}");
    assert_string_equal(a.idempotency_key, "k\n");
    assert_true(a.answer.version == INT64_MAX);
    assert_string_equal(a.version_epoch, "e");
    release(&a);
    close_world(&w);
}

static void test_refresh_results(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    static const enum proxy_event events[] = {PROXY_REFRESH, PROXY_SUB_REFRESH};
    open_world(&w, "");
    for (size_t i = 0; i < 2; i++) {
        answered(&w, events[i], "{\"result\":{\"expired\":true}}", &a);
        assert_true(a.answer.expired);
        release(&a);
        answered(&w, events[i], "{\"result\":{\"expire_at\":9,\"info\":[]}}", &a);
        assert_int_equal(a.answer.verdict, PROXY_RESULT);
        assert_false(a.answer.expired);
        assert_int_equal(a.answer.expire_at, 9);
        assert_string_equal(a.info, "[]");
        release(&a);
        answered(&w, events[i], "{\"result\":{}}", &a);
        assert_false(a.answer.expired);
        release(&a);
        answered(&w, events[i], "{}", &a);
        assert_int_equal(a.answer.verdict, PROXY_RESULT);
        assert_true(a.answer.expired);
        release(&a);
    }
    close_world(&w);
}

static void test_an_answer_without_a_result(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    open_world(&w, "");
    answered(&w, PROXY_RPC, "{\"result\":null,\"other\":1}", &a);
    assert_int_equal(a.answer.verdict, PROXY_RESULT);
    assert_string_equal(a.result, "{}");
    assert_string_equal(a.data, "");
    assert_false(a.answer.is_failure);
    release(&a);
    answered(&w, PROXY_CONNECT, "{}", &a);
    assert_int_equal(a.answer.verdict, PROXY_RESULT);
    assert_false(a.answer.has_user);
    release(&a);
    close_world(&w);
}

static void test_errors_and_disconnects(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    struct proxy_stats stats;
    open_world(&w, "");
    answered(&w, PROXY_RPC,
             "{\"error\":{\"code\":1000,\"message\":\"no \\u0022\",\"temporary\":true}}", &a);
    assert_int_equal(a.answer.verdict, PROXY_ERROR);
    assert_int_equal(a.answer.code, 1000);
    assert_string_equal(a.message, "no \"");
    assert_true(a.answer.is_temporary);
    assert_false(a.answer.is_failure);
    release(&a);
    answered(&w, PROXY_RPC, "{\"error\":{\"code\":100},\"result\":{\"data\":1}}", &a);
    assert_int_equal(a.answer.verdict, PROXY_ERROR);
    assert_int_equal(a.answer.code, 100);
    assert_non_null(a.answer.message);
    assert_false(a.answer.is_temporary);
    release(&a);
    answered(&w, PROXY_SUBSCRIBE,
             "{\"disconnect\":{\"code\":4501,\"reason\":\"go\"},\"error\":{\"code\":1}}", &a);
    assert_int_equal(a.answer.verdict, PROXY_DISCONNECT);
    assert_int_equal(a.answer.code, 4501);
    assert_string_equal(a.message, "go");
    release(&a);
    answered(&w, PROXY_SUBSCRIBE, "{\"disconnect\":{\"code\":3000,\"reason\":null}}", &a);
    assert_int_equal(a.answer.code, 3000);
    assert_string_equal(a.message, "");
    release(&a);
    proxy_stats(w.proxy, &stats);
    assert_int_equal(stats.n_failed[PROXY_RPC] + stats.n_failed[PROXY_SUBSCRIBE], 0);
    close_world(&w);
}

static void assert_nonsense(struct world *w, enum proxy_event event, const char *answer,
                            const char *wrong)
{
    struct asked a = {0};
    struct proxy_reading reading;
    struct proxy_stats before;
    struct proxy_stats after;
    assert_int_equal(proxy_decode(event, str_of(answer), &reading), STATUS_INVALID);
    if (strcmp(reading.wrong, wrong) != 0) {
        fail_msg("%s: %s", answer, reading.wrong);
    }
    assert_non_null(reading.expected);
    proxy_reading_release(&reading);
    proxy_stats(w->proxy, &before);
    answered(w, event, answer, &a);
    assert_failure(&a);
    proxy_stats(w->proxy, &after);
    assert_int_equal(after.n_failed[event], before.n_failed[event] + 1);
    release(&a);
}

struct nonsense {
    enum proxy_event event;
    const char *answer;
    const char *wrong;
};

static const struct nonsense nonsense[] = {
    {PROXY_RPC, "", "the answer"},
    {PROXY_RPC, "<html>", "the answer"},
    {PROXY_RPC, "[]", "the answer"},
    {PROXY_RPC, "{\"result\":{}} {}", "the answer"},
    {PROXY_RPC, "{\"result\":{},\"result\":{}}", "the answer"},
    {PROXY_RPC, "{\"result\":{\"data\":\"\xff\"}}", "the answer"},
    {PROXY_RPC, "{\"result\":[]}", "result"},
    {PROXY_RPC, "{\"result\":{\"data\":1,\"data\":2}}", "result.data"},
    {PROXY_RPC, "{\"result\":{\"b64data\":\"e\"}}", "result.b64data"},
    {PROXY_RPC, "{\"result\":{\"b64data\":\"e30=e30=\"}}", "result.b64data"},
    {PROXY_RPC, "{\"result\":{\"b64data\":\"AAAA\"}}", "result.b64data"},
    {PROXY_RPC, "{\"result\":{\"b64data\":1}}", "result.b64data"},
    {PROXY_CONNECT, "{\"result\":{\"user\":42}}", "result.user"},
    {PROXY_CONNECT, "{\"result\":{\"user\":\"admin\\u0000x\"}}", "result.user"},
    {PROXY_CONNECT, "{\"result\":{\"user\":\"1\",\"expire_at\":\"1\"}}", "result.expire_at"},
    {PROXY_CONNECT, "{\"result\":{\"user\":\"1\",\"expire_at\":1.5}}", "result.expire_at"},
    {PROXY_CONNECT, "{\"result\":{\"user\":\"1\",\"expire_at\":-1}}", "result.expire_at"},
    {PROXY_CONNECT, "{\"result\":{\"user\":\"1\",\"meta\":[]}}", "result.meta"},
    {PROXY_CONNECT, "{\"result\":{\"user\":\"1\",\"channels\":\"a\"}}", "result.channels"},
    {PROXY_CONNECT, "{\"result\":{\"user\":\"1\",\"subs\":[]}}", "result.subs"},
    {PROXY_CONNECT, "{\"result\":{\"subs\":{\"a\":{\"override\":{\"presence\":1}}}}}",
     "result.subs.*.override.presence"},
    {PROXY_SUBSCRIBE, "{\"result\":{\"override\":1}}", "result.override"},
    {PROXY_SUBSCRIBE, "{\"result\":{\"override\":{\"presense\":{}}}}", "result.override"},
    {PROXY_SUBSCRIBE, "{\"result\":{\"override\":{\"presence\":true}}}",
     "result.override.presence"},
    {PROXY_REFRESH, "{\"result\":{\"expired\":\"true\"}}", "result.expired"},
    {PROXY_SUB_REFRESH, "{\"result\":{\"b64info\":\"AAAA\"}}", "result.b64info"},
    {PROXY_PUBLISH, "{\"result\":{\"skip_history\":1}}", "result.skip_history"},
    {PROXY_PUBLISH, "{\"result\":{\"delta\":1}}", "result.delta"},
    {PROXY_PUBLISH, "{\"result\":{\"tags\":{\"a\":1}}}", "result.tags"},
    {PROXY_PUBLISH, "{\"result\":{\"tags\":[\"a\"]}}", "result.tags"},
    {PROXY_PUBLISH, "{\"result\":{\"idempotency_key\":1}}", "result.idempotency_key"},
    {PROXY_PUBLISH, "{\"result\":{\"version\":-1}}", "result.version"},
    {PROXY_PUBLISH, "{\"result\":{\"version\":9223372036854775808}}", "result.version"},
    {PROXY_PUBLISH, "{\"result\":{\"version_epoch\":1}}", "result.version_epoch"},
    {PROXY_RPC, "{\"error\":1}", "error"},
    {PROXY_RPC, "{\"error\":{\"message\":\"m\"}}", "error.code"},
    {PROXY_RPC, "{\"error\":{\"code\":0}}", "error.code"},
    {PROXY_RPC, "{\"error\":{\"code\":99}}", "error.code"},
    {PROXY_RPC, "{\"error\":{\"code\":4294967296}}", "error.code"},
    {PROXY_RPC, "{\"error\":{\"code\":100,\"message\":1}}", "error.message"},
    {PROXY_RPC, "{\"error\":{\"code\":100,\"message\":\"\\u0000\"}}", "error.message"},
    {PROXY_RPC, "{\"error\":{\"code\":100,\"temporary\":1}}", "error.temporary"},
    {PROXY_RPC, "{\"error\":{\"code\":1,\"code\":2}}", "error"},
    {PROXY_RPC, "{\"disconnect\":[]}", "disconnect"},
    {PROXY_RPC, "{\"disconnect\":{}}", "disconnect.code"},
    {PROXY_RPC, "{\"disconnect\":{\"code\":2999}}", "disconnect.code"},
    {PROXY_RPC, "{\"disconnect\":{\"code\":5000}}", "disconnect.code"},
    {PROXY_RPC, "{\"disconnect\":{\"code\":4000,\"reason\":1}}", "disconnect.reason"},
};

static void test_nonsense(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "");
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        assert_nonsense(&w, nonsense[i].event, nonsense[i].answer, nonsense[i].wrong);
    }
    char long_key[400] = "{\"result\":{\"idempotency_key\":\"";
    size_t key_at = strlen(long_key);
    memset(long_key + key_at, 'k', 256);
    memcpy(long_key + key_at + 256, "\"}}", 4);
    assert_nonsense(&w, PROXY_PUBLISH, long_key, "result.idempotency_key");
    char long_reason[300] = "{\"disconnect\":{\"code\":4000,\"reason\":\"";
    size_t len = strlen(long_reason);
    memset(long_reason + len, 'r', 124);
    memcpy(long_reason + len + 124, "\"}}", 4);
    assert_nonsense(&w, PROXY_RPC, long_reason, "disconnect.reason");
    memcpy(long_reason + len + 123, "\"}}", 4);
    struct asked a = {0};
    answered(&w, PROXY_RPC, long_reason, &a);
    assert_int_equal(a.answer.verdict, PROXY_DISCONNECT);
    assert_int_equal(strlen(a.message), 123);
    release(&a);
    close_world(&w);
}

static void test_statuses_and_transforms(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    open_world(&w, "\"http\": {\"status_to_code_transforms\": ["
                   "{\"status_code\": 404, \"to_error\": {\"code\": 404, \"message\": \"none\"}},"
                   "{\"status_code\": 503, \"to_error\": {\"code\": 503, \"temporary\": true}},"
                   "{\"status_code\": 204, \"to_disconnect\": {\"code\": 4204}},"
                   "{\"status_code\": 403,"
                   " \"to_disconnect\": {\"code\": 4403, \"reason\": \"forbidden\"}}]}");
    static const int failing[] = {201, 301, 400, 401, 500};
    for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
        w.backend.status = failing[i];
        answered(&w, PROXY_RPC, "{\"result\":{\"data\":1}}", &a);
        assert_failure(&a);
        release(&a);
    }
    w.backend.status = 404;
    answered(&w, PROXY_RPC, "{\"result\":{}}", &a);
    assert_int_equal(a.answer.verdict, PROXY_ERROR);
    assert_int_equal(a.answer.code, 404);
    assert_string_equal(a.message, "none");
    assert_false(a.answer.is_temporary);
    assert_false(a.answer.is_failure);
    release(&a);
    w.backend.status = 503;
    answered(&w, PROXY_RPC, "not JSON", &a);
    assert_int_equal(a.answer.code, 503);
    assert_true(a.answer.is_temporary);
    release(&a);
    w.backend.status = 403;
    answered(&w, PROXY_CONNECT, "", &a);
    assert_int_equal(a.answer.verdict, PROXY_DISCONNECT);
    assert_int_equal(a.answer.code, 4403);
    assert_string_equal(a.message, "forbidden");
    release(&a);
    w.backend.status = 204;
    answered(&w, PROXY_CONNECT, "", &a);
    assert_int_equal(a.answer.verdict, PROXY_DISCONNECT);
    assert_int_equal(a.answer.code, 4204);
    release(&a);
    close_world(&w);
}

/* --- when nothing comes back --- */

static void test_a_large_answer(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    char answer[200] = "{\"result\":{\"data\":1}}";
    open_world(&w, "\"max_reply_size\": 64");
    memset(answer + strlen(answer), ' ', 64 - strlen(answer));
    answered(&w, PROXY_RPC, answer, &a);
    assert_int_equal(a.answer.verdict, PROXY_RESULT);
    release(&a);
    answer[64] = ' ';
    answered(&w, PROXY_RPC, answer, &a);
    assert_failure(&a);
    release(&a);
    close_world(&w);
}

static void test_timeout_and_a_broken_connection(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    struct proxy_stats stats;
    struct proxy_request r = {.event = PROXY_REFRESH};
    open_world(&w, "");
    w.options.timeout_ms = 30;
    w.backend.hangs = true;
    ask_and_wait(&w, &a, &r);
    assert_failure(&a);
    release(&a);
    w.options.timeout_ms = 30000;
    w.backend.hangs = false;
    w.backend.resets = true;
    ask_and_wait(&w, &a, &r);
    assert_failure(&a);
    release(&a);
    proxy_stats(w.proxy, &stats);
    assert_int_equal(stats.n_asked[PROXY_REFRESH], 2);
    assert_int_equal(stats.n_failed[PROXY_REFRESH], 2);
    assert_int_equal(stats.n_under_way, 0);
    close_world(&w);
}

static void test_a_backend_that_is_down(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {0};
    struct proxy_request r = {.event = PROXY_CONNECT};
    open_world(&w, "");
    uv_close((uv_handle_t *)&w.backend.listener, NULL);
    (void)uv_run(loop_uv(w.loop), UV_RUN_NOWAIT);
    ask_and_wait(&w, &a, &r);
    assert_failure(&a);
    release(&a);
    proxy_destroy(w.proxy);
    fetch_pool_destroy(w.pool);
    buf_release(&w.backend.out);
    loop_destroy(w.loop);
    config_release(&proxy_options_shape, &w.options);
}

static void test_limits_and_cancelling(void **state)
{
    (void)state;
    struct world w;
    struct asked a[3] = {0};
    struct proxy_stats stats;
    struct proxy_request r = {.event = PROXY_RPC};
    open_world(&w, "\"max_concurrent\": 2");
    w.backend.hangs = true;
    ask(&w, &a[0], &r);
    ask(&w, &a[1], &r);
    assert_int_equal(proxy_ask(w.proxy, &r, on_answer, &a[2], &a[2].call), STATUS_OVERLOADED);
    proxy_stats(w.proxy, &stats);
    assert_int_equal(stats.n_overloaded, 1);
    assert_int_equal(stats.n_asked[PROXY_RPC], 2);
    proxy_cancel(a[0].call); /* before it was sent */
    while (w.backend.n_requests == 0) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
    }
    proxy_cancel(a[1].call); /* while it waits for the answer */
    w.backend.hangs = false;
    ask_and_wait(&w, &a[2], &r);
    assert_int_equal(a[2].answer.verdict, PROXY_RESULT);
    release(&a[2]);
    proxy_stats(w.proxy, &stats);
    assert_int_equal(stats.n_under_way, 0);
    close_world(&w);
    assert_int_equal(a[0].n_done + a[1].n_done, 0);
}

static void test_the_pool_is_full_or_closing(void **state)
{
    (void)state;
    struct world w;
    struct asked a[11] = {0};
    struct proxy_request r = {.event = PROXY_RPC};
    open_world(&w, "");
    w.backend.hangs = true;
    for (size_t i = 0; i < 10; i++) {
        ask(&w, &a[i], &r);
    }
    assert_int_equal(proxy_ask(w.proxy, &r, on_answer, &a[10], &a[10].call), STATUS_OVERLOADED);
    for (size_t i = 0; i < 10; i++) {
        proxy_cancel(a[i].call);
    }
    fetch_pool_destroy(w.pool);
    w.pool = NULL;
    assert_int_equal(proxy_ask(w.proxy, &r, on_answer, &a[10], &a[10].call), STATUS_CLOSED);
    close_world(&w);
    for (size_t i = 0; i < 11; i++) {
        assert_int_equal(a[i].n_done, 0);
    }
}

static void test_the_hub_goes_down(void **state)
{
    (void)state;
    struct world w;
    struct asked a[3] = {0};
    struct proxy_request r = {.event = PROXY_REFRESH};
    open_world(&w, "");
    w.backend.hangs = true;
    ask(&w, &a[0], &r);
    ask(&w, &a[1], &r);
    a[0].cancels = a[1].call;
    proxy_stop(w.proxy);
    assert_int_equal(a[0].n_done, 1);
    assert_int_equal(a[1].n_done, 0);
    assert_failure(&a[0]);
    assert_int_equal(proxy_ask(w.proxy, &r, on_answer, &a[2], &a[2].call), STATUS_CLOSED);
    proxy_stop(w.proxy);
    release(&a[0]);
    close_world(&w);
    assert_int_equal(a[1].n_done + a[2].n_done, 0);
}

static void test_what_done_may_do(void **state)
{
    (void)state;
    struct world w;
    struct asked a = {.asks = &w};
    struct asked other = {0};
    struct proxy_request r = {.event = PROXY_RPC};
    open_world(&w, "");
    ask(&w, &a, &r);
    run_until_done(&w, &a);
    struct asked first = a;
    while (a.n_done < 2) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
    }
    release(&first);
    release(&a);

    a.cancels = NULL;
    w.backend.hangs = true;
    ask(&w, &other, &r);
    while (w.backend.n_requests < 3) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
    }
    w.backend.hangs = false;
    a.cancels = other.call;
    a.ends = &w;
    ask_and_wait(&w, &a, &r);
    assert_null(w.proxy);
    assert_int_equal(other.n_done, 0);
    release(&a);
    close_world(&w);
}

static void test_names(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "");
    assert_string_equal(proxy_name(w.proxy), "default");
    w.options.name = str_dup(STR("users"));
    assert_string_equal(proxy_name(w.proxy), "users");
    free(w.options.name);
    assert_string_equal(proxy_event_name(PROXY_SUB_REFRESH), "sub_refresh");
    assert_string_equal(proxy_event_name(PROXY_CONNECT), "connect");
    proxy_destroy(NULL);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_binary_encoding_and_meta),
        cmocka_unit_test(test_the_request_itself),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_headers_that_are_too_large),
        cmocka_unit_test(test_connect_results),
        cmocka_unit_test(test_base64_results),
        cmocka_unit_test(test_publish_results),
        cmocka_unit_test(test_refresh_results),
        cmocka_unit_test(test_an_answer_without_a_result),
        cmocka_unit_test(test_errors_and_disconnects),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_statuses_and_transforms),
        cmocka_unit_test(test_a_large_answer),
        cmocka_unit_test(test_timeout_and_a_broken_connection),
        cmocka_unit_test(test_a_backend_that_is_down),
        cmocka_unit_test(test_limits_and_cancelling),
        cmocka_unit_test(test_the_pool_is_full_or_closing),
        cmocka_unit_test(test_the_hub_goes_down),
        cmocka_unit_test(test_what_done_may_do),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
