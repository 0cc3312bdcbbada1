/* SPDX-License-Identifier: MIT */
/* The hosts of the direct client, by host and port: connections that are kept, and the address, if
 * it is known. A name's address is libcurl's, which has just connected to it; it is good for a
 * while, and only asked for when there is no kept connection: that goes on as long as both sides
 * like. */
#include <arpa/inet.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include "upstreams/direct_internal.h"
#include "upstreams/direct_url.h"

#define MAX_HOSTS 1024

/* --- addresses --- */

static bool read_address(const char *text, uint16_t port, struct direct_address *ret_address)
{
    struct direct_address address = {.len = 0};
    if (inet_pton(AF_INET, text, &address.name.v4.sin_addr) == 1) {
        address.name.v4.sin_family = AF_INET;
        address.name.v4.sin_port = htons(port);
        address.len = sizeof(address.name.v4);
    } else if (inet_pton(AF_INET6, text, &address.name.v6.sin6_addr) == 1) {
        address.name.v6.sin6_family = AF_INET6;
        address.name.v6.sin6_port = htons(port);
        address.len = sizeof(address.name.v6);
    }
    if (address.len > 0) {
        *ret_address = address;
    }
    return address.len > 0;
}

static bool read_literal(struct direct_host *host, struct str text)
{
    char place[INET6_ADDRSTRLEN];
    if (text.len >= sizeof(place)) {
        return false;
    }
    memcpy(place, text.ptr, text.len);
    place[text.len] = '\0';
    host->is_literal = true;
    return read_address(place, host->port, &host->address);
}

bool direct_host_address(struct direct *d, struct direct_host *host,
                         const struct direct_address **ret_address)
{
    if (!host->is_literal && loop_now_ms(d->loop) >= host->known_until_ms) {
        host->address.len = 0;
    }
    *ret_address = &host->address;
    return host->address.len > 0;
}

void direct_host_forget_address(struct direct_host *host)
{
    if (!host->is_literal) {
        host->address.len = 0;
    }
}

void direct_learn(struct direct *d, struct str authority, const char *address)
{
    struct direct_host *host = direct_host_find(d, authority);
    if (host && !host->is_literal && read_address(address, host->port, &host->address)) {
        host->known_until_ms = loop_now_ms(d->loop) + d->known_ms;
    }
}

/* --- the table --- */

static void forget(struct direct *d, struct direct_host *host)
{
    HASH_DEL(d->hosts, host);
    free(host);
}

/* Room for one more: the oldest that has no connection goes. */
static bool make_room(struct direct *d)
{
    if (HASH_COUNT(d->hosts) < MAX_HOSTS) {
        return true;
    }
    for (struct direct_host *host = d->hosts; host; host = host->hh.next) {
        if (host->n_connections == 0) {
            forget(d, host);
            return true;
        }
    }
    return false;
}

static struct direct_host *host_new(const struct direct_authority *authority)
{
    struct direct_host *host = calloc(1, sizeof(*host) + authority->text.len);
    if (!host) {
        return NULL;
    }
    host->port = authority->port;
    host->authority_len = authority->text.len;
    memcpy(host->authority, authority->text.ptr, authority->text.len);
    if (!authority->is_name && !read_literal(host, authority->host)) {
        free(host);
        return NULL;
    }
    return host;
}

static struct direct_host *host_add(struct direct *d, struct str text)
{
    struct direct_authority authority;
    if (!direct_authority_read(text, &authority) || !make_room(d)) {
        return NULL;
    }
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
