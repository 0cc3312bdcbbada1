/* SPDX-License-Identifier: MIT */
/* Unit client_users knows which connections are whose: for limits per user, and for what backends
 * do to a user. The anonymous user is nobody: it is only counted. */
#include <stdlib.h>
#include <utlist.h>

#include "hub/client_internal.h"
#include "hub/hub_internal.h"

struct user *user_find(struct hub *hub, struct str name)
{
    struct user *user = NULL;
    if (name.len > 0) {
        HASH_FIND(hh, hub->users, name.ptr, name.len, user);
    }
    return user;
}

static struct user *create_user(struct hub *hub, struct str name)
{
    struct user *user = calloc(1, sizeof(*user) + name.len + 1);
    if (user) {
        user->name_len = name.len;
        memcpy(user->name, name.ptr, name.len);
        HASH_ADD(hh, hub->users, name, user->name_len, user);
    }
    return user;
}

enum status client_set_user(struct client *c, struct str name)
{
    if (name.len == 0) {
        c->is_known = true;
        c->hub->n_anonymous++;
        return STATUS_OK;
    }
    struct user *user = user_find(c->hub, name);
    user = user ? user : create_user(c->hub, name);
    if (!user) {
        return STATUS_NO_MEMORY;
    }
    DL_APPEND2(user->clients, c, user_prev, user_next);
    user->n_clients++;
    c->user = user;
    c->is_known = true;
    return STATUS_OK;
}

void client_forget_user(struct client *c)
{
    struct user *user = c->user;
    if (!c->is_known) {
        return;
    }
    c->is_known = false;
    if (!user) {
        c->hub->n_anonymous--;
        return;
    }
    DL_DELETE2(user->clients, c, user_prev, user_next);
    c->user = NULL;
    if (--user->n_clients == 0) {
        HASH_DEL(c->hub->users, user);
        free(user);
    }
}
