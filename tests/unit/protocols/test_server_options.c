/* SPDX-License-Identifier: MIT */
/* The section http_server.tls: its defaults, the environment, and files that are looked at only
 * when they will be used. Good pairs and everything that is spoken are in e2e/tls.test.mjs. */
#include "protocols/server_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

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
                  "tls.cert_pem_file: \"/nowhere/b\" is not a file that can be read (No such file "
                  "or directory)");
    unsetenv("BELFRY_TLS_ENABLED");
    unsetenv("BELFRY_TLS_CERT_PEM_FILE");
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
