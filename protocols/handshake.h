/* The checks of a WebSocket handshake that libwebsockets 4.1 leaves out (RFC 6455 section 4.2.1).
 */
#ifndef BELFRY_PROTOCOLS_HANDSHAKE_H
#define BELFRY_PROTOCOLS_HANDSHAKE_H

#include "base/str.h"

struct handshake {
    bool is_get;
    struct str http_version; /* "HTTP/1.1" */
    struct str path;
    struct str host;
    struct str connection;
    struct str upgrade;
    struct str key;
    struct str version;
    struct str protocols; /* offered; empty: none */
};

struct handshake_refusal {
    int status; /* 0: the handshake is good */
    const char *text;
    const char *headers; /* further lines of the reply, or NULL */
};

struct handshake_refusal handshake_check(const struct handshake *h, struct str path);

/* Is token one of a comma-separated list, without regard to case? */
bool handshake_has_token(struct str list, struct str token);

#endif
