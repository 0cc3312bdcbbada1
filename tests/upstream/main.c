/* SPDX-License-Identifier: MIT */
/* belfry-upstream: the HTTP server that tests, demo and benchmarks fetch from. This file has its
 * options, its signals and its start and end. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "tests/upstream/server.h"

#define DEFAULT_PORT 9101
#define MAX_PORTS    64

struct options {
    const char *address;
    int ports[MAX_PORTS];
    size_t n_ports;
    bool quiet;
};

static const char usage[] =
    "Usage: belfry-upstream [options]\n"
    "An HTTP server that answers as its requests ask it to; see tests/upstream/README.md.\n"
    "\n"
    "  --address ADDRESS  numeric address to listen on (default 127.0.0.1)\n"
    "  --port PORT        port to listen on, 0 for a free one (default 9101);\n"
    "                     may come up to 64 times\n"
    "  --quiet            do not print the addresses\n"
    "  --help             print this and end\n";

static bool fail(const char *problem, const char *value)
{
    (void)fprintf(stderr, "belfry-upstream: %s%s\nTry --help.\n", problem, value);
    return false;
}

static bool add_port(struct options *o, const char *text)
{
    uint64_t port;
    if (!str_to_u64(str_of(text), &port) || port > 65535) {
        return fail("--port: expected 0 to 65535, not ", text);
    }
    if (o->n_ports == MAX_PORTS) {
        return fail("--port: more than 64 times", "");
    }
    o->ports[o->n_ports++] = (int)port;
    return true;
}

static bool set_address(struct options *o, const char *text)
{
    struct in6_addr unused; /* large enough for both families */
    if (uv_inet_pton(AF_INET, text, &unused) && uv_inet_pton(AF_INET6, text, &unused)) {
        return fail("--address: expected a numeric address such as 127.0.0.1, not ", text);
    }
    o->address = text;
    return true;
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"address", required_argument, NULL, 'a'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"quiet", no_argument, NULL, 'q'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){.address = "127.0.0.1"};
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'a':
            if (!set_address(o, optarg)) {
                return false;
            }
            break;
        case 'p':
            if (!add_port(o, optarg)) {
                return false;
            }
            break;
        case 'q': o->quiet = true; break;
        case 'h': (void)fputs(usage, stdout); exit(EXIT_SUCCESS);
        default: return fail("bad option", ""); /* getopt has said which */
        }
    }
    if (optind < argc) {
        return fail("unexpected argument ", argv[optind]);
    }
    if (o->n_ports == 0) {
        o->ports[o->n_ports++] = DEFAULT_PORT;
    }
    return true;
}

static bool listen_on_all(struct server *s, const struct options *o)
{
    bool is_ip6 = strchr(o->address, ':') != NULL;
    for (size_t i = 0; i < o->n_ports; i++) {
        int port;
        int rc = server_listen(s, o->address, o->ports[i], &port);
        if (rc) {
            (void)fprintf(stderr, "belfry-upstream: cannot listen on %s port %d: %s\n", o->address,
                          o->ports[i], uv_strerror(rc));
            return false;
        }
        if (!o->quiet) {
            printf("listening http://%s%s%s:%d\n", is_ip6 ? "[" : "", o->address, is_ip6 ? "]" : "",
                   port);
        }
    }
    return fflush(stdout) == 0;
}

struct end {
    uv_signal_t signals[2];
    struct server *server;
};

static void end_now(struct end *end)
{
    server_stop(end->server);
    for (size_t i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&end->signals[i], NULL);
    }
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    end_now(signal->data);
}

static void watch_signals(struct end *end, uv_loop_t *loop)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        (void)uv_signal_init(loop, &end->signals[i]);
        end->signals[i].data = end;
        (void)uv_signal_start_oneshot(&end->signals[i], on_signal, numbers[i]);
    }
}

/* As many connections as the system allows. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int serve(const struct options *o, struct server *s, uv_loop_t *loop)
{
    struct end end = {.server = s};
    int rc = server_open(s, loop);
    if (rc) {
        (void)fprintf(stderr, "belfry-upstream: %s\n", uv_strerror(rc));
        server_release(s);
        return EXIT_FAILURE;
    }
    watch_signals(&end, loop);
    bool listening = listen_on_all(s, o);
    if (!listening) {
        end_now(&end);
    }
    (void)uv_run(loop, UV_RUN_DEFAULT);
    server_release(s);
    return listening ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static struct server server;
    struct options options;
    if (!parse_options(argc, argv, &options)) {
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    raise_file_limit();

    uv_loop_t loop;
    if (uv_loop_init(&loop)) {
        (void)fputs("belfry-upstream: no event loop\n", stderr);
        return EXIT_FAILURE;
    }
    int rc = serve(&options, &server, &loop);
    (void)uv_loop_close(&loop);
    return rc;
}
