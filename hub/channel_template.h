/* Channel names with places for parameters: "city:{city}". */
#ifndef BELFRY_HUB_CHANNEL_TEMPLATE_H
#define BELFRY_HUB_CHANNEL_TEMPLATE_H

#include "base/buf.h"
#include "base/str.h"

/* Steps through the template: *rest loses what was read. True: a piece of text, or a parameter's
 * name. False at the end, or, with *rest not empty, where a brace is not closed. */
bool channel_template_next(struct str *rest, struct str *ret_piece, bool *ret_is_name);

#endif
