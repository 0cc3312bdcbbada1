/* How many rows each feed has in a table: counted when a feed is first met, then kept up by who
 * adds and removes rows, so that a limit costs no counting per write. For the writer's thread,
 * inside its transaction. */
#ifndef BELFRY_STORAGE_TALLY_H
#define BELFRY_STORAGE_TALLY_H

#include "storage/db.h"

struct tally;

/* count_sql: the number of rows of the feed ?1. */
enum status tally_create(struct db *db, const char *count_sql, struct tally **ret_tally) MUST_CHECK;
/* Accepts NULL. */
void tally_destroy(struct tally *tally);

/* Before a row is added: what is not known yet is counted in the file. ret_n is to be changed with
 * the rows, and valid until the next call. */
enum status tally_find(struct tally *tally, struct str feed, uint64_t **ret_n) MUST_CHECK;
/* A row of the feed has been removed. */
void tally_removed(struct tally *tally, struct str feed);
/* After a rollback. */
void tally_forget(struct tally *tally);

#endif
