/* Probes: one publication at a time to a channel that has one subscriber, over a connection that
 * has nothing else to do. */
#ifndef BELFRY_BENCH_PROBE_H
#define BELFRY_BENCH_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/latency.h"

/* Connects what is not connected, and forgets what was measured. */
void probe_prepare(size_t size_bytes);
bool probe_is_prepared(void);
void probe_send(void);
/* The last one was received and acknowledged. */
bool probe_has_come(void);
/* Sending to receipt, of all since probe_prepare(). */
const struct latency *probe_receipts(void);

#endif
