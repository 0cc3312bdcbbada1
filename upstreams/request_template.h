/* A request with places for values: URL (url_template.h), query parameters, headers and body. A
 * place is {name}; names may have parts, {user.id}. In headers and body, braces around anything
 * that is no name are just braces. What becomes of a value:
 * - URL and query: percent-encoded. (Literal text of query parameters is, too, where it must be: it
 *   is what is meant, not encoded text.)
 * - Headers: stands as it is; control characters are refused.
 * - Body: as the Content-Type among the headers asks. JSON, which is the default (and what ends in
 *   "+json"): within a string, "{user.id}", escaped; outside, {user.id}, only a number, true, false
 *   or null, as it is. The body is JSON whatever the values are.
 *   application/x-www-form-urlencoded: percent-encoded. Others: as it is. */
#ifndef BELFRY_UPSTREAMS_REQUEST_TEMPLATE_H
#define BELFRY_UPSTREAMS_REQUEST_TEMPLATE_H

#include "base/buf.h"
#include "base/config.h"
#include "upstreams/fetch.h"

struct request_template;

/* Texts are copied. */
struct request_template_source {
    enum fetch_method method;
    const char *url;
    const struct config_list *query; /* of struct config_pair; appended to the URL's own; or NULL */
    const struct config_list
        *headers;     /* of struct config_pair, allowed by fetch_header_allowed() */
    const char *body; /* "" or NULL: none */
};

/* STATUS_INVALID: *ret_key is "url", "query", "headers" or "body", *ret_expected (static) what
 * would be right there. A body is refused with GET and HEAD, a header's name that stands twice,
 * more than 100 different names of values. */
enum status request_template_create(const struct request_template_source *source,
                                    struct request_template **ret_template, const char **ret_key,
                                    const char **ret_expected) MUST_CHECK;
/* Accepts NULL. */
void request_template_destroy(struct request_template *t);

/* The names used anywhere, each once, in the order of their first place (url, query, headers,
 * body).
 */
size_t request_template_n_names(const struct request_template *t);
struct str request_template_name(const struct request_template *t, size_t index);
enum fetch_method request_template_method(const struct request_template *t);

/* What it says with these values. Init by zeroes; request_text_release() also after a failure. */
struct request_text {
    struct buf url; /* NUL-terminated */
    struct buf body;
    struct buf lines;    /* what headers point to */
    struct str *headers; /* "Name: value" */
    size_t n_headers;
};
/* values: one per name. STATUS_INVALID: a value may not stand where it would; STATUS_TOO_LARGE (URL
 * 16 KiB, headers 64 KiB, body 1 MiB), STATUS_NO_MEMORY. */
enum status request_template_expand(const struct request_template *t, const struct str *values,
                                    struct request_text *ret_text) MUST_CHECK;
void request_text_release(struct request_text *text);

#endif
