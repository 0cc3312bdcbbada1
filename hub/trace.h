/* W3C Trace Context (www.w3.org/TR/trace-context): what a caller says about the trace that its
 * request belongs to goes on to the upstreams that are asked for it, each under an identifier of
 * its own. Traces are not begun here. */
#ifndef BELFRY_HUB_TRACE_H
#define BELFRY_HUB_TRACE_H

#include "base/str.h"

#define TRACE_PARENT_BYTES    55
#define TRACE_STATE_MAX_BYTES 512

struct trace {
    char id[33];                           /* 32 digits and a NUL; "": there is none */
    char flags[3];                         /* 2 digits and a NUL */
    char state[TRACE_STATE_MAX_BYTES + 1]; /* "": none */
};

/* Reads the two headers. False, and an empty trace: parent is none that is well-formed. A state
 * that is too long is left out, as the recommendation allows. */
bool trace_read(struct str parent, struct str state, struct trace *ret_trace);

#define TRACE_LINES_SIZE (16 + TRACE_PARENT_BYTES + 16 + TRACE_STATE_MAX_BYTES)
/* The header lines of a request that belongs to it, into place; returns how many (0 to 2). */
size_t trace_lines(const struct trace *trace, char place[TRACE_LINES_SIZE], struct str lines[2]);

#endif
