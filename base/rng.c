/* SPDX-License-Identifier: MIT */
/* Random values. Identifiers come from the kernel; jitter comes from a splitmix64 generator of the
 * calling thread, seeded by the kernel, because a system call per jitter would be waste. */
#include "base/rng.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void rng_bytes(void *bytes, size_t n_bytes)
{
    unsigned char *at = bytes;

    while (n_bytes > 0) {
        ssize_t got = getrandom(at, n_bytes, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            /* Going on with guessable identifiers would be worse than to end. */
            perror("getrandom");
            abort();
        }
        at += got;
        n_bytes -= (size_t)got;
    }
}

static uint64_t next_cheap(void)
{
    static _Thread_local uint64_t state;
    static _Thread_local bool seeded;

    if (!seeded) {
        rng_bytes(&state, sizeof(state));
        seeded = true;
    }
    state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t mixed = (state ^ (state >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

uint64_t rng_u64(void)
{
    return next_cheap();
}

uint64_t rng_below(uint64_t bound)
{
    /* Multiply and shift: the bias is at most bound / 2^64. */
    return (uint64_t)(((unsigned __int128)next_cheap() * bound) >> 64);
}

void rng_epoch(char epoch[RNG_EPOCH_SIZE])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const size_t n_letters = sizeof(letters) - 1;
    unsigned char random[32];
    size_t at = sizeof(random);

    for (size_t i = 0; i < RNG_EPOCH_SIZE - 1;) {
        if (at == sizeof(random)) {
            rng_bytes(random, sizeof(random));
            at = 0;
        }
        unsigned letter = random[at++] & 63;
        if (letter < n_letters) { /* refused rather than folded: all letters equally likely */
            epoch[i++] = letters[letter];
        }
    }
    epoch[RNG_EPOCH_SIZE - 1] = '\0';
}

void rng_uuid(char uuid[RNG_UUID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[16];
    size_t at = 0;

    rng_bytes(bytes, sizeof(bytes));
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); /* version 4 */
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80); /* the variant of RFC 9562 */
    for (size_t i = 0; i < sizeof(bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            uuid[at++] = '-';
        }
        uuid[at++] = digits[bytes[i] >> 4];
        uuid[at++] = digits[bytes[i] & 15];
    }
    uuid[at] = '\0';
}
