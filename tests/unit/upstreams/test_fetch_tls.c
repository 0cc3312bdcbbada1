/* SPDX-License-Identifier: MIT */
/* TLS, proxies and versions: which servers are believed, whom clients show themselves to, and that
 * connections of different settings are kept apart. */
#include "tests/unit/upstreams/fetch_world.h"

#include "tests/unit/upstreams/certificates.h"
#include "tests/unit/upstreams/script_server.h"
#include "upstreams/tls_authorities.h"
#include "upstreams/tls_files.h"
#include "upstreams/transport_options.h"

static char folder[] = "/tmp/belfry-tls-XXXXXX";
static struct server server;
static struct server strict_server; /* wants a certificate of the client */

static int start_servers(void **state)
{
    (void)state;
    if (!folder_make(folder) || !certificate_make(folder, "server", "IP:127.0.0.1") ||
        !certificate_make(folder, "client", "DNS:client") ||
        !certificate_make(folder, "other", "DNS:other")) {
        return -1;
    }
    const char *const options[] = {"--tls-port",
                                   "0",
                                   "--tls-cert",
                                   path_in(folder, "server.pem"),
                                   "--tls-key",
                                   path_in(folder, "server.key"),
                                   "--tls-client-ca",
                                   path_in(folder, "client.pem"),
                                   NULL};
    const char *plain_options[7] = {0};
    memcpy(plain_options, options, 6 * sizeof(options[0]));
    return server_start(&server, true, false, plain_options) ||
           server_start(&strict_server, true, false, options);
}

static int stop_servers(void **state)
{
    (void)state;
    folder_remove(folder);
    return server_stop(&server) | server_stop(&strict_server);
}

/* --- settings --- */

static char *copy(const char *text)
{
    return str_dup(str_of(text));
}

static char *file_of(const char *name)
{
    return copy(name ? path_in(folder, name) : "");
}

/* authority, certificate, key: names of files, or NULL. */
static struct transport_options settings(const char *authority, const char *certificate,
                                         const char *key)
{
    struct transport_options options = {.proxy = copy("")};
    struct tls_files_problem problem;
    options.tls.server_ca_pem_file = file_of(authority);
    options.tls.cert_pem_file = file_of(certificate);
    options.tls.key_pem_file = file_of(key);
    assert_int_equal(tls_files_read(&options.tls, &options.tls.files, &problem), STATUS_OK);
    return options;
}

static void settings_release(struct transport_options *options)
{
    config_release(&transport_options_shape, options);
}

static struct fetch_spec to(int port, const char *path, const struct transport_options *transport)
{
    struct fetch_spec spec = spec_of(url_at("https", "127.0.0.1", port, path));
    spec.transport = transport;
    return spec;
}

static void assert_fetch(struct world *w, struct fetch_spec spec, enum fetch_outcome outcome)
{
    struct call call = call_make(w, &spec);
    assert_outcome_of(&call, outcome, outcome == FETCH_OK ? 200 : 0);
    assert_int_equal(call.error[0] == '\0', outcome == FETCH_OK);
    call_release(&call);
}

/* --- servers --- */

static void test_an_own_authority(void **state)
{
    (void)state;
    struct world w;
    struct transport_options own = settings("server.pem", NULL, NULL);
    struct transport_options other = settings("other.pem", NULL, NULL);
    world_open(&w, 2, 10);
    struct fetch_spec spec = to(server.tls_port, "/json?size=100000", &own);
    for (int i = 0; i < 2; i++) {
        struct call call = call_make(&w, &spec);
        assert_outcome_of(&call, FETCH_OK, 200);
        assert_int_equal(call.result.body.len, 100000);
        assert_int_equal(call.result.is_reused, i == 1);
        assert_true(i == 1 || call.result.connect_us > 0);
        call_release(&call);
    }
    assert_fetch(&w, to(server.tls_port, "/health", &other), FETCH_TLS_ERROR);
    assert_fetch(&w, to(server.tls_port, "/health", NULL), FETCH_TLS_ERROR);
    assert_fetch(&w, to(server.tls_port, "/health", &own), FETCH_OK);
    world_close(&w);
    settings_release(&own);
    settings_release(&other);
}

