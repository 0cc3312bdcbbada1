/* The database file: how connections are opened, whose file it is, and its tables' versions. */
#ifndef BELFRY_STORAGE_SCHEMA_H
#define BELFRY_STORAGE_SCHEMA_H

#include "storage/db.h"
#include "storage/storage.h"

/* "BLFY": tells the file from other SQLite databases. */
#define SCHEMA_APPLICATION_ID 0x424c4659

/* The writing connection: makes or checks the file, upgrades it, sets the pragmas. path is not used
 * by STORAGE_MEMORY. Logs what was wrong; nothing is to be closed then. */
enum status schema_open_writer(const char *path, enum storage_durability durability,
                               struct db *ret_db) MUST_CHECK;
/* Connections to a file that a writing one has opened. One for reading, which never checkpoints;
 * one for checkpoints, and nothing else. */
enum status schema_open_reader(const char *path, struct db *ret_db) MUST_CHECK;
enum status schema_open_checkpointer(const char *path, struct db *ret_db) MUST_CHECK;

/* Of the tables that this program makes. */
int64_t schema_newest_version(void);
/* Brings a copy to this version, and marks it as one: see marks. */
enum status schema_mark_copy(struct db *db) MUST_CHECK;

/* Runs migrations[version] and those after it, each in a transaction of its own that also sets the
 * new version: a file is always at exactly one version. STATUS_VERSION when the file's version is
 * above n. */
enum status schema_upgrade(struct db *db, const char *const *migrations, size_t n) MUST_CHECK;

#endif
