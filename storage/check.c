/* SPDX-License-Identifier: MIT */
/* Looks for what contradicts itself in a database file. SQLite's own check finds damaged pages and
 * indexes; ours finds rows that do not fit together, and texts that are no JSON: SQLite has no
 * checksums, so that a damaged text looks fine to it. All in one snapshot, with state of the
 * call's own; any thread. */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/json_span.h"
#include "storage/source.h"
#include "storage/storage.h"

/* A thoroughly damaged file would fill the screen for hours; beyond it they are only counted. */
#define TOLD_MAX 1000

enum {
    SQL_INTEGRITY,
    SQL_STREAMS,
    SQL_PUBLICATIONS,
    SQL_UNOWNED,
    SQL_FEEDS,
    SQL_VALUES,
    N_SQL,
};

enum { SQL_KEYS, SQL_MARKS, N_SQL_2 };
enum { SQL_EVENTS, SQL_LAST_EVENT, N_SQL_3 };
enum { SQL_RUNS, N_SQL_4 };

/* A stream without a name is no longer one: its rows wait for removal, like those below first. */
static const char *const sql[N_SQL] = {
    [SQL_INTEGRITY] = "PRAGMA integrity_check(100)",
    [SQL_STREAMS] = "SELECT id, channel, epoch, top, first FROM streams WHERE channel IS NOT NULL",
    [SQL_PUBLICATIONS] = "SELECT offset, data, info, tags FROM publications"
                         " WHERE stream_id=?1 AND offset>=?2 ORDER BY offset",
    [SQL_UNOWNED] = "SELECT stream_id, count(*) FROM publications"
                    " WHERE stream_id NOT IN (SELECT id FROM streams) GROUP BY stream_id",
    [SQL_FEEDS] = "SELECT feed, params, snapshot, epoch, offset FROM feed_snapshots",
    [SQL_VALUES] = "SELECT v.feed_id, v.upstream, v.value, f.feed, f.params FROM feed_values v"
                   " LEFT JOIN feed_snapshots f ON f.id=v.feed_id",
};

/* What version 2 has more. */
static const char *const sql_2[N_SQL_2] = {
    [SQL_KEYS] = "SELECT k.channel, k.offset, s.top FROM idempotency k"
                 " JOIN streams s ON s.channel=k.channel AND s.epoch=k.epoch"
                 " WHERE k.offset NOT BETWEEN 1 AND s.top",
    [SQL_MARKS] = "SELECT count(*) FROM marks",
};

/* What version 3 has more. */
static const char *const sql_3[N_SQL_3] = {
    [SQL_EVENTS] = "SELECT id, endpoint, text FROM events ORDER BY id",
    [SQL_LAST_EVENT] = "SELECT max(id), (SELECT coalesce(max(seq), 0) FROM sqlite_sequence"
                       "  WHERE name='events') FROM events",
};

/* What version 4 has more. */
static const char *const sql_4[N_SQL_4] = {
    [SQL_RUNS] = "SELECT id, feed, params, text FROM feed_runs ORDER BY id",
};

struct check {
    struct source source;
    sqlite3_stmt *stmts[N_SQL];
    sqlite3_stmt *stmts_2[N_SQL_2]; /* NULL in a file of version 1 */
    sqlite3_stmt *stmts_3[N_SQL_3]; /* NULL in one of version 2, too */
    sqlite3_stmt *stmts_4[N_SQL_4]; /* and in one of version 3 */
    storage_finding_fn finding;
    void *arg;
    struct storage_check_counts counts;
    struct buf about; /* what the next findings are about, as a text before them */
};

/* --- findings --- */

static void tell(struct check *c, struct str text)
{
    struct buf line;
    if (++c->counts.n_findings > TOLD_MAX) {
        return;
    }
    buf_init(&line, SIZE_MAX);
    buf_append(&line, buf_str(&c->about));
    buf_append(&line, text);
    char *told = buf_take(&line);
    for (char *at = told; at && *at; at++) {
        if (iscntrl((unsigned char)*at)) {
            *at = '?'; /* what is damaged does not get to a terminal as it is */
        }
    }
    c->finding(c->arg, told ? told : "a finding for which memory was short");
    free(told);
    buf_release(&line);
}

