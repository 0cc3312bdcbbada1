/* What a publication of the load carries, {"n":SEQUENCE,"t":NANOSECONDS,"x":"..."}: which one it
 * is, and when it was sent. The filler makes it as long as was asked for. */
#ifndef BELFRY_BENCH_STAMP_H
#define BELFRY_BENCH_STAMP_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define STAMP_MIN_BYTES 48
#define STAMP_MAX_BYTES (1u << 20)
/* This many bytes of a payload's front tell what is in it. */
#define STAMP_FRONT_BYTES 64

struct stamp {
    uint64_t n;
    uint64_t sent_ns;
};

/* CLOCK_MONOTONIC. */
uint64_t stamp_now_ns(void);

/* A payload of exactly size_bytes, which replaces what is in out. */
void stamp_write(struct buf *out, struct stamp stamp, size_t size_bytes);
/* How much of a payload of size_bytes must have come before stamp_read(). */
size_t stamp_front_bytes(size_t size_bytes);
/* front: the payload's first bytes. Anything else than a payload of ours fails. */
struct stamp stamp_read(struct str front);

#endif
