/* SPDX-License-Identifier: MIT */
/* The checkpointer: one thread and one connection. It waits until the writer asks for a checkpoint,
 * and runs a passive one, which takes no lock that a commit or a read waits for. What it shares
 * with the writer is the state, under the mutex. */
#include "storage/checkpointer.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "storage/db.h"
#include "storage/schema.h"
#include "storage/thread.h"

/* The hub's own reads are always going on, and short: a checkpoint ends before what was committed
 * since the oldest one began. */
#define KEPT_BACK_FRAMES 500

struct checkpointer {
    struct db db; /* the thread's while it runs */
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum checkpoint_state state;
    bool stopping;
};

/* While commits go on a passive checkpoint leaves the database to be synced by the one that gets to
 * the end of the log, and that is the writer's: done here, little of it is left for there. Nothing
 * depends on it, so a fault is left to that one, too. */
static void sync_database(struct checkpointer *c)
{
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(c->db.handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK && file && file->pMethods) {
        file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    }
}

static enum checkpoint_state checkpoint(struct checkpointer *c)
{
    int n_frames, n_copied;
    int rc = sqlite3_wal_checkpoint_v2(c->db.handle, NULL, SQLITE_CHECKPOINT_PASSIVE, &n_frames,
                                       &n_copied);
    if (rc == SQLITE_OK) {
        db_fault_over(&c->db);
        if (n_frames - n_copied > KEPT_BACK_FRAMES) {
            return CHECKPOINT_PARTIAL;
        }
        sync_database(c);
        return CHECKPOINT_COMPLETE;
    }
    if ((rc & 0xff) != SQLITE_BUSY) {
        db_log_fault(&c->db, "checkpoint", STATUS_IO);
    }
    return CHECKPOINT_PARTIAL;
}

static void *run(void *arg)
{
    struct checkpointer *c = arg;
    pthread_mutex_lock(&c->mutex);
    while (!c->stopping) {
        if (c->state != CHECKPOINT_RUNNING) {
            pthread_cond_wait(&c->changed, &c->mutex);
            continue;
        }
        pthread_mutex_unlock(&c->mutex);
        enum checkpoint_state state = checkpoint(c);
        pthread_mutex_lock(&c->mutex);
        c->state = state;
        pthread_cond_signal(&c->changed);
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

static enum status init_locks(struct checkpointer *c)
{
    if (pthread_mutex_init(&c->mutex, NULL) != 0) {
        return STATUS_NO_MEMORY;
    }
    if (pthread_cond_init(&c->changed, NULL) != 0) {
        pthread_mutex_destroy(&c->mutex);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

enum status checkpointer_create(const char *path, struct checkpointer **ret_checkpointer)
{
    struct checkpointer *c = calloc(1, sizeof(*c));
    if (!c) {
        return STATUS_NO_MEMORY;
    }
    c->state = CHECKPOINT_PARTIAL;
    enum status status = init_locks(c);
    if (status != STATUS_OK) {
        free(c);
        return status;
    }
    status = schema_open_checkpointer(path, &c->db);
    if (status == STATUS_OK) {
        status = thread_start(&c->thread, "storage-ckpt", run, c);
        c->started = status == STATUS_OK;
    }
    if (status != STATUS_OK) {
        checkpointer_destroy(c);
        return status;
    }
    *ret_checkpointer = c;
    return STATUS_OK;
}

void checkpointer_destroy(struct checkpointer *c)
{
    if (!c) {
        return;
    }
    if (c->started) {
        pthread_mutex_lock(&c->mutex);
        c->stopping = true;
        pthread_mutex_unlock(&c->mutex);
        pthread_cond_signal(&c->changed);
        pthread_join(c->thread, NULL);
    }
    db_close(&c->db);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

void checkpointer_begin(struct checkpointer *c)
{
    pthread_mutex_lock(&c->mutex);
    assert(c->state != CHECKPOINT_RUNNING);
    c->state = CHECKPOINT_RUNNING;
    pthread_mutex_unlock(&c->mutex);
    pthread_cond_signal(&c->changed);
}

enum checkpoint_state checkpointer_state(struct checkpointer *c)
{
    pthread_mutex_lock(&c->mutex);
    enum checkpoint_state state = c->state;
    pthread_mutex_unlock(&c->mutex);
    return state;
}

void checkpointer_await(struct checkpointer *c)
{
    pthread_mutex_lock(&c->mutex);
    while (c->state == CHECKPOINT_RUNNING) {
        pthread_cond_wait(&c->changed, &c->mutex);
    }
    pthread_mutex_unlock(&c->mutex);
}
