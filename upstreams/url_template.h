/* URLs with places for parameters: "http://api.example:8080/air/{city}?q={city}". Places may stand
 * in the path, the query or the fragmentless rest, never in scheme or authority: a value can never
 * change the host. Values are percent-encoded (RFC 3986: all but unreserved characters), and a
 * value that would make a path segment "." or ".." is refused. */
#ifndef BELFRY_UPSTREAMS_URL_TEMPLATE_H
#define BELFRY_UPSTREAMS_URL_TEMPLATE_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

struct url_template;

/* STATUS_INVALID: *ret_expected (static text) says what would be right, for a configuration error:
 * an absolute http or https URL with a host, no user information, no fragment, no blanks or control
 * characters, braces closed around at most 100 different names of
 * [A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*. */
enum status url_template_create(struct str text, struct url_template **ret_template,
                                const char **ret_expected) MUST_CHECK;
/* Accepts NULL. */
void url_template_destroy(struct url_template *t);

/* The names used, each once, in the order of their first place. */
size_t url_template_n_names(const struct url_template *t);
struct str url_template_name(const struct url_template *t, size_t index);

/* Appends the URL. values: one per name, in the order of url_template_name(). STATUS_INVALID for a
 * value that may not stand where it would (empty or "." or ".." as a whole path segment, or a
 * control character); STATUS_TOO_LARGE when out is full. */
enum status url_template_expand(const struct url_template *t, const struct str *values,
                                struct buf *out) MUST_CHECK;

#endif
