/* SPDX-License-Identifier: MIT */
/* Reads /proc. The process ids are set once, when the program starts. */
#include "tests/bench/process_figures.h"

#include <dirent.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "tests/bench/cli.h"

#define PROCESSES_MAX 64

static struct {
    uint64_t pids[PROCESSES_MAX];
    size_t n_pids;
} figures;

void process_figures_open(const char *list)
{
    struct str rest = str_of(list);
    figures.n_pids = 0;
    while (rest.len > 0) {
        ptrdiff_t comma = str_find(rest, ',');
        struct str item = comma < 0 ? rest : str_head(rest, (size_t)comma);
        if (figures.n_pids == PROCESSES_MAX || !str_to_u64(item, &figures.pids[figures.n_pids++])) {
            fail("%s: expected up to %d process ids with commas between", list, PROCESSES_MAX);
        }
        rest = str_tail(rest, item.len + 1);
    }
}

/* The first field of schedstat. A thread may end while the folder is read. */
static uint64_t thread_cpu_ns(uint64_t pid, const char *thread)
{
    char path[320];
    uint64_t ns = 0;
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/task/%s/schedstat", pid, thread);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%" SCNu64, &ns) != 1) {
            fail("%s: not a number", path);
        }
        fclose(file);
    }
    return ns;
}

static uint64_t cpu_ns_of(uint64_t pid)
{
    char path[64];
    uint64_t ns = 0;
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/task", pid);
    DIR *folder = opendir(path);
    if (!folder) {
        fail_errno(path);
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] != '.') {
            ns += thread_cpu_ns(pid, entry->d_name);
        }
    }
    closedir(folder);
    return ns;
}

uint64_t process_figures_cpu_ns(void)
{
    uint64_t ns = 0;
    for (size_t i = 0; i < figures.n_pids; i++) {
        ns += cpu_ns_of(figures.pids[i]);
    }
    return ns;
}

static void add_memory_of(uint64_t pid, struct process_memory *memory)
{
    char path[64], line[256];
    uint64_t kilobytes;
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    if (!file) {
        fail_errno(path);
    }
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "Rss: %" SCNu64, &kilobytes) == 1) {
            memory->resident_bytes += kilobytes * 1024;
        } else if (sscanf(line, "Anonymous: %" SCNu64, &kilobytes) == 1) {
            memory->anonymous_bytes += kilobytes * 1024;
        }
    }
    fclose(file);
}

struct process_memory process_figures_memory(void)
{
    struct process_memory memory = {0, 0};
    for (size_t i = 0; i < figures.n_pids; i++) {
        add_memory_of(figures.pids[i], &memory);
    }
    return memory;
}
