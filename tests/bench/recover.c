/* SPDX-License-Identifier: MIT */
/* bench-recover: clients that lose their connections and come back all at once, each with the same
 * position, from which it must be given every publication that it asked for, once and in order. The
 * harness steers by lines on stdin, each of which is answered by one JSON line when it is done:
 *   subscribe   {"subscribed":N,"offset":...}  all connect and subscribe, at the same position
 *   leave       {"left":N}                     from here on they do not look at their connections
 *   recover     {"live":N,"ms":...,"client":{...}}  they close them, connect, and recover the last
 *               --publications; ms: from the first connect until all are live; client: of each one
 *   await O     {"reached":N,"ms":...}         each was pushed the publications up to offset O
 * The end of stdin ends it. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_span.h"
#include "tests/bench/cli.h"
#include "tests/bench/crowd.h"
#include "tests/bench/samples.h"
#include "tests/bench/wire.h"

#define CLIENTS_MAX      100000
#define PUBLICATIONS_MAX 10000
#define N_COMMANDS       2

/* Connections whose handshake is not done: the kernel keeps 4,096 that wait to be accepted, and
 * makes others try again after a second. */
#define WINDOW 4000

enum task { TASK_NONE, TASK_SUBSCRIBE, TASK_RECOVER, TASK_AWAIT };

struct client {
    struct websocket ws; /* first: a websocket of ours is a client */
    unsigned n_replies;
    uint64_t offset; /* of the last publication that it knows */
    int64_t since_us;
};

struct bench {
    const char *channel;
    struct client *clients;
    size_t n_clients;
    size_t n_publications; /* to be recovered by each */
    struct buf hello;      /* connect and subscribe, in one frame */
    struct buf pong;
    struct samples samples;

    enum task task;
    int64_t since_us;
    size_t n_started;
    size_t n_open;
    size_t n_done;
    bool has_connections;

    bool has_position; /* that all clients were given */
    struct buf epoch;
    uint64_t top;
    uint64_t awaited;
};

/* The callbacks of a websocket have no argument for it, and there is one per program. */
static struct bench bench;

static const char usage[] =
    "bench-recover --port N [--path /connection/websocket] [--channel bench:1] [--clients 10000] "
    "[--publications 20]\n";

/* --- what clients are told --- */

static uint64_t offset_of(struct str object)
{
    struct str text;
    uint64_t offset = 0; /* it is left out where it is 0 */
    if (json_member(object, STR("offset"), &text) && !json_to_u64(text, &offset)) {
        fail("not an offset: %.*s", STR_ARG(text));
    }
    return offset;
}

static void expect_true(struct str object, struct str name)
{
    struct str text;
    bool truth;
    if (!json_member(object, name, &text) || !json_to_bool(text, &truth) || !truth) {
        fail("without \"%.*s\": true: %.*s", STR_ARG(name), STR_ARG(object));
    }
}

/* The first client's is everybody's. */
static void take_position(struct str result)
{
    struct str epoch;
    uint64_t top = offset_of(result);
    if (!json_member(result, STR("epoch"), &epoch)) {
        fail("subscribed without a position: %.*s", STR_ARG(result));
    }
    if (!bench.has_position) {
        bench.has_position = true;
        bench.top = top;
        buf_append(&bench.epoch, epoch);
    }
    if (top != bench.top || !str_eq(epoch, buf_str(&bench.epoch))) {
        fail("not the position of the others: %.*s", STR_ARG(result));
    }
}

static uint64_t first_wanted(void)
{
    return bench.top - bench.n_publications + 1;
}

static void take_recovered(struct client *client, struct str result)
{
    struct str epoch, publications, publication;
    expect_true(result, STR("recovered"));
    expect_true(result, STR("was_recovering"));
    if (!json_member(result, STR("epoch"), &epoch) || !str_eq(epoch, buf_str(&bench.epoch)) ||
        !json_member(result, STR("publications"), &publications)) {
        fail("not recovered: %.*s", STR_ARG(result));
    }
    uint64_t next = first_wanted();
    struct json_walk walk = json_walk(publications);
    while (json_next_element(&walk, &publication)) {
        if (offset_of(publication) != next++) {
            fail("not the publication %" PRIu64 ": %.*s", next - 1, STR_ARG(publication));
        }
    }
    if (next != bench.top + 1) {
        fail("recovered up to %" PRIu64 ", not %" PRIu64, next - 1, bench.top);
    }
    client->offset = bench.top;
    samples_add(&bench.samples, clock_monotonic_us() - client->since_us);
}

