/* The entry of every fuzz target; libFuzzer and replay.c call it. */
#ifndef BELFRY_TESTS_FUZZ_FUZZ_H
#define BELFRY_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
