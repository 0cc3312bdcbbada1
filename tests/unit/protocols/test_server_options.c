/* SPDX-License-Identifier: MIT */
/* The section http_server.tls: its defaults, the environment, and files that are looked at only
 * when they will be used. Good pairs and everything that is spoken are in e2e/tls.test.mjs. Then
 * the other listeners, and the endpoints: defaults, and which paths they may have beside each
 * other. */
#include "protocols/server_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "hub/feed_options.h"

/* The first error; NULL: there is none. The caller frees it. */
static char *read_section(const char *text, struct http_server_options *options)
{
    struct config_errors errors;
    char *first = NULL;
    *options = (struct http_server_options){0};
    if (config_read(str_of(text), &http_server_options_shape, options, &errors) != STATUS_OK) {
        assert_int_equal(errors.n_texts, 1);
        first = str_dup(str_of(errors.texts[0]));
        assert_non_null(first);
    }
    config_errors_release(&errors);
    return first;
}

static void check_refused(const char *text, const char *expected)
{
    struct http_server_options options;
    char *error = read_section(text, &options);
    assert_non_null(error);
    assert_string_equal(error, expected);
    free(error);
    config_release(&http_server_options_shape, &options);
}

static void is_off_by_default(void **state)
{
    (void)state;
    struct http_server_options options;
    assert_null(read_section("{}", &options));
    assert_false(options.tls.enabled);
    assert_string_equal(options.tls.cert_pem_file, "");
    assert_string_equal(options.tls.key_pem_file, "");
    config_release(&http_server_options_shape, &options);
}

static void files_are_not_looked_at_when_off(void **state)
{
    (void)state;
    struct http_server_options options;
    assert_null(read_section("{\"tls\": {\"cert_pem_file\": \"/nowhere/a\"}}", &options));
    assert_string_equal(options.tls.cert_pem_file, "/nowhere/a");
    config_release(&http_server_options_shape, &options);
}

static void both_files_are_needed(void **state)
{
    (void)state;
    check_refused("{\"tls\": {\"enabled\": true}}",
                  "tls.cert_pem_file: the default \"\" is not the file of a certificate, when "
                  "enabled is true");
}

static void files_are_opened(void **state)
{
    (void)state;
    check_refused("{\"tls\": {\"enabled\": true, \"cert_pem_file\": \"/nowhere/a\"}}",
                  "tls.cert_pem_file: \"/nowhere/a\" is not a file that can be read (No such file "
                  "or directory)");
    check_refused("{\"tls\": {\"enabled\": true, \"cert_pem_file\": \"/dev/null\"}}",
                  "tls.cert_pem_file: \"/dev/null\" is not a certificate in PEM, followed by those "
                  "that lead to its authority (no start line)");
}

/* A name as long as the system allows must not be cut out of the reason. */
static void a_long_name_leaves_the_reason(void **state)
{
    (void)state;
    char name[4001];
    char text[4200];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(text, sizeof(text), "{\"tls\": {\"enabled\": true, \"cert_pem_file\": \"%s\"}}", name);
    struct http_server_options options;
    char *error = read_section(text, &options);
    assert_non_null(strstr(error, "(File name too long)"));
    free(error);
    config_release(&http_server_options_shape, &options);
}

static void the_environment_overrides(void **state)
{
    (void)state;
    /* The section is the whole document here, so its keys have no http_server in front. */
    setenv("BELFRY_TLS_ENABLED", "true", 1);
    setenv("BELFRY_TLS_CERT_PEM_FILE", "/nowhere/b", 1);
    check_refused("{\"tls\": {\"enabled\": false}}",
                  "tls.cert_pem_file (from BELFRY_TLS_CERT_PEM_FILE): \"/nowhere/b\" is not a file "
                  "that can be read (No such file or directory)");
    unsetenv("BELFRY_TLS_ENABLED");
    unsetenv("BELFRY_TLS_CERT_PEM_FILE");
}

/* --- listeners --- */

static void there_is_one_port_by_default(void **state)
{
    (void)state;
    struct http_server_options options;
    assert_null(read_section("{}", &options));
    assert_int_equal(options.internal_port, 0);
    assert_string_equal(options.internal_address, "");
    assert_string_equal(options.unix_socket, "");
    assert_string_equal(options.unix_socket_mode, "0660");
    config_release(&http_server_options_shape, &options);
    assert_null(read_section("{\"port\": 0, \"internal_port\": 0}", &options));
    config_release(&http_server_options_shape, &options);
}