/* The certificate is good, but for another name. */
static void test_another_name(void **state)
{
    (void)state;
    struct world w;
    struct transport_options own = settings("server.pem", NULL, NULL);
    struct fetch_spec spec = spec_of(url_at("https", "localhost", server.tls_port, "/health"));
    spec.transport = &own;
    world_open(&w, 1, 10);
    assert_fetch(&w, spec, FETCH_TLS_ERROR);
    own.tls.insecure_skip_verify = true;
    assert_int_equal(own.http_version, HTTP_VERSION_AUTO);
    world_close(&w);
    world_open(&w, 1, 10);
    assert_fetch(&w, spec, FETCH_OK);
    world_close(&w);
    settings_release(&own);
}

/* Whoever does not verify has connections of its own. */
static void test_without_verification(void **state)
{
    (void)state;
    struct world w;
    struct transport_options careless = settings(NULL, NULL, NULL);
    careless.tls.insecure_skip_verify = true;
    world_open(&w, 1, 10);
    assert_fetch(&w, to(server.tls_port, "/health", &careless), FETCH_OK);
    assert_fetch(&w, to(server.tls_port, "/health", NULL), FETCH_TLS_ERROR);
    assert_fetch(&w, to(server.tls_port, "/health", &careless), FETCH_OK);
    world_close(&w);
    settings_release(&careless);
}

static void test_no_tls_at_all(void **state)
{
    (void)state;
    struct world w;
    struct script_server script = {.speaks_first = true};
    script_server_start(&script, (const char *const[]){"HTTP/1.1 400 Bad Request\r\n\r\n", NULL});
    world_open(&w, 1, 10);
    assert_fetch(&w, to(script.port, "/health", NULL), FETCH_TLS_ERROR);
    world_close(&w);
    free(script_server_stop(&script));
}

/* The time of connecting is also that of the handshake: this server waits for a request. */
static void test_the_handshake_has_a_timeout(void **state)
{
    (void)state;
    struct world w;
    struct fetch_spec spec = to(server.port, "/health", NULL);
    spec.connect_timeout_ms = 50;
    world_open(&w, 1, 10);
    assert_fetch(&w, spec, FETCH_TIMEOUT);
    world_close(&w);
}

/* --- clients --- */

static void test_a_clients_certificate(void **state)
{
    (void)state;
    struct world w;
    struct transport_options client = settings("server.pem", "client.pem", "client.key");
    struct transport_options other = settings("server.pem", "other.pem", "other.key");
    struct transport_options nobody = settings("server.pem", NULL, NULL);
    world_open(&w, 1, 10);
    for (int i = 0; i < 2; i++) { /* the second time with a connection that the first has left */
        assert_fetch(&w, to(strict_server.tls_port, "/health", &nobody), FETCH_TLS_ERROR);
        assert_fetch(&w, to(strict_server.tls_port, "/health", &other), FETCH_TLS_ERROR);
        assert_fetch(&w, to(strict_server.tls_port, "/health", &client), FETCH_OK);
    }
    world_close(&w);
    settings_release(&client);
    settings_release(&other);
    settings_release(&nobody);
}

/* --- the system's authorities --- */

static void test_the_systems_authorities(void **state)
{
    (void)state;
    struct tls_authorities *authorities = NULL;
    assert_int_equal(tls_authorities_create(&authorities), STATUS_OK);
    int n = tls_authorities_load(authorities);
    assert_int_equal(n > 0, access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0);
    assert_int_equal(tls_authorities_load(authorities), n);
    tls_authorities_destroy(authorities);
    tls_authorities_destroy(NULL);
}

static void test_a_pool_that_needs_tls(void **state)
{
    (void)state;
    struct world w;
    struct transport_options own = settings("server.pem", NULL, NULL);
    world_open_with(
        &w, (struct fetch_pool_options){.max_concurrent = 2, .max_waiting = 10, .needs_tls = true});
    assert_fetch(&w, to(server.tls_port, "/health", NULL), FETCH_TLS_ERROR);
    assert_fetch(&w, to(server.tls_port, "/health", &own), FETCH_OK);
    world_close(&w);
    settings_release(&own);
}

/* --- proxies --- */

static void set_proxy(struct transport_options *options, int port)
{
    char url[60];
    (void)snprintf(url, sizeof(url), "http://user:secret@127.0.0.1:%d", port);
    free(options->proxy);
    options->proxy = copy(url);
}

