/* SPDX-License-Identifier: MIT */
/* OpenSSL between two memory BIOs: it never waits, and what it could not read yet it says. */
#include "tests/upstream/tls.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define READ_STEP ((size_t)16 * 1024)
#define SEND_STEP ((size_t)64 * 1024) /* bounds what lies in the BIO beside the buffer */

struct tls {
    SSL_CTX *context;
};

struct tls_session {
    SSL *ssl;
    BIO *from_network; /* both are the SSL's */
    BIO *to_network;
    bool is_established;
    bool is_broken;
    bool has_ended;
};

static const char *read_files(SSL_CTX *context, const struct tls_files *files)
{
    if (SSL_CTX_use_certificate_chain_file(context, files->cert) != 1) {
        return "the certificate (--tls-cert)";
    }
    if (SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM) != 1) {
        return "the key (--tls-key)";
    }
    if (!files->client_ca) {
        return NULL;
    }
    if (SSL_CTX_load_verify_file(context, files->client_ca) != 1) {
        return "the clients' authority (--tls-client-ca)";
    }
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(files->client_ca));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return NULL;
}

struct tls *tls_create(const struct tls_files *files, const char **ret_problem)
{
    static const unsigned char id[] = "belfry-upstream"; /* sessions that asked for certificates
                                                            are resumed only with one */
    struct tls *tls = calloc(1, sizeof(*tls));
    const char *problem = "memory";
    if (tls && (tls->context = SSL_CTX_new(TLS_server_method()))) {
        (void)SSL_CTX_set_session_id_context(tls->context, id, sizeof(id) - 1);
        problem = read_files(tls->context, files);
    }
    if (problem) {
        *ret_problem = problem;
        tls_destroy(tls);
        return NULL;
    }
    return tls;
}

void tls_destroy(struct tls *tls)
{
    if (tls) {
        SSL_CTX_free(tls->context);
        free(tls);
    }
}

struct tls_session *tls_session_create(struct tls *tls)
{
    struct tls_session *session = calloc(1, sizeof(*session));
    SSL *ssl = session ? SSL_new(tls->context) : NULL;
    BIO *from_network = ssl ? BIO_new(BIO_s_mem()) : NULL;
    BIO *to_network = from_network ? BIO_new(BIO_s_mem()) : NULL;
    if (!to_network) {
        BIO_free(from_network);
        SSL_free(ssl);
        free(session);
        return NULL;
    }
    *session = (struct tls_session){ssl, from_network, to_network, false, false, false};
    SSL_set_bio(ssl, from_network, to_network);
    SSL_set_accept_state(ssl);
    return session;
}

void tls_session_destroy(struct tls_session *session)
{
    if (session) {
        SSL_free(session->ssl);
        free(session);
    }
}

static void drain(struct tls_session *session, struct buf *records)
{
    char *bytes;
    long n = BIO_get_mem_data(session->to_network, &bytes);
    if (n > 0) {
        buf_append(records, (struct str){bytes, (size_t)n});
        (void)BIO_reset(session->to_network);
    }
}

/* The end of the other side's text is no failure: the end of its bytes follows. */
static bool is_failure(struct tls_session *session, int rc)
{
    int error = SSL_get_error(session->ssl, rc);
    return error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN;
}

static bool read_all(struct tls_session *session, struct buf *text)
{
    int n;
    do {
        if (buf_reserve(text, READ_STEP) != STATUS_OK) {
            return false;
        }
        n = SSL_read(session->ssl, text->ptr + text->len, (int)READ_STEP);
        text->len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    return !is_failure(session, n);
}

enum tls_result tls_session_receive(struct tls_session *session, struct str bytes, struct buf *text,
                                    struct buf *records)
{
    if (session->is_broken) {
        return TLS_BROKEN;
    }
    ERR_clear_error();
    bool is_taken = BIO_write(session->from_network, bytes.ptr, (int)bytes.len) == (int)bytes.len;
    session->is_broken = !is_taken || !read_all(session, text);
    drain(session, records);
    if (session->is_broken) {
        return TLS_BROKEN;
    }
    if (!session->is_established && SSL_is_init_finished(session->ssl)) {
        session->is_established = true;
        return TLS_ESTABLISHED;
    }
    return TLS_GOES_ON;
}

void tls_session_send(struct tls_session *session, struct str text, struct buf *records)
{
    ERR_clear_error();
    while (text.len > 0 && !session->is_broken) {
        struct str piece = str_head(text, SEND_STEP);
        session->is_broken = SSL_write(session->ssl, piece.ptr, (int)piece.len) <= 0;
        drain(session, records);
        text = str_tail(text, piece.len);
    }
}

void tls_session_end(struct tls_session *session, struct buf *records)
{
    if (!session->has_ended && !session->is_broken && session->is_established) {
        session->has_ended = true;
        ERR_clear_error();
        (void)SSL_shutdown(session->ssl);
        drain(session, records);
    }
}
