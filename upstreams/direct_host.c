/* SPDX-License-Identifier: MIT */
/* The hosts of the direct client, by host and port: connections that are kept, and the address, if
 * the host is one. */
#include <arpa/inet.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include "upstreams/direct_internal.h"
#include "upstreams/direct_url.h"

#define MIN_HOSTS 1024

/* --- addresses --- */

static bool read_v4(const char *text, uint16_t port, struct direct_address *address)
{
    if (inet_pton(AF_INET, text, &address->name.v4.sin_addr) != 1) {
        return false;
    }
    address->name.v4.sin_family = AF_INET;
    address->name.v4.sin_port = htons(port);
    address->len = sizeof(address->name.v4);
    return true;
}

static bool read_v6(const char *text, uint16_t port, struct direct_address *address)
{
    if (inet_pton(AF_INET6, text, &address->name.v6.sin6_addr) != 1) {
        return false;
    }
    address->name.v6.sin6_family = AF_INET6;
    address->name.v6.sin6_port = htons(port);
    address->len = sizeof(address->name.v6);
    return true;
}

/* What is none is treated as a name. */
static void read_address(const struct direct_authority *authority, struct direct_address *address)
{
    struct direct_address read = {.len = 0};
    char text[INET6_ADDRSTRLEN];
    if (authority->is_name || authority->host.len >= sizeof(text)) {
        return;
    }
    memcpy(text, authority->host.ptr, authority->host.len);
    text[authority->host.len] = '\0';
    if (read_v4(text, authority->port, &read) || read_v6(text, authority->port, &read)) {
        *address = read;
    }
}

/* --- the table --- */

static void forget(struct direct *d, struct direct_host *host)
{
    HASH_DEL(d->hosts, host);
    free(host);
}

/* For one more: beyond the limit, the oldest that has no connection goes. There is one, as the
 * limit is larger than there are connections. */
static void make_room(struct direct *d)
{
    if (HASH_COUNT(d->hosts) < MIN_HOSTS + 2 * d->max_kept) {
        return;
    }
    for (struct direct_host *host = d->hosts; host; host = host->hh.next) {
        if (host->n_connections == 0) {
            forget(d, host);
            return;
        }
    }
}

static struct direct_host *host_new(const struct direct_authority *authority)
{
    struct direct_host *host = calloc(1, sizeof(*host) + authority->text.len);
    if (!host) {
        return NULL;
    }
    host->authority_len = authority->text.len;
    memcpy(host->authority, authority->text.ptr, authority->text.len);
    read_address(authority, &host->address);
    return host;
}

static struct direct_host *host_add(struct direct *d, struct str text)
{
    struct direct_authority authority;
    if (!direct_authority_read(text, &authority)) {
        return NULL;
    }
    make_room(d);
    struct direct_host *host = host_new(&authority);
    if (!host) {
        return NULL;
    }
    HASH_ADD_KEYPTR(hh, d->hosts, host->authority, host->authority_len, host);
    if (!host->hh.tbl) { /* no memory */
        free(host);
        return NULL;
    }
    return host;
}

struct direct_host *direct_host_find(struct direct *d, struct str authority)
{
    struct direct_host *host;
    HASH_FIND(hh, d->hosts, authority.ptr, authority.len, host);
    return host ? host : host_add(d, authority);
}

void direct_hosts_release(struct direct *d)
{
    struct direct_host *host;
    struct direct_host *next;
    HASH_ITER (hh, d->hosts, host, next) {
        forget(d, host);
    }
}
