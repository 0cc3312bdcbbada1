/* What the head of a client's request says beyond what every request is asked for: arguments behind
 * the path, headers for the backend, what a page asks for across origins. Copied, because
 * libwebsockets gives the head up early. */
#ifndef BELFRY_PROTOCOLS_CLIENT_HEAD_H
#define BELFRY_PROTOCOLS_CLIENT_HEAD_H

#include "base/buf.h"
#include "base/config.h"

struct lws;

struct client_head {
    struct buf arguments;         /* "name=value" and a NUL, each; decoded */
    struct buf forwarded;         /* "Name: value\n" lines */
    struct buf requested_headers; /* Access-Control-Request-Headers; or empty */
    bool is_binary;               /* Content-Type: application/octet-stream */
};

/* forwarded: names of headers, of char *. NULL: memory is short. */
struct client_head *client_head_read(struct lws *wsi, const struct config_list *forwarded);
/* Accepts NULL. */
void client_head_destroy(struct client_head *head);

/* The value of an argument; empty where there is none. */
struct str client_head_argument(const struct client_head *head, struct str name);
/* Does the client want the protobuf framing, which is not spoken here? */
bool client_head_wants_protobuf(const struct client_head *head);

/* The same of arguments alone, as they are kept. */
struct str client_head_find(struct str arguments, struct str name);

#endif
