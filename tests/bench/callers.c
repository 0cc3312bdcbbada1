/* SPDX-License-Identifier: MIT */
/* bench-callers: many keep-alive connections to one HTTP endpoint in a closed loop: each sends its
 * next request when its answer is complete. One thread, one epoll loop. It is steered by lines on
 * stdin; the window of a line ends when the last of its answers is complete, so that what a server
 * and its upstreams counted meanwhile belongs to exactly these answers.
 *
 *   run MS   {"answers":N,"ms":T,"cpu_ns":C,"latency":{...}} after requests were sent for MS
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tests/bench/cli.h"
#include "tests/bench/dial.h"
#include "tests/bench/http_answer.h"
#include "tests/bench/latency.h"
#include "tests/bench/process_figures.h"

#define MAX_CONNECTIONS   10000
#define MAX_NUMBERS       100000
#define MAX_REQUEST_BYTES 65536
#define MAX_ANSWER_BYTES  (16u << 20)
#define READ_BYTES        (256u << 10)
#define EVENTS_PER_TURN   512
#define NUMBER_MARK       STR("{n}")

struct options {
    uint16_t port;
    size_t n_connections;
    size_t n_numbers;
    struct str path;
    struct str header;
    struct str body;
    struct str expected;
};

/* One caller. */
struct caller {
    int fd;
    bool is_waiting; /* for an answer */
    int64_t sent_us;
    struct buf partial; /* the beginning of an answer */
};

struct window {
    int64_t until_us; /* no request is sent from here on */
    struct latency latency;
};

static struct bench {
    struct options options;
    int epoll_fd;
    struct caller *callers;
    struct buf *requests; /* n_numbers of them, used in turn */
    size_t next_request;
    size_t n_waiting;
    struct window window;
    char scratch[READ_BYTES];
} bench;

static const char usage[] =
    "bench-callers --port N --path TEMPLATE [--body TEMPLATE] [--header 'NAME: VALUE']\n"
    "              [--connections 1] [--numbers 1] [--expect TEXT] [--pids N[,N...]]\n"
    "{n} in a template is a number from 1 to --numbers, in turn. With a body the request is a\n"
    "POST, else a GET. --expect: what every answer's body must contain.\n";

static struct options read_options(int argc, char **argv)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"path", required_argument, NULL, 'a'},
                                          {"body", required_argument, NULL, 'b'},
                                          {"header", required_argument, NULL, 'h'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"numbers", required_argument, NULL, 'n'},
                                          {"expect", required_argument, NULL, 'e'},
                                          {"pids", required_argument, NULL, 'i'},
                                          {NULL, 0, NULL, 0}};
    struct options o = {.n_connections = 1, .n_numbers = 1};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'p': o.port = (uint16_t)cli_number(optarg, UINT16_MAX); break;
        case 'a': o.path = str_of(optarg); break;
        case 'b': o.body = str_of(optarg); break;
        case 'h': o.header = str_of(optarg); break;
        case 'c': o.n_connections = cli_number(optarg, MAX_CONNECTIONS); break;
        case 'n': o.n_numbers = cli_number(optarg, MAX_NUMBERS); break;
        case 'e': o.expected = str_of(optarg); break;
        case 'i': process_figures_open(optarg); break;
        default: fail("%s", usage);
        }
    }
    if (!o.port || o.path.len == 0 || optind != argc) {
        fail("%s", usage);
    }
    return o;
}

/* --- requests --- */

static bool contains(struct str text, struct str part)
{
    return memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}

static void append_filled(struct buf *out, struct str template, size_t number)
{
    const char *mark;
    while (template.len > 0 &&
           (mark = memmem(template.ptr, template.len, NUMBER_MARK.ptr, NUMBER_MARK.len))) {
        size_t before = (size_t)(mark - template.ptr);
        buf_append(out, str_head(template, before));
        buf_append_u64(out, number);
        template = str_tail(template, before + NUMBER_MARK.len);
    }
    buf_append(out, template);
}

static void append_body(struct buf *out, struct str template, size_t number)
{
    struct buf body;
    buf_init(&body, MAX_REQUEST_BYTES);
    append_filled(&body, template, number);
    buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%.*s", body.len,
               STR_ARG(buf_str(&body)));
    buf_release(&body);
}

static void make_request(struct buf *out, const struct options *o, size_t number)
{
    buf_init(out, MAX_REQUEST_BYTES);
    buf_append(out, o->body.len > 0 ? STR("POST ") : STR("GET "));
    append_filled(out, o->path, number);
    buf_printf(out, " HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", o->port);
    if (o->header.len > 0) {
        buf_append(out, o->header);
        buf_literal(out, "\r\n");
    }
    if (o->body.len > 0) {
        append_body(out, o->body, number);
    } else {
        buf_literal(out, "\r\n");
    }
    if (buf_failed(out)) {
        fail("the request is too long");
    }
}

static void send_next(struct caller *c, int64_t now_us)
{
    struct str request = buf_str(&bench.requests[bench.next_request]);
    bench.next_request = (bench.next_request + 1) % bench.options.n_numbers;
    ssize_t n = send(c->fd, request.ptr, request.len, MSG_NOSIGNAL);
    if (n < 0) {
        fail_errno("request");
    }
    if ((size_t)n < request.len) {
        fail("a request does not fit the socket's buffer");
    }
    c->sent_us = now_us;
    c->is_waiting = true;
    bench.n_waiting++;
}

