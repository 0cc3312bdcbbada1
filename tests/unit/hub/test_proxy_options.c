/* SPDX-License-Identifier: MIT */
/* What the configuration may say about asking a backend, and what it may not. */
#include "hub/proxy_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define GOOD_ENDPOINT "\"enabled\": true, \"endpoint\": \"https://backend.test/ask?key=1\""

static void test_defaults(void **state)
{
    (void)state;
    struct proxy_options o;
    struct config_errors errors;
    assert_int_equal(config_read(STR("{}"), &proxy_options_shape, &o, &errors), STATUS_OK);
    assert_null(o.name);
    assert_false(o.enabled);
    assert_string_equal(o.endpoint, "");
    assert_int_equal(o.timeout_ms, 1000);
    assert_int_equal(o.max_reply_size, 1048576);
    assert_int_equal(o.max_concurrent, 1000);
    assert_int_equal(o.http_headers.n_items, 0);
    assert_int_equal(o.emulated_headers.n_items, 0);
    assert_int_equal(o.http.static_headers.n_items, 0);
    assert_int_equal(o.http.transforms.n_items, 0);
    assert_false(o.include_connection_meta);
    assert_false(o.binary_encoding);
    config_release(&proxy_options_shape, &o);
}

static void test_everything(void **state)
{
    (void)state;
    struct proxy_options o;
    struct config_errors errors;
    struct str text = STR(
        "{\"name\": \"users_1\", \"endpoint\": \"http://127.0.0.1:3000/ask\", \"timeout\": \"3s\","
        " \"http_headers\": [\"Cookie\", \"x-own\"], \"emulated_headers\": [\"Authorization\"],"
        " \"include_connection_meta\": true, \"binary_encoding\": true, \"max_reply_size\": 64,"
        " \"max_concurrent\": 1, \"http\": {\"static_headers\": {\"X-Api\": \"secret\"},"
        "  \"status_to_code_transforms\": ["
        "   {\"status_code\": 404, \"to_error\": {\"code\": 400, \"message\": \"no\","
        "    \"temporary\": true}},"
        "   {\"status_code\": 401, \"to_disconnect\": {\"code\": 4999, \"reason\": \"go\"}}]}}");
    assert_int_equal(config_read(text, &named_proxy_options_shape, &o, &errors), STATUS_OK);
    assert_string_equal(o.name, "users_1");
    assert_true(o.enabled);
    assert_string_equal(o.endpoint, "http://127.0.0.1:3000/ask");
    assert_int_equal(o.timeout_ms, 3000);
    assert_string_equal(((char **)o.http_headers.items)[1], "x-own");
    assert_string_equal(((char **)o.emulated_headers.items)[0], "Authorization");
    assert_true(o.include_connection_meta);
    assert_true(o.binary_encoding);
    const struct config_pair *header = o.http.static_headers.items;
    assert_string_equal(header->name, "X-Api");
    assert_string_equal(header->text, "secret");
    const struct proxy_transform *transforms = o.http.transforms.items;
    assert_int_equal(o.http.transforms.n_items, 2);
    assert_int_equal(transforms[0].status_code, 404);
    assert_int_equal(transforms[0].to_error.code, 400);
    assert_string_equal(transforms[0].to_error.message, "no");
    assert_true(transforms[0].to_error.temporary);
    assert_int_equal(transforms[0].to_disconnect.code, 0);
    assert_int_equal(transforms[1].to_disconnect.code, 4999);
    assert_string_equal(transforms[1].to_disconnect.reason, "go");
    config_release(&named_proxy_options_shape, &o);
}

static void assert_error(const struct config_shape *shape, const char *text, const char *expected)
{
    struct proxy_options o;
    struct config_errors errors;
    enum status status = config_read(str_of(text), shape, &o, &errors);
    if (status != STATUS_INVALID || errors.n_texts != 1 || !strstr(errors.texts[0], expected)) {
        fail_msg("%s: %s", text, errors.n_texts > 0 ? errors.texts[0] : "accepted");
    }
    config_errors_release(&errors);
    config_release(shape, &o);
}

static void assert_refused(const char *members, const char *expected)
{
    char text[1000];
    (void)snprintf(text, sizeof(text), "{%s}", members);
    assert_error(&proxy_options_shape, text, expected);
}

