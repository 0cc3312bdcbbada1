/* What a part of a document is made of: cuts and renames one upstream's value. Texts are copied,
 * not trees: numbers and strings stay byte for byte. A pointer here is a JSON Pointer (RFC 6901) in
 * which "*" in the place of a name or an index stands for every member or element. */
#ifndef BELFRY_HUB_SHAPE_H
#define BELFRY_HUB_SHAPE_H

#include "base/buf.h"
#include "base/config.h"
#include "base/status.h"
#include "base/str.h"

struct shape;

enum {
    SHAPE_ITEMS_MAX = 100, /* in each of allow, deny and rename */
    SHAPE_TOKENS_MAX = 32, /* of one pointer */
};

struct shape_options {
    const struct config_list *allow;  /* of char *: only these are kept; empty: all */
    const struct config_list *deny;   /* of char *: these are dropped, also from what allow keeps */
    const struct config_list *rename; /* of struct config_pair: members of the top level, by the
                                         names that allow and deny know them by */
    const char *group;                /* the value becomes {"group": value}; "" or NULL: not */
};

/* Is it a pointer, of at most SHAPE_TOKENS_MAX tokens? "", which would be all of the value, is
 * none. */
bool shape_pointer_valid(struct str pointer);

/* NULL: there is nothing to do (no allow, deny, rename or group): values are used as they are.
 * Copies what it needs of the options, which are valid. Ends the program when memory is short. */
struct shape *shape_create(const struct shape_options *options);
/* Accepts NULL. */
void shape_destroy(struct shape *shape);

/* Appends what becomes of a checked value. With allow, a value that is itself no object or array
 * stays as it is, and containers that lead to something allowed stay, even when nothing of it is
 * there: {} or []; another value in their place goes. An array keeps its order; elements that are
 * not kept are left out. Of kept members that have one name after a rename, the last one's value
 * stands in the place of the first. STATUS_TOO_LARGE, STATUS_NO_MEMORY. */
enum status shape_apply(const struct shape *shape, struct str value, struct buf *out) MUST_CHECK;

#endif
