/* The crowd of subscribed clients of bench-load, and the one more that probes are published to. */
#ifndef BELFRY_BENCH_SUBSCRIBERS_H
#define BELFRY_BENCH_SUBSCRIBERS_H

#include "tests/bench/client.h"
#include "tests/bench/latency.h"
#include "tests/bench/stamp.h"

/* A publication came for a client, at link_received_ns(). */
typedef void (*subscribers_received_fn)(struct client *c, struct stamp stamp);

void subscribers_open(void);
void subscribers_close(void);

/* Connects up to n_clients, of which at most window are on their way at a time: until they are
 * subscribed, or only until the server has accepted them. */
enum subscribers_pace { SUBSCRIBERS_UNTIL_SUBSCRIBED, SUBSCRIBERS_UNTIL_ACCEPTED };
void subscribers_grow(size_t n_clients, size_t window, enum subscribers_pace pace);
/* Once a turn: connects those for whom there is room. */
void subscribers_turn(void);

/* connect() to subscribed, of those that came since the last subscribers_grow(). */
const struct latency *subscribers_latency(void);
bool subscribers_are_complete(void);
size_t subscribers_count(void);
/* Those that read. */
size_t subscribers_reading(void);
struct client *subscribers_at(size_t index);

/* The first n_clients read nothing any more. */
void subscribers_stall(size_t n_clients);

/* What follows is received by all but the prober, is payload_bytes long, and is for on_received;
 * NULL: nothing is to come. */
void subscribers_expect(subscribers_received_fn on_received, size_t payload_bytes);

/* Connects the prober, a client of a channel of its own (OPTIONS_PROBER). */
void subscribers_add_prober(void);
bool subscribers_have_prober(void);
void subscribers_expect_probe(subscribers_received_fn on_received, size_t payload_bytes);

/* Each ping that comes is counted; a round counts each client once. */
void subscribers_begin_ping_round(void);
size_t subscribers_pinged(void);
uint64_t subscribers_n_pings(void);
uint64_t subscribers_n_bytes(void);

#endif
