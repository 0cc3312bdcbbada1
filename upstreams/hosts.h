/* The limit of concurrent fetches to one host and port: who waits for a place there, and whose turn
 * it is. Hosts take turns, so that one with a long queue does not keep others from the places of
 * the pool. Loop's thread only. */
#ifndef BELFRY_UPSTREAMS_HOSTS_H
#define BELFRY_UPSTREAMS_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch;
struct host;

struct hosts {
    int64_t max_active; /* per host; 0: there are no hosts */
    struct host *table;
    struct host *ready; /* those with a free place that somebody waits for; the next first */
    struct host *idle;  /* kept for the next fetch, the longest idle first */
    size_t n_idle;
};

/* That of the URL; NULL when memory is short. It may go with the next call, unless it is waited for
 * or entered. */
struct host *hosts_find(struct hosts *hosts, const char *url);
/* Frees all. Nobody is there any more. */
void hosts_release(struct hosts *hosts);

bool host_has_place(const struct hosts *hosts, const struct host *host);
void host_enter(struct hosts *hosts, struct host *host);
void host_leave(struct hosts *hosts, struct host *host);
/* f's list pointers belong to the host until host_wait_no_more(). */
void host_wait(struct hosts *hosts, struct host *host, struct fetch *f);
void host_wait_no_more(struct hosts *hosts, struct host *host, struct fetch *f);
/* The longest waiting fetch of the host whose turn it is; NULL: nobody waits for a free place. */
struct fetch *hosts_next(struct hosts *hosts);
/* Anybody who waits, to be cancelled; NULL: nobody does. */
struct fetch *hosts_any_waiting(const struct hosts *hosts);

#endif