/* --- answers --- */

static void check_answer(const struct http_answer *answer)
{
    if (answer->status != 200 ||
        (bench.options.expected.len > 0 && !contains(answer->body, bench.options.expected))) {
        fail("not the answer to expect (status %d): %.*s", answer->status, STR_ARG(answer->body));
    }
}

static void answered(struct caller *c)
{
    int64_t now_us = clock_monotonic_us();
    latency_add(&bench.window.latency, (uint64_t)(now_us - c->sent_us) * 1000);
    bench.n_waiting--;
    c->is_waiting = false;
    if (now_us < bench.window.until_us) {
        send_next(c, now_us);
    }
}

/* bytes: all of what has come of the answer so far. False: there is more to come. */
static bool take_answer(struct caller *c, struct str bytes)
{
    struct http_answer answer;
    if (!http_answer_read(bytes, &answer)) {
        return false;
    }
    if (answer.size < bytes.len) {
        fail("more than one answer to one request: %.*s", STR_ARG(bytes));
    }
    check_answer(&answer);
    buf_clear(&c->partial);
    answered(c);
    return true;
}

/* An answer that comes in one piece is looked at where it was read. */
static void readable(struct caller *c)
{
    ssize_t n = recv(c->fd, bench.scratch, sizeof(bench.scratch), 0);
    if (n < 0) {
        fail_errno("answer");
    }
    if (n == 0 || !c->is_waiting) {
        fail(n == 0 ? "the server closed a connection" : "an answer that nobody asked for");
    }
    struct str piece = {bench.scratch, (size_t)n};
    if (c->partial.len == 0 && take_answer(c, piece)) {
        return;
    }
    buf_append(&c->partial, piece);
    if (buf_failed(&c->partial)) {
        fail("an answer above %u bytes", MAX_ANSWER_BYTES);
    }
    if (c->partial.len > piece.len) {
        take_answer(c, buf_str(&c->partial));
    }
}

/* --- windows --- */

static void turn(void)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n = epoll_wait(bench.epoll_fd, events, EVENTS_PER_TURN, -1);
    if (n < 0 && errno != EINTR) {
        fail_errno("epoll");
    }
    for (int i = 0; i < n; i++) {
        readable(events[i].data.ptr);
    }
}

static void run_window(int64_t ms)
{
    uint64_t cpu_before_ns = process_figures_cpu_ns();
    int64_t began_us = clock_monotonic_us();
    bench.window.until_us = began_us + ms * 1000;
    latency_clear(&bench.window.latency);
    for (size_t i = 0; i < bench.options.n_connections; i++) {
        send_next(&bench.callers[i], clock_monotonic_us());
    }
    while (bench.n_waiting > 0) {
        turn();
    }
    int64_t took_us = clock_monotonic_us() - began_us;
    uint64_t cpu_ns = process_figures_cpu_ns() - cpu_before_ns;
    printf("{\"answers\":%" PRIu64 ",\"ms\":%.3f,\"cpu_ns\":%" PRIu64 ",\"latency\":",
           bench.window.latency.n, (double)took_us / 1000, cpu_ns);
    latency_print(&bench.window.latency);
    printf("}\n");
}

static void *allocate(size_t n, size_t bytes)
{
    void *memory = calloc(n, bytes);
    if (!memory) {
        fail("no memory");
    }
    return memory;
}

static void bench_open(void)
{
    const struct options *o = &bench.options;
    bench.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bench.callers = allocate(o->n_connections, sizeof(*bench.callers));
    bench.requests = allocate(o->n_numbers, sizeof(*bench.requests));
    for (size_t i = 0; i < o->n_numbers; i++) {
        make_request(&bench.requests[i], o, i + 1);
    }
    for (size_t i = 0; i < o->n_connections; i++) {
        struct caller *c = &bench.callers[i];
        buf_init(&c->partial, MAX_ANSWER_BYTES);
        c->fd = dial(o->port);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(bench.epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) {
            fail_errno("epoll");
        }
    }
}

static void bench_close(void)
{
    for (size_t i = 0; i < bench.options.n_connections; i++) {
        close(bench.callers[i].fd);
        buf_release(&bench.callers[i].partial);
    }
    for (size_t i = 0; i < bench.options.n_numbers; i++) {
        buf_release(&bench.requests[i]);
    }
    free(bench.callers);
    free(bench.requests);
    close(bench.epoll_fd);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench.options = read_options(argc, argv);
    bench_open();
    char line[64];
    while (fgets(line, sizeof(line), stdin)) {
        struct str text = str_of(line);
        uint64_t ms;
        text = str_head(text, text.len - (text.len > 0 && line[text.len - 1] == '\n'));
        if (!str_starts_with(text, STR("run ")) || !str_to_u64(str_tail(text, 4), &ms) ||
            ms > 3600000) {
            fail("%.*s: expected run MS", STR_ARG(text));
        }
        run_window((int64_t)ms);
    }
    bench_close();
    return 0;
}
