/* POST /hooks/feeds/NAME: somebody who has the feed's hook_secret says that its upstreams have
 * changed. */
#ifndef BELFRY_PROTOCOLS_FEED_HOOKS_H
#define BELFRY_PROTOCOLS_FEED_HOOKS_H

#include "hub/hub.h"
#include "protocols/http.h"

#define FEED_HOOKS_PREFIX         STR("/hooks/feeds/")
#define FEED_HOOKS_MAX_BODY_BYTES ((size_t)64 << 10)

/* name: what stands behind the prefix. Its route is_signed. */
void feed_hooks_handle(struct hub *hub, struct str name, struct http_request *request);

/* Is the request signed with the key? STATUS_OK; else ret_why says what was expected. Both empty:
 * it is not. */
enum status feed_hooks_verify(struct str key, int64_t now_s, struct str body, struct str signature,
                              struct str hub_signature, const char **ret_why) MUST_CHECK;

#endif
