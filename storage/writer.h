/* The thread that owns the only writing connection. It takes what waits in its inbox, commits it in
 * groups, and leaves each group in the completions. */
#ifndef BELFRY_STORAGE_WRITER_H
#define BELFRY_STORAGE_WRITER_H

#include "storage/ops.h"

struct writer;

/* Opens the connection. With STORAGE_MEMORY path is not used. */
enum status writer_create(const char *path, enum storage_durability durability,
                          struct completions *completions, struct writer **ret_writer) MUST_CHECK;
enum status writer_start(struct writer *writer) MUST_CHECK;
/* Any thread. */
void writer_put(struct writer *writer, struct storage_op *op);
uint64_t writer_n_groups(const struct writer *writer);
/* The thread finishes what it has, closes the connection and counts itself out in the completions.
 */
void writer_stop(struct writer *writer);
/* Waits for the thread if it was started. Accepts NULL. */
void writer_destroy(struct writer *writer);

#endif
