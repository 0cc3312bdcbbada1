/* A channel that somebody is subscribed to or that an operation is using: its subscribers, its
 * position and its recent publications. One with history stays in memory for channel.idle_timeout
 * when nobody uses it any more, and goes on following its publications; then it has no memory here,
 * and what it keeps is in the storage. */
#ifndef BELFRY_HUB_CHANNEL_H
#define BELFRY_HUB_CHANNEL_H

#include "hub/fan_out.h"
#include "hub/hub.h"
#include "hub/publication.h"

struct channel;
struct client;

/* The channel's object, made when absent; hold it by channel_ref. NULL when memory is short. ns: of
 * its name. */
struct channel *channel_acquire(struct hub *hub, struct str name,
                                const struct namespace_options *ns);
/* Without making it: NULL when it is not in memory. Does not hold it. */
struct channel *channel_find(struct hub *hub, struct str name);
/* After the last one, with no subscribers left, it may be gone. */
void channel_release(struct channel *channel);

/* All that are in memory, beginning with the hub's first. */
struct channel *channel_next(const struct channel *channel);

struct str channel_name(const struct channel *channel);
const struct namespace_options *channel_namespace(const struct channel *channel);
size_t channel_n_subscribers(const struct channel *channel);
/* In no order; index below channel_n_places(); NULL: an empty place. */
size_t channel_n_places(const struct channel *channel);
struct client *channel_subscriber(const struct channel *channel, size_t index);

/* The places themselves; valid until a subscriber is added. */
struct client *const *channel_places(const struct channel *channel);

/* What a subscriber has that most have not. */
struct channel_wishes {
    bool is_special; /* does not get the frames that all others get: subscription_is_special() */
    bool has_joins;  /* is told who comes and goes */
};
/* How many are special. */
size_t channel_n_special(const struct channel *channel);

/* STATUS_NO_MEMORY. The index is given back to channel_remove; client_moved_in_channel() tells when
 * it changes. */
enum status channel_add(struct channel *channel, struct client *client,
                        struct channel_wishes wishes, uint32_t *ret_index) MUST_CHECK;
/* May free the channel. */
void channel_remove(struct channel *channel, uint32_t index, struct channel_wishes wishes);

/* Somebody comes or goes: told, at the loop's tail, to those of its subscribers who want to know.
 * info: JSON; copied. */
void channel_tell_presence(struct channel *channel, enum presence_event event, struct str info);
/* A subscriber with deltas was given p (the newest; or NULL) with its reply: can deltas go on from
 * there? */
bool channel_has_base(struct channel *channel, struct publication *p);

/* A committed publication (or one without history: position NULL): becomes the top, joins the tail,
 * and goes to the subscribers at the loop's tail. report: NULL: not wanted. */
void channel_publish(struct channel *channel, struct publication *publication,
                     const struct storage_position *position, struct fan_out_report *report);

/* --- position and tail, for channels with history --- */

/* Makes the position known, reading the storage once for all who ask meanwhile. loaded() comes
 * later, exactly once, also when the position is known already; the caller holds the channel until
 * then. STATUS_IO when the storage could not be read. STATUS_NO_MEMORY as the answer of the call
 * itself: loaded() will not come. */
typedef void (*channel_loaded_fn)(void *arg, enum status status);
enum status channel_load(struct channel *channel, channel_loaded_fn loaded, void *arg) MUST_CHECK;
/* The same, and brings back what came after since: channel_tail_since() says true during loaded(),
 * if the storage still has it all within client.recovery_max_publication_limit and
 * client.history_max_size. One read at a time, which all share whom it serves. */
enum status channel_recall(struct channel *channel, uint64_t since, channel_loaded_fn loaded,
                           void *arg) MUST_CHECK;
bool channel_is_loaded(const struct channel *channel);
const struct storage_position *channel_top(const struct channel *channel);

/* The storage keeps nothing below this offset, as far as is known. */
uint64_t channel_first(const struct channel *channel);

/* The publications after since up to the top, if the memory reaches back that far: true, and the
 * number. The array is valid until the next call of anything here. */
bool channel_tail_since(struct channel *channel, uint64_t since,
                        struct publication *const **ret_publications, size_t *ret_n);

/* The storage has forgotten the publications up to top, after all that came here before: the tail
 * forgets them too. Subscribers and position stay. */
void channel_forget_items(struct channel *channel, const struct storage_position *top);

/* For fan_out.c: nothing is left to deliver. May free the channel. */
void channel_delivered(struct channel *channel);

#endif
