/* Connections over which bench-load publishes, one publication at a time each. They are opened when
 * they are first needed and kept; a server may close one that is idle. */
#ifndef BELFRY_BENCH_PUBLISHER_H
#define BELFRY_BENCH_PUBLISHER_H

#include <stddef.h>

#include "tests/bench/stamp.h"

#define PUBLISHERS_MAX 1024

/* Their numbers. The probes have one of their own. */
enum { PUBLISHER_OF_PROBES, PUBLISHER_FIRST };

typedef void (*publisher_acknowledged_fn)(size_t number);

void publishers_open(void);
void publishers_close(void);

/* Connects it unless it is connected. */
void publisher_prepare(size_t number);
bool publisher_is_ready(size_t number);

/* Sends a payload of size_bytes with n and the time to the channel of the client with this index.
 * on_acknowledged is called once, never from inside; until then there is nothing else to send here.
 * Returns the time. */
uint64_t publisher_send(size_t number, size_t channel_index, uint64_t n, size_t size_bytes,
                        publisher_acknowledged_fn on_acknowledged);

#endif
