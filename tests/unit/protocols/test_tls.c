/* SPDX-License-Identifier: MIT */
/* Which certificate a handshake shows, after one has taken the place of another. Client and server
 * are two OpenSSL connections in memory. What is spoken otherwise is in e2e/tls.test.mjs. */
#include "protocols/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "tests/unit/upstreams/certificates.h"

struct world {
    char folder[64];
    struct tls_identity *identity;
    SSL_CTX *server;
    SSL_CTX *client;
};

struct pair {
    SSL *server;
    SSL *client;
};

static void make(const char *folder, const char *name, const char *algorithm, const char *more)
{
    char command[600];
    (void)snprintf(command, sizeof(command),
                   "cd %s && openssl req -x509 -newkey %s -nodes -days 2 -subj /CN=%s "
                   "-keyout %s.key -out %s.pem %s 2>/dev/null",
                   folder, algorithm, name, name, name, more);
    assert_int_equal(system(command), 0);
}

#define EC  "ec -pkeyopt ec_paramgen_curve:P-256"
#define RSA "rsa:2048"

static enum status load(struct world *w, const char *certificate, const char *key,
                        struct tls_identity **ret_identity, struct tls_problem *ret_problem)
{
    static char paths[2][128];
    (void)snprintf(paths[0], sizeof(paths[0]), "%s/%s", w->folder, certificate);
    (void)snprintf(paths[1], sizeof(paths[1]), "%s/%s", w->folder, key);
    struct http_tls_options options = {
        .enabled = true, .cert_pem_file = paths[0], .key_pem_file = paths[1]};
    return tls_identity_load(&options, ret_identity, ret_problem);
}

static void show(struct world *w, const char *certificate, const char *key)
{
    struct tls_problem problem;
    struct tls_identity *identity = NULL;
    assert_int_equal(load(w, certificate, key, &identity, &problem), STATUS_OK);
    tls_identity_destroy(w->identity);
    w->identity = identity;
}

static int set_up(void **state)
{
    static struct world w;
    struct tls_problem problem;
    w = (struct world){.folder = "/tmp/belfry-tls-XXXXXX"};
    assert_true(folder_make(w.folder));
    make(w.folder, "one", EC, "");
    make(w.folder, "two", EC, "");
    make(w.folder, "other", RSA, "");
    make(w.folder, "leaf", EC, "-CA one.pem -CAkey one.key && cat one.pem >> leaf.pem");
    w.server = SSL_CTX_new(TLS_server_method());
    w.client = SSL_CTX_new(TLS_client_method());
    show(&w, "one.pem", "one.key");
    assert_int_equal(tls_set_up(w.server, &w.identity, &problem), STATUS_OK);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    SSL_CTX_free(w->server);
    SSL_CTX_free(w->client);
    tls_identity_destroy(w->identity);
    folder_remove(w->folder);
    return 0;
}

/* --- connections --- */

static struct pair open_pair(struct world *w)
{
    struct pair pair = {.server = SSL_new(w->server), .client = SSL_new(w->client)};
    BIO *bios[2];
    assert_int_equal(BIO_new_bio_pair(&bios[0], 0, &bios[1], 0), 1);
    SSL_set_bio(pair.server, bios[0], bios[0]);
    SSL_set_bio(pair.client, bios[1], bios[1]);
    SSL_set_accept_state(pair.server);
    SSL_set_connect_state(pair.client);
    return pair;
}

static void close_pair(struct pair *pair)
{
    SSL_free(pair->server);
    SSL_free(pair->client);
}

/* False: it failed. */
static bool shake_hands(struct pair *pair)
{
    for (int i = 0; i < 20; i++) {
        int of_client = SSL_do_handshake(pair->client);
        int of_server = SSL_do_handshake(pair->server);
        if (of_client == 1 && of_server == 1) {
            return true;
        }
        if (of_client != 1 && SSL_get_error(pair->client, of_client) != SSL_ERROR_WANT_READ) {
            return false;
        }
        if (of_server != 1 && SSL_get_error(pair->server, of_server) != SSL_ERROR_WANT_READ) {
            return false;
        }
    }
    return false;
}

