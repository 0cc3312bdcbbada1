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

/* Looks at the files, as a start would. STATUS_INVALID: ret_problem is filled. */
enum status tls_check_files(const struct http_tls_options *options,
                            struct tls_problem *ret_problem) MUST_CHECK;
/* context: an SSL_CTX. STATUS_INVALID: as above. */
enum status tls_set_up(void *context, const struct http_tls_options *options,
                       struct tls_problem *ret_problem) MUST_CHECK;

#endif
