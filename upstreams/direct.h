/* HTTP/1.1 without libcurl, for the one request that is made millions of times: a GET of an http
 * URL whose answer is gathered. Connections are kept and stay watched, so that such a request over
 * a warm one costs one write and mostly one read. Names are not looked up here: where there is no
 * connection to one, libcurl makes it, which is good at that. Loop's thread only. */
#ifndef BELFRY_UPSTREAMS_DIRECT_H
#define BELFRY_UPSTREAMS_DIRECT_H

#include "base/buf.h"
#include "base/deadlines.h"
#include "upstreams/http1_response.h"
#include "upstreams/response_head.h"

#define DIRECT_ERROR_SIZE 256

struct direct;
struct direct_call;
struct direct_connection;
struct inflater;

struct direct_options {
    struct loop *loop;
    struct deadlines *deadlines;       /* no call outlives it */
    const struct address_guard *guard; /* of every address; NULL: none */
    size_t max_kept;                   /* connections that nobody uses */
    int64_t kept_ms;                   /* for so long, and a little more */
};

enum status direct_create(const struct direct_options *options,
                          struct direct **ret_direct) MUST_CHECK;
/* No call is under way. Freed once the loop has let go of it. Accepts NULL. */
void direct_destroy(struct direct *d);

enum direct_end {
    DIRECT_COMPLETE,
    DIRECT_NAME, /* no connection is kept, and the host is no address: somebody else is to connect
                  */
    DIRECT_NOT_CONNECTED,
    DIRECT_REFUSED, /* by the guard */
    DIRECT_TIMEOUT,
    DIRECT_TOO_LARGE, /* the head, or the body */
    DIRECT_BROKEN,    /* the answer broke off, or is none */
};

/* Called once, and never from inside direct_start(). The call is the caller's again. */
typedef void (*direct_end_fn)(struct direct_call *call, enum direct_end end);
/* The head is complete: false when its body is of no use, which is then passed over. */
typedef bool (*direct_head_fn)(const struct direct_call *call);

/* Embed it; zero-initialise it. */
struct direct_call {
    /* What is asked; lives until the end. */
    struct str authority; /* of the URL, one that direct_authority_read() takes */
    struct str request;
    int64_t ends_us;            /* of clock_monotonic_us() */
    int64_t timeout_ms;         /* the whole of which that is the end */
    int64_t connect_timeout_ms; /* 0: only the whole */
    direct_head_fn on_head;
    direct_end_fn on_end;

    /* Where the answer goes. */
    struct response_head *head; /* as after its reset */
    struct buf *body;           /* empty; its maximum is that of the answer */
    struct buf *location;       /* gets the value of Location; NULL: it is of no use */
    char *error;                /* of DIRECT_ERROR_SIZE: words, unless DIRECT_COMPLETE, DIRECT_NAME
                                 */

    /* What is known of it then. */
    int64_t connect_us;
    int64_t first_byte_us;  /* 0: none came */
    int64_t n_body_bytes;   /* on the wire */
    unsigned n_connections; /* made for it */
    bool is_reused;

    /* The engine's. */
    struct direct_call *next; /* of those who are to begin */
    struct direct_call *prev;
    struct direct_connection *connection; /* NULL: it has not begun, or has ended */
    struct deadline deadline;
    struct http1_response response;
    struct inflater *inflater;
    int64_t begun_us; /* this attempt */
    int64_t ready_us; /* 0: not connected yet */
    int socket;       /* to begin with; -1: none */
    bool is_starting;
    bool is_skipping;
};

void direct_start(struct direct *d, struct direct_call *call);
/* The same, over a connection that was made meanwhile. The socket, which does not block, is the
 * engine's from here on. */
void direct_start_over(struct direct *d, struct direct_call *call, int socket);
/* on_end() will not be called. Does nothing when the call is not under way. */
void direct_cancel(struct direct *d, struct direct_call *call);
#endif
