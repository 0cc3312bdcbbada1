/* What the files of the HTTP client share; not for others. pool.c is the glue between libcurl and
 * the loop, fetch.c the life of one fetch, hosts.c the queues of those who wait, request.c what is
 * sent, answer.c what comes back, response_head.c its head, redirect.c where it leads, transport.c
 * over what. None calls libcurl, nor anybody's function, from inside a callback of libcurl. */
#ifndef BELFRY_UPSTREAMS_POOL_H
#define BELFRY_UPSTREAMS_POOL_H

#include "base/buf.h"
#include "base/deadlines.h"
#include "upstreams/direct.h"
#include "upstreams/fetch.h"
#include "upstreams/hosts.h"
#include "upstreams/response_head.h"
#include "upstreams/target.h"
#include "upstreams/tls_authorities.h"
#include "upstreams/transport_options.h"

#include <arpa/inet.h>

#include <curl/curl.h>

enum fetch_state {
    FETCH_FREE,     /* on the free list, with its easy handle and its buffer */
    FETCH_WAITING,  /* for a free place; the deadline is armed */
    FETCH_ACTIVE,   /* libcurl has it and watches the time */
    FETCH_FINISHED, /* its result waits for the call of done() */
};

struct fetch {
    struct fetch *next; /* in the list of its state */
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
    struct host *host; /* whose queue and place are its; NULL: the pool has no limit per host */

    /* What is set on the easy handle: only what differs is set again. */
    const struct transport_options *transport; /* NULL: as is usual */
    unsigned wire_version;                     /* transport.c has names for it */
    bool is_single; /* its connection is nobody else's, before or after */
    bool has_stream_codings;
    int64_t set_timeout_ms;
    int64_t set_connect_timeout_ms;

    /* What is sent. */
    enum fetch_method method;
    struct curl_slist *headers; /* its own, where it has any: first the usual ones, then the
                                   spec's */
    size_t n_usual_headers;
    bool is_conditional;
    bool has_body;      /* sends one, perhaps an empty one */
    struct buf sending; /* the body */
    size_t n_sent;
    bool was_sent;        /* libcurl has made the request */
    int64_t requested_us; /* when; these two only with a body */
    int64_t answered_us;  /* when the first byte of the answer came */

    /* What is sent without libcurl. */
    bool is_direct;     /* it is, or will be */
    bool is_connecting; /* libcurl makes the connection */
    struct direct_call direct;
    struct buf request; /* the URL, a NUL, the head; empty: it is nothing for that */
    size_t authority_len;
    size_t request_at;
    size_t lines_at;     /* behind the Host line */
    size_t headers_at;   /* those of the spec */
    struct buf location; /* of a redirect */
    const struct transport_options *wanted_transport;
    int64_t connect_timeout_ms;

    /* Where it goes. */
    const struct address_guard *address_guard; /* of the sockets that are opened now; may be NULL */
    char refused[INET6_ADDRSTRLEN];            /* an address that it did not allow; "": none */
    const struct address_guard *redirect_guard;
    int64_t max_redirects;
    int64_t n_redirects;
    struct target origin;           /* of the spec's URL, once redirected */
    bool is_abroad;                 /* redirected to somewhere else than there */
    struct curl_slist *hop_headers; /* instead of headers, once redirected */

    /* What comes back. */
    size_t max_bytes;
    size_t head_bytes;
    size_t skipped_bytes; /* of pages of redirects */
    bool is_too_large;
    bool is_foreign; /* in an encoding that was not asked for */
    struct response_head head;
    struct buf body;
    enum fetch_outcome outcome;
    int64_t dns_us;
    int64_t connect_us;
    int64_t first_byte_us;
    int64_t n_bytes;
    bool is_reused;
    const char *error;
    char error_text[CURL_ERROR_SIZE];

    /* For who reads it piece by piece. */
    fetch_data_fn on_data; /* NULL: nobody does */
    bool is_resting;
    bool is_catching_up; /* takes what libcurl holds since it rests */
    bool has_news;       /* is in the pool's list of these */
    struct fetch *next_news;
    struct fetch *prev_news;
};

