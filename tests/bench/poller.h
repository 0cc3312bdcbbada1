/* The one epoll loop of a load program: sockets, lines on stdin, one deadline. The end of stdin
 * ends it, once all that has come by then is handled. Whatever goes wrong ends the program (see
 * cli.h). */
#ifndef BELFRY_BENCH_POLLER_H
#define BELFRY_BENCH_POLLER_H

#include <stdint.h>

#include "base/str.h"

/* Embedded as the first member by what is watched. */
struct watched {
    void (*on_ready)(struct watched *w, uint32_t events);
};

struct poller_handler {
    void (*on_line)(struct str line); /* without its end; valid during the call */
    void (*on_turn)(void);            /* after the events of a turn, and at the deadline */
};

/* handler outlives the loop. */
void poller_open(const struct poller_handler *handler);
void poller_run(void);
void poller_close(void);

/* Edge-triggered, for input and for room to send: on_ready is called once for what has come since,
 * and is to read until there is nothing left. */
void poller_watch(int fd, struct watched *w);
void poller_ignore(int fd);
/* Of what is watched already: from here on it is looked at between any few of the others, not when
 * the turn is its own. A broadcast makes thousands of sockets ready at once, and the time that it
 * takes to read them must not count as the time that a message to this one took. */
void poller_prefer(int fd, struct watched *w);

/* CLOCK_MONOTONIC, 0: none. Stays until it is set again. */
void poller_set_deadline_ns(uint64_t deadline_ns);

/* How long to sleep before each look at the sockets, 0: not at all. Who waits in epoll is woken by
 * each message of a broadcast, and the server's send() pays for that; a short sleep takes many at
 * once, as a crowd of clients on other machines does, at the price of that much inaccuracy. */
void poller_set_nap_ns(uint64_t nap_ns);

#endif
