/* What the files of the direct client share; not for others. direct.c begins and ends it all,
 * direct_call.c is the life of a call,
 * direct_answer.c what comes back to it, direct_connection.c the sockets and which of them are
 * kept, direct_host.c who they lead to. */
#ifndef BELFRY_UPSTREAMS_DIRECT_INTERNAL_H
#define BELFRY_UPSTREAMS_DIRECT_INTERNAL_H

#include <netinet/in.h>
#include <uthash.h>

#include "upstreams/direct.h"
#include "upstreams/inflater.h"

#define DIRECT_READ_BYTES ((size_t)16 * 1024)

struct direct_connection {
    uv_poll_t poll; /* first, so that a closed handle is its connection. Does not hold the loop:
                       deadlines of calls do */
    struct direct *direct;
    struct direct_host *host;
    struct direct_call *call;
    struct direct_connection *next; /* of the host's kept ones; of the free ones */
    struct direct_connection *prev;
    struct direct_connection *newer; /* of all kept ones */
    struct direct_connection *older;
    int fd;
    bool is_connecting;
    bool is_failed; /* not watched any more */
    bool is_kept;   /* for the next call */
    size_t n_sent;  /* of the call's request */
    int64_t kept_since_ms;
    struct buf rest; /* came, but is not enough to be read */
};

struct direct_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name;
    socklen_t len; /* 0: none */
};

struct direct_host {
    UT_hash_handle hh;              /* in direct->hosts */
    struct direct_connection *kept; /* the one used last first */
    size_t n_connections;           /* kept or not */
    struct direct_address address;  /* where it stands in the URL */
    size_t authority_len;
    char authority[];
};

struct direct {
    struct loop *loop;
    struct deadlines *deadlines;
    const struct address_guard *guard;
    struct deferred begin;
    struct direct_call *starting; /* will begin at the loop's tail, in their order */
    size_t n_starting;
    size_t max_kept;
    int64_t kept_ms;
    struct direct_host *hosts;           /* by authority; oldest first */
    struct direct_connection *kept_last; /* of all kept ones, the one used last first */
    size_t n_kept;
    struct direct_connection *free;
    struct inflaters inflaters;
    uv_timer_t sweeper;                                   /* of those kept for too long */
    int n_handles;                                        /* not closed yet */
    char input[HTTP1_HEAD_BYTES_MAX + DIRECT_READ_BYTES]; /* what is being read */
};

/* direct_host.c. That of the authority; NULL when memory is short. */
struct direct_host *direct_host_find(struct direct *d, struct str authority);
/* Frees all; there is no connection any more. */
void direct_hosts_release(struct direct *d);

/* direct_connection.c. Begins to connect to the host's address; NULL: errno says why not. */
struct direct_connection *connection_open(struct direct *d, struct direct_host *host);
/* Over a socket that is connected; NULL: it is closed, errno says why. */
struct direct_connection *connection_adopt(struct direct *d, struct direct_host *host, int fd);
struct direct_connection *connection_take_kept(struct direct_host *host);
void connection_keep(struct direct_connection *c);
void connection_close(struct direct_connection *c);
/* What it waits for: UV_READABLE, UV_WRITABLE. */
bool connection_watch(struct direct_connection *c, int events);
void connections_close_kept(struct direct *d);
void handle_closed(struct direct *d);

/* direct_call.c. */
void direct_call_begin(struct direct *d, struct direct_call *call);
/* It has no connection any more. */
void direct_call_release(struct direct *d, struct direct_call *call);
/* That to begin with. */
void direct_call_drop_socket(struct direct_call *call);
/* Something happened to a connection with a call. */
void direct_on_event(struct direct_connection *c, int status, int events);

/* direct_answer.c. Before the first byte. */
void direct_answer_begin(struct direct_call *call);
/* Takes what it can off the input. True: the answer goes on. */
bool direct_answer_take(struct direct *d, struct direct_call *call, struct str *input,
                        enum direct_end *ret_end);
/* The server has closed the connection. */
enum direct_end direct_answer_close(struct direct_call *call);
void direct_answer_release(struct direct *d, struct direct_call *call);

#endif
