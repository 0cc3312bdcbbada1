/* What the processes under test have used, all their threads together, as the kernel counts it. */
#ifndef BELFRY_BENCH_PROCESS_FIGURES_H
#define BELFRY_BENCH_PROCESS_FIGURES_H

#include <stdint.h>

struct process_memory {
    uint64_t resident_bytes;
    uint64_t anonymous_bytes;
};

/* list: process ids with commas between; may be empty. */
void process_figures_open(const char *list);

/* CPU time of the threads that there are now. Waits until none of them runs, for up to 100 ms: a
 * server may be at the end of its work when its clients have got all of it, and the kernel counts
 * what a thread that runs has used only every few milliseconds. */
uint64_t process_figures_cpu_ns(void);
/* From smaps_rollup, which is exact; the counters in status may lag behind. */
struct process_memory process_figures_memory(void);

#endif
