/* One connection to the server under test, plain or TLS, non-blocking, on the poller's loop. All
 * input is read through one buffer that all links share; a link keeps only what could not be used
 * yet. Whatever goes wrong ends the program (see cli.h). */
#ifndef BELFRY_BENCH_LINK_H
#define BELFRY_BENCH_LINK_H

#include "base/buf.h"
#include "base/str.h"
#include "tests/bench/poller.h"

/* What a link keeps for later at most: the front of a message, or the head of an answer. */
#define LINK_KEPT_MAX_BYTES 16384

struct link;

struct link_handler {
    void (*on_open)(struct link *l);
    /* Returns how many bytes were used; the others come again in front of what follows them. data
     * is valid during the call. */
    size_t (*on_input)(struct link *l, struct str data);
    /* The server closed it. */
    void (*on_closed)(struct link *l);
};

enum link_state { LINK_CLOSED, LINK_CONNECTING, LINK_SHAKING_HANDS, LINK_OPEN };

struct link {
    struct watched watched; /* first */
    const struct link_handler *handler;
    void *tls;
    char *kept;
    size_t n_kept;
    struct buf unsent;
    int fd;
    enum link_state state;
};

struct link_options {
    uint16_t port; /* of 127.0.0.1 */
    bool tls;
    int receive_buffer_bytes; /* 0: the kernel's choice */
};

/* Once, before the first connection. */
void link_set_up(const struct link_options *options);
void link_tear_down(void);

/* source: as dial_start()'s. handler outlives the link. */
void link_connect(struct link *l, const struct link_handler *handler, unsigned source);
void link_close(struct link *l);

/* What does not fit the socket's buffer is kept and sent when it does. */
void link_send(struct link *l, struct str bytes);
/* From here on it does not wait until others have been read: see poller_prefer(). */
void link_prefer(struct link *l);
/* Nothing that comes from here on is read. It is still to be closed. */
void link_ignore(struct link *l);

/* When the input that is being handled was read (CLOCK_MONOTONIC). */
uint64_t link_received_ns(void);

#endif
