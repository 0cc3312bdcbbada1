/* SPDX-License-Identifier: MIT */
/* Redirects and guards: what is followed, what is taken along, and what is refused before anything
 * is sent there. Two ports of one server are two hosts. */
#include "tests/unit/upstreams/fetch_world.h"

#include "tests/unit/upstreams/script_server.h"
#include "upstreams/address_guard.h"
#include "upstreams/transport_options.h"

static struct server server;

static int start_server(void **state)
{
    (void)state;
    return server_start(&server, false, false, (const char *const[]){NULL});
}

static int stop_server(void **state)
{
    (void)state;
    return server_stop(&server);
}

/* --- worlds --- */

/* Of one entry, with the port where it has a "%d". */
static struct address_guard *guard_of(const char *format, int port)
{
    char text[100];
    char *entry = text;
    (void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(format, "%"), format);
    if (strchr(format, '%')) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d", port);
    }
    struct config_list hosts = {.items = &entry, .n_items = 1};
    assert_null(address_guard_expects(str_of(entry)));
    return address_guard_create(&hosts);
}

static const char *here(const char *path)
{
    return url_at("http", "127.0.0.1", server.port, path);
}

static const char *there(const char *path)
{
    return url_at("http", "127.0.0.1", server.other_port, path);
}

/* Here, with a redirect. */
static struct fetch_spec redirect_to(const char *target, const char *more)
{
    char path[300];
    (void)snprintf(path, sizeof(path), "/health?redirect=%s%s", target, more);
    struct fetch_spec spec = spec_of(here(path));
    spec.max_redirects = 5;
    return spec;
}

static struct fetch_stats stats_of(const struct world *w)
{
    struct fetch_stats stats;
    fetch_pool_stats(w->pool, &stats);
    return stats;
}

static void assert_refused(struct world *w, const struct fetch_spec *spec, const char *words)
{
    struct call call = call_make(w, spec);
    if (call.result.outcome != FETCH_REFUSED) {
        fail_msg("%s: %s", spec->url, fetch_outcome_name(call.result.outcome));
    }
    assert_has(call.error, words);
    assert_int_equal(call.result.body.len, 0);
    call_release(&call);
}

/* --- to the own host --- */

static void test_they_are_followed(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = spec_of(here("/redirect/3?to=/json?size=1000"));
    spec.max_redirects = 4;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 200);
    assert_int_equal(call.result.body.len, 1000);
    assert_int_equal(call.result.n_bytes, 1000);
    assert_true(call.result.is_reused);
    assert_int_equal(stats_of(&w).n_redirects, 4);
    assert_int_equal(stats_of(&w).n_connections, 1);
    assert_int_equal(stats_of(&w).n_started, 1);
    call_release(&call);
    world_close(&w);
}

static void test_there_is_a_limit(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = spec_of(here("/redirect/loop"));
    spec.max_redirects = 5;
    world_open(&w, 1, 10);
    server_reset_stats(&server);
    assert_refused(&w, &spec, "more than 5 redirects");
    assert_int_equal(server_stat(&server, "requests"), 6);
    world_close(&w);
}

static void test_what_is_none(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = spec_of(here("/status/302"));
    spec.max_redirects = 5;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_HTTP_ERROR, 302);
    assert_true(str_eq(call.result.body, STR("{\"status\":302}")));
    call_release(&call);
    spec = redirect_to("/json", "&status=300");
    call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_HTTP_ERROR, 300);
    call_release(&call);
    spec = redirect_to("/json", "");
    spec.max_redirects = 0;
    call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_HTTP_ERROR, 302);
    call_release(&call);
    world_close(&w);
}

/* The page of a redirect is nobody's, and of any length that one may have. */
static void test_the_page_is_skipped(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = spec_of(here("/json?size=60000&redirect=/json?size=100"));
    spec.max_redirects = 1;
    spec.max_bytes = 100;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 200);
    assert_int_equal(call.result.body.len, 100);
    call_release(&call);
    spec = spec_of(here("/json?endless=1&redirect=/json"));
    spec.max_redirects = 1;
    call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_HTTP_ERROR, 302);
    call_release(&call);
    world_close(&w);
}

static void test_the_time_goes_on(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = redirect_to("/health?latency=60ms", "&latency=60ms");
    spec.timeout_ms = 100;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_TIMEOUT, 0);
    assert_true(call.result.duration_us >= 99000);
    call_release(&call);
    world_close(&w);
}

