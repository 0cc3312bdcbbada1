/* What the load programs share on their command lines, and how they fail: one that meets anything
 * unexpected says so and ends, because a measurement in which one client was lost or one answer was
 * wrong is not a measurement. */
#ifndef BELFRY_BENCH_CLI_H
#define BELFRY_BENCH_CLI_H

#include <stdint.h>

/* One sentence on stderr, exit status 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with errno's text behind it. */
_Noreturn void fail_errno(const char *what);

/* An option's number, 1 to max; anything else fails. */
uint64_t cli_number(const char *text, uint64_t max);

#endif
