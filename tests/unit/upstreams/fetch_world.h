/* What the tests of the fetch pool share: belfry-upstream processes, a loop with a pool, and calls
 * that keep their results. */
#ifndef BELFRY_TESTS_FETCH_WORLD_H
#define BELFRY_TESTS_FETCH_WORLD_H

#include "upstreams/fetch.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"

#define LONG_MS 30000 /* never reached, unless something hangs */

/* --- servers --- */

struct server {
    pid_t pid;
    int port;       /* the first --port */
    int other_port; /* the second */
    int tls_port;
    int black_hole_port;
};

static inline void server_run(char *const *arguments, int out)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)dup2(out, STDOUT_FILENO);
    (void)execv(BELFRY_UPSTREAM_PROGRAM, arguments);
    _exit(127);
}

/* A line for each port, in the order of their kinds. */
static inline bool server_read_port(FILE *out, const char *scheme, int *port)
{
    char line[200] = "";
    char format[60];
    (void)snprintf(format, sizeof(format), "listening %s://127.0.0.1:%%d", scheme);
    return fgets(line, sizeof(line), out) && sscanf(line, format, port) == 1;
}

/* options: ended by NULL; two ports of http are there anyway. */
static inline int server_start(struct server *server, bool has_tls, bool has_black_hole,
                               const char *const *options)
{
    const char *arguments[24] = {"belfry-upstream", "--port", "0", "--port", "0"};
    size_t n = 5;
    int ends[2];
    while (*options) {
        arguments[n++] = *options++;
    }
    if (pipe(ends)) {
        return -1;
    }
    server->pid = fork();
    if (server->pid == 0) {
        server_run((char *const *)arguments, ends[1]);
    }
    (void)close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    bool started =
        server_read_port(out, "http", &server->port) &&
        server_read_port(out, "http", &server->other_port) &&
        (!has_tls || server_read_port(out, "https", &server->tls_port)) &&
        (!has_black_hole || server_read_port(out, "black-hole", &server->black_hole_port));
    (void)fclose(out);
    return started ? 0 : -1;
}

static inline int server_stop(struct server *server)
{
    int status = -1;
    (void)kill(server->pid, SIGTERM);
    (void)waitpid(server->pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* One request over a connection of its own, without the code under test. Returns the answer,
 * NUL-terminated, to be freed. */
static inline char *server_ask(const struct server *server, const char *method, const char *path,
                               struct str body)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)server->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_printf(&text, "%s %s HTTP/1.1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", method,
               path, body.len);
    buf_append(&text, body);
    assert_int_equal(write(fd, text.ptr, text.len), (ssize_t)text.len);
    buf_clear(&text);
    ssize_t n;
    char piece[4096];
    while ((n = read(fd, piece, sizeof(piece))) > 0) {
        buf_append(&text, (struct str){piece, (size_t)n});
    }
    (void)close(fd);
    return buf_take(&text);
}

static inline void server_reset_stats(const struct server *server)
{
    free(server_ask(server, "POST", "/stats/reset", STR_EMPTY));
}

static inline bool server_saw(const struct server *server, const char *path)
{
    char *text = server_ask(server, "GET", "/stats", STR_EMPTY);
    bool saw = strstr(text, path) != NULL;
    free(text);
    return saw;
}

static inline long server_stat(const struct server *server, const char *name)
{
    char key[40];
    (void)snprintf(key, sizeof(key), "\"%s\":", name);
    char *text = server_ask(server, "GET", "/stats", STR_EMPTY);
    const char *at = strstr(text, key);
    assert_non_null(at);
    long number = strtol(at + strlen(key), NULL, 10);
    free(text);
    return number;
}

/* --- fetches --- */

struct world {
    struct loop *loop;
    struct fetch_pool *pool;
};

struct call {
    struct world *world;
    struct fetch *fetch;
    int n_done;
    struct fetch_result result; /* its texts are those below */
    struct buf body;
    char error[300];
    char etag[100];
    char last_modified[100];
    char content_type[100];
    struct call *cancels; /* in its done() */
    bool destroys_pool;
};

