/* SPDX-License-Identifier: MIT */
/* The query's options, the route, and what depends on the requests before: failing a number of
 * times, and the second of the last change. */
#include "tests/upstream/answer.h"

static void refuse(struct response *res, struct behaviour *b)
{
    behaviour_init(b);
    response_error(res, 507,
                   "no room for more than %d targets with fail= or last_modified=", TARGETS_MAX);
}

/* The answer fails as late as it was to come, and with its headers; all else of it is a good
 * answer's. */
static void make_failure(struct response *res, struct behaviour *b)
{
    struct behaviour asked = *b;
    behaviour_init(b);
    b->latency_ms = asked.latency_ms;
    b->jitter_ms = asked.jitter_ms;
    b->retry_after_s = asked.retry_after_s;
    memcpy(b->headers, asked.headers, sizeof(b->headers));
    b->n_headers = asked.n_headers;
    b->reset = asked.fail_with == FAIL_WITH_RESET;
    b->hang = asked.fail_with == FAIL_WITH_HANG;
    response_error(res, (int)asked.fail_status, "failing at first, as asked to");
}

static void make_good(struct server *s, struct behaviour *b)
{
    routes_serve(&s->routes, &s->request, &s->query, &s->response);
    response_apply(&s->response, b);
    if (b->last_modified &&
        !targets_modified(s->routes.targets, s->request.target, response_hash(&s->response),
                          &s->response.modified_s)) {
        refuse(&s->response, b);
    }
}

static void make_asked(struct server *s, struct behaviour *b)
{
    bool fails = false;
    if (b->fail > 0 && !targets_count(s->routes.targets, s->request.target, b->fail, &fails)) {
        refuse(&s->response, b);
    } else if (fails) {
        make_failure(&s->response, b);
    } else {
        make_good(s, b);
    }
}

void answer_make(struct server *s, struct behaviour *b)
{
    struct str name;
    const char *expected;
    response_clear(&s->response);
    if (!query_parse(s->request.query, &s->query)) {
        behaviour_init(b);
        response_error(&s->response, 400, "broken percent-encoding or more than %d parameters",
                       QUERY_MAX_PARAMS);
    } else if (!behaviour_parse(&s->query, b, &name, &expected)) {
        response_error(&s->response, 400, "%.*s: expected %s", STR_ARG(name), expected);
        behaviour_init(b);
    } else {
        make_asked(s, b);
    }
}
