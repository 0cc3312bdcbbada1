/* The durable log: streams of publications with offsets and epochs, what feeds remember and how
 * they were refreshed, and events that wait for their endpoints. The whole face of this floor. It
 * knows no clients and no protocols; its callers know no SQL and not how many nodes stand behind
 * it.
 *
 * Threading: every function is for the loop's thread. One writer thread owns the only writing
 * connection and commits in groups; one reader thread has a read-only connection. With durability
 * "memory" there is no file, and reads are done by the writer.
 *
 * Operations are structs of the caller: fill in the "in" part, zero the rest, start it, and leave
 * it and every text it points to alone until done() is called - always exactly once, always later,
 * always on the loop's thread, with the "out" part filled in. An operation cannot be taken back;
 * done() may start others and may free the operation.
 *
 * Order: appends are written in the order of their start, and their done() calls come in that
 * order, but for those that the full queue refuses: they come first. A read that is started after
 * an append's done() sees that append, and a read's done() comes after that of every append that it
 * has seen: whoever reads a position has had all publications up to it. */
#ifndef BELFRY_STORAGE_STORAGE_H
#define BELFRY_STORAGE_STORAGE_H

#include "base/histogram.h"
#include "base/loop.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/str.h"

struct storage;

enum storage_durability {
    STORAGE_FULL,   /* an acknowledged write is synced to the disk */
    STORAGE_NORMAL, /* it survives a killed process; a power cut may take the last moments */
    STORAGE_MEMORY, /* no file: everything ends with the process */
};

struct storage_options {
    struct loop *loop;
    const char *path; /* the database file; its folder must exist. Not used by STORAGE_MEMORY */
    enum storage_durability durability;
    size_t queue_max_size; /* bytes of waiting writes; an append of a publication, an event or runs
                              beyond it ends STATUS_OVERLOADED */
    uint64_t stream_limit; /* streams kept; beyond it, those that never had a publication make room,
                              and where there are none a new stream ends STATUS_OVERLOADED */
    uint64_t idempotency_key_limit; /* remembered; an append with another ends STATUS_OVERLOADED */
};

/* Blocks: opens or makes the file, upgrades its schema, starts the threads. STATUS_VERSION for a
 * file of a newer program, STATUS_CORRUPT for one that is no database, STATUS_IO. Logs what was
 * wrong.
 *
 * When the file lacks commits that were acknowledged before (its write-ahead log was removed or
 * cut, an older copy was put back, or with STORAGE_NORMAL the machine went down), every stream goes
 * on in a new epoch: offsets that subscribers have seen are never given to other publications. */
enum status storage_open(const struct storage_options *options,
                         struct storage **ret_storage) MUST_CHECK;

/* Everything started is still finished, with its done() call; then closed() is called on the loop,
 * the last callback of this storage, which is freed after it. No operation may be started after
 * this. */
typedef void (*storage_closed_fn)(void *arg);
void storage_close(struct storage *storage, storage_closed_fn closed, void *arg);

/* --- streams --- */

#define STORAGE_EPOCH_SIZE RNG_EPOCH_SIZE

/* The last publication's number within its epoch; 0: none yet. */
struct storage_position {
    uint64_t offset;
    char epoch[STORAGE_EPOCH_SIZE];
};

/* How long a stream keeps what. All zero: no stream, see storage_append. */
struct storage_retention {
    int64_t size;        /* publications kept, > 0 */
    int64_t ttl_ms;      /* all are forgotten this long after the last one, > 0 */
    int64_t meta_ttl_ms; /* the position is forgotten this long after the last use, >= ttl_ms */
};

struct storage_op {
    struct storage_op *next; /* private */
    int kind;                /* private */
};

/* What a feed remembers; lives in the same transaction as its publication. */
struct storage_feed_value {
    struct str upstream;
    struct str value; /* JSON text */
    int http_status;
    int64_t time_ms;      /* wall clock of the answer */
    struct str condition; /* how to ask whether it has changed: a text of the caller's, or empty */
};

struct storage_feed_write {
    struct str feed;
    struct str params;   /* canonical JSON object text of the parameter values */
    struct str snapshot; /* JSON text */
    bool completed;      /* every upstream's value was fresh */
    int64_t time_ms;
    const struct storage_feed_value *values; /* the fresh ones; others stay as they are */
    size_t n_values;
    uint64_t snapshot_limit; /* of this feed; beyond it the oldest is forgotten. 0: none */
};