static inline void world_open_with(struct world *w, struct fetch_pool_options options)
{
    assert_int_equal(loop_create(&w->loop), STATUS_OK);
    options.loop = w->loop;
    options.user_agent = "belfry-test/1";
    assert_int_equal(fetch_pool_create(&options, &w->pool), STATUS_OK);
}

static inline void world_open(struct world *w, int64_t max_concurrent, int64_t max_waiting)
{
    world_open_with(w, (struct fetch_pool_options){.max_concurrent = max_concurrent,
                                                   .max_waiting = max_waiting});
}

static inline void world_close(struct world *w)
{
    fetch_pool_destroy(w->pool);
    loop_destroy(w->loop);
}

static inline void call_keep(char *place, size_t size, struct str text)
{
    assert_true(text.len < size);
    (void)snprintf(place, size, "%.*s", STR_ARG(text));
}

static inline void call_on_done(void *arg, const struct fetch_result *result)
{
    struct call *call = arg;
    call->n_done++;
    call->result = *result;
    buf_append(&call->body, result->body);
    call->result.body = buf_str(&call->body);
    call_keep(call->error, sizeof(call->error), str_of(result->error));
    call_keep(call->etag, sizeof(call->etag), result->head.etag);
    call_keep(call->last_modified, sizeof(call->last_modified), result->head.last_modified);
    call_keep(call->content_type, sizeof(call->content_type), result->head.content_type);
    if (call->cancels) {
        fetch_cancel(call->cancels->fetch);
    }
    if (call->destroys_pool) {
        fetch_pool_destroy(call->world->pool);
        call->world->pool = NULL;
    }
}

/* The URL of a path there, until the next call but seven. */
static inline const char *url_at(const char *scheme, const char *host, int port, const char *path)
{
    static char urls[8][400];
    static unsigned turn;
    char *url = urls[turn++ % 8];
    (void)snprintf(url, sizeof(urls[0]), "%s://%s:%d%s", scheme, host, port, path);
    return url;
}

static inline struct fetch_spec spec_of(const char *url)
{
    return (struct fetch_spec){.url = url, .timeout_ms = LONG_MS, .max_bytes = 1 << 22};
}

static inline enum status call_start(struct world *w, struct call *call,
                                     const struct fetch_spec *spec)
{
    call->world = w;
    call->n_done = 0;
    buf_init(&call->body, 1 << 24);
    enum status status = fetch_start(w->pool, spec, call_on_done, call, &call->fetch);
    assert_int_equal(call->n_done, 0);
    return status;
}

static inline void call_run(struct call *call)
{
    while (call->n_done == 0) {
        (void)uv_run(loop_uv(call->world->loop), UV_RUN_ONCE);
    }
}

static inline void call_release(struct call *call)
{
    buf_release(&call->body);
}

/* Runs it to its end; to be released. */
static inline struct call call_make(struct world *w, const struct fetch_spec *spec)
{
    struct call call = {0};
    assert_int_equal(call_start(w, &call, spec), STATUS_OK);
    call_run(&call);
    call.result.body = buf_str(&call.body);
    return call;
}

/* Runs it to its end; the text of a good answer, to be freed. */
static inline char *call_text(struct world *w, const struct fetch_spec *spec)
{
    struct call call = call_make(w, spec);
    if (call.result.outcome != FETCH_OK) {
        fail_msg("%s: %s %s", spec->url, fetch_outcome_name(call.result.outcome), call.error);
    }
    return buf_take(&call.body);
}

static inline void assert_outcome_of(const struct call *call, enum fetch_outcome outcome,
                                     int http_status)
{
    if (call->result.outcome != outcome || call->result.head.http_status != http_status) {
        fail_msg("%s %d, %s", fetch_outcome_name(call->result.outcome),
                 call->result.head.http_status, call->error);
    }
}

static inline void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("%s is not in %.2000s", part, text);
    }
}

static inline void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part)) {
        fail_msg("%s is in %.2000s", part, text);
    }
}

#endif