static void test_cancelled_on_the_way(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    struct fetch_spec spec = redirect_to("/status/299?hang=1", "");
    world_open(&w, 1, 10);
    server_reset_stats(&server);
    assert_int_equal(call_start(&w, &call, &spec), STATUS_OK);
    while (!server_saw(&server, "/status/299")) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_NOWAIT);
    }
    fetch_cancel(call.fetch);
    spec = spec_of(here("/health"));
    free(call_text(&w, &spec));
    assert_int_equal(call.n_done, 0);
    world_close(&w);
}

/* --- what is taken along --- */

struct change {
    int status;
    enum fetch_method from;
    enum fetch_method to;
};

static void assert_change(struct world *w, const struct change *change)
{
    char more[40];
    char name[40];
    bool has_body = change->to != FETCH_GET;
    (void)snprintf(more, sizeof(more), "&status=%d", change->status);
    struct fetch_spec spec = redirect_to("/echo", more);
    spec.method = change->from;
    spec.body = STR("[1]");
    char *said = call_text(w, &spec);
    (void)snprintf(name, sizeof(name), "\"method\":\"%s\"", fetch_method_name(change->to));
    assert_has(said, name);
    assert_has(said, has_body ? "\"body\":\"[1]\"" : "\"body\":\"\"");
    assert_has(said, "\"accept\":\"application/json\"");
    assert_lacks(said, "\"expect\"");
    if (has_body) {
        assert_has(said, "\"content-type\":\"application/json\"");
    } else {
        assert_lacks(said, "content-");
    }
    free(said);
}

static void test_methods(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {301, FETCH_POST, FETCH_GET},      {302, FETCH_POST, FETCH_GET},
        {303, FETCH_POST, FETCH_GET},      {303, FETCH_PUT, FETCH_GET},
        {301, FETCH_DELETE, FETCH_GET},    {307, FETCH_POST, FETCH_POST},
        {308, FETCH_POST, FETCH_POST},     {307, FETCH_PATCH, FETCH_PATCH},
        {308, FETCH_DELETE, FETCH_DELETE},
    };
    struct world w;
    world_open(&w, 1, 10);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        assert_change(&w, &changes[i]);
    }
    world_close(&w);
}

static void test_head_stays_head(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = redirect_to("/json?size=5000", "");
    spec.method = FETCH_HEAD;
    world_open(&w, 1, 10);
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 200);
    assert_int_equal(call.result.body.len, 0);
    assert_int_equal(call.result.head.content_length, 5000);
    call_release(&call);
    world_close(&w);
}

/* A POST whose answer was a redirect is another request afterwards; that is not sent twice either.
 */
static void test_a_redirected_post_is_sent_once(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1, 10);
    for (int i = 0; i < 2; i++) {
        struct fetch_spec spec = redirect_to("/status/299?reset=1", "&status=307");
        spec.method = FETCH_POST;
        spec.body = i ? STR("[1]") : STR_EMPTY;
        server_reset_stats(&server);
        struct call call = call_make(&w, &spec);
        assert_outcome_of(&call, FETCH_CONNECT_ERROR, 0);
        assert_int_equal(server_stat(&server, "requests"), 2);
        call_release(&call);
    }
    world_close(&w);
}

static void test_headers(void **state)
{
    (void)state;
    struct world w;
    const struct str headers[] = {STR("X-Secret: 1"), STR("Accept: text/x"),
                                  STR("User-Agent: other/2"), STR("Content-Type: text/plain")};
    struct address_guard *guard = guard_of("127.0.0.1:%d", server.other_port);
    world_open(&w, 1, 10);
    struct fetch_spec spec = redirect_to("/echo", "&status=307");
    spec.redirect_guard = guard;
    spec.method = FETCH_POST;
    spec.body = STR("text");
    spec.headers = headers;
    spec.n_headers = 4;
    char *said = call_text(&w, &spec);
    assert_has(said, "x-secret");
    assert_has(said, "\"accept\":\"text/x\"");
    assert_has(said, "\"user-agent\":\"other/2\"");
    free(said);

    spec.url = redirect_to(there("/echo"), "&status=307").url;
    said = call_text(&w, &spec);
    assert_has(said, "\"body\":\"text\"");
    assert_has(said, "\"content-type\":\"text/plain\""); /* that says what the body is */
    assert_has(said, "\"accept\":\"application/json\"");
    assert_has(said, "\"user-agent\":\"belfry-test/1\"");
    assert_lacks(said, "x-secret");
    assert_lacks(said, "text/x");
    free(said);

    /* Nothing of all that is in the next. */
    spec = spec_of(here("/echo"));
    said = call_text(&w, &spec);
    assert_has(said, "\"method\":\"GET\"");
    assert_lacks(said, "content-");
    assert_lacks(said, "x-secret");
    free(said);
    world_close(&w);
    address_guard_destroy(guard);
}

