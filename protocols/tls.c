/* SPDX-License-Identifier: MIT */
/* Unit tls reads certificate and key from their files, and sets OpenSSL's context up for TLS 1.2
 * and 1.3 with forward secrecy only. Each handshake is given the certificate of the moment: a
 * context keeps one of each kind of key, so another in its place might stand beside the old one. It
 * keeps nothing itself. On the loop's thread; checkconfig has none. */
#include "protocols/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* TLS 1.2 without forward secrecy, or with ciphers that are not authenticated, is not spoken; the
 * ciphers of 1.3 are all good. */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS      "X25519:P-256:P-384"

struct tls_identity {
    X509 *certificate;
    EVP_PKEY *key;
    STACK_OF(X509) * chain; /* NULL: none */
};

static enum status complain(struct tls_problem *problem, const char *key, const char *file,
                            const char *expected, const char *why)
{
    problem->key = key;
    problem->file = file;
    snprintf(problem->expected, sizeof(problem->expected), "%s%s%s%s", expected, why ? " (" : "",
             why ? why : "", why ? ")" : "");
    return STATUS_INVALID;
}

/* The first thing that went wrong, in OpenSSL's words; forgets the rest. */
static const char *take_reason(void)
{
    unsigned long error = ERR_get_error();
    ERR_clear_error();
    if (error == 0) {
        return NULL;
    }
    return ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error))
                                   : ERR_reason_error_string(error);
}

static bool can_be_read(const char *file)
{
    FILE *stream = fopen(file, "re");
    if (!stream) {
        return false;
    }
    bool is_good = fgetc(stream) != EOF || !ferror(stream); /* a folder can be opened */
    int error = errno;
    fclose(stream);
    errno = error;
    return is_good;
}

/* OpenSSL would ask the terminal. */
static int give_no_passphrase(char *buf, int size, int is_writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1;
}

static enum status load_certificate(SSL_CTX *ssl, const char *file, struct tls_problem *problem)
{
    static const char key[] = "cert_pem_file";
    if (!*file) {
        return complain(problem, key, file, "the file of a certificate, when enabled is true",
                        NULL);
    }
    if (!can_be_read(file)) {
        return complain(problem, key, file, "a file that can be read", strerror(errno));
    }
    if (SSL_CTX_use_certificate_chain_file(ssl, file) != 1) {
        return complain(problem, key, file,
                        "a certificate in PEM, followed by those that lead to its authority",
                        take_reason());
    }
    return STATUS_OK;
}

static enum status load_key(SSL_CTX *ssl, const char *file, struct tls_problem *problem)
{
    static const char key[] = "key_pem_file";
    if (!*file) {
        return complain(problem, key, file, "the file of a private key, when enabled is true",
                        NULL);
    }
    if (!can_be_read(file)) {
        return complain(problem, key, file, "a file that can be read", strerror(errno));
    }
    bool is_key = SSL_CTX_use_PrivateKey_file(ssl, file, SSL_FILETYPE_PEM) == 1;
    if (is_key && SSL_CTX_check_private_key(ssl) == 1) {
        return STATUS_OK;
    }
    bool is_other = is_key || ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_X509;
    return complain(problem, key, file,
                    is_other ? "the private key of the certificate in cert_pem_file"
                             : "a private key in PEM, without a passphrase",
                    take_reason());
}

static enum status load_files(SSL_CTX *ssl, const struct http_tls_options *options,
                              struct tls_problem *problem)
{
    ERR_clear_error();
    SSL_CTX_set_default_passwd_cb(ssl, give_no_passphrase);
    enum status status = load_certificate(ssl, options->cert_pem_file, problem);
    return status == STATUS_OK ? load_key(ssl, options->key_pem_file, problem) : status;
}

/* --- identities --- */

/* Takes it out of the context that read the files. NULL: memory is short. */
static struct tls_identity *take_identity(SSL_CTX *ssl)
{
    struct tls_identity *identity = calloc(1, sizeof(*identity));
    STACK_OF(X509) *chain = NULL;
    if (!identity || SSL_CTX_get0_chain_certs(ssl, &chain) != 1) {
        free(identity);
        return NULL;
    }
    identity->certificate = SSL_CTX_get0_certificate(ssl);
    identity->key = SSL_CTX_get0_privatekey(ssl);
    X509_up_ref(identity->certificate);
    EVP_PKEY_up_ref(identity->key);
    if (chain) {
        identity->chain = X509_chain_up_ref(chain);
        if (!identity->chain) {
            tls_identity_destroy(identity);
            return NULL;
        }
    }
    return identity;
}

