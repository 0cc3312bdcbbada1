/* A database file as the tools see it: read, never written, and perhaps in use by a hub. */
#ifndef BELFRY_STORAGE_SOURCE_H
#define BELFRY_STORAGE_SOURCE_H

#include "storage/db.h"

struct source {
    struct db db;
    const char *path;
    int64_t version; /* of its tables */
    bool is_quiet;   /* nobody had it open */
};

/* path must live as long as the source. STATUS_NOT_FOUND: no such file; STATUS_CORRUPT: no database
 * of ours, or unreadable; STATUS_VERSION: of a newer program; STATUS_IO. What these do not say is
 * logged. On failure nothing is to be closed. */
enum status source_open(const char *path, struct source *ret_source) MUST_CHECK;
/* STATUS_CANCELLED: a hub has opened the file meanwhile, so that what was read may not fit
 * together. */
enum status source_close(struct source *source) MUST_CHECK;

/* For a hub, before it opens the file: a backup was put back, but the log of the file that was
 * there before is still beside it, and SQLite would apply that to the backup. STATUS_CORRUPT,
 * logged. What cannot be read here is left to the opening itself. */
enum status source_refuse_strange_log(const char *path) MUST_CHECK;

/* path as SQLite's file: name, with parameters ("" or "?..."), to be freed with free(); NULL when
 * memory is short. */
char *source_uri(const char *path, const char *parameters);

#endif
