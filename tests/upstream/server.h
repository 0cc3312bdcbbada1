/* The whole upstream server: listening sockets, connections, and what requests share. */
#ifndef BELFRY_UPSTREAM_SERVER_H
#define BELFRY_UPSTREAM_SERVER_H

#include <uv.h>

#include "tests/upstream/routes.h"

struct connection;

struct server {
    uv_loop_t *loop;
    struct routes routes;
    struct connection *connections;
    struct listener *listeners;
    /* Scratch: requests are answered one at a time, so one of each serves them all. */
    struct request request;
    struct query query;
    struct response response;
};

/* 0, or libuv's code. */
int server_open(struct server *s, uv_loop_t *loop);
/* port 0: a free one. *ret_port is the one that it listens on. */
int server_listen(struct server *s, const char *address, int port, int *ret_port);
/* Closes all sockets; the loop then runs out. */
void server_stop(struct server *s);
/* After the loop has run out. */
void server_release(struct server *s);

#endif
