/* SPDX-License-Identifier: MIT */
/* Somebody else's connection to a database file, for tests: locks it, looks into it, damages it.
 *
 *   belfry-sql FILE      one statement a line on standard input; for each one line of output,
 *                        "ok" and the first value of its first row, or "error" and SQLite's text
 *
 * What it locks is free again when standard input ends. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static void run(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
    }
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
        const char *value = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
        printf("ok %s\n", value ? value : "");
    } else {
        printf("error %s\n", sqlite3_errmsg(db));
    }
    fflush(stdout);
    sqlite3_finalize(stmt);
}

int main(int argc, char **argv)
{
    sqlite3 *db;
    char *line = NULL;
    size_t size = 0;
    if (argc != 2 || sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        fputs("usage: belfry-sql FILE (which exists)\n", stderr);
        return 2;
    }
    sqlite3_busy_timeout(db, 5000);
    /* It leaves the write-ahead log as it is. */
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    while (getline(&line, &size, stdin) > 0) {
        run(db, line);
    }
    free(line);
    sqlite3_close(db);
    return 0;
}
