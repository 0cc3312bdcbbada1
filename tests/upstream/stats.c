/* SPDX-License-Identifier: MIT */
/* Counters, and a bounded table of requests by path. Paths beyond the bound are counted together.
 */
#include "tests/upstream/stats.h"

#include <stdlib.h>

#include <uthash.h>

#define MAX_PATHS 200

struct path_count {
    UT_hash_handle hh;
    uint64_t n_requests;
    size_t len;
    char path[];
};

/* STR() is no constant expression. */
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct str methods[] = {
    STR_INIT("GET"),   STR_INIT("HEAD"),   STR_INIT("POST"),    STR_INIT("PUT"),
    STR_INIT("PATCH"), STR_INIT("DELETE"), STR_INIT("OPTIONS"), STR_INIT("(other)"),
};
#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

struct stats {
    uint64_t n_requests;
    uint64_t n_connections;
    uint64_t n_handshakes;
    uint64_t n_not_modified;
    uint64_t n_by_method[N_METHODS];
    uint64_t n_active;
    uint64_t max_active;
    uint64_t n_other_paths;
    struct path_count *paths;
};

struct stats *stats_create(void)
{
    return calloc(1, sizeof(struct stats));
}

void stats_reset(struct stats *s)
{
    struct path_count *p;
    struct path_count *next;
    HASH_ITER (hh, s->paths, p, next) {
        HASH_DEL(s->paths, p);
        free(p);
    }
    *s = (struct stats){.n_active = s->n_active, .max_active = s->n_active};
}

void stats_destroy(struct stats *s)
{
    if (s) {
        stats_reset(s);
        free(s);
    }
}

void stats_connection(struct stats *s)
{
    s->n_connections++;
}

void stats_handshake(struct stats *s)
{
    s->n_handshakes++;
}

static void add_method(struct stats *s, struct str method)
{
    size_t i = 0;
    while (i < N_METHODS - 1 && !str_eq(methods[i], method)) {
        i++;
    }
    s->n_by_method[i]++;
}

static void add_path(struct stats *s, struct str path)
{
    bool has_room = HASH_COUNT(s->paths) < MAX_PATHS;
    struct path_count *p = has_room ? malloc(sizeof(*p) + path.len) : NULL;
    if (!p) {
        s->n_other_paths++;
        return;
    }
    p->n_requests = 1;
    p->len = path.len;
    memcpy(p->path, path.ptr, path.len);
    HASH_ADD_KEYPTR(hh, s->paths, p->path, p->len, p);
}

void stats_began(struct stats *s, struct str method, struct str path)
{
    s->n_requests++;
    add_method(s, method);
    s->n_active++;
    if (s->n_active > s->max_active) {
        s->max_active = s->n_active;
    }
    struct path_count *p;
    HASH_FIND(hh, s->paths, path.ptr, path.len, p);
    if (p) {
        p->n_requests++;
    } else {
        add_path(s, path);
    }
}

void stats_ended(struct stats *s)
{
    s->n_active--;
}

void stats_not_modified(struct stats *s)
{
    s->n_not_modified++;
}

static void write_methods(const struct stats *s, struct response *res)
{
    const char *comma = "";
    buf_literal(&res->body, "\"by_method\":{");
    for (size_t i = 0; i < N_METHODS; i++) {
        if (s->n_by_method[i] > 0) {
            buf_printf(&res->body, "%s\"%.*s\":%llu", comma, STR_ARG(methods[i]),
                       (unsigned long long)s->n_by_method[i]);
            comma = ",";
        }
    }
    buf_literal(&res->body, "},");
}

void stats_write(const struct stats *s, struct response *res)
{
    buf_printf(&res->body,
               "{\"requests\":%llu,\"connections\":%llu,\"tls_handshakes\":%llu,\"active\":%llu,"
               "\"max_active\":%llu,\"not_modified\":%llu,",
               (unsigned long long)s->n_requests, (unsigned long long)s->n_connections,
               (unsigned long long)s->n_handshakes, (unsigned long long)s->n_active,
               (unsigned long long)s->max_active, (unsigned long long)s->n_not_modified);
    write_methods(s, res);
    buf_literal(&res->body, "\"by_path\":{");
    for (const struct path_count *p = s->paths; p; p = p->hh.next) {
        response_text(res, (struct str){p->path, p->len});
        buf_append_char(&res->body, ':');
        buf_append_u64(&res->body, p->n_requests);
        buf_append_char(&res->body, ',');
    }
    buf_literal(&res->body, "\"(other)\":");
    buf_append_u64(&res->body, s->n_other_paths);
    buf_literal(&res->body, "}}");
}
