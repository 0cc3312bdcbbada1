/* SPDX-License-Identifier: MIT */
/* bench-clients: thousands of subscribed clients on one epoll loop. Each connects and subscribes in
 * one frame of the Centrifugo JSON protocol, answers pings, and else is idle. The harness steers by
 * lines on stdin, each of which is answered by one JSON line on stdout when it is done:
 *   clients N   go up to N clients      {"subscribed":N,"ms":...}   all of them are subscribed
 *   pings       await a round of pings  {"pinged":N,"ms":...}       each was pinged since
 * The end of stdin ends it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_span.h"
#include "tests/bench/cli.h"
#include "tests/bench/crowd.h"

#define CLIENTS_MAX 100000
#define N_COMMANDS  2

enum waiting { WAITING_FOR_NOTHING, WAITING_FOR_SUBSCRIBED, WAITING_FOR_PINGED };

struct client {
    struct websocket ws; /* first: a websocket of ours is a client */
    unsigned n_replies;
    unsigned ping_round; /* in which it was last pinged */
};

struct generator {
    size_t window; /* most connections that are being made at the same time */
    struct buf subscribe;
    struct buf pong;
    struct client *clients;
    size_t n_clients;
    size_t n_subscribed;
    size_t n_pinged;
    size_t n_wanted;
    unsigned ping_round;
    enum waiting waiting;
    int64_t since_us;
};

/* The callbacks of a websocket have no argument for it, and there is one per program. */
static struct generator generator;

static const char usage[] =
    "bench-clients --port N [--path /connection/websocket] [--channel bench:1] [--window 256]\n";

static void start_clients(void)
{
    while (generator.n_clients < generator.n_wanted &&
           generator.n_clients - generator.n_subscribed < generator.window) {
        crowd_connect(&generator.clients[generator.n_clients].ws, generator.n_clients);
        generator.n_clients++;
    }
}

/* Answers the harness when what it waits for has come. */
static void tell(void)
{
    int64_t ms = (clock_monotonic_us() - generator.since_us) / 1000;
    if (generator.waiting == WAITING_FOR_SUBSCRIBED &&
        generator.n_subscribed == generator.n_wanted) {
        printf("{\"subscribed\":%zu,\"ms\":%lld}\n", generator.n_subscribed, (long long)ms);
    } else if (generator.waiting == WAITING_FOR_PINGED &&
               generator.n_pinged == generator.n_clients) {
        printf("{\"pinged\":%zu,\"ms\":%lld}\n", generator.n_pinged, (long long)ms);
    } else {
        return;
    }
    generator.waiting = WAITING_FOR_NOTHING;
}

static void client_pinged(struct client *client)
{
    websocket_send(&client->ws, buf_str(&generator.pong));
    if (client->ping_round != generator.ping_round) {
        client->ping_round = generator.ping_round;
        generator.n_pinged++;
    }
}

/* Replies come in the order of the commands. */
static void client_replied(struct client *client, struct str reply)
{
    struct str id, error;
    uint64_t number;
    if (json_check(reply, NULL) != STATUS_OK || json_member(reply, STR("error"), &error) ||
        !json_member(reply, STR("id"), &id) || !json_to_u64(id, &number) ||
        number != ++client->n_replies) {
        fail("not the reply to expect: %.*s", STR_ARG(reply));
    }
    if (client->n_replies == N_COMMANDS) {
        generator.n_subscribed++;
    }
}

static void on_open(struct websocket *ws)
{
    websocket_send(ws, buf_str(&generator.subscribe));
}

static void on_message(struct websocket *ws, struct str message)
{
    struct client *client = (struct client *)ws;
    while (message.len > 0) {
        ptrdiff_t end = str_find(message, '\n');
        struct str line = end < 0 ? message : str_head(message, (size_t)end);
        message = str_tail(message, line.len + 1);
        if (str_eq(line, STR("{}"))) {
            client_pinged(client);
        } else {
            client_replied(client, line);
        }
    }
}

static void obey(struct str line)
{
    struct str clients = STR("clients ");
    uint64_t n;
    if (generator.waiting != WAITING_FOR_NOTHING) {
        fail("a command while another is under way: %.*s", STR_ARG(line));
    }
    generator.since_us = clock_monotonic_us();
    if (str_starts_with(line, clients) && str_to_u64(str_tail(line, clients.len), &n) &&
        n >= generator.n_clients && n <= CLIENTS_MAX) {
        generator.n_wanted = n;
        generator.waiting = WAITING_FOR_SUBSCRIBED;
    } else if (str_eq(line, STR("pings"))) {
        generator.ping_round++;
        generator.n_pinged = 0;
        generator.waiting = WAITING_FOR_PINGED;
    } else {
        fail("not a command: %.*s", STR_ARG(line));
    }
}

static void on_turn(void)
{
    start_clients();
    tell();
}

static void prepare_frames(const char *channel)
{
    struct buf commands;
    buf_init(&commands, 1024);
    buf_literal(&commands, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":");
    json_append_string(&commands, str_of(channel));
    buf_literal(&commands, "}}");
    buf_init(&generator.subscribe, 2048);
    buf_init(&generator.pong, 16);
    websocket_append_text(&generator.subscribe, buf_str(&commands));
    websocket_append_text(&generator.pong, STR("{}"));
    if (buf_failed(&commands)) {
        fail("the channel's name is too long");
    }
    buf_release(&commands);
}

static void set_up(int argc, char **argv)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"path", required_argument, NULL, 'a'},
                                          {"channel", required_argument, NULL, 'c'},
                                          {"window", required_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    const char *path = "/connection/websocket";
    const char *channel = "bench:1";
    uint16_t port = 0;
    generator.window = 256;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'p': port = (uint16_t)cli_number(optarg, UINT16_MAX); break;
        case 'a': path = optarg; break;
        case 'c': channel = optarg; break;
        case 'w': generator.window = cli_number(optarg, CLIENTS_MAX); break;
        default: fail("%s", usage);
        }
    }
    if (!port || optind != argc) {
        fail("%s", usage);
    }
    static const struct crowd_handler handler = {{on_open, on_message}, obey, on_turn};
    crowd_open(&handler, path, port);
    prepare_frames(channel);
}

static void tear_down(void)
{
    for (size_t i = 0; i < generator.n_clients; i++) {
        websocket_close(&generator.clients[i].ws);
    }
    free(generator.clients);
    crowd_close();
    buf_release(&generator.subscribe);
    buf_release(&generator.pong);
}

int main(int argc, char **argv)
{
    set_up(argc, argv);
    generator.clients = calloc(CLIENTS_MAX, sizeof(*generator.clients));
    if (!generator.clients) {
        fail_errno("start");
    }
    crowd_run();
    tear_down();
    return 0;
}
