/* SPDX-License-Identifier: MIT */
/* Reads /proc. The process ids are set once, when the program starts. */
#include "tests/bench/process_figures.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "tests/bench/cli.h"

#define PROCESSES_MAX 64

#define SETTLING_PAUSE_NS 1000000
#define SETTLING_PAUSES   100

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

/* Of all threads together. */
struct threads {
    uint64_t cpu_ns;
    bool any_runs;
};

/* The front of one of a thread's files. False: it has ended, as one may while others are read. */
static bool read_front(uint64_t pid, const char *thread, const char *name, char *front, int size)
{
    char path[320];
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/task/%s/%s", pid, thread, name);
    FILE *file = fopen(path, "r");
    bool is_read = file && fgets(front, size, file);
    if (file) {
        fclose(file);
    }
    return is_read;
}

/* The state is looked at first: what is counted of a thread that does not run is exact. */
static void add_thread(uint64_t pid, const char *thread, struct threads *threads)
{
    char stat[256], schedstat[128];
    uint64_t ns;
    if (!read_front(pid, thread, "stat", stat, sizeof(stat)) ||
        !read_front(pid, thread, "schedstat", schedstat, sizeof(schedstat))) {
        return;
    }
    const char *behind_name = strrchr(stat, ')');
    if (!behind_name || sscanf(schedstat, "%" SCNu64, &ns) != 1) {
        fail("/proc/%" PRIu64 "/task/%s: not what to expect", pid, thread);
    }
    threads->any_runs |= strncmp(behind_name, ") R", 3) == 0;
    threads->cpu_ns += ns;
}

static void add_threads_of(uint64_t pid, struct threads *threads)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/task", pid);
    DIR *folder = opendir(path);
    if (!folder) {
        fail_errno(path);
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] != '.') {
            add_thread(pid, entry->d_name, threads);
        }
    }
    closedir(folder);
}

uint64_t process_figures_cpu_ns(void)
{
    const struct timespec pause = {.tv_nsec = SETTLING_PAUSE_NS};
    for (int i = 0;; i++) {
        struct threads threads = {0, false};
        for (size_t j = 0; j < figures.n_pids; j++) {
            add_threads_of(figures.pids[j], &threads);
        }
        if (!threads.any_runs || i == SETTLING_PAUSES) {
            return threads.cpu_ns;
        }
        nanosleep(&pause, NULL);
    }
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
