/* The command line of bench-load. */
#ifndef BELFRY_BENCH_OPTIONS_H
#define BELFRY_BENCH_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "tests/bench/link.h"
#include "tests/bench/protocol.h"

#define OPTIONS_CLIENTS_MAX 100000
/* In the place of a client's index: of the one that probes are published to. */
#define OPTIONS_PROBER SIZE_MAX

struct options {
    const struct protocol *protocol;
    struct link_options link;
    const char *path;
    const char *publish_path;
    const char *channel;
    const char *key;
    const char *pids;
    bool own_channels; /* client i is subscribed to channel + i */
    size_t window;     /* most clients that are not subscribed yet */
};

void options_read(int argc, char **argv);
const struct options *options(void);

/* The connection token of the client with this index: its line in the file of --tokens; empty
 * without. */
struct str options_token(size_t index);

/* The channel of the client with this index replaces what is in out. */
void options_channel(struct buf *out, size_t index);

#endif
