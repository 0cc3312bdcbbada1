/* The system's certificate authorities, read once: libcurl would read their file at the first
 * handshake of each pool, which takes more than ten milliseconds. Loop's thread only. */
#ifndef BELFRY_UPSTREAMS_TLS_AUTHORITIES_H
#define BELFRY_UPSTREAMS_TLS_AUTHORITIES_H

#include <stdbool.h>

#include "base/status.h"

struct tls_authorities;

/* Reads nothing yet. */
enum status tls_authorities_create(struct tls_authorities **ret_authorities) MUST_CHECK;
/* Connections that use them may live on. Accepts NULL. */
void tls_authorities_destroy(struct tls_authorities *authorities);
/* Reads them, unless that was done; returns how many there are. */
int tls_authorities_load(struct tls_authorities *authorities);
/* The SSL_CTX of a connection verifies with them, read now if they were not. False when memory is
 * short. */
bool tls_authorities_use(struct tls_authorities *authorities, void *ssl_context);

#endif
