/* SPDX-License-Identifier: MIT */
/* The table of routes and those of them that need no file of their own. */
#include "tests/upstream/routes.h"

#include <stdio.h>

#include "tests/upstream/demo.h"

#define JSON_DEFAULT_SIZE 1000

struct call {
    const struct routes *routes;
    const struct request *req;
    struct query *query;
    struct response *res;
    struct str rest; /* of the path, behind the route's prefix, decoded */
};

static void serve_weather(const struct call *c)
{
    struct str city = query_find(c->query, STR("city"));
    if (city.len == 0) {
        response_error(c->res, 400, "city is missing: /weather?city=Berlin");
        return;
    }
    demo_weather(c->res, city);
}

static void serve_air(const struct call *c)
{
    demo_air(c->res, c->rest);
}

static void serve_events(const struct call *c)
{
    struct str near = query_find(c->query, STR("near"));
    if (near.len == 0) {
        response_error(c->res, 400, "near is missing: /events?near=Berlin");
        return;
    }
    demo_events(c->res, near);
}

/* The option size=N pads what is here to the exact number of bytes. */
static void serve_json(const struct call *c)
{
    uint64_t size = JSON_DEFAULT_SIZE;
    (void)str_to_u64(query_find(c->query, STR("size")), &size);
    struct buf *body = &c->res->body;
    buf_literal(body, "{\"items\":[{\"id\":0,\"name\":\"item 0\",\"value\":0.5}");
    for (uint64_t id = 1; body->len + 100 < size && !buf_failed(body); id++) {
        buf_literal(body, ",{\"id\":");
        buf_append_u64(body, id);
        buf_literal(body, ",\"name\":\"item ");
        buf_append_u64(body, id);
        buf_literal(body, "\",\"value\":");
        buf_append_u64(body, id * 7 % 1000);
        buf_literal(body, ".5}");
    }
    buf_literal(body, "]}");
    response_pad(c->res, size);
}

static void append_lower(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char ch = text.ptr[i];
        buf_append_char(out, ch >= 'A' && ch <= 'Z' ? (char)(ch | 0x20) : ch);
    }
}

static void echo_headers(const struct request *req, struct response *res)
{
    buf_append_char(&res->body, '{');
    for (size_t i = 0; i < req->n_headers; i++) {
        /* A name of tchars only needs no escaping; others were never promised to work. */
        buf_append(&res->body, i > 0 ? STR(",\"") : STR("\""));
        append_lower(&res->body, req->headers[i].name);
        buf_literal(&res->body, "\":");
        response_text(res, req->headers[i].value);
    }
    buf_append_char(&res->body, '}');
}

static void echo_query(const struct query *q, struct response *res)
{
    buf_append_char(&res->body, '{');
    for (size_t i = 0; i < q->n_params; i++) {
        if (i > 0) {
            buf_append_char(&res->body, ',');
        }
        response_text(res, q->params[i].name);
        buf_append_char(&res->body, ':');
        response_text(res, q->params[i].value);
    }
    buf_append_char(&res->body, '}');
}

static void serve_echo(const struct call *c)
{
    struct buf *body = &c->res->body;
    buf_literal(body, "{\"method\":");
    response_text(c->res, c->req->method);
    buf_literal(body, ",\"path\":");
    response_text(c->res, c->req->path);
    buf_literal(body, ",\"raw_query\":");
    response_text(c->res, c->req->query);
    buf_literal(body, ",\"query\":");
    echo_query(c->query, c->res);
    buf_literal(body, ",\"headers\":");
    echo_headers(c->req, c->res);
    buf_literal(body, ",\"body\":");
    response_text(c->res, c->req->body);
    buf_append_char(body, '}');
}

static void serve_status(const struct call *c)
{
    uint64_t status;
    if (!str_to_u64(c->rest, &status) || status < 200 || status > 599) {
        response_error(c->res, 400, "expected /status/NNN with 200 to 599");
        return;
    }
    c->res->status = (int)status;
    buf_printf(&c->res->body, "{\"status\":%u}", (unsigned)status);
}

/* A query that came can stand in a head again; a text that was decoded may hold anything. */
static bool is_fit_for_head(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static void redirect_here(const struct call *c, const char *rest)
{
    c->res->status = 302;
    buf_printf(&c->res->location, "/redirect/%s%s%.*s", rest, c->req->query.len > 0 ? "?" : "",
               STR_ARG(c->req->query));
    buf_literal(&c->res->body, "{}");
}

/* /redirect/N through itself N times, then to the parameter `to` or to an answer. */
static void serve_redirect(const struct call *c)
{
    uint64_t n;
    char rest[24];
    struct str to = query_find(c->query, STR("to"));
    if (str_eq(c->rest, STR("loop"))) {
        redirect_here(c, "loop");
    } else if (!str_to_u64(c->rest, &n) || !is_fit_for_head(to)) {
        response_error(c->res, 400, "expected /redirect/N?to=URL or /redirect/loop");
    } else if (n > 0) {
        (void)snprintf(rest, sizeof(rest), "%llu", (unsigned long long)(n - 1));
        redirect_here(c, rest);
    } else {
        c->res->status = to.len > 0 ? 302 : 200;
        buf_append(&c->res->location, to);
        buf_literal(&c->res->body, "{}");
    }
}

static void serve_values(const struct call *c)
{
    values_serve(c->routes->values, c->rest, c->req, c->res);
}

static void serve_stats(const struct call *c)
{
    stats_write(c->routes->stats, c->res);
}

static void serve_stats_reset(const struct call *c)
{
    if (!str_eq(c->req->method, STR("POST"))) {
        response_error(c->res, 405, "POST");
        return;
    }
    stats_reset(c->routes->stats);
    targets_reset(c->routes->targets);
    buf_literal(&c->res->body, "{}");
}

static void serve_health(const struct call *c)
{
    buf_literal(&c->res->body, "{}");
}

/* STR() is no constant expression. */
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

/* A path that ends with '/' stands for all below it. */
static const struct route {
    struct str path;
    void (*serve)(const struct call *c);
} routes_table[] = {
    {STR_INIT("/health"), serve_health},      {STR_INIT("/json"), serve_json},
    {STR_INIT("/weather"), serve_weather},    {STR_INIT("/air/"), serve_air},
    {STR_INIT("/events"), serve_events},      {STR_INIT("/values/"), serve_values},
    {STR_INIT("/status/"), serve_status},     {STR_INIT("/echo"), serve_echo},
    {STR_INIT("/stats"), serve_stats},        {STR_INIT("/stats/reset"), serve_stats_reset},
    {STR_INIT("/redirect/"), serve_redirect},
};

static bool route_fits(const struct route *r, struct str path)
{
    bool takes_rest = r->path.ptr[r->path.len - 1] == '/';
    return takes_rest ? path.len > r->path.len && str_starts_with(path, r->path)
                      : str_eq(path, r->path);
}

void routes_serve(const struct routes *routes, const struct request *req, struct query *query,
                  struct response *res)
{
    struct call c = {.routes = routes, .req = req, .query = query, .res = res};
    for (size_t i = 0; i < sizeof(routes_table) / sizeof(routes_table[0]); i++) {
        const struct route *r = &routes_table[i];
        if (!route_fits(r, req->path)) {
            continue;
        }
        if (!query_decode_path(query, str_tail(req->path, r->path.len), &c.rest)) {
            response_error(res, 400, "broken percent-encoding in the path");
            return;
        }
        r->serve(&c);
        return;
    }
    response_error(res, 404, "no such route");
}

bool routes_is_counted(struct str path)
{
    return !str_starts_with(path, STR("/stats"));
}
