/* TLS on a link's non-blocking socket. No certificate is checked: the server is our own. */
#ifndef BELFRY_BENCH_LINK_TLS_H
#define BELFRY_BENCH_LINK_TLS_H

#include <sys/types.h>

#include "base/str.h"

void link_tls_set_up(void);
void link_tls_tear_down(void);

void *link_tls_create(int fd);
/* tls may be NULL. The socket stays open. */
void link_tls_destroy(void *tls);

/* True when the handshake is done; false: again when the socket is ready. */
bool link_tls_shake_hands(void *tls);

/* As send() and recv() of a non-blocking socket: -1 and EAGAIN, 0 at the end of input. What is read
 * may be less than there is. */
ssize_t link_tls_send(void *tls, struct str bytes);
ssize_t link_tls_receive(void *tls, char *room, int room_bytes);

#endif
