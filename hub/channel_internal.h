/* What the units that make up a channel share: channel, channel_load, channel_memory,
 * position_check, and history, which reads the tail. Not for others. */
#ifndef BELFRY_HUB_CHANNEL_INTERNAL_H
#define BELFRY_HUB_CHANNEL_INTERNAL_H

#include <uthash.h>

#include "hub/channel.h"
#include "hub/hub_internal.h"
#include "hub/tail.h"

struct load_waiter;
struct channel_read;

struct channel {
    UT_hash_handle hh;
    struct hub *hub;
    const struct namespace_options *ns;
    struct traffic_namespace *traffic; /* of that name; NULL: memory was short */
    unsigned n_refs;                   /* operations that hold it */

    struct client **places;
    uint32_t n_places;
    uint32_t capacity;
    uint32_t n_holes;
    uint32_t n_special;
    uint32_t n_with_joins;
    struct fan_out_queue queue;
    struct feed_instance *feed; /* that publishes here, held while there are subscribers; or NULL */

    bool is_loaded;
    struct storage_position top;
    uint64_t first;                    /* the storage keeps nothing below it; 0: not known */
    struct storage_position forgotten; /* up to there, by history_remove */
    struct tail tail;
    int64_t tail_expires_ms; /* wall clock: history_ttl after the last publication; 0: not known */
    int64_t long_until_ms;   /* the tail may be as long as a recovery: others may need it, too */

    struct channel_read *read;   /* under way, or what it brought is being handed out */
    struct load_waiter *waiting; /* for a read */
    struct load_waiter *ready;   /* to be answered */
    struct deferred answer;      /* to them */
    enum status load_status;

    /* of channel_memory */
    struct channel *use_prev, *use_next;   /* among those with a tail; NULL: without */
    struct channel *idle_prev, *idle_next; /* among those without subscribers; NULL: in use */
    size_t n_counted;                      /* bytes of it in the budget */
    int64_t idle_since_ms;

    /* of position_check */
    struct channel *check_prev, *check_next; /* in the round; NULL: not in it */
    int64_t check_due_ms;
    bool had_commit; /* since it was checked */

    size_t name_len;
    char name[];
};

static inline bool channel_is_idle(const struct channel *c)
{
    return c->idle_prev;
}

/* Nobody may use it. */
void channel_free(struct channel *c);

bool channel_tail_is_expired(const struct channel *c);
size_t channel_tail_max_items(const struct channel *c);
/* Puts what it lacks in front of its tail, as far as the limits allow. */
void channel_tail_adopt(struct channel *c, const struct tail *from);
/* The time of a long tail, or of all its publications, may be over. */
void channel_tail_trim(struct channel *c);

/* What is known of its publications is not so any more: who counts positions shall come again. */
void channel_begin_anew(struct channel *c);
/* The storage had `stored` after the channel was at `was`: if that is not the same stream any more,
 * its subscribers shall come again and its position is read again. The caller holds the channel. */
void channel_compare(struct channel *c, const struct storage_position *was,
                     const struct storage_position *stored);

/* --- channel_load --- */

/* For loop_defer(). */
void channel_answer_waiters(void *channel);
/* What a read brought, with all that was published since it began, in place of the tail. NULL. */
const struct tail *channel_read_tail(const struct channel *c);
void channel_read_push(struct channel *c, struct publication *p);
/* From somebody's own read of the storage: what it tells about the channel spares the next one. */
void channel_learn(struct channel *c, const struct storage_history *h);
/* What it brings is not wanted any more; the waiters are answered all the same. */
void channel_read_forget(struct channel *c);

#endif
