/* The server: libwebsockets on the program's loop, with the program's own listening sockets, and
 * the dispatch of its callbacks to HTTP and WebSocket. */
#ifndef BELFRY_PROTOCOLS_SERVER_H
#define BELFRY_PROTOCOLS_SERVER_H

#include "base/deadlines.h"
#include "hub/hub.h"
#include "protocols/server_options.h"

struct server;
struct tls_problem;

/* Blocks for a moment (loads libwebsockets' libuv plugin). STATUS_IO: not listening; why has been
 * logged; the server is made all the same, and is to be closed and destroyed. options and
 * storage (for its figures) outlive server_close(). */
enum status server_create(struct loop *loop, struct deadlines *deadlines, struct hub *hub,
                          struct storage *storage, const struct server_options *options,
                          struct server **ret_server) MUST_CHECK;
int server_port(const struct server *server);
/* Reads certificate and key again: connections from now on are shown the new one, those that are
 * there stay as they are. Without TLS it does nothing; what else options say is not looked at.
 * Blocks for a moment. STATUS_INVALID: nothing has changed, ret_problem (protocols/tls.h) says why;
 * STATUS_NO_MEMORY. */
enum status server_reload_tls(struct server *server, const struct http_tls_options *options,
                              struct tls_problem *ret_problem) MUST_CHECK;
/* Others from here on: keys, paths of health and figures, the demo, the access log and limits. All
 * else is as it was made: what the options say of it must be the same, in the same memory. */
void server_set_options(struct server *server, const struct server_options *options);
/* For the figures: another configuration was taken, or could not be. */
void server_count_reload(struct server *server, bool is_taken);
/* No new connections, but on the internal port: whoever watches the hub sees it end. */
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
