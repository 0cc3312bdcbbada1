/* SPDX-License-Identifier: MIT */
#include "tests/bench/link_tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#include "tests/bench/cli.h"

static SSL_CTX *context;

static _Noreturn void fail_tls(const char *what)
{
    char reason[256];
    ERR_error_string_n(ERR_get_error(), reason, sizeof(reason));
    fail("%s: %s", what, reason);
}

void link_tls_set_up(void)
{
    /* SSL_write() has no MSG_NOSIGNAL. */
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_client_method());
    if (!context) {
        fail_tls("TLS");
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Tens of thousands of clients keep no sessions that they never resume. */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

void link_tls_tear_down(void)
{
    SSL_CTX_free(context);
    context = NULL;
}

void *link_tls_create(int fd)
{
    SSL *tls = SSL_new(context);
    if (!tls || !SSL_set_fd(tls, fd)) {
        fail_tls("TLS connection");
    }
    SSL_set_connect_state(tls);
    return tls;
}

void link_tls_destroy(void *tls)
{
    SSL_free(tls);
}

bool link_tls_shake_hands(void *tls)
{
    ERR_clear_error();
    int result = SSL_do_handshake(tls);
    if (result == 1) {
        return true;
    }
    switch (SSL_get_error(tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return false;
    default: fail_tls("TLS handshake");
    }
}

static ssize_t outcome(SSL *tls, int result)
{
    if (result > 0) {
        return result;
    }
    switch (SSL_get_error(tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: errno = EPROTO; return -1;
    }
}

ssize_t link_tls_send(void *tls, struct str bytes)
{
    ERR_clear_error();
    return outcome(tls, SSL_write(tls, bytes.ptr, bytes.len > INT_MAX ? INT_MAX : (int)bytes.len));
}

ssize_t link_tls_receive(void *tls, char *room, int room_bytes)
{
    ERR_clear_error();
    return outcome(tls, SSL_read(tls, room, room_bytes));
}
