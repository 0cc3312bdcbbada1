/* SPDX-License-Identifier: MIT */
/* Unit tls_files reads certificates and keys and lets OpenSSL say whether they are good. It keeps
 * nothing itself. Called at the start and by checkconfig, on the loop's thread. */
#include "upstreams/tls_files.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/config.h"
#include "upstreams/transport_options.h"

static enum status complain(struct tls_files_problem *problem, const char *key,
                            const char *expected, const char *why)
{
    problem->key = key;
    (void)snprintf(problem->expected, sizeof(problem->expected), "%s%s%s%s", expected,
                   why ? " (" : "", why ? why : "", why ? ")" : "");
    return STATUS_INVALID;
}

/* The first thing that went wrong, in OpenSSL's words; forgets the rest. */
static const char *take_reason(void)
{
    unsigned long error = ERR_get_error();
    ERR_clear_error();
    return error ? ERR_reason_error_string(error) : NULL;
}

/* --- reading --- */

/* NULL in *ret_text where the option names no file. */
static enum status read_file(const char *key, const char *file, char **ret_text,
                             struct tls_files_problem *problem)
{
    char *text = NULL;
    size_t len = 0;
    if (!*file) {
        return STATUS_OK;
    }
    errno = 0;
    enum status status = config_load_file(file, &text, &len);
    if (status == STATUS_TOO_LARGE) {
        return complain(problem, key, "a file in PEM of at most 16 MiB", NULL);
    }
    if (status != STATUS_OK) {
        return complain(problem, key, "a file that can be read", errno ? strerror(errno) : NULL);
    }
    if (strlen(text) != len) {
        free(text);
        return complain(problem, key, "a file in PEM, which is text", NULL);
    }
    *ret_text = text;
    return STATUS_OK;
}

/* --- checking --- */

/* OpenSSL would ask the terminal. */
static int give_no_passphrase(char *buf, int size, int is_writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1;
}

/* The first certificate, if all of them are good; to be freed. */
static X509 *read_certificates(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *first = bio ? PEM_read_bio_X509_AUX(bio, NULL, give_no_passphrase, NULL) : NULL;
    X509 *next = first;
    while (next) {
        next = PEM_read_bio_X509(bio, NULL, give_no_passphrase, NULL);
        X509_free(next);
    }
    if (first && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
        ERR_clear_error(); /* the end */
    } else {
        X509_free(first);
        first = NULL;
    }
    BIO_free(bio);
    return first;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_no_passphrase, NULL) : NULL;
    BIO_free(bio);
    return key;
}

static enum status check_authorities(const struct tls_files *files,
                                     struct tls_files_problem *problem)
{
    X509 *first = files->authorities ? read_certificates(files->authorities) : NULL;
    if (files->authorities && !first) {
        return complain(problem, "server_ca_pem_file", "certificates of authorities in PEM",
                        take_reason());
    }
    X509_free(first);
    return STATUS_OK;
}

static enum status check_key(const struct tls_files *files, X509 *certificate,
                             struct tls_files_problem *problem)
{
    EVP_PKEY *key = read_key(files->key);
    if (!key) {
        return complain(problem, "key_pem_file", "a private key in PEM, without a passphrase",
                        take_reason());
    }
    bool fits = X509_check_private_key(certificate, key) == 1;
    EVP_PKEY_free(key);
    return fits ? STATUS_OK
                : complain(problem, "key_pem_file",
                           "the private key of the certificate in cert_pem_file", take_reason());
}

static enum status check_identity(const struct tls_files *files, struct tls_files_problem *problem)
{
    if (!files->certificates && !files->key) {
        return STATUS_OK;
    }
    if (!files->certificates) {
        return complain(problem, "cert_pem_file",
                        "the file of a certificate, when there is a key_pem_file", NULL);
    }
    X509 *certificate = read_certificates(files->certificates);
    if (!certificate) {
        return complain(problem, "cert_pem_file",
                        "a certificate in PEM, followed by those that lead to its authority",
                        take_reason());
    }
    enum status status =
        files->key ? check_key(files, certificate, problem)
                   : complain(problem, "key_pem_file",
                              "the file of a private key, when there is a cert_pem_file", NULL);
    X509_free(certificate);
    return status;
}

/* --- the whole --- */

void tls_files_free(struct tls_files *files)
{
    if (files) {
        free(files->authorities);
        free(files->certificates);
        free(files->key);
        free(files);
    }
}

static enum status fill(struct tls_files *files, const struct transport_tls_options *options,
                        struct tls_files_problem *problem)
{
    enum status status =
        read_file("server_ca_pem_file", options->server_ca_pem_file, &files->authorities, problem);
    if (status == STATUS_OK) {
        status = read_file("cert_pem_file", options->cert_pem_file, &files->certificates, problem);
    }
    if (status == STATUS_OK) {
        status = read_file("key_pem_file", options->key_pem_file, &files->key, problem);
    }
    ERR_clear_error();
    if (status == STATUS_OK) {
        status = check_authorities(files, problem);
    }
    return status == STATUS_OK ? check_identity(files, problem) : status;
}

enum status tls_files_read(const struct transport_tls_options *options,
                           struct tls_files **ret_files, struct tls_files_problem *ret_problem)
{
    *ret_files = NULL;
    if (!options->server_ca_pem_file[0] && !options->cert_pem_file[0] &&
        !options->key_pem_file[0]) {
        return STATUS_OK;
    }
    struct tls_files *files = calloc(1, sizeof(*files));
    if (!files) {
        (void)fputs("out of memory\n", stderr);
        abort();
    }
    enum status status = fill(files, options, ret_problem);
    if (status == STATUS_OK) {
        *ret_files = files;
    } else {
        tls_files_free(files);
    }
    return status;
}
