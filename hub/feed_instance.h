/* An instance: a feed with one set of parameter values, and what is known of it in memory - its
 * last snapshot, the last good answer of each upstream, the run that is under way, its schedule.
 * There is one object per instance. Those that nobody holds stay in memory until
 * upstreams.memory_max_size asks for their place; the storage has what they know. */
#ifndef BELFRY_HUB_FEED_INSTANCE_H
#define BELFRY_HUB_FEED_INSTANCE_H

#include <uthash.h>

#include "hub/feed_params.h"
#include "hub/publication.h"
#include "hub/schedule.h"

struct refresh;
struct feed_reading;

#define FEED_ETAG_SIZE 40

/* A text that several hold. */
struct feed_text {
    unsigned refs;
    size_t len;
    char bytes[];
};
/* NULL when memory is short. */
struct feed_text *feed_text_create(struct str text);
struct feed_text *feed_text_ref(struct feed_text *text);
/* Accepts NULL. */
void feed_text_unref(struct feed_text *text);

/* The last good answer of one upstream. */
struct feed_value {
    struct feed_text *text;      /* the selected part; NULL: none */
    struct feed_text *condition; /* how to ask whether it has changed (refresh_part.c); NULL */
    int http_status;
    int64_t time_ms;       /* wall clock of the last answer that said so */
    int64_t not_before_ms; /* of the loop: with respect_cache it is not asked sooner; 0: any time */
    bool is_told_to_wait;  /* by Retry-After; otherwise the answer is good until then */
    bool is_stored;        /* the storage has this text and condition */
    bool is_text_stored;   /* the text, with another condition: it can wait for the next write */
};

struct feed_snapshot {
    struct publication *document; /* NULL: there is none. Its offset is not to be looked at */
    bool is_completed;
    int64_t time_ms;           /* wall clock of the last run that found it so */
    char etag[FEED_ETAG_SIZE]; /* made when it is asked for */
};

struct feed_instance {
    UT_hash_handle hh;
    char *key; /* feed, NUL, parameters */
    struct hub *hub;
    struct feed *feed; /* a reference */
    bool is_moving;    /* the configuration has another feed of this name, or none: see catch_up */
    bool is_detached;  /* of a feed that is no more: nobody else finds it */
    struct feed_params params;
    unsigned n_refs;
    struct feed_instance *prev, *next; /* among those that nobody holds */
    size_t n_counted;                  /* bytes, in the budget */

    bool is_known; /* the storage has been read */
    enum status load_status;
    struct feed_reading *reading; /* under way */
    struct feed_load *waiting;    /* for it */

    struct feed_snapshot stored;      /* what the storage has and subscribers have got */
    struct storage_position position; /* of its publication; offset 0: none */
    struct feed_snapshot held;        /* a newer one, which waits for min_interval */
    struct publication *shown; /* the newest, without an offset, for new subscribers; or NULL */
    int64_t written_ms;        /* time_ms and is_completed as the storage has them */
    bool was_written_completed;
    struct feed_value *values; /* one per upstream */
    int64_t pushed_ms;         /* of the loop; 0: not since the start */
    int64_t last_run_ms;       /* end of the last run, of the loop; 0: none since the start */
    bool is_outdated;          /* an upstream says so, and nobody was there */
    bool is_to_forget;         /* at the end of the run that is under way */
    struct deadline hold;      /* its end */
    struct refresh *running;
    struct schedule schedule;
};

/* All instances of a hub; zero-initialised. */
struct feed_table {
    struct feed_instance *instances; /* a hash */
    struct feed_instance *idle;      /* a list, the longest unused first */
    size_t n_bytes;
    unsigned n_walks; /* under way: nothing is evicted */
    uint64_t n_evicted;
    size_t n_watched; /* refreshed by themselves */
    uint64_t n_watch_refused;
};

/* Found or made, and held. Takes params, also in failure. STATUS_UNKNOWN_CHANNEL and others of
 * namespace_find(). */
enum status feed_instance_acquire(struct feed *feed, struct feed_params *params,
                                  struct feed_instance **ret_instance) MUST_CHECK;
/* The instance whose channel this is, held; NULL: there is none. */
struct feed_instance *feed_instance_of_channel(struct hub *hub, struct str channel);
void feed_instance_hold(struct feed_instance *in);
void feed_instance_release(struct feed_instance *in);
/* Calls fn() for each, which may start runs, but not ask for new instances. */
void feed_instances_each(struct hub *hub, void (*fn)(struct feed_instance *in, void *arg),
                         void *arg);
/* All of a hub; nobody may hold one. */
void feed_instances_destroy(struct hub *hub);
/* The feeds are others: each instance goes over to the feed that has the name of its own now, with
 * what it knows, or is detached where there is none, or where it would not have these parameters. A
 * run or a read that is under way ends as it began. */
void feed_instances_move(struct hub *hub);
/* Goes over now, if it had to wait. */
void feed_instance_catch_up(struct feed_instance *in);

/* Of its channel; NULL: an ad hoc feed without one. */
const struct namespace_options *feed_instance_namespace(const struct feed_instance *in);
struct str feed_instance_channel(const struct feed_instance *in);
struct str feed_instance_params(const struct feed_instance *in);

/* Reads the storage, once for all who ask meanwhile. done() comes later, exactly once, also when
 * all is known already; in->is_known says whether it could be read, in->load_status why not. The
 * caller holds the instance until then. */
struct feed_load {
    struct feed_load *next;
    struct deferred deferred;
    void (*done)(void *arg);
    void *arg;
};
void feed_instance_load(struct feed_instance *in, struct feed_load *load);

/* The newest snapshot; document NULL: there is none. */
struct feed_snapshot *feed_instance_newest(struct feed_instance *in);
/* The same for a new subscriber; the instance's reference. NULL: there is none, or no memory. */
struct publication *feed_instance_show(struct feed_instance *in);
/* Of a snapshot with a document: with quotes. */
struct str feed_snapshot_etag(struct feed_snapshot *snapshot);
/* Takes the reference to the document. */
void feed_instance_set_stored(struct feed_instance *in, struct publication *document,
                              bool is_completed, int64_t time_ms);
void feed_instance_set_held(struct feed_instance *in, struct publication *document,
                            bool is_completed, int64_t time_ms);
/* Ends the holding, if there is any. */
void feed_instance_drop_held(struct feed_instance *in);
/* Memory of values has changed: counts it. */
void feed_instance_count(struct feed_instance *in);
/* What is in memory; the storage will be read again. While a run is under way: at its end. */
void feed_instance_forget(struct feed_instance *in);

#endif