/* How long an idempotency key is remembered with its channel. */
#define STORAGE_IDEMPOTENCY_MS (5 * 60 * INT64_C(1000))

enum storage_suppression {
    STORAGE_NOT_SUPPRESSED,
    STORAGE_SAME_KEY,    /* the position is that of the first append with this key */
    STORAGE_OLD_VERSION, /* the position is the stream's top */
};

/* Appends a publication (when channel is not empty) and keeps a feed's results (when feed is set),
 * both or neither. Out: STATUS_OK and the position of the publication once it is committed;
 * STATUS_OVERLOADED; STATUS_IO when it could not be written - it is then not in the stream. A
 * stream that does not exist, or whose position's time is over, begins with a new epoch and
 * offset 1.
 *
 * With retention.size 0 nothing is kept of the publication, which has no position (offset 0, empty
 * epoch): only its idempotency key, which must then be set, is remembered.
 *
 * Suppressed: nothing was appended, and nobody shall be told. By an idempotency key that was used
 * in this channel during the last STORAGE_IDEMPOTENCY_MS, across restarts; or by a version that is
 * not above the stream's, if version_epoch is empty or the stream's. Another version_epoch begins
 * anew, an empty one leaves it. A suppressed append keeps no feed results. */
struct storage_append {
    struct storage_op op;
    /* in */
    struct str channel;
    struct storage_retention retention;
    struct str data;                       /* JSON text */
    struct str info;                       /* JSON text of the publishing client's info, or empty */
    struct str tags;                       /* JSON text, or empty */
    bool delta;                            /* published to be sent as a delta */
    struct str idempotency_key;            /* or empty */
    uint64_t version;                      /* 0: none; at most INT64_MAX */
    struct str version_epoch;              /* or empty */
    const struct storage_feed_write *feed; /* or NULL */
    void (*done)(struct storage_append *append);
    void *arg;
    /* out */
    enum status status;
    enum storage_suppression suppressed;
    struct storage_position position;
    int64_t time_ms; /* given by the writer */
};
void storage_append(struct storage *storage, struct storage_append *append);

struct storage_item {
    uint64_t offset;
    int64_t time_ms;
    struct str data, info, tags;
    bool delta;
};

/* Publications of a stream. Forward: offsets above since, ascending. Reverse: offsets below since
 * (0: from the top), descending. At most limit items; 0: only the position. Where the stream does
 * not exist (or its position's time is over) it is created first (new epoch, offset 0, committed),
 * so that a position that was handed out once stays true. Out: STATUS_OK, top and items; or
 * STATUS_IO. The items belong to the operation until storage_history_release(). */
struct storage_history {
    struct storage_op op;
    /* in */
    struct str channel;
    struct storage_retention retention;
    uint64_t since;
    bool reverse;
    size_t limit;
    size_t max_bytes; /* of texts: the item that reaches it is the last one; 0: no limit */
    void (*done)(struct storage_history *history);
    void *arg;
    /* out */
    enum status status;
    struct storage_position top;
    struct storage_item *items;
    size_t n_items;
    void *memory; /* private */
};
void storage_history(struct storage *storage, struct storage_history *history);
void storage_history_release(struct storage_history *history);

/* Forgets all publications of a stream; its position stays. Out: STATUS_OK and the position (all
 * zero where there is no such stream); STATUS_IO. Written in the order of the appends. */
struct storage_remove {
    struct storage_op op;
    /* in */
    struct str channel;
    void (*done)(struct storage_remove *remove);
    void *arg;
    /* out */
    enum status status;
    struct storage_position top;
};
void storage_remove(struct storage *storage, struct storage_remove *remove);

/* --- feeds --- */

struct storage_feed_item {
    struct str upstream;
    struct str value;
    int http_status;
    int64_t time_ms;
    struct str condition;
};

/* What was kept last for a feed and its parameters. Out: STATUS_OK; STATUS_NOT_FOUND when nothing
 * is kept; STATUS_IO. Belongs to the operation until
 * storage_feed_read_release(). */