static void test_credentials_stay_at_home(void **state)
{
    (void)state;
    struct world w;
    char url[300];
    struct address_guard *guard = guard_of("127.0.0.1:%d", server.other_port);
    world_open(&w, 1, 10);
    (void)snprintf(url, sizeof(url), "http://user:secret@127.0.0.1:%d/health?redirect=%s",
                   server.port, there("/echo"));
    struct fetch_spec spec = spec_of(url);
    spec.max_redirects = 1;
    spec.redirect_guard = guard;
    char *said = call_text(&w, &spec);
    assert_lacks(said, "authorization");
    free(said);
    world_close(&w);
    address_guard_destroy(guard);
}

/* --- to others --- */

static void test_others_need_a_guard(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1, 10);
    server_reset_stats(&server);
    struct fetch_spec spec = redirect_to(there("/status/299"), "");
    assert_refused(&w, &spec, "a redirect to another host is not followed");
    /* The same port and host, but not the same scheme. */
    spec = redirect_to(url_at("https", "127.0.0.1", server.port, "/status/299"), "");
    assert_refused(&w, &spec, "a redirect to another host is not followed");
    spec = redirect_to("ftp://127.0.0.1/", "");
    assert_refused(&w, &spec, "no URL of http or https: ftp://127.0.0.1/");
    assert_false(server_saw(&server, "/status/299"));
    world_close(&w);
}

static void test_a_guard_lets_some_through(void **state)
{
    (void)state;
    struct world w;
    struct address_guard *guard = guard_of("127.0.0.1:%d", server.other_port);
    world_open(&w, 1, 10);
    struct fetch_spec spec = redirect_to(there("/json?size=300"), "");
    spec.redirect_guard = guard;
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 200);
    assert_int_equal(call.result.body.len, 300);
    call_release(&call);
    spec = spec_of(here("/health")); /* kept connections are used again */
    call = call_make(&w, &spec);
    assert_true(call.result.is_reused);
    call_release(&call);

    server_reset_stats(&server);
    spec = redirect_to(url_at("http", "localhost", server.other_port, "/status/299"), "");
    spec.redirect_guard = guard;
    assert_refused(&w, &spec, "the host localhost, port");
    assert_false(server_saw(&server, "/status/299"));

    /* There and back: at home no guard is asked. */
    char path[300];
    (void)snprintf(path, sizeof(path), "/health?redirect=%s", here("/json?size=200"));
    spec = redirect_to(there(path), "");
    spec.redirect_guard = guard;
    call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_OK, 200);
    assert_int_equal(call.result.body.len, 200);
    call_release(&call);
    world_close(&w);
    address_guard_destroy(guard);
}

/* The name is good, but not where it leads; a connection that was made before, without the guard,
 * does not help. */
static void test_addresses_are_looked_at(void **state)
{
    (void)state;
    struct world w;
    struct address_guard *guard = guard_of("localhost", 0);
    world_open(&w, 2, 10);
    struct fetch_spec spec = spec_of(url_at("http", "localhost", server.other_port, "/health"));
    free(call_text(&w, &spec));
    server_reset_stats(&server);
    spec = redirect_to(url_at("http", "localhost", server.other_port, "/status/299"), "");
    spec.redirect_guard = guard;
    assert_refused(&w, &spec, "1 is not allowed");
    assert_false(server_saw(&server, "/status/299"));
    spec = spec_of(url_at("http", "localhost", server.other_port, "/health"));
    free(call_text(&w, &spec)); /* as ever */
    world_close(&w);
    address_guard_destroy(guard);
}

static void test_not_through_a_proxy(void **state)
{
    (void)state;
    struct world w;
    struct script_server proxy = {0};
    char url[60];
    char answer[200];
    struct address_guard *guard = guard_of("127.0.0.1:%d", server.other_port);
    (void)snprintf(answer, sizeof(answer), "HTTP/1.1 302 F\r\nLocation: %s\r\n\r\n",
                   there("/status/299"));
    script_server_start(&proxy, (const char *const[]){answer, NULL});
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", proxy.port);
    struct transport_options transport = {.proxy = url};
    world_open(&w, 1, 10);
    struct fetch_spec spec = spec_of("http://far.example/x");
    spec.max_redirects = 1;
    spec.redirect_guard = guard;
    spec.transport = &transport;
    assert_refused(&w, &spec, "not followed through a proxy");
    world_close(&w);
    char *asked = script_server_stop(&proxy);
    assert_has(asked, "GET http://far.example/x HTTP/1.1\r\n");
    free(asked);
    address_guard_destroy(guard);
}

