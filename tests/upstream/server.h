/* The whole upstream server: listening sockets, connections, and what requests share. */
#ifndef BELFRY_UPSTREAM_SERVER_H
#define BELFRY_UPSTREAM_SERVER_H

#include <uv.h>

#include "tests/upstream/routes.h"
#include "tests/upstream/tls.h"

#define SERVER_READ_SIZE ((size_t)16 * 1024)

struct connection;

struct server {
    uv_loop_t *loop;
    struct routes routes;
    struct connection *connections;
    struct listener *listeners;
    struct tls *tls; /* NULL: no TLS */
    /* Scratch: requests are answered one at a time, so one of each serves them all. */
    struct request request;
    struct query query;
    struct response response;
    char records[SERVER_READ_SIZE]; /* of TLS, as they are read */
};

enum listen_kind {
    LISTEN_PLAIN,
    LISTEN_TLS,
    LISTEN_BLACK_HOLE, /* the kernel drops attempts to connect: they neither succeed nor fail */
    N_LISTEN_KINDS,
};

/* 0, or libuv's code. */
int server_open(struct server *s, uv_loop_t *loop);
/* Before the first LISTEN_TLS. False: *ret_problem (static) says which file is bad. */
bool server_use_tls(struct server *s, const struct tls_files *files, const char **ret_problem);
/* port 0: a free one. *ret_port is the one that it listens on. */
int server_listen(struct server *s, enum listen_kind kind, const char *address, int port,
                  int *ret_port);
/* Closes all sockets; the loop then runs out. */
void server_stop(struct server *s);
/* After the loop has run out. */
void server_release(struct server *s);

#endif
