/* SPDX-License-Identifier: MIT */
/* What keeps a fetch within what a guard allows: its URL before anything is sent, and every address
 * before a socket is opened to it, which is after the name's lookup: nothing can come in between.
 * Loop's thread only. */
#include "upstreams/pool.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "upstreams/address_guard.h"

static void write_address(const struct sockaddr *address, char *text, size_t size)
{
    const void *bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    if (address->sa_family == AF_INET6) {
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    }
    if (!inet_ntop(address->sa_family, bytes, text, (socklen_t)size)) {
        (void)snprintf(text, size, "family %d", address->sa_family);
    }
}

/* libcurl tries the name's next address when one is refused. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fetch *f = arg;
    (void)purpose;
    if (f->address_guard && !address_guard_allows_address(f->address_guard, &address->addr)) {
        write_address(&address->addr, f->refused, sizeof(f->refused));
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                  address->protocol);
}

bool guarding_set(struct fetch *f)
{
    return !curl_easy_setopt(f->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) &&
           !curl_easy_setopt(f->easy, CURLOPT_OPENSOCKETDATA, f) &&
           !curl_easy_setopt(f->easy, CURLOPT_CLOSESOCKETFUNCTION, pool_close_socket) &&
           !curl_easy_setopt(f->easy, CURLOPT_CLOSESOCKETDATA, f->pool);
}

bool guarding_allows(struct fetch *f, const struct address_guard *guard, const char *url)
{
    struct target target;
    if (!target_read(url, &target)) {
        (void)snprintf(f->error_text, sizeof(f->error_text), "%s",
                       "a URL that is none of http or https, or has no good port, is not allowed");
        return false;
    }
    if (target.has_user) {
        (void)snprintf(f->error_text, sizeof(f->error_text), "%s",
                       "a URL with a user name or a password is not allowed");
        return false;
    }
    if (!address_guard_allows_host(guard, str_of(target.host), target.port)) {
        (void)snprintf(f->error_text, sizeof(f->error_text),
                       "the host %.180s, port %u, is not allowed by upstreams.allow_hosts",
                       target.host, target.port);
        return false;
    }
    return true;
}
