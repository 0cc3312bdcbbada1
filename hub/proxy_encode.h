/* What a backend is sent: the body and the header lines of one question. */
#ifndef BELFRY_HUB_PROXY_ENCODE_H
#define BELFRY_HUB_PROXY_ENCODE_H

#include "base/buf.h"
#include "hub/proxy.h"

/* Appends the JSON object. */
void proxy_encode_body(const struct proxy_options *options, const struct proxy_request *request,
                       struct buf *out);
/* Appends "Name: value\n" lines that fetch_header_valid() accepts. Of one name the configuration's
 * header goes before the client's own, and that before an emulated one. */
void proxy_encode_headers(const struct proxy_options *options, const struct proxy_request *request,
                          struct buf *out);

#endif
