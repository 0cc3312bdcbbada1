/* The server: libwebsockets on the program's loop, with the program's own listening socket, and the
 * dispatch of its callbacks to HTTP and WebSocket. */
#ifndef BELFRY_PROTOCOLS_SERVER_H
#define BELFRY_PROTOCOLS_SERVER_H

#include "base/deadlines.h"
#include "hub/hub.h"
#include "protocols/server_options.h"

struct server;

/* Blocks for a moment (loads libwebsockets' libuv plugin). STATUS_IO: not listening; why has been
 * logged; the server is made all the same, and is to be closed and destroyed. options and
 * storage (for its figures) outlive server_close(). */
enum status server_create(struct loop *loop, struct deadlines *deadlines, struct hub *hub,
                          struct storage *storage, const struct server_options *options,
                          struct server **ret_server) MUST_CHECK;
int server_port(const struct server *server);
/* No new connections. */
void server_stop_listening(struct server *server);
/* Every request that was handed to a handler is answered. */
bool server_is_idle(const struct server *server);
size_t server_n_connections(const struct server *server);
/* Connections that are still open are cut. The first half of the end: from a callback of the loop.
 */
void server_close(struct server *server);
/* The second half, after the loop has returned. Accepts NULL. */
void server_destroy(struct server *server);

#endif