static void listeners_are_checked(void **state)
{
    (void)state;
    check_refused("{\"internal_port\": 8000}",
                  "internal_port: 8000 is not another port than http_server.port");
    check_refused("{\"internal_port\": 65536}",
                  "internal_port: 65536 is not a TCP port from 1 to 65535, or 0 for none");
    check_refused(
        "{\"internal_address\": \"localhost\"}",
        "internal_address: \"localhost\" is not an IPv4 or IPv6 address, or \"\" for that "
        "of http_server.address");
    static const char *const modes[] = {"660", "0880", "00660", "", "u+rw", "1777"};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        char text[64];
        char expected[128];
        snprintf(text, sizeof(text), "{\"unix_socket_mode\": \"%s\"}", modes[i]);
        snprintf(expected, sizeof(expected),
                 "unix_socket_mode: \"%s\" is not a mode in four octal digits, such as \"0660\"",
                 modes[i]);
        check_refused(text, expected);
    }
}

static void the_path_of_a_socket_has_an_end(void **state)
{
    (void)state;
    char name[109];
    char text[200];
    struct http_server_options options;
    memset(name, 'a', sizeof(name));
    name[107] = '\0';
    snprintf(text, sizeof(text), "{\"unix_socket\": \"%s\"}", name);
    assert_null(read_section(text, &options));
    assert_string_equal(options.unix_socket, name);
    config_release(&http_server_options_shape, &options);
    name[107] = 'a';
    name[108] = '\0';
    snprintf(text, sizeof(text), "{\"unix_socket\": \"%s\"}", name);
    char *error = read_section(text, &options);
    assert_non_null(error);
    assert_non_null(strstr(error, "is not the path of a Unix socket, of at most 107 bytes"));
    free(error);
    config_release(&http_server_options_shape, &options);
}

/* --- endpoints --- */

static void check_stream(const struct config_shape *shape, const char *path)
{
    struct stream_options options;
    struct config_errors errors;
    assert_int_equal(config_read(STR("{}"), shape, &options, &errors), STATUS_OK);
    config_errors_release(&errors);
    assert_false(options.enabled);
    assert_string_equal(options.handler_prefix, path);
    assert_int_equal(options.max_request_body_size, 65536);
    config_release(shape, &options);
}

static void streams_are_off_by_default(void **state)
{
    (void)state;
    check_stream(&http_stream_options_shape, "/connection/http_stream");
    check_stream(&sse_options_shape, "/connection/sse");
    check_stream(&uni_http_stream_options_shape, "/connection/uni_http_stream");
    check_stream(&uni_sse_options_shape, "/connection/uni_sse");
}

static void a_path_must_be_one_and_free(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",        "/",      "sse",     "/api",     "/api/sse",
                                        "/a?b=c",  "/a b",   "/demo/x", "/feeds/x", "/hooks/x",
                                        "/health", "/ready", "/#"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[100];
        snprintf(text, sizeof(text), "{\"handler_prefix\": \"%s\"}", wrong[i]);
        struct stream_options options;
        struct config_errors errors;
        enum status status = config_read(str_of(text), &sse_options_shape, &options, &errors);
        assert_int_equal(status, STATUS_INVALID);
        assert_non_null(strstr(errors.texts[0], "a path that begins with /"));
        config_errors_release(&errors);
        config_release(&sse_options_shape, &options);
    }
}

static void check_whole(struct config_reader *reader, void *object)
{
    server_options_check(reader, object);
}

#define SECTION(name, shape_)                                                                      \
    {                                                                                              \
        .key = #name, .type = CONFIG_OBJECT, .offset = offsetof(struct server_options, name),      \
        .shape = &(shape_), .doc = ""                                                              \
    }
static const struct config_field whole_fields[] = {
    SECTION(websocket, websocket_options_shape),
    SECTION(http_stream, http_stream_options_shape),
    SECTION(sse, sse_options_shape),
    SECTION(emulation, emulation_options_shape),
    SECTION(uni_websocket, uni_websocket_options_shape),
    SECTION(uni_http_stream, uni_http_stream_options_shape),
    SECTION(uni_sse, uni_sse_options_shape),
    SECTION(prometheus, prometheus_options_shape),
    SECTION(url_proxy, url_proxy_options_shape),
};
static const struct config_shape whole = {
    .size = sizeof(struct server_options),
    .fields = whole_fields,
    .n_fields = sizeof(whole_fields) / sizeof(whole_fields[0]),
    .check = check_whole,
};

