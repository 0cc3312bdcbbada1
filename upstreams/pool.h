/* What the three files of the HTTP client share; not for others. pool.c is the glue between libcurl
 * and the loop, fetch.c the life of one fetch, request.c what it sends. None calls libcurl, nor
 * anybody's done(), from inside a callback of libcurl. */
#ifndef BELFRY_UPSTREAMS_POOL_H
#define BELFRY_UPSTREAMS_POOL_H

#include "base/buf.h"
#include "base/deadlines.h"
#include "upstreams/fetch.h"

#include <curl/curl.h>

enum fetch_state {
    FETCH_FREE,     /* on the free list, with its easy handle and its buffer */
    FETCH_WAITING,  /* for a free place; the deadline is armed */
    FETCH_ACTIVE,   /* libcurl has it and watches the time */
    FETCH_FINISHED, /* its result waits for the call of done() */
};

struct fetch {
    struct fetch *next;
    struct fetch *prev;
    struct fetch_pool *pool;
    CURL *easy;
    enum fetch_state state;
    fetch_done_fn done;
    void *arg;
    int64_t started_us;
    int64_t activated_us; /* 0: never was */
    int64_t timeout_ms;
    struct deadline deadline;
    struct curl_slist *headers; /* its own, where it has any */
    bool is_post;
    struct buf sending; /* the body of a POST */
    size_t n_sent;
    size_t max_bytes;
    size_t head_bytes;
    bool is_too_large;
    struct buf body;
    enum fetch_outcome outcome;
    long http_status;
    const char *error;
    char error_text[CURL_ERROR_SIZE];
};

struct fetch_pool {
    struct loop *loop;
    CURLM *multi;
    struct curl_slist *headers; /* of every GET without headers of its own */
    char *user_agent;
    int64_t max_concurrent;
    int64_t max_waiting;
    bool is_closing;
    struct deadlines *deadlines;
    struct deferred deliver;
    struct fetch *waiting; /* lists, oldest first */
    struct fetch *active;
    struct fetch *finished;
    struct fetch *free;
    struct fetch_stats stats;
    /* The loop's side of libcurl. */
    uv_timer_t timer;
    struct deferred kick;
    struct deferred teardown;
    struct socket_watch *free_watches;
    struct socket_watch *watches; /* by socket */
    int n_handles;                /* not closed yet; the pool lives until there are none */
};

/* pool.c. The CURLOPT_CLOSESOCKETFUNCTION of every fetch; arg is the pool. */
int pool_close_socket(void *arg, curl_socket_t fd);

/* fetch.c. libcurl is through with f. */
void fetch_collect(struct fetch *f, CURLcode code);
/* Fills free places with those who wait. */
void fetch_start_waiting(struct fetch_pool *pool);
/* Calls done() for all that have finished. */
void fetch_deliver(struct fetch_pool *pool);
/* Ends all, silently. */
void fetch_cancel_all(struct fetch_pool *pool);
/* Frees the free list. */
void fetch_free_all(struct fetch_pool *pool);

/* request.c. */
bool request_is_valid(const struct fetch_spec *spec);
/* False when libcurl has no memory. Also then request_clear() is due. */
bool request_set(struct fetch *f, const struct fetch_spec *spec);
/* The easy handle is as for a plain GET again. Not while libcurl has it. */
void request_clear(struct fetch *f);

#endif