static void report(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void report(struct check *c, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    tell(c, str_of(text));
}

static void about(struct check *c, struct str part)
{
    buf_clear(&c->about);
    buf_append(&c->about, part);
    buf_literal(&c->about, ": ");
}

static void about_channel(struct check *c, struct str channel)
{
    buf_clear(&c->about);
    buf_literal(&c->about, "channel ");
    json_append_string(&c->about, channel);
    buf_literal(&c->about, ": ");
}

static void about_feed(struct check *c, struct str feed, struct str params)
{
    buf_clear(&c->about);
    buf_literal(&c->about, "feed ");
    json_append_string(&c->about, feed);
    buf_literal(&c->about, " with parameters ");
    json_append_string(&c->about, params);
    buf_literal(&c->about, ": ");
}

/* Damage found while reading is a finding, and the check goes on with what else can be read. */
static enum status end(struct check *c, struct db_call *call)
{
    enum status status = db_end(call);
    if (status == STATUS_CORRUPT) {
        report(c, "cannot be read: %s", sqlite3_errmsg(c->source.db.handle));
        return STATUS_OK;
    }
    return status;
}

static void check_json(struct check *c, const char *what, struct str text)
{
    struct json_error error;
    if (json_check(text, &error) != STATUS_OK) {
        report(c, "%s is not JSON: at byte %zu %s was expected", what, error.offset,
               error.expected);
    }
}

static bool is_epoch(struct str text)
{
    if (text.len != STORAGE_EPOCH_SIZE - 1) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char letter = (char)(text.ptr[i] | 0x20);
        if (letter < 'a' || letter > 'z') {
            return false;
        }
    }
    return true;
}

static void check_epoch(struct check *c, struct str epoch)
{
    if (!is_epoch(epoch)) {
        report(c, "the epoch is not of %d letters", STORAGE_EPOCH_SIZE - 1);
    }
}

/* --- streams --- */

/* What counts: offsets from first to top, without a gap. */
struct range {
    int64_t first;
    int64_t top;
};

static void report_missing(struct check *c, int64_t from, int64_t to)
{
    if (from == to) {
        report(c, "the publication with offset %" PRId64 " is missing", from);
    } else if (from < to) {
        report(c, "the publications with offsets %" PRId64 " to %" PRId64 " are missing", from, to);
    }
}

static void check_texts(struct check *c, const struct db_call *call, int64_t offset)
{
    static const char *const names[] = {"data", "info", "tags"};
    for (int i = 0; i < 3; i++) {
        struct str text = db_str(call, 1 + i);
        char what[64];
        if (text.len == 0 && i > 0) {
            continue; /* there are none */
        }
        snprintf(what, sizeof(what), "%s of offset %" PRId64, names[i], offset);
        check_json(c, what, text);
    }
}

static enum status check_publications(struct check *c, int64_t id, struct range range)
{
    struct db_call call = db_call(c->stmts[SQL_PUBLICATIONS]);
    int64_t expected = range.first;
    db_bind_i64(&call, id);
    db_bind_i64(&call, range.first);
    while (db_row(&call)) {
        int64_t offset = db_i64(&call, 0);
        if (offset > range.top) {
            report(c, "there is a publication with offset %" PRId64 ", but the top is %" PRId64,
                   offset, range.top);
            continue;
        }
        report_missing(c, expected, offset - 1);
        expected = offset + 1;
        c->counts.n_publications++;
        check_texts(c, &call, offset);
    }
    bool is_read = call.rc == SQLITE_DONE;
    enum status status = end(c, &call);
    if (status == STATUS_OK && is_read) {
        report_missing(c, expected, range.top);
    }
    return status;
}

static enum status check_stream(struct check *c, const struct db_call *call)
{
    struct range range = {.top = db_i64(call, 3), .first = db_i64(call, 4)};
    c->counts.n_streams++;
    about_channel(c, db_str(call, 1));
    check_epoch(c, db_str(call, 2));
    if (range.top < 0 || range.top == INT64_MAX || range.first < 1 || range.first - 1 > range.top) {
        report(c, "its publications cannot begin at offset %" PRId64 " with %" PRId64 " as the top",
               range.first, range.top);
        return STATUS_OK;
    }
    return check_publications(c, db_i64(call, 0), range);
}

