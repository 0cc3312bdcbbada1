/* Accepts connections: the listening socket is the program's own, so that accepting can be bounded
 * per turn of the loop, survives a lack of descriptors, and can end before connections do. */
#ifndef BELFRY_PROTOCOLS_LISTENER_H
#define BELFRY_PROTOCOLS_LISTENER_H

#include <sys/types.h>

#include "base/loop.h"
#include "base/status.h"

struct listener;

/* A connected, non-blocking socket that now is the callee's. */
typedef void (*listener_accepted_fn)(void *arg, int fd);
/* Called after a batch of accepted(). */
typedef void (*listener_batch_fn)(void *arg);
/* May another connection come in? False: it is closed at once. */
typedef bool (*listener_may_fn)(void *arg);

struct listener_options {
    struct loop *loop;
    const char *path;    /* of a Unix socket; NULL: TCP */
    mode_t mode;         /* of its file */
    const char *address; /* an IPv4 or IPv6 address; "": all IPv4 addresses */
    int port;            /* 0: a free one */
    listener_may_fn may;
    listener_accepted_fn accepted;
    listener_batch_fn batch_done;
    void *arg;
};

/* STATUS_IO, logged with the system's words: the address is not one, is not this machine's, or is
 * taken. The options' texts outlive the listener. */
enum status listener_create(const struct listener_options *options,
                            struct listener **ret_listener) MUST_CHECK;
/* 0: it is a Unix socket. */
int listener_port(const struct listener *listener);
/* Closes the socket, and removes its file if it has one: new connections are refused by the system.
 */
void listener_stop(struct listener *listener);
/* Freed when the loop has let go of it. Accepts NULL. */
void listener_destroy(struct listener *listener);

#endif