struct storage_feed_read {
    struct storage_op op;
    /* in */
    struct str feed;
    struct str params;
    void (*done)(struct storage_feed_read *read);
    void *arg;
    /* out */
    enum status status;
    struct str snapshot;
    bool completed;
    int64_t time_ms;
    struct storage_position position; /* of the last publication of this snapshot; offset 0: none */
    struct storage_feed_item *items;  /* ordered by upstream */
    size_t n_items;
    void *memory; /* private */
};
void storage_feed_read(struct storage *storage, struct storage_feed_read *read);
void storage_feed_read_release(struct storage_feed_read *read);

/* Forgets what was kept of a feed: with these parameters, or (params empty) with all, then some
 * hundred at a time, because publishers wait meanwhile. Runs stay. Out: STATUS_OK and how many
 * snapshots there were; with params empty, call again until it is 0. STATUS_IO. Written in the
 * order of the appends. */
struct storage_feed_purge {
    struct storage_op op;
    /* in */
    struct str feed;
    struct str params;
    void (*done)(struct storage_feed_purge *purge);
    void *arg;
    /* out */
    enum status status;
    uint64_t n_removed;
};
void storage_feed_purge(struct storage *storage, struct storage_feed_purge *purge);

/* What is remembered of refreshes. */
struct storage_run {
    struct str feed;   /* not empty */
    struct str params; /* canonical JSON object text */
    int64_t time_ms;   /* wall clock of the start */
    int64_t duration_us;
    struct str text; /* JSON */
    uint64_t size;   /* runs kept of this feed, > 0: the newest */
    int64_t ttl_ms;  /* and no longer than this, > 0 */
};

/* All or none. A feed keeps as many as the last of its runs says; when that is much less than
 * before, the surplus goes with the next appends, some hundred at a time. Out: STATUS_OK once they
 * are committed; STATUS_OVERLOADED; STATUS_IO. */
struct storage_runs_append {
    struct storage_op op;
    /* in */
    const struct storage_run *runs; /* oldest first */
    size_t n_runs;
    void (*done)(struct storage_runs_append *append);
    void *arg;
    /* out */
    enum status status;
};
void storage_runs_append(struct storage *storage, struct storage_runs_append *append);

/* Those appended last come first; params empty: of all parameters. Size and ttl of the runs are not
 * filled in; damaged ones are logged and left out. Out: STATUS_OK and the runs; STATUS_IO. They
 * belong to the operation until storage_runs_release(). */
struct storage_runs_read {
    struct storage_op op;
    /* in */
    struct str feed;
    struct str params;
    size_t limit;
    size_t max_bytes; /* of texts: the run that reaches it is the last one; 0: no limit */
    void (*done)(struct storage_runs_read *read);
    void *arg;
    /* out */
    enum status status;
    struct storage_run *runs;
    size_t n_runs;
    void *memory; /* private */
};
void storage_runs_read(struct storage *storage, struct storage_runs_read *read);
void storage_runs_release(struct storage_runs_read *read);

/* --- events: each is kept for one endpoint, until it is removed --- */

/* Out: STATUS_OK and the event's id, once it is committed; STATUS_OVERLOADED; STATUS_IO when it
 * could not be written - it is then not kept. Ids ascend in the order of the starts, over all
 * endpoints, with gaps; none is given a second time (by a file that was made anew or is an old copy
 * as long as the clock goes on). They stay below 2^53. */
struct storage_event_append {
    struct storage_op op;
    /* in */
    struct str endpoint; /* its name, not empty */
    struct str text;     /* JSON */
    int64_t time_ms;     /* wall clock of the event */
    void (*done)(struct storage_event_append *append);
    void *arg;
    /* out */
    enum status status;
    uint64_t id;
};
void storage_event_append(struct storage *storage, struct storage_event_append *append);

struct storage_event {
    uint64_t id;
    int64_t time_ms;
    struct str text; /* empty: the file's is damaged, which was logged */
};

/* The oldest events of an endpoint: those above since, at most limit. Out: STATUS_OK and the
 * events; STATUS_IO. They belong to the operation until storage_events_release(). */