enum status tls_identity_load(const struct http_tls_options *options,
                              struct tls_identity **ret_identity, struct tls_problem *ret_problem)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    if (!ssl) {
        return STATUS_NO_MEMORY;
    }
    enum status status = load_files(ssl, options, ret_problem);
    if (status == STATUS_OK) {
        struct tls_identity *identity = take_identity(ssl);
        status = identity ? STATUS_OK : STATUS_NO_MEMORY;
        if (identity) {
            *ret_identity = identity;
        }
    }
    SSL_CTX_free(ssl);
    return status;
}

void tls_identity_destroy(struct tls_identity *identity)
{
    if (identity) {
        X509_free(identity->certificate);
        EVP_PKEY_free(identity->key);
        sk_X509_pop_free(identity->chain, X509_free);
        free(identity);
    }
}

enum status tls_check_files(const struct http_tls_options *options, struct tls_problem *ret_problem)
{
    struct tls_identity *identity = NULL;
    enum status status = tls_identity_load(options, &identity, ret_problem);
    tls_identity_destroy(identity);
    return status;
}

#define NAME_MAX_BYTES 256

void tls_identity_log(const struct tls_identity *identity, const char *event)
{
    char subject[NAME_MAX_BYTES];
    char until[32] = "";
    struct tm end;
    X509_NAME_oneline(X509_get_subject_name(identity->certificate), subject, sizeof(subject));
    if (ASN1_TIME_to_tm(X509_get0_notAfter(identity->certificate), &end) == 1) {
        strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", &end);
    }
    log_info("tls", event, log_s("subject", subject), log_s("good_until", until));
}

/* Called in every handshake, before it is chosen what is shown. */
static int show_identity(SSL *ssl, void *arg)
{
    const struct tls_identity *identity = *(struct tls_identity *const *)arg;
    SSL_certs_clear(ssl);
    return SSL_use_cert_and_key(ssl, identity->certificate, identity->key, identity->chain, 1);
}

/* --- the context --- */

/* What a browser or curl sends when it was given http: in place of https:. */
static bool is_plain_http(void)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    return ERR_GET_LIB(error) == ERR_LIB_SSL &&
           (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST);
}

static void log_plain_http(void)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_info("tls", "plain_http", log_s("expected", "https: or wss: in the client's URL"),
                 log_i("left_out", limit.n_left_out));
    }
}

/* For operators whose clients do not get in: "certificate expired" is said by the client. */
static void on_event(const SSL *ssl, int where, int ret)
{
    (void)ssl;
    bool is_fatal = (where & SSL_CB_ALERT) && (ret >> 8) == SSL3_AL_FATAL;
    static struct log_limit limit;
    if (is_fatal && log_permits(&limit)) {
        log_info("tls", "alert", log_s("by", where & SSL_CB_READ ? "client" : "server"),
                 log_s("text", SSL_alert_desc_string_long(ret)),
                 log_i("left_out", limit.n_left_out));
    }
    if ((where & SSL_CB_EXIT) && ret < 0 && is_plain_http()) {
        log_plain_http();
    }
}

/* Sessions are not resumed: the key of tickets, which nobody changes, would undo the forward
 * secrecy of TLS 1.2. */
static bool set_parameters(SSL_CTX *ssl)
{
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_info_callback(ssl, on_event);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl, CIPHERS_1_2) == 1 &&
           SSL_CTX_set1_groups_list(ssl, GROUPS) == 1 && SSL_CTX_set_num_tickets(ssl, 0) == 1;
}

enum status tls_set_up(void *context, struct tls_identity *const *identity,
                       struct tls_problem *ret_problem)
{
    if (!set_parameters(context)) {
        return complain(ret_problem, "enabled", "", "an OpenSSL with TLS 1.2 and 1.3",
                        take_reason());
    }
    SSL_CTX_set_cert_cb(context, show_identity, (void *)(uintptr_t)identity);
    return STATUS_OK;
}
