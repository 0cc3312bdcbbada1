/* The thread with the read-only connection. What has to write - for a stream that does not exist
 * yet, or must be kept alive - is handed on to the writer. */
#ifndef BELFRY_STORAGE_READER_H
#define BELFRY_STORAGE_READER_H

#include "storage/ops.h"

struct reader;
struct writer;

/* Opens the connection; the file has been opened by the writer. */
enum status reader_create(const char *path, struct writer *writer, struct completions *completions,
                          struct reader **ret_reader) MUST_CHECK;
enum status reader_start(struct reader *reader) MUST_CHECK;
/* Moves all of list to the thread. */
void reader_put(struct reader *reader, struct op_list *list);
/* The thread finishes what it has, closes the connection and counts itself out in the completions.
 */
void reader_stop(struct reader *reader);
/* Waits for the thread if it was started. Accepts NULL. */
void reader_destroy(struct reader *reader);

#endif
