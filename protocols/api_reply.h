/* How the server API answers: 200 with {"result":...} or {"error":{"code","message"}}, and 502 or
 * 504 with the latter where an upstream is at fault: those in between (proxies, caches, clients
 * that try again) act upon it. */
#ifndef BELFRY_PROTOCOLS_API_REPLY_H
#define BELFRY_PROTOCOLS_API_REPLY_H

#include "base/buf.h"
#include "base/status.h"
#include "protocols/http.h"

#define API_REPLY_MAX_BYTES ((size_t)64 << 20)

/* Of a request that the hub looked at. detail: what was wrong and what was expected, or "".
 * STATUS_CLOSED is 503, STATUS_DENIED 403, STATUS_UPSTREAM_FAILED 502, STATUS_UPSTREAM_TIMEOUT 504.
 */
void api_reply_error(struct http_request *request, enum status status, const char *detail);
/* The same with another HTTP status, for who asks without knowing this API. */
void api_reply_error_as(struct http_request *request, int http_status, enum status status,
                        const char *detail);
/* For who asked for errors that look like errors: {"code","message"}, with an HTTP status of its
 * own. */
void api_reply_bare_error(struct http_request *request, enum status status, const char *detail);
/* {"error":{...}} for an outcome, as a member of a list of answers. */
void api_append_error(struct buf *out, enum status status, const char *detail);
/* {"code","message"}. */
void api_append_bare_error(struct buf *out, enum status status, const char *detail);
/* Of a request that is not understood: 400 with plain text. */
void api_reply_bad(struct http_request *request, const char *text);
/* body: of api_begin_result(), with the result's value appended; is released. */
void api_reply_result(struct http_request *request, struct buf *body);
struct buf api_begin_result(void);
/* text: a whole body that others may get, too. */
void api_reply_text(struct http_request *request, const struct buf *text);

#endif
