/* SPDX-License-Identifier: MIT */
/* Unit presence tells who is in a channel. The list of subscribers is the presence: nothing is kept
 * beside it. */
#include <stdlib.h>

#include "hub/channel.h"
#include "hub/client_internal.h"
#include "hub/hub_internal.h"

/* Where the namespace has no presence a token may still have put single subscribers in it: who asks
 * is told that it is off. */
static enum status find_present(struct hub *hub, struct str name, struct channel **ret_channel)
{
    const struct namespace_options *ns;
    enum status status = namespace_find(hub->channel_options, name, &ns);
    if (status != STATUS_OK) {
        return status;
    }
    if (!ns->presence) {
        return STATUS_NOT_AVAILABLE;
    }
    *ret_channel = channel_find(hub, name);
    return STATUS_OK;
}

static void each_present(struct channel *channel, presence_fn each, void *arg)
{
    for (size_t i = 0; i < channel_n_places(channel); i++) {
        struct client *client = channel_subscriber(channel, i);
        const struct subscription *s = client ? client_subscription(client, channel) : NULL;
        if (s && s->is_present) {
            each(arg, client, channel);
        }
    }
}

enum status hub_presence(struct hub *hub, struct str name, presence_fn each, void *arg)
{
    struct channel *channel;
    enum status status = find_present(hub, name, &channel);
    if (status == STATUS_OK && channel) {
        each_present(channel, each, arg);
    }
    return status;
}

struct user_entry {
    UT_hash_handle hh;
};

struct presence_count {
    struct user_entry *entries; /* by user */
    size_t n_clients;
    size_t n_users;
};

static void count(void *arg, const struct client *client, const struct channel *channel)
{
    struct presence_count *c = arg;
    const struct user *user = client->user; /* one object per user; NULL is the anonymous one */
    struct user_entry *entry = NULL;
    (void)channel;
    c->n_clients++;
    HASH_FIND(hh, c->entries, &client->user, sizeof(user), entry);
    if (entry) {
        return;
    }
    entry = hub_allocate(sizeof(*entry));
    HASH_ADD_KEYPTR(hh, c->entries, &client->user, sizeof(user), entry);
    c->n_users++;
}

static void release(struct presence_count *c)
{
    struct user_entry *entry;
    struct user_entry *next;
    HASH_ITER (hh, c->entries, entry, next) {
        HASH_DEL(c->entries, entry);
        free(entry);
    }
}

enum status hub_presence_stats(struct hub *hub, struct str name, size_t *ret_clients,
                               size_t *ret_users)
{
    struct channel *channel = NULL;
    enum status status = find_present(hub, name, &channel);
    if (status != STATUS_OK) {
        return status;
    }
    struct presence_count c = {0};
    if (channel) {
        each_present(channel, count, &c);
    }
    *ret_clients = c.n_clients;
    *ret_users = c.n_users;
    release(&c);
    return STATUS_OK;
}
