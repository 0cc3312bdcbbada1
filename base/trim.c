/* SPDX-License-Identifier: MIT */
#include "base/trim.h"

#include <malloc.h>

#include "base/clock.h"
#include "base/log.h"

#define WAIT_MS    2000
#define GONE_LEAST 1000

static void on_due(struct deadline *deadline);

static void wait_a_while(struct trim *trim)
{
    trim->n_then = trim->n_now;
    deadline_arm(trim->deadlines, &trim->due, WAIT_MS, on_due);
}

static void on_due(struct deadline *deadline)
{
    struct trim *trim = container_of(deadline, struct trim, due);
    if (trim->n_then > trim->n_now + GONE_LEAST) { /* the crowd is still on its way */
        wait_a_while(trim);
        return;
    }
    int64_t start_us = clock_monotonic_us();
    malloc_trim(0);
    log_info("memory", "given_back", log_i("clients", (int64_t)trim->n_now),
             log_i("most", (int64_t)trim->n_most),
             log_i("took_us", clock_monotonic_us() - start_us));
    trim->n_most = trim->n_now;
}

void trim_init(struct trim *trim, struct deadlines *deadlines)
{
    *trim = (struct trim){.deadlines = deadlines};
}

void trim_stop(struct trim *trim)
{
    deadline_disarm(trim->deadlines, &trim->due);
}

void trim_count(struct trim *trim, size_t n)
{
    bool has_fallen = n < trim->n_now;
    trim->n_now = n;
    trim->n_most = n > trim->n_most ? n : trim->n_most;
    bool have_gone = has_fallen && n < trim->n_most / 2 && trim->n_most - n > GONE_LEAST;
    if (have_gone && !deadline_armed(&trim->due)) {
        wait_a_while(trim);
    }
}