static enum status check_streams(struct check *c)
{
    struct db_call call = db_call(c->stmts[SQL_STREAMS]);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && db_row(&call)) {
        status = check_stream(c, &call);
    }
    about(c, STR("streams"));
    enum status ended = end(c, &call);
    return status == STATUS_OK ? ended : status;
}

static enum status check_unowned(struct check *c)
{
    struct db_call call = db_call(c->stmts[SQL_UNOWNED]);
    about(c, STR("publications"));
    while (db_row(&call)) {
        report(c,
               "%" PRId64 " belong to the stream with the number %" PRId64 ", which is not there",
               db_i64(&call, 1), db_i64(&call, 0));
    }
    return end(c, &call);
}

/* --- feeds --- */

static enum status check_feeds(struct check *c)
{
    struct db_call call = db_call(c->stmts[SQL_FEEDS]);
    while (db_row(&call)) {
        c->counts.n_feeds++;
        about_feed(c, db_str(&call, 0), db_str(&call, 1));
        check_json(c, "the parameters' text", db_str(&call, 1));
        check_json(c, "the snapshot", db_str(&call, 2));
        if (db_i64(&call, 4) != 0) {
            check_epoch(c, db_str(&call, 3));
        }
    }
    about(c, STR("feeds"));
    return end(c, &call);
}

static enum status check_values(struct check *c)
{
    struct db_call call = db_call(c->stmts[SQL_VALUES]);
    while (db_row(&call)) {
        struct str upstream = db_str(&call, 1);
        if (db_is_null(&call, 3)) {
            about(c, STR("feeds"));
            report(c,
                   "a value of upstream %.*s belongs to the feed with the number %" PRId64
                   ", which is not there",
                   STR_ARG(str_head(upstream, 100)), db_i64(&call, 0));
            continue;
        }
        char what[160];
        snprintf(what, sizeof(what), "the value of upstream %.*s",
                 STR_ARG(str_head(upstream, 100)));
        about_feed(c, db_str(&call, 3), db_str(&call, 4));
        check_json(c, what, db_str(&call, 2));
    }
    about(c, STR("feeds' values"));
    return end(c, &call);
}

/* --- since version 2 --- */

static enum status check_keys(struct check *c)
{
    struct db_call call = db_call(c->stmts_2[SQL_KEYS]);
    while (db_row(&call)) {
        about_channel(c, db_str(&call, 0));
        report(c, "an idempotency key stands for offset %" PRId64 ", but the top is %" PRId64,
               db_i64(&call, 1), db_i64(&call, 2));
    }
    about(c, STR("idempotency keys"));
    return end(c, &call);
}

static enum status check_marks(struct check *c)
{
    struct db_call call = db_call(c->stmts_2[SQL_MARKS]);
    about(c, STR("marks"));
    if (db_row(&call) && db_i64(&call, 0) != 1) {
        report(c, "there are %" PRId64 " rows instead of one", db_i64(&call, 0));
    }
    return end(c, &call);
}

/* --- since version 3 --- */

static enum status check_events(struct check *c)
{
    struct db_call call = db_call(c->stmts_3[SQL_EVENTS]);
    about(c, STR("events"));
    while (db_row(&call)) {
        struct json_error error;
        c->counts.n_events++;
        if (json_check(db_str(&call, 2), &error) != STATUS_OK) {
            report(c,
                   "number %" PRId64
                   " of the endpoint %.*s is not JSON: at byte %zu %s was expected",
                   db_i64(&call, 0), STR_ARG(str_head(db_str(&call, 1), 100)), error.offset,
                   error.expected);
        }
    }
    return end(c, &call);
}

static enum status check_last_event(struct check *c)
{
    struct db_call call = db_call(c->stmts_3[SQL_LAST_EVENT]);
    about(c, STR("events"));
    if (db_row(&call) && !db_is_null(&call, 0) && db_i64(&call, 0) > db_i64(&call, 1)) {
        report(c, "there is one with the number %" PRId64 ", but the last one given is %" PRId64,
               db_i64(&call, 0), db_i64(&call, 1));
    }
    return end(c, &call);
}