static void test_endpoints(void **state)
{
    (void)state;
    assert_refused("\"enabled\": true", "endpoint: the default \"\" is not the URL of the backend");
    assert_refused("\"enabled\": true, \"endpoint\": \"\"", "endpoint:");
    assert_refused("\"endpoint\": \"grpc://backend:1\"", "not over GRPC");
    assert_refused("\"endpoint\": \"backend/ask\"", "endpoint:");
    assert_refused("\"endpoint\": \"http://a:b@backend/\"", "endpoint:");
    assert_refused("\"endpoint\": \"http://backend/{user}\"", "without {places}");
    assert_error(&named_proxy_options_shape, "{\"name\": \"users\"}", "endpoint: ");
    assert_error(&named_proxy_options_shape, "{\"endpoint\": \"http://backend/\"}",
                 "name: missing");
    assert_error(&named_proxy_options_shape,
                 "{\"name\": \"a b\", \"endpoint\": \"http://backend/\"}", "name: ");
    assert_error(&named_proxy_options_shape,
                 "{\"name\": \"ab\", \"enabled\": true, \"endpoint\": \"http://backend/\"}",
                 "enabled");
}

static void test_headers(void **state)
{
    (void)state;
    static const char *const names[] = {"Host",
                                        "content-length",
                                        "Transfer-Encoding",
                                        "Connection",
                                        "Content-Type",
                                        "accept-encoding",
                                        "",
                                        "a b",
                                        "a:",
                                        "Upgrade",
                                        "Keep-Alive",
                                        "TE"};
    char text[200];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(text, sizeof(text), "\"http_headers\": [\"Cookie\", \"%s\"]", names[i]);
        assert_refused(text, "http_headers: ");
        (void)snprintf(text, sizeof(text), "\"emulated_headers\": [\"%s\"]", names[i]);
        assert_refused(text, "emulated_headers: ");
        (void)snprintf(text, sizeof(text), "\"http\": {\"static_headers\": {\"%s\": \"x\"}}",
                       names[i]);
        assert_refused(text, "http.static_headers: ");
    }
    assert_refused("\"http\": {\"static_headers\": {\"X-A\": \"a\\r\\nEvil: b\"}}",
                   "control characters");
    assert_refused("\"http\": {\"static_headers\": {\"X-A\": \"a\", \"x-a\": \"b\"}}", "each once");
}

static void assert_transforms_refused(const char *items, const char *expected)
{
    char text[800];
    (void)snprintf(text, sizeof(text), "\"http\": {\"status_to_code_transforms\": [%s]}", items);
    assert_refused(text, expected);
}

static void test_transforms(void **state)
{
    (void)state;
    assert_transforms_refused("{\"status_code\": 404}", "[0].to_error: missing, expected an error");
    assert_transforms_refused("{\"status_code\": 404, \"to_error\": {}}", "[0].to_error: ");
    assert_transforms_refused("{\"status_code\": 404, \"to_error\": {\"code\": 400},"
                              " \"to_disconnect\": {\"code\": 4000}}",
                              "[0].to_disconnect: ");
    assert_transforms_refused("{\"to_error\": {\"code\": 400}}", "status_code: missing");
    assert_transforms_refused("{\"status_code\": 200, \"to_error\": {\"code\": 400}}",
                              "[0].status_code: ");
    assert_transforms_refused("{\"status_code\": 404, \"to_error\": {\"code\": 400}},"
                              "{\"status_code\": 404, \"to_error\": {\"code\": 401}}",
                              "[1].status_code: ");
    assert_transforms_refused("{\"status_code\": 404, \"to_error\": {\"code\": 399}}",
                              "399 is not an error code from 400 to 1999");
    assert_transforms_refused("{\"status_code\": 404, \"to_error\": {\"code\": 2000}}",
                              "2000 is not an error code from 400 to 1999");
    assert_transforms_refused("{\"status_code\": 404, \"to_disconnect\": {\"code\": 3501}}",
                              "3501 is not a disconnect code from 4000 to 4999");
    assert_transforms_refused("{\"status_code\": 404, \"to_disconnect\": {\"code\": 4000,"
                              " \"reason\": \"\xc3\xa4\"}}",
                              "printable ASCII");
    char reason[124 + 1];
    char text[400];
    memset(reason, 'r', sizeof(reason) - 1);
    reason[124] = '\0';
    (void)snprintf(text, sizeof(text),
                   "{\"status_code\": 404, \"to_disconnect\": {\"code\": 4000,"
                   " \"reason\": \"%s\"}}",
                   reason);
    assert_transforms_refused(text, "at most 123 bytes");
}

static void test_limits(void **state)
{
    (void)state;
    assert_refused(GOOD_ENDPOINT ", \"timeout\": \"0s\"", "timeout: ");
    assert_refused(GOOD_ENDPOINT ", \"max_reply_size\": 63", "max_reply_size: ");
    assert_refused(GOOD_ENDPOINT ", \"max_concurrent\": 0", "max_concurrent: ");
    assert_refused(GOOD_ENDPOINT ", \"grpc\": {}", "grpc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_everything),
        cmocka_unit_test(test_endpoints),  cmocka_unit_test(test_headers),
        cmocka_unit_test(test_transforms), cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
