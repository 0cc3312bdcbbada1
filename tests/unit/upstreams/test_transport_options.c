/* SPDX-License-Identifier: MIT */
/* The keys of a transport: what is read, and what is said of wrong files and proxies. */
#include "upstreams/transport_options.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/upstreams/certificates.h"
#include "upstreams/tls_files.h"

static char folder[] = "/tmp/belfry-transport-XXXXXX";

static int make_files(void **state)
{
    (void)state;
    bool made = folder_make(folder) && certificate_make(folder, "a", "IP:127.0.0.1") &&
                certificate_make(folder, "b", "IP:127.0.0.1") &&
                folder_write(folder, "text", "no PEM at all\n") &&
                folder_write(folder, "empty", "");
    char command[300];
    (void)snprintf(command, sizeof(command),
                   "cd %s && cat a.pem b.pem > both.pem && (cat a.pem; sed 5d b.pem) > broken.pem "
                   "&& openssl ec -in a.key -aes128 -passout pass:x -out locked.key 2>/dev/null",
                   folder);
    return made && system(command) == 0 ? 0 : -1;
}

static int remove_files(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

/* format: "@" stands for the folder. */
static enum status read_options(const char *format, struct transport_options *options,
                                struct config_errors *errors)
{
    char text[1000];
    size_t len = 0;
    for (const char *c = format; *c; c++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, *c == '@' ? "%s" : "%.1s",
                                *c == '@' ? folder : c);
    }
    *errors = (struct config_errors){0};
    return config_read((struct str){text, len}, &transport_options_shape, options, errors);
}

static void assert_wrong(const char *format, const char *words)
{
    struct transport_options options;
    struct config_errors errors;
    assert_int_equal(read_options(format, &options, &errors), STATUS_INVALID);
    assert_int_equal(errors.n_texts, 1);
    if (!strstr(errors.texts[0], words)) {
        fail_msg("%s is not in: %s", words, errors.texts[0]);
    }
    config_errors_release(&errors);
    config_release(&transport_options_shape, &options);
}

static void test_defaults(void **state)
{
    (void)state;
    struct transport_options options;
    struct config_errors errors;
    assert_int_equal(read_options("{}", &options, &errors), STATUS_OK);
    assert_string_equal(options.tls.server_ca_pem_file, "");
    assert_string_equal(options.tls.cert_pem_file, "");
    assert_string_equal(options.tls.key_pem_file, "");
    assert_false(options.tls.insecure_skip_verify);
    assert_null(options.tls.files);
    assert_string_equal(options.proxy, "");
    assert_int_equal(options.http_version, HTTP_VERSION_AUTO);
    config_errors_release(&errors);
    config_release(&transport_options_shape, &options);
}

static void test_all_keys(void **state)
{
    (void)state;
    struct transport_options options;
    struct config_errors errors;
    assert_int_equal(
        read_options(
            "{\"tls\":{\"server_ca_pem_file\":\"@/both.pem\",\"cert_pem_file\":\"@/a.pem\","
            "\"key_pem_file\":\"@/a.key\",\"insecure_skip_verify\":true},"
            "\"proxy\":\"http://proxy.example:3128\",\"http_version\":\"2\"}",
            &options, &errors),
        STATUS_OK);
    assert_non_null(options.tls.files);
    assert_non_null(strstr(options.tls.files->authorities, "BEGIN CERTIFICATE"));
    assert_non_null(strstr(options.tls.files->certificates, "BEGIN CERTIFICATE"));
    assert_non_null(strstr(options.tls.files->key, "PRIVATE KEY"));
    assert_true(options.tls.insecure_skip_verify);
    assert_string_equal(options.proxy, "http://proxy.example:3128");
    assert_int_equal(options.http_version, HTTP_VERSION_2);
    config_errors_release(&errors);
    config_release(&transport_options_shape, &options);
    assert_int_equal(read_options("{\"http_version\":\"1.1\"}", &options, &errors), STATUS_OK);
    assert_int_equal(options.http_version, HTTP_VERSION_1_1);
    config_release(&transport_options_shape, &options);
}

static void test_wrong_files(void **state)
{
    (void)state;
    assert_wrong("{\"tls\":{\"server_ca_pem_file\":\"@/none\"}}",
                 "a file that can be read (No such file or directory)");
    assert_wrong("{\"tls\":{\"server_ca_pem_file\":\"@\"}}",
                 "a file that can be read (Is a directory)");
    assert_wrong("{\"tls\":{\"server_ca_pem_file\":\"@/text\"}}",
                 "is not certificates of authorities in PEM (no start line)");
    assert_wrong("{\"tls\":{\"server_ca_pem_file\":\"@/empty\"}}",
                 "certificates of authorities in PEM");
    assert_wrong("{\"tls\":{\"server_ca_pem_file\":\"@/broken.pem\"}}",
                 "certificates of authorities in PEM");
    assert_wrong("{\"tls\":{\"cert_pem_file\":\"@/a.key\",\"key_pem_file\":\"@/a.key\"}}",
                 "a certificate in PEM, followed by those that lead to its authority");
    assert_wrong("{\"tls\":{\"cert_pem_file\":\"@/a.pem\",\"key_pem_file\":\"@/a.pem\"}}",
                 "a private key in PEM, without a passphrase");
    assert_wrong("{\"tls\":{\"cert_pem_file\":\"@/a.pem\",\"key_pem_file\":\"@/locked.key\"}}",
                 "a private key in PEM, without a passphrase");
    assert_wrong("{\"tls\":{\"cert_pem_file\":\"@/a.pem\",\"key_pem_file\":\"@/b.key\"}}",
                 "the private key of the certificate in cert_pem_file");
}

static void test_halves(void **state)
{
    (void)state;
    assert_wrong("{\"tls\":{\"cert_pem_file\":\"@/a.pem\"}}",
                 "the file of a private key, when there is a cert_pem_file");
    assert_wrong("{\"tls\":{\"key_pem_file\":\"@/a.key\"}}",
                 "the file of a certificate, when there is a key_pem_file");
}

static void test_proxies(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "proxy.example:3128",
        "https://proxy.example:3128",
        "socks5://proxy.example:1080",
        "http://proxy.example",
        "http://:3128",
        "http://proxy.example:3128/path",
        "http://proxy.example:999999",
        "http://proxy.example:0",
    };
    static const char *const good[] = {"http://proxy.example:3128", "http://u:p@192.0.2.1:80",
                                       "http://[2001:db8::1]:8080", ""};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[200];
        (void)snprintf(text, sizeof(text), "{\"proxy\":\"%s\"}", wrong[i]);
        assert_wrong(text, "the URL of an HTTP proxy with its port");
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_null(transport_accept_proxy(&good[i]));
    }
}

static void test_a_wrong_version(void **state)
{
    (void)state;
    assert_wrong("{\"http_version\":\"3\"}", "http_version");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_wrong_files), cmocka_unit_test(test_halves),
        cmocka_unit_test(test_proxies),     cmocka_unit_test(test_a_wrong_version),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