/* --- guarded pools --- */

static void open_guarded(struct world *w, const struct address_guard *guard)
{
    world_open_with(
        w, (struct fetch_pool_options){.max_concurrent = 1, .max_waiting = 10, .guard = guard});
}

static void test_a_guarded_pool(void **state)
{
    (void)state;
    struct world w;
    struct address_guard *guard = guard_of("127.0.0.1:%d", server.port);
    open_guarded(&w, guard);
    server_reset_stats(&server);
    struct fetch_spec spec = spec_of(here("/health"));
    free(call_text(&w, &spec));
    char url[100];
    (void)snprintf(url, sizeof(url), "http://a:b@127.0.0.1:%d/status/299", server.port);
    spec = spec_of(url);
    assert_refused(&w, &spec, "a user name or a password");
    spec = spec_of(there("/status/299"));
    assert_refused(&w, &spec, "the host 127.0.0.1, port");
    spec = spec_of("ftp://127.0.0.1/");
    assert_refused(&w, &spec, "a URL that is none of http or https");
    spec = spec_of("127.0.0.1/");
    assert_refused(&w, &spec, "a URL that is none of http or https");
    spec = redirect_to(there("/status/299"), "");
    assert_refused(&w, &spec, "the host 127.0.0.1, port");
    spec = redirect_to("/json?size=100", "");
    free(call_text(&w, &spec));
    assert_false(server_saw(&server, "/status/299"));
    assert_int_equal(stats_of(&w).n_outcomes[FETCH_REFUSED], 5);
    world_close(&w);
    address_guard_destroy(guard);
}

static void test_a_guarded_pool_looks_at_addresses(void **state)
{
    (void)state;
    struct world w;
    struct address_guard *guard = guard_of("localhost:%d", server.port);
    open_guarded(&w, guard);
    server_reset_stats(&server);
    struct fetch_spec spec = spec_of(url_at("http", "localhost", server.port, "/status/299"));
    assert_refused(&w, &spec, "1 is not allowed");
    assert_int_equal(server_stat(&server, "requests"), 0);
    world_close(&w);
    address_guard_destroy(guard);
}

/* Another guard for redirects does not count there. */
static void test_a_guarded_pool_has_one_guard(void **state)
{
    (void)state;
    struct world w;
    struct address_guard *guard = guard_of("127.0.0.1:%d", server.port);
    struct address_guard *other = guard_of("127.0.0.1:%d", server.other_port);
    open_guarded(&w, guard);
    struct fetch_spec spec = redirect_to(there("/json"), "");
    spec.redirect_guard = other;
    assert_refused(&w, &spec, "the host 127.0.0.1, port");
    world_close(&w);
    address_guard_destroy(guard);
    address_guard_destroy(other);
}

/* done() hears of a refusal later, or not at all. */
static void test_a_refusal_can_be_cancelled(void **state)
{
    (void)state;
    struct world w;
    struct call call = {0};
    struct address_guard *guard = guard_of("127.0.0.1:%d", server.port);
    struct fetch_spec spec = spec_of(there("/health"));
    open_guarded(&w, guard);
    assert_int_equal(call_start(&w, &call, &spec), STATUS_OK);
    fetch_cancel(call.fetch);
    spec = spec_of(here("/health"));
    free(call_text(&w, &spec));
    assert_int_equal(call.n_done, 0);
    world_close(&w);
    address_guard_destroy(guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_they_are_followed),
        cmocka_unit_test(test_there_is_a_limit),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_the_page_is_skipped),
        cmocka_unit_test(test_the_time_goes_on),
        cmocka_unit_test(test_cancelled_on_the_way),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_head_stays_head),
        cmocka_unit_test(test_a_redirected_post_is_sent_once),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_credentials_stay_at_home),
        cmocka_unit_test(test_others_need_a_guard),
        cmocka_unit_test(test_a_guard_lets_some_through),
        cmocka_unit_test(test_addresses_are_looked_at),
        cmocka_unit_test(test_not_through_a_proxy),
        cmocka_unit_test(test_a_guarded_pool),
        cmocka_unit_test(test_a_guarded_pool_looks_at_addresses),
        cmocka_unit_test(test_a_guarded_pool_has_one_guard),
        cmocka_unit_test(test_a_refusal_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
