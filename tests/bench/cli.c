/* SPDX-License-Identifier: MIT */
/* The one way a load program ends early, and its numbers. stdout carries results only; the harness
 * shows stderr when a program fails. */
#include "tests/bench/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

void fail_errno(const char *what)
{
    fail("%s: %s", what, strerror(errno));
}

uint64_t cli_number(const char *text, uint64_t max)
{
    uint64_t value;
    if (!str_to_u64(str_of(text), &value) || value == 0 || value > max) {
        fail("%s: expected a number from 1 to %" PRIu64, text, max);
    }
    return value;
}
