/* SPDX-License-Identifier: MIT */
/* Unit channel_reload gives every channel the options of its namespace in a new configuration, and
 * draws the conclusions for what is in memory of it. What subscribers have been granted stays with
 * their subscriptions, but where it would be a lie. Loop's thread. */
#include "hub/channel_internal.h"
#include "hub/client_internal.h"

static void unsubscribe_all(struct channel *c)
{
    for (uint32_t i = c->n_places; i-- > 0;) {
        if (i < c->n_places && c->places[i]) {
            client_end_subscription(c->places[i], c, &unsubscribe_insufficient_state);
        }
    }
}

/* first, had_history: as it was with the former options. */
static void adapt_history(struct channel *c, bool had_history, uint64_t first)
{
    bool has_history = namespace_has_history(c->ns);
    if (had_history && !has_history) {
        channel_begin_anew(c);
    } else if (has_history && c->is_loaded) {
        c->first =
            had_history ? first : c->first; /* a larger history does not reach further back */
        channel_tail_trim(c);
    }
}

static void adapt(struct channel *c, const struct namespace_options *ns)
{
    const struct namespace_options *was = c->ns;
    bool had_history = namespace_has_history(was);
    uint64_t first = channel_first(c);
    c->ns = ns;
    if (c->tail_expires_ms > 0) {
        c->tail_expires_ms += ns->history_ttl_ms - was->history_ttl_ms;
    }
    adapt_history(c, had_history, first);
    if (was->conflate_ms != ns->conflate_ms) {
        fan_out_queue_hurry(c->hub->fan_out, &c->queue);
    }
}

/* Which feed publishes here, if any, may have changed, too. */
static void adapt_feed(struct channel *c)
{
    if (channel_n_subscribers(c) == 0) {
        return;
    }
    struct feed_instance *was = c->feed;
    struct feed_instance *is = feed_instance_of_channel(c->hub, channel_name(c));
    c->feed = is;
    if (was == is) {
        if (was) {
            feed_instance_release(was);
        }
        return;
    }
    if (is) {
        schedule_watched(is);
    }
    if (was) {
        schedule_unwatched(was);
        feed_instance_release(was);
    }
}

static void visit(struct hub *hub, struct channel *c)
{
    const struct namespace_options *ns = &namespace_gone;
    bool is_there = namespace_find(hub->channel_options, channel_name(c), &ns) == STATUS_OK;
    adapt(c, is_there ? ns : &namespace_gone);
    if (!is_there) {
        unsubscribe_all(c);
    }
    adapt_feed(c);
    if (c->is_loaded && channel_n_subscribers(c) > 0) {
        position_check_add(c);
    }
}

/* One may be the end of others: its subscribers may leave those, too, and its tail may need their
 * place. */
void hub_commit_channels(struct hub *hub)
{
    for (struct channel *c = hub->channels; c;) {
        c->n_refs++;
        visit(hub, c);
        struct channel *next = channel_next(c);
        channel_release(c);
        c = next;
    }
}
