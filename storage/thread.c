/* SPDX-License-Identifier: MIT */
/* Starts a named thread with all signals blocked. No state. */
#include "storage/thread.h"

#include <signal.h>

#include "base/log.h"

enum status thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(ret_thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        log_error("storage", "no_thread", log_s("name", name), log_s("error", strerror(rc)));
        return STATUS_NO_MEMORY;
    }
    pthread_setname_np(*ret_thread, name);
    return STATUS_OK;
}
