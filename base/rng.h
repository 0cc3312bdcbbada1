/* Random values from the kernel (getrandom), for identifiers and jitter. */
#ifndef BELFRY_BASE_RNG_H
#define BELFRY_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Fills bytes; ends the program when the kernel has none to give. */
void rng_bytes(void *bytes, size_t n_bytes);
/* Cheap: for names that are to differ, not for secrets. */
uint64_t rng_u64(void);
/* Uniform in [0, bound); bound > 0. Cheap: for jitter, not for secrets. */
uint64_t rng_below(uint64_t bound);

#define RNG_EPOCH_SIZE 9
/* Eight random letters a-zA-Z and a NUL: the epoch of a stream. */
void rng_epoch(char epoch[RNG_EPOCH_SIZE]);

#define RNG_UUID_SIZE 37
/* A version 4 UUID as text (RFC 9562) and a NUL. */
void rng_uuid(char uuid[RNG_UUID_SIZE]);

#endif