static void assert_shown(const struct pair *pair, const char *name, int n_certificates)
{
    char found[64];
    X509 *certificate = SSL_get0_peer_certificate(pair->client);
    assert_non_null(certificate);
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, found,
                              sizeof(found));
    assert_string_equal(found, name);
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(pair->client)), n_certificates);
}

static void assert_next_is_shown(struct world *w, const char *name, int n_certificates)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct pair pair = open_pair(w);
        SSL_set_max_proto_version(pair.client, version);
        assert_true(shake_hands(&pair));
        assert_int_equal(SSL_version(pair.client), version);
        assert_shown(&pair, name, n_certificates);
        close_pair(&pair);
    }
}

static void say(SSL *from, SSL *to)
{
    char text[6] = "";
    assert_int_equal(SSL_write(from, "hello", 5), 5);
    assert_int_equal(SSL_read(to, text, 5), 5);
    assert_string_equal(text, "hello");
}

/* --- */

static void the_next_handshake_shows_the_new_one(void **state)
{
    struct world *w = *state;
    assert_next_is_shown(w, "one", 1);
    show(w, "two.pem", "two.key");
    assert_next_is_shown(w, "two", 1);
}

static void those_that_are_there_stay(void **state)
{
    struct world *w = *state;
    struct pair done = open_pair(w);
    struct pair begun = open_pair(w);
    assert_true(shake_hands(&done));
    assert_int_equal(SSL_do_handshake(begun.client), -1);
    assert_int_equal(SSL_do_handshake(begun.server), -1); /* it has shown its certificate */
    show(w, "two.pem", "two.key");
    say(done.client, done.server);
    say(done.server, done.client);
    assert_true(shake_hands(&begun));
    assert_shown(&begun, "one", 1);
    say(begun.server, begun.client);
    close_pair(&done);
    close_pair(&begun);
}

/* A context has a place for each kind of key: the certificate of before must not stay in its own.
 */
static void nothing_is_left_of_another_kind_of_key(void **state)
{
    struct world *w = *state;
    assert_next_is_shown(w, "one", 1);
    show(w, "other.pem", "other.key");
    assert_next_is_shown(w, "other", 1);
    struct pair pair = open_pair(w);
    SSL_set1_sigalgs_list(pair.client, "ECDSA+SHA256");
    assert_false(shake_hands(&pair));
    close_pair(&pair);
    show(w, "two.pem", "two.key");
    assert_next_is_shown(w, "two", 1);
}

static void the_way_to_the_authority_is_shown(void **state)
{
    struct world *w = *state;
    show(w, "leaf.pem", "leaf.key");
    assert_next_is_shown(w, "leaf", 2);
    show(w, "two.pem", "two.key");
    assert_next_is_shown(w, "two", 1);
}

static void a_pair_that_does_not_fit_is_named(void **state)
{
    struct world *w = *state;
    struct tls_identity *identity = NULL;
    struct tls_problem problem;
    assert_int_equal(load(w, "two.pem", "one.key", &identity, &problem), STATUS_INVALID);
    assert_string_equal(problem.key, "key_pem_file");
    assert_non_null(strstr(problem.file, "/one.key"));
    assert_string_equal(problem.expected, "the private key of the certificate in cert_pem_file "
                                          "(key values mismatch)");
    assert_true(folder_write(w->folder, "two.pem", "-----BEGIN CERTIFICATE-----\n"));
    assert_int_equal(load(w, "two.pem", "two.key", &identity, &problem), STATUS_INVALID);
    assert_string_equal(problem.key, "cert_pem_file");
    assert_null(identity);
    assert_next_is_shown(w, "one", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_next_handshake_shows_the_new_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_that_are_there_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_left_of_another_kind_of_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_way_to_the_authority_is_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pair_that_does_not_fit_is_named, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