struct fetch_pool {
    struct loop *loop;
    CURLM *multi;
    struct curl_slist *headers; /* of every GET without headers of its own */
    char *user_agent;
    const struct address_guard *guard;
    struct tls_authorities *authorities;
    int64_t max_concurrent;
    int64_t max_waiting;
    bool is_closing;
    struct deadlines *deadlines;
    struct deferred deliver;
    struct fetch *waiting; /* lists, oldest first */
    struct hosts hosts;    /* where there is a limit per host, its lists instead */
    struct direct *direct; /* NULL: all is libcurl's */
    struct fetch *active;
    struct fetch *finished;
    struct fetch *news; /* of these, those whose on_data() is due */
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

/* fetch.c. libcurl is through with f, over n_connects new connections. */
void fetch_collect(struct fetch *f, CURLcode code, long n_connects);
/* f ends; done() is called at the next fetch_deliver(). error: lives as long as f. */
void fetch_finish(struct fetch *f, enum fetch_outcome outcome, const char *error);
/* Gives f, which libcurl does not have, to it. */
bool fetch_perform(struct fetch *f);
/* Fills free places with those who wait. */
void fetch_start_waiting(struct fetch_pool *pool);
/* Calls on_data() and done() where they are due. */
void fetch_deliver(struct fetch_pool *pool);
/* Ends all, silently. */
void fetch_cancel_all(struct fetch_pool *pool);
/* Frees the free list. */
void fetch_free_all(struct fetch_pool *pool);

/* direct_fetch.c. */
bool direct_fetch_open(struct fetch_pool *pool);
/* Of the memory of a fetch: its whole life; and what is due before it is used again. */
void direct_fetch_init(struct fetch *f);
void direct_fetch_release(struct fetch *f);
void direct_fetch_clear(struct fetch *f);
/* False: the request is for libcurl. */
bool direct_fetch_set(struct fetch *f, const struct fetch_spec *spec);
void direct_fetch_perform(struct fetch *f);
/* Sets f up for a redirect to its own host. False: that is for libcurl. */
bool direct_fetch_redirect(struct fetch *f, const char *text);
/* From here on f is libcurl's, which has not got it yet. False: it does not take the request. */
bool direct_fetch_hand_over(struct fetch *f);
/* libcurl has made the connection. */
void direct_fetch_connected(struct fetch *f);
/* It is not asked any more. */
void direct_fetch_leave(struct fetch *f);
/* Where its redirect leads; to be freed. NULL: memory is short. */
char *direct_fetch_location(const struct fetch *f);

/* request.c. */
bool request_has_header(const struct fetch_spec *spec, struct str name);
bool request_is_conditional(const struct fetch_spec *spec);
/* Appends "Name: value" or "Name:". */
void request_write_header(struct str line, struct buf *to);
bool request_is_valid(const struct fetch_spec *spec);
/* False when libcurl has no memory. Also then request_clear() is due. */
bool request_set(struct fetch *f, const struct fetch_spec *spec);
/* The same request to another URL: without its body where it has become a GET; abroad, without the
 * spec's headers. */
bool request_redirect(struct fetch *f, const char *url, bool becomes_get);
/* The easy handle is as for a plain GET again. Not while libcurl has it. */
void request_clear(struct fetch *f);

/* answer.c. What every easy handle has, once. */
bool answer_set(struct fetch *f);
/* What the request accepts. */
bool answer_set_codings(struct fetch *f, bool is_streamed);
void answer_prepare(struct fetch *f, const struct fetch_spec *spec);
/* Forgets what has come, before the request is made again elsewhere. */
void answer_reset(struct fetch *f);
void answer_measure(struct fetch *f, long n_connects);
/* In the pool's counters, if f has made one. */
void answer_count_connection(struct fetch *f);
enum fetch_outcome answer_outcome(const struct fetch *f, CURLcode code);
const char *answer_error(struct fetch *f, CURLcode code);

/* stream.c. Something came for who reads f piece by piece. */
void stream_note(struct fetch *f);
/* The same; true: as much waits as may, and libcurl shall keep it until somebody has read. */
bool stream_rests(struct fetch *f);
/* on_data() will not be called for what was noted. */
void stream_forget(struct fetch *f);
/* Calls on_data() where it is due. */
void stream_deliver(struct fetch_pool *pool);

/* redirect.c. Does the answer, whose head is there, say where to ask instead, and is that done? */
bool redirect_is_due(const struct fetch *f);
/* Its end has come: asks there, or ends f. */
void redirect_follow(struct fetch *f);

/* guarding.c. What every easy handle has, once. */
bool guarding_set(struct fetch *f);
/* May f go there? Otherwise f->error_text says why not. */
bool guarding_allows(struct fetch *f, const struct address_guard *guard, const char *url);

/* transport.c. What every easy handle has, once. */
bool transport_set(struct fetch *f);
bool transport_apply(struct fetch *f, const struct fetch_spec *spec);
/* A fetch that is over points to no options any more. */
void transport_reset(struct fetch *f);

#endif