static void test_a_proxy(void **state)
{
    (void)state;
    struct world w;
    struct script_server proxy = {0};
    struct transport_options transport = settings(NULL, NULL, NULL);
    script_server_start(&proxy, (const char *const[]){"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                                                      "\r\n{}",
                                                      NULL});
    set_proxy(&transport, proxy.port);
    (void)setenv("no_proxy", "*", 1);
    world_open(&w, 1, 10);
    struct fetch_spec spec = spec_of("http://far.example/x");
    spec.transport = &transport;
    char *text = call_text(&w, &spec);
    assert_string_equal(text, "{}");
    free(text);
    /* The next has none. */
    spec = spec_of(url_at("http", "127.0.0.1", server.port, "/health"));
    free(call_text(&w, &spec));
    world_close(&w);
    (void)unsetenv("no_proxy");
    char *asked = script_server_stop(&proxy);
    assert_has(asked, "GET http://far.example/x HTTP/1.1\r\n");
    assert_has(asked, "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n");
    free(asked);
    settings_release(&transport);
}

/* What a proxy says before the answer is not of the answer. */
static void test_a_tunnel(void **state)
{
    (void)state;
    struct world w;
    struct script_server proxy = {0};
    struct transport_options transport = settings(NULL, NULL, NULL);
    script_server_start(
        &proxy, (const char *const[]){"HTTP/1.1 200 OK\r\nETag: \"proxy\"\r\n\r\nno TLS",
                                      "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", NULL});
    set_proxy(&transport, proxy.port);
    world_open(&w, 1, 10);
    struct fetch_spec spec = spec_of("https://far.example/x");
    spec.transport = &transport;
    struct call call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_TLS_ERROR, 0);
    assert_string_equal(call.etag, "");
    call_release(&call);
    call = call_make(&w, &spec);
    assert_outcome_of(&call, FETCH_CONNECT_ERROR, 0);
    call_release(&call);
    world_close(&w);
    char *asked = script_server_stop(&proxy);
    assert_has(asked, "CONNECT far.example:443 HTTP/1.1\r\n");
    free(asked);
    settings_release(&transport);
}

/* --- versions --- */

static void ignore_data(void *arg, struct fetch *fetch)
{
    (void)arg;
    (void)fetch;
}

static void assert_preface(int version, fetch_data_fn on_data, const char *words)
{
    struct world w;
    struct script_server script = {0};
    struct transport_options transport = settings(NULL, NULL, NULL);
    transport.http_version = version;
    script_server_start(&script, (const char *const[]){"HTTP/1.1 204 No\r\n\r\n", NULL});
    world_open(&w, 1, 10);
    struct fetch_spec spec = spec_of(url_at("http", "127.0.0.1", script.port, "/"));
    spec.transport = &transport;
    spec.on_data = on_data;
    struct call call = call_make(&w, &spec);
    call_release(&call);
    world_close(&w);
    char *asked = script_server_stop(&script);
    assert_has(asked, words);
    free(asked);
    settings_release(&transport);
}

/* HTTP/2 begins with a line of its own. */
static void test_versions(void **state)
{
    (void)state;
    assert_preface(HTTP_VERSION_AUTO, NULL, "GET / HTTP/1.1\r\n");
    assert_preface(HTTP_VERSION_1_1, NULL, "GET / HTTP/1.1\r\n");
    assert_preface(HTTP_VERSION_2, NULL, "PRI * HTTP/2.0\r\n");
    assert_preface(HTTP_VERSION_2, ignore_data, "PRI * HTTP/2.0\r\n");
    assert_preface(HTTP_VERSION_AUTO, ignore_data, "GET / HTTP/1.1\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_own_authority),
        cmocka_unit_test(test_another_name),
        cmocka_unit_test(test_without_verification),
        cmocka_unit_test(test_no_tls_at_all),
        cmocka_unit_test(test_the_handshake_has_a_timeout),
        cmocka_unit_test(test_a_clients_certificate),
        cmocka_unit_test(test_the_systems_authorities),
        cmocka_unit_test(test_a_pool_that_needs_tls),
        cmocka_unit_test(test_a_proxy),
        cmocka_unit_test(test_a_tunnel),
        cmocka_unit_test(test_versions),
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
