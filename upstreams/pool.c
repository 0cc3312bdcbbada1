/* SPDX-License-Identifier: MIT */
/* libcurl's multi interface on the loop: one uv_poll_t per socket that libcurl wants watched, one
 * timer, and a drain of finished transfers after every call that may have finished some. All state
 * belongs to the loop's thread. */
#include "upstreams/pool.h"

#include <stdlib.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#define WAITING_TICK_MS 5
#define WAITING_SLOTS   512

/* Lives for as long as libcurl wants its socket watched. When kept, for as long as the socket: a
 * transfer over a warm connection then costs no system call for watching. */
struct socket_watch {
    uv_poll_t poll; /* first, so that a closed handle is its watch */
    struct fetch_pool *pool;
    struct socket_watch *next;
    UT_hash_handle hh; /* in pool->watches */
    curl_socket_t fd;
    bool is_kept;
    int wanted;  /* the events that libcurl waits for; 0: the connection idles */
    int started; /* those of the last start */
};

/* --- the end of the pool's memory --- */

static void handle_closed(struct fetch_pool *pool)
{
    if (--pool->n_handles > 0) {
        return;
    }
    struct socket_watch *watch;
    struct socket_watch *next;
    LL_FOREACH_SAFE (pool->free_watches, watch, next) {
        free(watch);
    }
    free(pool->user_agent);
    free(pool);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct socket_watch *watch = (struct socket_watch *)handle;
    struct fetch_pool *pool = watch->pool;
    LL_PREPEND(pool->free_watches, watch);
    handle_closed(pool);
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* --- watches --- */

static struct socket_watch *watch_open(struct fetch_pool *pool, curl_socket_t fd)
{
    struct socket_watch *watch = pool->free_watches;
    if (watch) {
        LL_DELETE(pool->free_watches, watch);
    } else if (!(watch = malloc(sizeof(*watch)))) {
        return NULL;
    }
    *watch = (struct socket_watch){.pool = pool, .fd = fd};
    if (uv_poll_init_socket(loop_uv(pool->loop), &watch->poll, fd)) {
        LL_PREPEND(pool->free_watches, watch);
        return NULL;
    }
    pool->n_handles++;
    HASH_ADD_INT(pool->watches, fd, watch);
    if (!watch->hh.tbl) { /* no memory */
        uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        return NULL;
    }
    return watch;
}

/* Before the socket is closed: its number may be another's in a moment. */
static void watch_close(struct socket_watch *watch)
{
    HASH_DEL(watch->pool->watches, watch);
    (void)uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static struct socket_watch *find_watch(struct fetch_pool *pool, curl_socket_t fd)
{
    struct socket_watch *watch;
    HASH_FIND_INT(pool->watches, &fd, watch);
    return watch;
}

static int watch_start(struct socket_watch *watch, int events)
{
    watch->wanted = events;
    uv_ref((uv_handle_t *)&watch->poll);
    if (watch->is_kept && watch->started == events && uv_is_active((uv_handle_t *)&watch->poll)) {
        return 0;
    }
    watch->started = events;
    /* From nothing: the number may be another socket's by now, which the kernel does not watch. */
    (void)uv_poll_stop(&watch->poll);
    return uv_poll_start(&watch->poll, events, on_poll);
}

/* Not stopped: the next transfer wants the same events. But idle connections do not keep the loop
 * running. */
static void watch_idle(struct socket_watch *watch)
{
    watch->wanted = 0;
    uv_unref((uv_handle_t *)&watch->poll);
}

/* Once a transfer over a new connection has succeeded, and not before: libcurl 7.88 calls no close
 * function for a socket whose connecting, TLS included, it gives up. */
static void keep_watch(struct fetch_pool *pool, CURL *easy)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    (void)curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd);
    if (fd == CURL_SOCKET_BAD) {
        return;
    }
    struct socket_watch *watch = find_watch(pool, fd); /* another transfer may use it already */
    if (!watch && (watch = watch_open(pool, fd))) {
        watch_idle(watch);
    }
    if (watch) {
        watch->is_kept = true;
    }
}

/* --- driving libcurl --- */

static void collect_finished(struct fetch_pool *pool)
{
    CURLMsg *message;
    int n_left;
    while ((message = curl_multi_info_read(pool->multi, &n_left))) {
        if (message->msg == CURLMSG_DONE) {
            CURLcode code = message->data.result;
            long n_connects = 0;
            char *arg = NULL;
            (void)curl_easy_getinfo(message->easy_handle, CURLINFO_NUM_CONNECTS, &n_connects);
            (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &arg);
            struct fetch *f = (struct fetch *)(void *)arg;
            if (code == CURLE_OK && n_connects > 0 && !f->is_connecting) {
                keep_watch(pool, message->easy_handle);
            }
            /* The message is invalid from here. */
            fetch_collect(f, code, n_connects);
        }
    }
}

static void drive(struct fetch_pool *pool, curl_socket_t fd, int events)
{
    int n_running;
    (void)curl_multi_socket_action(pool->multi, fd, events, &n_running);
    collect_finished(pool);
    fetch_start_waiting(pool);
    fetch_deliver(pool);
}

/* An error of the socket shows when it is read, as libcurl's own waiting has it: who says that
 * there is one ends the transfer, where a kept connection that was reset is otherwise replaced.
 * libuv has stopped by then, and perhaps there is more to read before it. */
static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct socket_watch *watch = (struct socket_watch *)poll;
    if (!watch->wanted) {
        /* The server has closed an idle connection. libcurl looks before it uses one. */
        (void)uv_poll_stop(poll);
        return;
    }
    int flags = status < 0 || events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    drive(watch->pool, watch->fd, flags);
    if (status < 0 && watch->wanted && !uv_is_closing((uv_handle_t *)poll)) {
        (void)watch_start(watch, watch->wanted);
    }
}

