/* SPDX-License-Identifier: MIT */
/* bench-refresh: how long a caller waits for POST /api/feed_refresh, one refresh after the other
 * over one connection, each of which fetches. As a control, every refresh is preceded by a plain
 * GET of the feed's upstream, so that both are measured at the same time on the same machine and
 * their difference is the hub's own share. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_span.h"
#include "tests/bench/cli.h"
#include "tests/bench/http_call.h"
#include "tests/bench/samples.h"

struct options {
    uint16_t port;
    uint16_t control_port;
    const char *control_path;
    const char *key;
    const char *body;
    size_t n_runs;
    size_t n_warm_up;
};

struct bench {
    struct http_call hub;
    struct http_call upstream;
    struct buf refresh_request;
    struct buf control_request;
    struct samples refresh;
    struct samples control;
    size_t n_changed;
};

static const char usage[] =
    "bench-refresh --port N --key API_KEY --body JSON --control-port N --control-path PATH\n"
    "              [--runs 300] [--warm-up 20]\n";

static struct options read_options(int argc, char **argv)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"key", required_argument, NULL, 'k'},
                                          {"body", required_argument, NULL, 'b'},
                                          {"control-port", required_argument, NULL, 'c'},
                                          {"control-path", required_argument, NULL, 'a'},
                                          {"runs", required_argument, NULL, 'n'},
                                          {"warm-up", required_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    struct options o = {.n_runs = 300, .n_warm_up = 20};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'p': o.port = (uint16_t)cli_number(optarg, UINT16_MAX); break;
        case 'k': o.key = optarg; break;
        case 'b': o.body = optarg; break;
        case 'c': o.control_port = (uint16_t)cli_number(optarg, UINT16_MAX); break;
        case 'a': o.control_path = optarg; break;
        case 'n': o.n_runs = cli_number(optarg, 1000000); break;
        case 'w': o.n_warm_up = cli_number(optarg, 1000000); break;
        default: fail("%s", usage);
        }
    }
    if (!o.port || !o.control_port || !o.control_path || !o.key || !o.body || optind != argc) {
        fail("%s", usage);
    }
    return o;
}

static void bench_open(struct bench *b, const struct options *o)
{
    *b = (struct bench){0};
    http_call_open(&b->hub, o->port);
    http_call_open(&b->upstream, o->control_port);
    samples_init(&b->refresh, o->n_runs);
    samples_init(&b->control, o->n_runs);
    buf_init(&b->refresh_request, 65536);
    buf_printf(&b->refresh_request,
               "POST /api/feed_refresh HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-API-Key: %s\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
               o->port, o->key, strlen(o->body), o->body);
    buf_init(&b->control_request, 65536);
    buf_printf(&b->control_request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
               o->control_path, o->control_port);
    if (buf_failed(&b->refresh_request) || buf_failed(&b->control_request)) {
        fail("the request is too long");
    }
}

static void bench_close(struct bench *b)
{
    http_call_close(&b->hub);
    http_call_close(&b->upstream);
    samples_release(&b->refresh);
    samples_release(&b->control);
    buf_release(&b->refresh_request);
    buf_release(&b->control_request);
}

static int64_t timed_call(struct http_call *c, const struct buf *request, struct str *ret_body)
{
    int64_t start_us = clock_monotonic_us();
    *ret_body = http_call(c, buf_str(request));
    return clock_monotonic_us() - start_us;
}

/* Did the snapshot change? A refresh that did not bring all upstreams measures something else. */
static bool read_answer(struct str body)
{
    struct str result, completed, changed;
    bool is_complete, is_changed;
    if (json_check(body, NULL) != STATUS_OK || !json_member(body, STR("result"), &result) ||
        !json_member(result, STR("completed"), &completed) ||
        !json_member(result, STR("changed"), &changed) || !json_to_bool(completed, &is_complete) ||
        !json_to_bool(changed, &is_changed) || !is_complete) {
        fail("not a complete refresh: %.*s", STR_ARG(body));
    }
    return is_changed;
}

static void bench_run(struct bench *b, const struct options *o)
{
    for (size_t i = 0; i < o->n_warm_up + o->n_runs; i++) {
        struct str body;
        int64_t control_us = timed_call(&b->upstream, &b->control_request, &body);
        int64_t refresh_us = timed_call(&b->hub, &b->refresh_request, &body);
        bool changed = read_answer(body);
        if (i >= o->n_warm_up) {
            samples_add(&b->control, control_us);
            samples_add(&b->refresh, refresh_us);
            b->n_changed += changed;
        }
    }
}

int main(int argc, char **argv)
{
    struct options options = read_options(argc, argv);
    struct bench bench;
    bench_open(&bench, &options);
    bench_run(&bench, &options);
    printf("{\"refresh\":");
    samples_print(&bench.refresh);
    printf(",\"control\":");
    samples_print(&bench.control);
    printf(",\"n_changed\":%zu}\n", bench.n_changed);
    bench_close(&bench);
    return 0;
}
