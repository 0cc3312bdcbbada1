/* Writing past libwebsockets, for connections without TLS. */
#ifndef BELFRY_PROTOCOLS_DIRECT_WRITE_H
#define BELFRY_PROTOCOLS_DIRECT_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

struct lws;

/* What the socket did not take; n: what send() returned. */
bool direct_write_rest(struct lws *wsi, void *bytes, size_t len, ssize_t n);

/* To the socket itself: finished bytes need nothing of what lws_write() does on top, and that
 * touches much of the connection's memory. What the socket does not take is left to libwebsockets,
 * which keeps it and asks for POLLOUT. Nothing may be buffered there at the call. False: the
 * connection is dead. Inline: broadcasts come through here. */
static inline bool direct_write(struct lws *wsi, int fd, void *bytes, size_t len)
{
    ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n == (ssize_t)len || direct_write_rest(wsi, bytes, len, n);
}

#endif