/* --- since version 4 --- */

static enum status check_runs(struct check *c)
{
    struct db_call call = db_call(c->stmts_4[SQL_RUNS]);
    while (db_row(&call)) {
        char what[64];
        c->counts.n_runs++;
        about_feed(c, db_str(&call, 1), db_str(&call, 2));
        snprintf(what, sizeof(what), "the parameters' text of run %" PRId64, db_i64(&call, 0));
        check_json(c, what, db_str(&call, 2));
        snprintf(what, sizeof(what), "the text of run %" PRId64, db_i64(&call, 0));
        check_json(c, what, db_str(&call, 3));
    }
    about(c, STR("feeds' runs"));
    return end(c, &call);
}

/* --- the whole --- */

/* One row may hold many lines, below a heading. */
static void report_lines(struct check *c, struct str text)
{
    while (text.len > 0) {
        ptrdiff_t at = str_find(text, '\n');
        struct str line = at < 0 ? text : str_head(text, (size_t)at);
        text = str_tail(text, line.len + 1);
        if (line.len > 0 && !str_starts_with(line, STR("***"))) {
            tell(c, line);
        }
    }
}

static enum status check_integrity(struct check *c)
{
    struct db_call call = db_call(c->stmts[SQL_INTEGRITY]);
    about(c, STR("SQLite"));
    while (db_row(&call)) {
        struct str text = db_str(&call, 0);
        if (!str_eq(text, STR("ok"))) {
            report_lines(c, text);
        }
    }
    return end(c, &call);
}

static enum status prepare(struct check *c)
{
    enum status status = db_prepare(&c->source.db, sql, c->stmts, N_SQL);
    if (status == STATUS_OK && c->source.version >= 2) {
        status = db_prepare(&c->source.db, sql_2, c->stmts_2, N_SQL_2);
    }
    if (status == STATUS_OK && c->source.version >= 3) {
        status = db_prepare(&c->source.db, sql_3, c->stmts_3, N_SQL_3);
    }
    if (status == STATUS_OK && c->source.version >= 4) {
        status = db_prepare(&c->source.db, sql_4, c->stmts_4, N_SQL_4);
    }
    return status;
}

static enum status run_steps(struct check *c)
{
    static const struct {
        int64_t since_version;
        enum status (*run)(struct check *);
    } steps[] = {
        {1, check_integrity},  {1, check_streams}, {1, check_unowned}, {1, check_feeds},
        {1, check_values},     {2, check_keys},    {2, check_marks},   {3, check_events},
        {3, check_last_event}, {4, check_runs},
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && status == STATUS_OK; i++) {
        if (c->source.version >= steps[i].since_version) {
            status = steps[i].run(c);
        }
    }
    return status;
}

static enum status check_all(struct check *c)
{
    enum status status = db_begin_read(&c->source.db);
    if (status == STATUS_OK) {
        status = prepare(c);
    }
    if (status == STATUS_OK) {
        status = run_steps(c);
    }
    if (status != STATUS_OK) {
        db_log_fault(&c->source.db, "check", status);
    }
    db_finalize(c->stmts, N_SQL);
    db_finalize(c->stmts_2, N_SQL_2);
    db_finalize(c->stmts_3, N_SQL_3);
    db_finalize(c->stmts_4, N_SQL_4);
    db_rollback(&c->source.db);
    return status;
}

enum status storage_check(const char *path, storage_finding_fn finding, void *arg,
                          struct storage_check_counts *ret_counts)
{
    struct check c = {.finding = finding, .arg = arg};
    enum status status = source_open(path, &c.source);
    if (status != STATUS_OK) {
        return status;
    }
    buf_init(&c.about, SIZE_MAX);
    status = check_all(&c);
    enum status closed = source_close(&c.source);
    buf_clear(&c.about);
    if (c.counts.n_findings > TOLD_MAX) {
        char more[64];
        snprintf(more, sizeof(more), "and %" PRIu64 " more", c.counts.n_findings - TOLD_MAX);
        finding(arg, more);
    }
    buf_release(&c.about);
    if (status == STATUS_OK) {
        status = closed;
    }
    if (status == STATUS_OK) {
        *ret_counts = c.counts;
    }
    return status;
}
