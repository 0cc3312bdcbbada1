/* SPDX-License-Identifier: MIT */
/* Unit feed_move takes instances over to the feeds of a new configuration. What is known stays: the
 * snapshot, and of the values those whose upstream has kept its name (whether they answer what is
 * asked now, refresh_request.c finds out). A run counts on its feed and its values, and a read on
 * its texts: where one is under way, the instance follows at its end. Loop's thread. */
#include <stdlib.h>

#include "hub/hub_internal.h"
#include "hub/refresh.h"

static bool is_busy(const struct feed_instance *in)
{
    return in->running || in->reading;
}

/* --- to another feed --- */

/* The parameters as the feed has them. False: it has others, or its channel cannot be. */
static bool read_params(const struct feed_instance *in, const struct feed *to,
                        struct feed_params *ret_params)
{
    const struct namespace_options *ns;
    struct buf why;
    buf_init(&why, 1024);
    bool fits =
        feed_params_read(to, feed_instance_params(in), ret_params, &why) == STATUS_OK &&
        str_eq(buf_str(&ret_params->json), feed_instance_params(in)) &&
        namespace_find(in->hub->channel_options, buf_str(&ret_params->channel), &ns) == STATUS_OK;
    buf_release(&why);
    if (!fits) {
        feed_params_release(ret_params);
    }
    return fits;
}

static void take_params(struct feed_instance *in, struct feed_params *params)
{
    if (!str_eq(buf_str(&params->channel), feed_instance_channel(in))) {
        in->position = (struct storage_position){0}; /* that was another channel's */
        in->pushed_ms = 0;
    }
    feed_params_release(&in->params);
    in->params = *params;
}

static void take_values(struct feed_instance *in, const struct feed *to)
{
    struct feed_value *values = hub_allocate((to->n_upstreams + 1) * sizeof(*values));
    for (size_t i = 0; i < in->feed->n_upstreams; i++) {
        const char *name = in->feed->upstreams[i].options->name;
        size_t k = 0;
        while (k < to->n_upstreams && strcmp(to->upstreams[k].options->name, name) != 0) {
            k++;
        }
        if (k < to->n_upstreams) {
            values[k] = in->values[i];
            values[k].not_before_ms = 0; /* it may be another host */
            values[k].is_told_to_wait = false;
        } else {
            feed_text_unref(in->values[i].text);
            feed_text_unref(in->values[i].condition);
        }
    }
    free(in->values);
    in->values = values;
}

static void take_feed(struct feed_instance *in, struct feed *to)
{
    struct feed *from = in->feed;
    take_values(in, to);
    in->feed = feed_ref(to);
    from->stats.n_watched -= in->schedule.is_on;
    to->stats.n_watched += in->schedule.is_on;
    feed_instance_count(in);
    schedule_moved(in);
    feed_unref(from);
}

/* --- to none --- */

/* Who holds it may go on; what was accepted is published. */
static void detach(struct feed_instance *in)
{
    HASH_DEL(in->hub->feed_table.instances, in);
    in->is_detached = true;
    schedule_stop(in);
    refresh_publish_held(in);
}

/* --- all of them --- */

static struct feed *find_target(const struct feed_instance *in)
{
    struct hub *hub = in->hub;
    for (size_t i = 0; i < hub->n_feeds; i++) {
        if (str_eq(feed_name(hub->feeds[i]), feed_name(in->feed))) {
            return hub->feeds[i];
        }
    }
    return NULL;
}

static void move(struct feed_instance *in)
{
    struct feed *to = find_target(in);
    struct feed_params params;
    in->is_moving = false;
    if (to == in->feed) {
        return;
    }
    feed_instance_hold(in);
    if (to && read_params(in, to, &params)) {
        take_params(in, &params);
        take_feed(in, to);
    } else {
        detach(in);
    }
    feed_instance_release(in);
}

void feed_instance_catch_up(struct feed_instance *in)
{
    if (in->is_moving && !is_busy(in)) {
        move(in);
    }
}

static void begin_to_move(struct feed_instance *in, void *arg)
{
    (void)arg;
    in->is_moving = true;
    feed_instance_catch_up(in);
}

void feed_instances_move(struct hub *hub)
{
    feed_instances_each(hub, begin_to_move, NULL);
}
