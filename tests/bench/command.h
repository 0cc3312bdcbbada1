/* A command of bench-load: prepared, started, done over many turns of the loop, told. One is under
 * way at a time. */
#ifndef BELFRY_BENCH_COMMAND_H
#define BELFRY_BENCH_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMMAND_ARGS_MAX 3

/* What a command took since it was started. */
struct spent {
    double ms;
    uint64_t cpu_ns;
};

struct command {
    const char *name;
    size_t n_args;
    bool is_bulk; /* messages are many, and each one's microseconds do not matter */
    /* Fails where the arguments are none. */
    void (*prepare)(const uint64_t *args);
    bool (*is_prepared)(void); /* NULL: at once */
    void (*start)(void);       /* NULL: nothing is left to do */
    bool (*is_done)(void);     /* after each turn; goes on with it too */
    void (*tell)(const struct spent *spent);
};

extern const struct command command_clients;
extern const struct command command_rush;
extern const struct command command_pings;
extern const struct command command_idle;
extern const struct command command_stall;
extern const struct command command_memory;
extern const struct command command_broadcast;
extern const struct command command_giant;
extern const struct command command_burst;
extern const struct command command_scatter;
extern const struct command command_probe;

/* A size of a payload; anything that is none fails. */
size_t command_size(uint64_t bytes);

#endif