static void client_subscribed(struct client *client, struct str reply)
{
    struct str result;
    if (!json_member(reply, STR("subscribe"), &result)) {
        fail("not the reply to subscribe: %.*s", STR_ARG(reply));
    }
    if (bench.task == TASK_SUBSCRIBE) {
        take_position(result);
    } else {
        take_recovered(client, result);
    }
    bench.n_done++;
}

/* Replies come in the order of the commands. */
static void client_replied(struct client *client, struct str reply)
{
    struct str id, error;
    uint64_t number;
    if (json_member(reply, STR("error"), &error) || !json_member(reply, STR("id"), &id) ||
        !json_to_u64(id, &number) || number != ++client->n_replies) {
        fail("not the reply to expect: %.*s", STR_ARG(reply));
    }
    if (client->n_replies == N_COMMANDS) {
        client_subscribed(client, reply);
    }
}

static void client_pushed(struct client *client, struct str push)
{
    struct str publication;
    if (client->n_replies < N_COMMANDS || !json_member(push, STR("pub"), &publication) ||
        offset_of(publication) != client->offset + 1) {
        fail("not the publication behind %" PRIu64 ": %.*s", client->offset, STR_ARG(push));
    }
    client->offset++;
    if (bench.task == TASK_AWAIT && client->offset == bench.awaited) {
        bench.n_done++;
    }
}

static void client_told(struct client *client, struct str line)
{
    struct str push;
    if (json_check(line, NULL) != STATUS_OK) {
        fail("not JSON: %.*s", STR_ARG(line));
    }
    if (str_eq(line, STR("{}"))) {
        websocket_send(&client->ws, buf_str(&bench.pong));
    } else if (json_member(line, STR("push"), &push)) {
        client_pushed(client, push);
    } else {
        client_replied(client, line);
    }
}

static void on_open(struct websocket *ws)
{
    bench.n_open++;
    websocket_send(ws, buf_str(&bench.hello));
}

static void on_message(struct websocket *ws, struct str message)
{
    while (message.len > 0) {
        ptrdiff_t end = str_find(message, '\n');
        struct str line = end < 0 ? message : str_head(message, (size_t)end);
        message = str_tail(message, line.len + 1);
        client_told((struct client *)ws, line);
    }
}

/* --- what the harness asks for --- */

static void close_connections(void)
{
    for (size_t i = 0; bench.has_connections && i < bench.n_clients; i++) {
        websocket_close(&bench.clients[i].ws);
    }
    bench.has_connections = false;
}

/* recovered: empty, or the members that ask for it. */
static void write_hello(const char *recovered)
{
    struct buf commands;
    buf_init(&commands, 4096);
    buf_literal(&commands, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":");
    json_append_string(&commands, str_of(bench.channel));
    buf_printf(&commands, "%s}}", recovered);
    buf_clear(&bench.hello);
    wire_append_frame(&bench.hello, WIRE_TEXT, buf_str(&commands));
    if (buf_failed(&commands)) {
        fail("the channel's name is too long");
    }
    buf_release(&commands);
}

static void begin_connecting(enum task task)
{
    close_connections();
    bench.task = task;
    bench.n_started = bench.n_open = 0;
    bench.has_connections = true;
    bench.since_us = clock_monotonic_us();
}

static void subscribe(void)
{
    write_hello("");
    bench.has_position = false;
    buf_clear(&bench.epoch);
    begin_connecting(TASK_SUBSCRIBE);
}

static void leave(void)
{
    for (size_t i = 0; i < bench.n_clients; i++) {
        crowd_ignore(&bench.clients[i].ws);
    }
    printf("{\"left\":%zu}\n", bench.n_clients);
}

static void recover(void)
{
    char position[128];
    if (!bench.has_position || bench.top < bench.n_publications) {
        fail("there is nothing to recover");
    }
    snprintf(position, sizeof(position), ",\"recover\":true,\"epoch\":%.*s,\"offset\":%" PRIu64,
             STR_ARG(buf_str(&bench.epoch)), first_wanted() - 1);
    write_hello(position);
    samples_release(&bench.samples);
    samples_init(&bench.samples, bench.n_clients);
    begin_connecting(TASK_RECOVER);
}

