/* The thread that moves commits from the write-ahead log into the database while the writer goes on
 * committing. It has a connection of its own, on which nothing else is done. */
#ifndef BELFRY_STORAGE_CHECKPOINTER_H
#define BELFRY_STORAGE_CHECKPOINTER_H

#include "base/status.h"

struct checkpointer;

enum checkpoint_state {
    CHECKPOINT_RUNNING,
    CHECKPOINT_COMPLETE, /* what was in the log is in the database, but for what a short read needs
                          */
    CHECKPOINT_PARTIAL,  /* a long read needs the rest, somebody else was at it, or it failed */
};

/* Opens the connection and starts the thread, which waits. The database has been opened by the
 * writer. */
enum status checkpointer_create(const char *path,
                                struct checkpointer **ret_checkpointer) MUST_CHECK;
/* Lets the running checkpoint end, then the thread. Accepts NULL. */
void checkpointer_destroy(struct checkpointer *checkpointer);

/* The following are for one thread only, the writer's. Asks for a checkpoint; none may be running.
 */
void checkpointer_begin(struct checkpointer *checkpointer);
/* Of the last one that was asked for; before the first: partial. */
enum checkpoint_state checkpointer_state(struct checkpointer *checkpointer);
/* Returns when none is running. */
void checkpointer_await(struct checkpointer *checkpointer);

#endif
