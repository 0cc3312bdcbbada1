/* What url_template and request_template share: texts with {places}, and what may be done to bytes
 * on their way into one. Without state. */
#ifndef BELFRY_UPSTREAMS_TEMPLATE_TEXT_H
#define BELFRY_UPSTREAMS_TEMPLATE_TEXT_H

#include "base/buf.h"
#include "base/str.h"

/* The names that one template may use: whoever looks one up goes through them all. */
#define TEMPLATE_MAX_NAMES 100

/* Parts of letters, digits, '_' and '-', joined by dots; the first begins with a letter or '_'. */
bool template_name_valid(struct str name);

/* Takes the next place off the front of *rest: the text before it and its name. False: there is
 * none, and all that was left is *ret_literal. Braces around anything that is no name are text. */
bool template_next_place(struct str *rest, struct str *ret_literal, struct str *ret_name);

/* The index of a name, or n. */
size_t template_find_name(const struct str *names, size_t n, struct str name);

/* Are all braces closed ones around names? */
bool template_braces_are_good(struct str text);
#define TEMPLATE_BRACES_EXPECTED                                                                   \
    "closed braces around names of letters, digits, '_', '-' and dots, such as {city} or "         \
    "{user.id}"

/* Below a blank, or DEL. */
bool template_has_control(struct str text);

/* Percent-encoded (RFC 3986): all but unreserved characters, and those of `safe`. */
void template_append_encoded(struct buf *out, struct str text, const char *safe);

#endif
