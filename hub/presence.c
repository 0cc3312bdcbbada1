/* SPDX-License-Identifier: MIT */
/* Unit presence tells who is in a channel. The list of subscribers is the presence: nothing is kept
 * beside it. */
#include <stdlib.h>

#include <uthash.h>

#include "hub/channel.h"
#include "hub/hub_internal.h"

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

enum status hub_presence(struct hub *hub, struct str name, presence_fn each, void *arg)
{
    struct channel *channel;
    enum status status = find_present(hub, name, &channel);
    if (status != STATUS_OK || !channel) {
        return status;
    }
    for (size_t i = 0; i < channel_n_places(channel); i++) {
        struct client *client = channel_subscriber(channel, i);
        if (client) {
            each(arg, client);
        }
    }
    return STATUS_OK;
}

struct user_entry {
    UT_hash_handle hh;
};

void user_set_add(struct user_set *set, const struct client *client)
{
    struct str user = client_user(client);
    struct user_entry *entry = NULL;
    const char *key = user.len > 0 ? user.ptr : "";
    HASH_FIND(hh, set->entries, key, user.len, entry);
    if (entry) {
        return;
    }
    entry = hub_allocate(sizeof(*entry));
    HASH_ADD_KEYPTR(hh, set->entries, key, user.len, entry);
    set->n_users++;
}

void user_set_release(struct user_set *set)
{
    struct user_entry *entry;
    struct user_entry *next;
    HASH_ITER (hh, set->entries, entry, next) {
        HASH_DEL(set->entries, entry);
        free(entry);
    }
}

static void count_user(void *arg, const struct client *client)
{
    user_set_add(arg, client);
}

enum status hub_presence_stats(struct hub *hub, struct str name, size_t *ret_clients,
                               size_t *ret_users)
{
    struct channel *channel = NULL;
    enum status status = find_present(hub, name, &channel);
    if (status != STATUS_OK) {
        return status;
    }
    struct user_set users = {0};
    if (channel) {
        status = hub_presence(hub, name, count_user, &users);
    }
    *ret_clients = channel ? channel_n_subscribers(channel) : 0;
    *ret_users = users.n_users;
    user_set_release(&users);
    return status;
}
