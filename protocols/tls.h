/* TLS on the public port: the certificate and its key, and what is negotiated. OpenSSL's context is
 * made by libwebsockets; this fills it. */
#ifndef BELFRY_PROTOCOLS_TLS_H
#define BELFRY_PROTOCOLS_TLS_H

#include "base/status.h"
#include "protocols/server_options.h"

/* What is wrong with one of the two files. */
struct tls_problem {
    const char *key;    /* "cert_pem_file" or "key_pem_file" */
    const char *file;   /* of the options */
    char expected[256]; /* as a noun, with the system's or OpenSSL's words */
};

/* A certificate, its key, and the certificates that lead to its authority. */
struct tls_identity;

/* Blocks: reads both files. STATUS_INVALID: ret_problem is filled. */
enum status tls_identity_load(const struct http_tls_options *options,
                              struct tls_identity **ret_identity,
                              struct tls_problem *ret_problem) MUST_CHECK;
/* Whoever was shown it keeps what it needs. Accepts NULL. */
void tls_identity_destroy(struct tls_identity *identity);
/* One line of the log: whose certificate, and until when. */
void tls_identity_log(const struct tls_identity *identity, const char *event);

/* Looks at the files, as a start would. STATUS_INVALID: ret_problem is filled. */
enum status tls_check_files(const struct http_tls_options *options,
                            struct tls_problem *ret_problem) MUST_CHECK;
/* context: an SSL_CTX. Every handshake shows what stands in *identity then: not NULL, and there as
 * long as the context. STATUS_INVALID: ret_problem is filled. */
enum status tls_set_up(void *context, struct tls_identity *const *identity,
                       struct tls_problem *ret_problem) MUST_CHECK;

#endif