/* expected: the only error; NULL: there is none. */
static void check_paths(const char *text, const char *expected)
{
    struct server_options options = {.demo.enabled = false};
    struct config_errors errors;
    enum status status = config_read(str_of(text), &whole, &options, &errors);
    assert_int_equal(errors.n_texts, expected ? 1 : 0);
    if (expected) {
        assert_int_equal(status, STATUS_INVALID);
        assert_string_equal(errors.texts[0], expected);
    }
    config_errors_release(&errors);
    config_release(&whole, &options);
}

static void open_endpoints_have_different_paths(void **state)
{
    (void)state;
    check_paths("{}", NULL);
    check_paths("{\"sse\": {\"enabled\": true, \"handler_prefix\": \"/connection/websocket\"}}",
                "sse.handler_prefix: \"/connection/websocket\" is not a path that "
                "websocket.handler_prefix has not");
    check_paths("{\"sse\": {\"enabled\": true, \"handler_prefix\": \"/emulation\"}}",
                "emulation.handler_prefix: the default \"/emulation\" is not a path that "
                "sse.handler_prefix has not");
    check_paths(
        "{\"prometheus\": {\"enabled\": true, \"handler_prefix\": \"/p\"},"
        "\"uni_sse\": {\"enabled\": true, \"handler_prefix\": \"/p\"}}",
        "prometheus.handler_prefix: \"/p\" is not a path that uni_sse.handler_prefix has not");
    check_paths("{\"prometheus\": {\"enabled\": true, \"handler_prefix\": \"/proxy\"},"
                "\"url_proxy\": {\"enabled\": true}}",
                "url_proxy.handler_prefix: the default \"/proxy\" is not a path that "
                "prometheus.handler_prefix has not");
}

static void the_url_proxy_is_off_and_for_the_key_by_default(void **state)
{
    (void)state;
    struct url_proxy_options options;
    struct config_errors errors;
    assert_int_equal(config_read(STR("{}"), &url_proxy_options_shape, &options, &errors),
                     STATUS_OK);
    config_errors_release(&errors);
    assert_false(options.enabled);
    assert_string_equal(options.handler_prefix, "/proxy");
    assert_int_equal(options.access, FEED_ACCESS_KEY);
    assert_int_equal(options.timeout_ms, 30000);
    assert_int_equal(options.max_size, 104857600);
    assert_int_equal(options.buffer_size, 65536);
    assert_int_equal(options.max_concurrent, 100);
    config_release(&url_proxy_options_shape, &options);
}

static void the_access_of_the_url_proxy_is_that_of_feeds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum feed_access access;
    } names[] = {
        {"{\"access\": \"key\"}", FEED_ACCESS_KEY},
        {"{\"access\": \"token\"}", FEED_ACCESS_TOKEN},
        {"{\"access\": \"public\"}", FEED_ACCESS_PUBLIC},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct url_proxy_options options;
        struct config_errors errors;
        enum status status =
            config_read(str_of(names[i].text), &url_proxy_options_shape, &options, &errors);
        assert_int_equal(status, STATUS_OK);
        config_errors_release(&errors);
        assert_int_equal(options.access, names[i].access);
        config_release(&url_proxy_options_shape, &options);
    }
}

static void closed_endpoints_take_no_path(void **state)
{
    (void)state;
    check_paths("{\"sse\": {\"handler_prefix\": \"/connection/websocket\"}}", NULL);
    check_paths("{\"websocket\": {\"disabled\": true},"
                "\"sse\": {\"enabled\": true, \"handler_prefix\": \"/connection/websocket\"}}",
                NULL);
    check_paths("{\"uni_sse\": {\"enabled\": true, \"handler_prefix\": \"/emulation\"}}", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_off_by_default),
        cmocka_unit_test(files_are_not_looked_at_when_off),
        cmocka_unit_test(both_files_are_needed),
        cmocka_unit_test(files_are_opened),
        cmocka_unit_test(a_long_name_leaves_the_reason),
        cmocka_unit_test(the_environment_overrides),
        cmocka_unit_test(there_is_one_port_by_default),
        cmocka_unit_test(listeners_are_checked),
        cmocka_unit_test(the_path_of_a_socket_has_an_end),
        cmocka_unit_test(streams_are_off_by_default),
        cmocka_unit_test(a_path_must_be_one_and_free),
        cmocka_unit_test(open_endpoints_have_different_paths),
        cmocka_unit_test(closed_endpoints_take_no_path),
        cmocka_unit_test(the_url_proxy_is_off_and_for_the_key_by_default),
        cmocka_unit_test(the_access_of_the_url_proxy_is_that_of_feeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
