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

struct port {
    enum listen_kind kind;
    int number;
};

struct options {
    const char *address;
    struct port ports[MAX_PORTS];
    size_t n_ports;
    struct tls_files tls;
    bool quiet;
};

static const char *const schemes[N_LISTEN_KINDS] = {
    [LISTEN_PLAIN] = "http",
    [LISTEN_TLS] = "https",
    [LISTEN_BLACK_HOLE] = "black-hole",
};

static const char usage[] =
    "Usage: belfry-upstream [options]\n"
    "An HTTP server that answers as its requests ask it to; see tests/upstream/README.md.\n"
    "\n"
    "  --address ADDRESS  numeric address to listen on (default 127.0.0.1)\n"
    "  --port PORT        port to listen on, 0 for a free one (default 9101);\n"
    "                     may come again, up to 64 ports of all kinds\n"
    "  --tls-port PORT    the same, with TLS; needs a certificate\n"
    "  --tls-cert FILE    the certificate with its chain, PEM\n"
    "  --tls-key FILE     its key, PEM\n"
    "  --tls-client-ca FILE\n"
    "                     clients need a certificate that one of these (PEM) has signed\n"
    "  --black-hole-port PORT\n"
    "                     a port to which no connection comes about, nor fails\n"
    "  --quiet            do not print the addresses\n"
    "  --help             print this and end\n";

static bool fail(const char *problem, const char *value)
{
    (void)fprintf(stderr, "belfry-upstream: %s%s\nTry --help.\n", problem, value);
    return false;
}

static bool add_port(struct options *o, enum listen_kind kind, const char *text)
{
    uint64_t port;
    if (!str_to_u64(str_of(text), &port) || port > 65535) {
        return fail("a port: expected 0 to 65535, not ", text);
    }
    if (o->n_ports == MAX_PORTS) {
        return fail("more than 64 ports", "");
    }
    o->ports[o->n_ports++] = (struct port){kind, (int)port};
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

static bool has_kind(const struct options *o, enum listen_kind kind)
{
    for (size_t i = 0; i < o->n_ports; i++) {
        if (o->ports[i].kind == kind) {
            return true;
        }
    }
    return false;
}

static bool check_options(struct options *o)
{
    if (o->n_ports == 0) {
        o->ports[o->n_ports++] = (struct port){LISTEN_PLAIN, DEFAULT_PORT};
    }
    bool has_files = o->tls.cert && o->tls.key;
    bool has_some_file = o->tls.cert || o->tls.key || o->tls.client_ca;
    if (has_kind(o, LISTEN_TLS) ? !has_files : has_some_file) {
        return fail("--tls-port, --tls-cert and --tls-key go together", "");
    }
    return true;
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"address", required_argument, NULL, 'a'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"tls-port", required_argument, NULL, 't'},
                                          {"tls-cert", required_argument, NULL, 'c'},
                                          {"tls-key", required_argument, NULL, 'k'},
                                          {"tls-client-ca", required_argument, NULL, 'r'},
                                          {"black-hole-port", required_argument, NULL, 'b'},
                                          {"quiet", no_argument, NULL, 'q'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){.address = "127.0.0.1"};
    bool is_good = true;
    int c;
    while (is_good && (c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'a': is_good = set_address(o, optarg); break;
        case 'p': is_good = add_port(o, LISTEN_PLAIN, optarg); break;
        case 't': is_good = add_port(o, LISTEN_TLS, optarg); break;
        case 'b': is_good = add_port(o, LISTEN_BLACK_HOLE, optarg); break;
        case 'c': o->tls.cert = optarg; break;
        case 'k': o->tls.key = optarg; break;
        case 'r': o->tls.client_ca = optarg; break;
        case 'q': o->quiet = true; break;
        case 'h': (void)fputs(usage, stdout); exit(EXIT_SUCCESS);
        default: return fail("bad option", ""); /* getopt has said which */
        }
    }
    if (is_good && optind < argc) {
        return fail("unexpected argument ", argv[optind]);
    }
    return is_good && check_options(o);
}

static bool listen_on_all(struct server *s, const struct options *o)
{
    bool is_ip6 = strchr(o->address, ':') != NULL;
    for (const struct port *p = o->ports; p < o->ports + o->n_ports; p++) {
        int port;
        int rc = server_listen(s, p->kind, o->address, p->number, &port);
        if (rc) {
            (void)fprintf(stderr, "belfry-upstream: cannot listen on %s port %d: %s\n", o->address,
                          p->number, uv_strerror(rc));
            return false;
        }
        if (!o->quiet) {
            printf("listening %s://%s%s%s:%d\n", schemes[p->kind], is_ip6 ? "[" : "", o->address,
                   is_ip6 ? "]" : "", port);
        }
    }
    return fflush(stdout) == 0;
}

static bool prepare_tls(struct server *s, const struct options *o)
{
    const char *problem;
    if (o->tls.cert && !server_use_tls(s, &o->tls, &problem)) {
        (void)fprintf(stderr, "belfry-upstream: cannot use %s\n", problem);
        return false;
    }
    return true;
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
    bool listening = prepare_tls(s, o) && listen_on_all(s, o);
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