static void await(uint64_t offset)
{
    bench.task = TASK_AWAIT;
    bench.awaited = offset;
    bench.since_us = clock_monotonic_us();
    for (size_t i = 0; i < bench.n_clients; i++) {
        bench.n_done += bench.clients[i].offset >= offset;
    }
}

static void on_line(struct str line)
{
    struct str until = STR("await ");
    uint64_t offset;
    if (bench.task != TASK_NONE) {
        fail("a command while another is under way: %.*s", STR_ARG(line));
    }
    bench.n_done = 0;
    if (str_eq(line, STR("subscribe"))) {
        subscribe();
    } else if (str_eq(line, STR("leave")) && bench.has_connections) {
        leave();
    } else if (str_eq(line, STR("recover"))) {
        recover();
    } else if (str_starts_with(line, until) && str_to_u64(str_tail(line, until.len), &offset)) {
        await(offset);
    } else {
        fail("not a command: %.*s", STR_ARG(line));
    }
}

static void start_clients(void)
{
    while (bench.n_started < bench.n_clients && bench.n_started - bench.n_open < WINDOW) {
        struct client *client = &bench.clients[bench.n_started];
        *client = (struct client){.since_us = clock_monotonic_us()};
        crowd_connect(&client->ws, bench.n_started++);
    }
}

/* Answers the harness when all clients have done what it asked for. */
static void tell(void)
{
    double ms = (double)(clock_monotonic_us() - bench.since_us) / 1000;
    if (bench.task == TASK_NONE || bench.n_done < bench.n_clients) {
        return;
    }
    switch (bench.task) {
    case TASK_SUBSCRIBE:
        printf("{\"subscribed\":%zu,\"offset\":%" PRIu64 "}\n", bench.n_done, bench.top);
        break;
    case TASK_RECOVER:
        printf("{\"live\":%zu,\"ms\":%.3f,\"client\":", bench.n_done, ms);
        samples_print(&bench.samples);
        puts("}");
        break;
    case TASK_AWAIT: printf("{\"reached\":%zu,\"ms\":%.3f}\n", bench.n_done, ms); break;
    case TASK_NONE: break;
    }
    bench.task = TASK_NONE;
}

static void on_turn(void)
{
    if (bench.task == TASK_SUBSCRIBE || bench.task == TASK_RECOVER) {
        start_clients();
    }
    tell();
}

/* --- the program --- */

static void set_up(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'},         {"path", required_argument, NULL, 'a'},
        {"channel", required_argument, NULL, 'c'},      {"clients", required_argument, NULL, 'n'},
        {"publications", required_argument, NULL, 'u'}, {NULL, 0, NULL, 0}};
    static const struct crowd_handler handler = {{on_open, on_message}, {on_line, on_turn}};
    const char *path = "/connection/websocket";
    uint16_t port = 0;
    bench = (struct bench){.channel = "bench:1", .n_clients = 10000, .n_publications = 20};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'p': port = (uint16_t)cli_number(optarg, UINT16_MAX); break;
        case 'a': path = optarg; break;
        case 'c': bench.channel = optarg; break;
        case 'n': bench.n_clients = cli_number(optarg, CLIENTS_MAX); break;
        case 'u': bench.n_publications = cli_number(optarg, PUBLICATIONS_MAX); break;
        default: fail("%s", usage);
        }
    }
    if (!port || optind != argc) {
        fail("%s", usage);
    }
    crowd_open(&handler, path, port);
    buf_init(&bench.hello, 8192);
    buf_init(&bench.epoch, 64);
    buf_init(&bench.pong, 16);
    wire_append_frame(&bench.pong, WIRE_TEXT, STR("{}"));
}

int main(int argc, char **argv)
{
    set_up(argc, argv);
    bench.clients = calloc(bench.n_clients, sizeof(*bench.clients));
    if (!bench.clients) {
        fail_errno("clients");
    }
    crowd_run();
    close_connections();
    free(bench.clients);
    samples_release(&bench.samples);
    buf_release(&bench.hello);
    buf_release(&bench.epoch);
    buf_release(&bench.pong);
    crowd_close();
    return 0;
}