struct storage_events_read {
    struct storage_op op;
    /* in */
    struct str endpoint;
    uint64_t since;
    size_t limit;
    size_t max_bytes; /* of texts: the event that reaches it is the last one; 0: no limit */
    void (*done)(struct storage_events_read *read);
    void *arg;
    /* out */
    enum status status;
    struct storage_event *events;
    size_t n_events;
    void *memory; /* private */
};
void storage_events_read(struct storage *storage, struct storage_events_read *read);
void storage_events_release(struct storage_events_read *read);

/* Removes an endpoint's events up to an id. Out: STATUS_OK and how many there were; STATUS_IO. */
struct storage_events_remove {
    struct storage_op op;
    /* in */
    struct str endpoint;
    uint64_t last_id;
    void (*done)(struct storage_events_remove *remove);
    void *arg;
    /* out */
    enum status status;
    uint64_t n_removed;
};
void storage_events_remove(struct storage *storage, struct storage_events_remove *remove);

/* How many events an endpoint has: those whose appends were started before, and no others. Out:
 * STATUS_OK; STATUS_IO. */
struct storage_events_count {
    struct storage_op op;
    /* in */
    struct str endpoint;
    void (*done)(struct storage_events_count *count);
    void *arg;
    /* out */
    enum status status;
    uint64_t n_events;
};
void storage_events_count(struct storage *storage, struct storage_events_count *count);

/* Removes events of all endpoints but these, some hundred at a time: publishers wait meanwhile.
 * Out: STATUS_OK, with 0 when there are no more; STATUS_IO. */
struct storage_events_remove_others {
    struct storage_op op;
    /* in */
    const struct str *endpoints;
    size_t n_endpoints;
    void (*done)(struct storage_events_remove_others *remove);
    void *arg;
    /* out */
    enum status status;
    uint64_t n_removed;
};
void storage_events_remove_others(struct storage *storage,
                                  struct storage_events_remove_others *remove);

/* --- figures --- */

struct storage_stats {
    size_t queue_bytes; /* waiting now */
    size_t queue_length;
    size_t queue_max_size;
    uint64_t n_appends;    /* of publications, committed */
    uint64_t n_suppressed; /* of these: by key or version */
    uint64_t n_events;     /* committed */
    uint64_t n_groups;     /* transactions with appends or other writes in them */
    uint64_t n_overloaded; /* refused for a full queue or a limit */
    uint64_t n_failed;     /* not written for a fault */
    bool is_failing;       /* the last transaction failed (a full disk ...); it is tried again each
                              second, also when there is nothing to write */
    uint64_t n_reads;      /* done, by the reader or the writer */
    uint64_t n_streams;
    uint64_t n_idempotency_keys;
    uint64_t n_feed_snapshots;
    uint64_t wal_bytes;                   /* of the write-ahead log, as of the last commit */
    const struct histogram *group_sizes;  /* operations; lives as long as the storage */
    const struct histogram *commit_times; /* from the beginning of a group to its commit */
};
void storage_stats(struct storage *storage, struct storage_stats *ret_stats);

/* --- tools, for a file that may be in use by a running hub. Blocking; not for the loop's thread
 * while it serves. --- */

/* Called for each thing that is wrong, in words for an operator. */
typedef void (*storage_finding_fn)(void *arg, const char *text);
struct storage_check_counts {
    uint64_t n_streams;
    uint64_t n_publications;
    uint64_t n_feeds;
    uint64_t n_events;
    uint64_t n_runs;
    uint64_t n_findings;
};
/* SQLite's own integrity check, then ours: what counts in a stream is contiguous and ends at its
 * top, nothing belongs to nobody. STATUS_OK also with findings; STATUS_NOT_FOUND: no such file;
 * STATUS_CORRUPT: no database of ours, or unreadable; STATUS_VERSION; STATUS_CANCELLED: a hub began
 * to use the file meanwhile; STATUS_IO. Writes nothing. */
enum status storage_check(const char *path, storage_finding_fn finding, void *arg,
                          struct storage_check_counts *ret_counts) MUST_CHECK;

/* A consistent copy, synced to disk, complete or not there: it is made as "<to>.partial" and
 * renamed. A hub that opens it begins new epochs, because clients may have seen more than is in it.
 * STATUS_ALREADY: there is a file at to; others as above. */
enum status storage_backup(const char *path, const char *to) MUST_CHECK;

#endif