static void on_timer(uv_timer_t *timer)
{
    drive(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_kick(void *arg)
{
    drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_deliver(void *arg)
{
    fetch_start_waiting(arg);
    fetch_deliver(arg);
}

/* libcurl wants its time checked in so many milliseconds. At once means at this turn's tail: it
 * must not be called from in here. */
static int on_multi_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct fetch_pool *pool = arg;
    (void)multi;
    if (timeout_ms <= 0) {
        (void)uv_timer_stop(&pool->timer);
    } else {
        loop_undefer(pool->loop, &pool->kick);
        (void)uv_timer_start(&pool->timer, on_timer, (uint64_t)timeout_ms, 0);
    }
    if (timeout_ms == 0) {
        loop_defer(pool->loop, &pool->kick);
    } else if (timeout_ms < 0) {
        loop_undefer(pool->loop, &pool->kick);
    }
    return 0;
}

/* --- what libcurl calls about sockets --- */

static void on_unwanted(struct socket_watch *watch)
{
    if (watch->is_kept) {
        watch_idle(watch);
    } else {
        watch_close(watch);
    }
}

static int on_multi_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_data)
{
    struct fetch_pool *pool = arg;
    struct socket_watch *watch = find_watch(pool, fd);
    (void)easy;
    (void)socket_data;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            on_unwanted(watch);
        }
        return 0;
    }
    if (!watch && !(watch = watch_open(pool, fd))) {
        return -1; /* libcurl ends its transfers */
    }
    int events = what & CURL_POLL_IN ? UV_READABLE : 0;
    events |= what & CURL_POLL_OUT ? UV_WRITABLE : 0;
    return watch_start(watch, events) ? -1 : 0;
}

int pool_close_socket(void *arg, curl_socket_t fd)
{
    struct socket_watch *watch = find_watch(arg, fd);
    if (watch) {
        watch_close(watch);
    }
    return close(fd);
}

/* --- create and destroy --- */

static bool open_multi(struct fetch_pool *pool)
{
    /* libcurl's default is a small multiple of the handles; with fewer than the concurrency it
     * closes and opens connections all the time. */
    long n_kept = (long)pool->max_concurrent * 2 + 16;
    pool->multi = curl_multi_init();
    pool->headers = curl_slist_append(NULL, "Accept: application/json");
    return pool->multi && pool->headers &&
           !curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_multi_socket) &&
           !curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool) &&
           !curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_multi_timer) &&
           !curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool) &&
           !curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, n_kept);
}

/* The last part of the end, at a loop's tail: by then no done() is under way any more, so every
 * fetch is on the free list. */
static void on_teardown(void *arg)
{
    struct fetch_pool *pool = arg;
    fetch_free_all(pool);
    direct_destroy(pool->direct);
    (void)curl_multi_cleanup(pool->multi); /* closes connections, which closes their watches */
    loop_undefer(pool->loop, &pool->kick);
    curl_slist_free_all(pool->headers);
    hosts_release(&pool->hosts);
    tls_authorities_destroy(pool->authorities);
    deadlines_destroy(pool->deadlines);
    uv_close((uv_handle_t *)&pool->timer, on_timer_closed);
    /* Counted by libcurl: the last one cleans up. */
    curl_global_cleanup();
}

static void pool_init(struct fetch_pool *pool, const struct fetch_pool_options *options)
{
    *pool = (struct fetch_pool){.loop = options->loop,
                                .max_concurrent = options->max_concurrent,
                                .max_waiting = options->max_waiting,
                                .guard = options->guard,
                                .hosts = {.max_active = options->max_per_host},
                                .n_handles = 1};
    pool->kick = (struct deferred){.fn = on_kick, .arg = pool};
    pool->deliver = (struct deferred){.fn = on_deliver, .arg = pool};
    pool->teardown = (struct deferred){.fn = on_teardown, .arg = pool};
    (void)uv_timer_init(loop_uv(pool->loop), &pool->timer);
    pool->timer.data = pool;
}

enum status fetch_pool_create(const struct fetch_pool_options *options,
                              struct fetch_pool **ret_pool)
{
    struct fetch_pool *pool = malloc(sizeof(*pool));
    if (!pool) {
        return STATUS_NO_MEMORY;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
        free(pool);
        return STATUS_INTERNAL;
    }
    pool_init(pool, options);
    pool->user_agent = str_dup(str_of(options->user_agent));
    if (!pool->user_agent || !open_multi(pool) || tls_authorities_create(&pool->authorities) ||
        deadlines_create(pool->loop, WAITING_TICK_MS, WAITING_SLOTS, &pool->deadlines) ||
        (!options->uses_libcurl_only && !direct_fetch_open(pool))) {
        fetch_pool_destroy(pool);
        return STATUS_NO_MEMORY;
    }
    if (options->needs_tls) {
        (void)tls_authorities_load(pool->authorities);
    }
    *ret_pool = pool;
    return STATUS_OK;
}

void fetch_pool_destroy(struct fetch_pool *pool)
{
    if (!pool) {
        return;
    }
    pool->is_closing = true;
    fetch_cancel_all(pool);
    loop_undefer(pool->loop, &pool->deliver);
    loop_defer(pool->loop, &pool->teardown);
}

void fetch_pool_stats(const struct fetch_pool *pool, struct fetch_stats *ret_stats)
{
    *ret_stats = pool->stats;
}
