/* URLs and requests of the direct client. Only URLs are read here that cannot be understood in two
 * ways: http in lower case, no user, no fragment, a plain host, nothing in the path that libcurl
 * would change. All others are libcurl's. It keeps nothing. */
#ifndef BELFRY_UPSTREAMS_DIRECT_URL_H
#define BELFRY_UPSTREAMS_DIRECT_URL_H

#include "base/buf.h"

struct direct_authority {
    struct str text; /* as it stands in the URL: "host" or "host:port" */
    struct str host; /* a name in lower case, or an address without brackets */
    uint16_t port;
    bool is_name;
    bool has_port;
};

struct direct_url {
    struct direct_authority authority;
    struct str target; /* path and query; the slash at its beginning may be missing */
};

/* False: it is for libcurl. The parts lie in the text. */
bool direct_authority_read(struct str text, struct direct_authority *ret_authority);
bool direct_url_read(struct str text, struct direct_url *ret_url);

/* Appends the head of a GET, up to its Host line. */
void direct_url_write_get(const struct direct_url *url, struct buf *buf);

#endif
