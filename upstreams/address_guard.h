/* Which hosts may be asked on behalf of others, whose URLs nobody has read before: the list
 * upstreams.allow_hosts. An entry is one of
 *   api.example.com      a name, any port          *.example.com:8443   below a domain, one port
 *   192.0.2.7  [2001:db8::1]:8080                   an address
 *   10.0.0.0/8  fd00::/8                            a network
 * A name fits names, an address fits addresses and networks, and where an entry has a port, that
 * must fit, too. A network's bits after its prefix are zero. And the address that a name resolves
 * to must be a public one, or be listed itself: so a name that suddenly resolves to the inside
 * comes to nothing. Not public are, among others (RFC 6890): loopback, private, shared, link-local
 * (with 169.254.169.254), unique local, multicast, unspecified, documentation; the addresses where
 * clouds keep a machine's metadata; Teredo; and IPv4 addresses of these inside IPv6 ones (mapped,
 * NAT64, 6to4, ISATAP). */
#ifndef BELFRY_UPSTREAMS_ADDRESS_GUARD_H
#define BELFRY_UPSTREAMS_ADDRESS_GUARD_H

#include "base/config.h"
#include "base/str.h"

struct address_guard;
struct sockaddr;

/* What was expected of an entry that is none, as a noun; NULL: it is good. */
const char *address_guard_expects(struct str entry);
/* hosts: of char *, checked. Ends the program when memory is short. */
struct address_guard *address_guard_create(const struct config_list *hosts);
/* Accepts NULL. */
void address_guard_destroy(struct address_guard *guard);

/* From here on it says what the newer one says, which is freed. */
void address_guard_replace(struct address_guard *guard, struct address_guard *newer);

/* Is the host, with its port, in the list? host: of a URL (whose scheme and user information are
 * the caller's to look at), without brackets and zone; any case, perhaps with a dot at the end.
 * Numbers that resolvers take for an address (2130706433, 0x7f.1) are no names, and fit nothing. */
bool address_guard_allows_host(const struct address_guard *guard, struct str host, unsigned port);
/* A public address, or a listed one. Other families than IPv4 and IPv6: never. */
bool address_guard_allows_address(const struct address_guard *guard,
                                  const struct sockaddr *address);

#endif
