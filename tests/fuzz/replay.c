/* SPDX-License-Identifier: MIT */
/* Feeds each file of the directories given to a fuzz target, so that every build, with any
 * compiler, goes again over what the fuzzer once found. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX_BYTES = 1 << 20 };

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_MAX_BYTES);

    if (!file || !data) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    size_t size = fread(data, 1, INPUT_MAX_BYTES, file);
    (void)fclose(file);
    /* Of exactly its size, so that a sanitizer or valgrind sees a read beyond the end. */
    uint8_t *exact = realloc(data, size > 0 ? size : 1);
    int result = LLVMFuzzerTestOneInput(exact ? exact : data, size);
    free(exact ? exact : data);
    return result;
}

static unsigned replay_directory(const char *path)
{
    struct dirent **entries;
    unsigned n_files = 0;
    int n = scandir(path, &entries, NULL, alphasort);

    if (n < 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    for (int i = 0; i < n; i++) {
        char name[4096];
        (void)snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            (void)replay_file(name);
            n_files++;
        }
        free(entries[i]);
    }
    free(entries);
    return n_files;
}

int main(int argc, char **argv)
{
    unsigned n_files = 0;

    for (int i = 1; i < argc; i++) {
        n_files += replay_directory(argv[i]);
    }
    (void)printf("%u inputs replayed\n", n_files);
    return n_files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
