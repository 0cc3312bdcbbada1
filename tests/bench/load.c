/* SPDX-License-Identifier: MIT */
/* bench-load: tens of thousands of subscribed clients and those who publish to them, on one epoll
 * loop, against any server that speaks one of its protocols. The harness steers by lines on stdin,
 * each of which is answered by one JSON line on stdout when it is done (durations in ms; H is a
 * distribution of them; cpu_ns is the CPU time of --pids meanwhile):
 *   clients N             {"clients","ms","cpu_ns","client":H}  N are subscribed; H: each one's way
 *   rush N                the same, all at once
 *   pings                 {"pinged","ms"}  each was pinged since
 *   idle SECONDS          {"cpu_ns","ms","pings","bytes"}  nothing is sent but answers to pings
 *   broadcast R SIZE      {"messages","cpu_ns","ms","last":H,"each":H}  R publications, one by one
 *   burst R SIZE CONNS    {"messages","cpu_ns","ms"}  R publications over CONNS connections
 *   scatter R SIZE CONNS  {"publications","cpu_ns","ms","each":H}  the same, to own channels
 *   probe R SIZE          {"cpu_ns","ms","receipt":H,"answer":H}  to one client of another channel
 *   stall K               {"stalled"}  the first K clients stop reading
 *   giant MS SIZE SMALL   {"giants","small":H,"last":H}  broadcasts with probes beside them
 *   memory                {"resident","anonymous"}  bytes of --pids
 * The end of stdin ends it. */
#include <stdio.h>
#include <sys/resource.h>

#include "tests/bench/cli.h"
#include "tests/bench/command.h"
#include "tests/bench/options.h"
#include "tests/bench/poller.h"
#include "tests/bench/process_figures.h"
#include "tests/bench/publisher.h"
#include "tests/bench/subscribers.h"

/* Of bulk commands: a fast server sends some tens of messages meanwhile. */
#define NAP_NS 50000

static const struct command *const commands[] = {
    &command_clients,   &command_rush,  &command_pings, &command_idle,
    &command_stall,     &command_giant, &command_burst, &command_scatter,
    &command_broadcast, &command_probe, &command_memory};

static struct {
    const struct command *command; /* NULL: none is under way */
    bool is_started;
    uint64_t since_ns;
    uint64_t cpu_before_ns;
} load;

size_t command_size(uint64_t bytes)
{
    if (bytes < STAMP_MIN_BYTES || bytes > STAMP_MAX_BYTES) {
        fail("a payload has %d to %u bytes", STAMP_MIN_BYTES, STAMP_MAX_BYTES);
    }
    return bytes;
}

static struct str take_word(struct str *rest)
{
    ptrdiff_t end = str_find(*rest, ' ');
    struct str word = end < 0 ? *rest : str_head(*rest, (size_t)end);
    *rest = str_tail(*rest, word.len + 1);
    return word;
}

static const struct command *command_named(struct str name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (str_eq(str_of(commands[i]->name), name)) {
            return commands[i];
        }
    }
    fail("not a command: %.*s", STR_ARG(name));
}

static void on_line(struct str line)
{
    uint64_t args[COMMAND_ARGS_MAX] = {0};
    struct str rest = line;
    const struct command *command = command_named(take_word(&rest));
    if (load.command) {
        fail("a command while another is under way: %.*s", STR_ARG(line));
    }
    for (size_t i = 0; i < command->n_args; i++) {
        if (!str_to_u64(take_word(&rest), &args[i])) {
            fail("%s: expected %zu number(s) behind it: %.*s", command->name, command->n_args,
                 STR_ARG(line));
        }
    }
    if (rest.len > 0) {
        fail("%s: expected %zu number(s) behind it: %.*s", command->name, command->n_args,
             STR_ARG(line));
    }
    load.command = command;
    load.is_started = false;
    command->prepare(args);
}

static void start(void)
{
    load.is_started = true;
    poller_set_nap_ns(load.command->is_bulk ? NAP_NS : 0);
    load.cpu_before_ns = process_figures_cpu_ns();
    load.since_ns = stamp_now_ns();
    if (load.command->start) {
        load.command->start();
    }
}

static void finish(void)
{
    const struct command *command = load.command;
    struct spent spent = {.ms = (double)(stamp_now_ns() - load.since_ns) / 1e6};
    spent.cpu_ns = process_figures_cpu_ns() - load.cpu_before_ns;
    load.command = NULL;
    poller_set_nap_ns(0);
    command->tell(&spent);
}

static void on_turn(void)
{
    subscribers_turn();
    if (!load.command) {
        return;
    }
    if (!load.is_started && (!load.command->is_prepared || load.command->is_prepared())) {
        start();
    }
    if (load.is_started && load.command->is_done()) {
        finish();
    }
}

/* Each client is a file. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        fail_errno("limit of open files");
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        fail_errno("limit of open files");
    }
}

int main(int argc, char **argv)
{
    static const struct poller_handler handler = {on_line, on_turn};
    setvbuf(stdout, NULL, _IOLBF, 0);
    options_read(argc, argv);
    raise_file_limit();
    process_figures_open(options()->pids);
    poller_open(&handler);
    link_set_up(&options()->link);
    subscribers_open();
    publishers_open();
    poller_run();
    publishers_close();
    subscribers_close();
    link_tear_down();
    poller_close();
    return 0;
}
