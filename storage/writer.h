/* The thread that owns the only writing connection. It takes what waits in its inbox, commits it in
 * groups, and leaves each group in the completions. */
#ifndef BELFRY_STORAGE_WRITER_H
#define BELFRY_STORAGE_WRITER_H

#include "storage/file_lock.h"
#include "storage/ops.h"

struct writer;

struct writer_options {
    const char *path; /* not used with STORAGE_MEMORY */
    enum storage_durability durability;
    uint64_t stream_limit;
    uint64_t idempotency_key_limit;
    struct file_lock *lock; /* NULL with STORAGE_MEMORY; outlives the writer */
    struct completions *completions;
};

/* Opens the connection, and compares the file with what was acknowledged. */
enum status writer_create(const struct writer_options *options,
                          struct writer **ret_writer) MUST_CHECK;
enum status writer_start(struct writer *writer) MUST_CHECK;
/* Any thread. */
void writer_put(struct writer *writer, struct op_list *list);
void writer_put_one(struct writer *writer, struct storage_op *op);
/* Fills in its own figures. Any thread, never waits. */
void writer_stats(const struct writer *writer, struct storage_stats *stats);
/* The thread finishes what it has, closes the connection and counts itself out in the completions.
 */
void writer_stop(struct writer *writer);
/* Waits for the thread if it was started. Accepts NULL. */
void writer_destroy(struct writer *writer);

#endif
