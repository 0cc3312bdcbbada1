/* TLS over memory: bytes of the network go in, bytes for the network come out; the sockets are the
 * connection's. */
#ifndef BELFRY_UPSTREAM_TLS_H
#define BELFRY_UPSTREAM_TLS_H

#include "base/buf.h"

struct tls;
struct tls_session;

struct tls_files {
    const char *cert; /* PEM, with its chain */
    const char *key;
    const char *client_ca; /* NULL: no certificate is asked of clients; otherwise one is demanded */
};

/* NULL: *ret_problem (static) says which file is bad. */
struct tls *tls_create(const struct tls_files *files, const char **ret_problem);
/* Accepts NULL. */
void tls_destroy(struct tls *tls);

/* Outlived by its tls. NULL: memory is short. */
struct tls_session *tls_session_create(struct tls *tls);
/* Accepts NULL. */
void tls_session_destroy(struct tls_session *session);

enum tls_result {
    TLS_BROKEN, /* of no more use; what *records got is still worth sending */
    TLS_GOES_ON,
    TLS_ESTABLISHED, /* the handshake has just ended well */
};
/* Bytes came. Appends what they mean to *text and what is to be sent for them to *records. */
enum tls_result tls_session_receive(struct tls_session *session, struct str bytes, struct buf *text,
                                    struct buf *records);
/* Appends the records that the text becomes. */
void tls_session_send(struct tls_session *session, struct str text, struct buf *records);
/* Says that nothing follows; at most once however often it is called. */
void tls_session_end(struct tls_session *session, struct buf *records);

#endif
