/* TCP connections to a port of 127.0.0.1, without Nagle's delay. Whatever goes wrong ends the
 * program (see cli.h). */
#ifndef BELFRY_BENCH_DIAL_H
#define BELFRY_BENCH_DIAL_H

#include <stdint.h>

/* A blocking socket that is connected. */
int dial(uint16_t port);

/* A non-blocking one that is on its way: when it can be written to, dial_finish() fails unless it
 * is connected. source: 0 is 127.0.0.1, 1 is 127.0.0.2 and so on, each with its own set of ports.
 * receive_buffer_bytes: 0 is the kernel's choice. */
int dial_start(uint16_t port, unsigned source, int receive_buffer_bytes);
void dial_finish(int fd);

#endif
