/* SPDX-License-Identifier: MIT */
/* Unit history_remove makes a channel forget its publications, in the storage and in memory. The
 * storage gives the order: what was committed before the removal is gone, what is committed after
 * it stays. */
#include <stdlib.h>

#include "hub/channel.h"
#include "hub/hub_internal.h"

struct history_remove {
    struct hub *hub;
    struct storage_remove remove;
    struct deferred answer; /* of a refusal */
    enum status status;
    history_remove_done_fn done;
    void *arg;
    size_t channel_len;
    char channel[];
};

static void finish(struct history_remove *r)
{
    r->hub->n_operations--;
    free(r);
}

static void removed(struct storage_remove *remove)
{
    struct history_remove *r = remove->arg;
    struct channel *channel = channel_find(r->hub, remove->channel);
    if (remove->status == STATUS_OK && channel) {
        channel_forget_items(channel, &remove->top);
    }
    r->done(r->arg, remove->status);
    finish(r);
}

static void refuse(void *arg)
{
    struct history_remove *r = arg;
    r->done(r->arg, r->status);
    finish(r);
}

static enum status check(struct hub *hub, struct str channel)
{
    if (hub->is_stopping) {
        return STATUS_CLOSED;
    }
    const struct namespace_options *ns;
    enum status status = namespace_find(hub->channel_options, channel, &ns);
    if (status != STATUS_OK) {
        return status;
    }
    return namespace_has_history(ns) ? STATUS_OK : STATUS_NOT_AVAILABLE;
}

void hub_history_remove(struct hub *hub, struct str channel, history_remove_done_fn done, void *arg)
{
    enum status status = check(hub, channel);
    struct str name = status == STATUS_OK ? channel : STR_EMPTY;
    struct history_remove *r = hub_allocate(sizeof(*r) + name.len + 1);
    r->hub = hub;
    r->status = status;
    r->done = done;
    r->arg = arg;
    r->answer = (struct deferred){.fn = refuse, .arg = r};
    r->channel_len = name.len;
    memcpy(r->channel, name.ptr ? name.ptr : "", name.len);
    hub->n_operations++;
    if (status == STATUS_OK) {
        r->remove = (struct storage_remove){
            .channel = {r->channel, r->channel_len}, .done = removed, .arg = r};
        storage_remove(hub->storage, &r->remove);
    } else {
        loop_defer(hub->loop, &r->answer);
    }
}
