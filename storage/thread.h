/* Starts the storage's threads. */
#ifndef BELFRY_STORAGE_THREAD_H
#define BELFRY_STORAGE_THREAD_H

#include <pthread.h>

#include "base/status.h"

/* name: at most 15 characters. The thread takes no signals: they are the loop's. */
enum status thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *),
                         void *arg) MUST_CHECK;

#endif
