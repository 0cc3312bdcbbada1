/* What waits for one client whose connection cannot take it at the moment: references to frames, in
 * order. Exists only while something waits. */
#ifndef BELFRY_HUB_OUTBOX_H
#define BELFRY_HUB_OUTBOX_H

#include "base/buf.h"
#include "hub/frame.h"

struct outbox;

/* NULL when memory is short. */
struct outbox *outbox_create(void);
/* Drops what waits. Accepts NULL. */
void outbox_destroy(struct outbox *o);

/* Takes a reference. False when memory is short. */
bool outbox_push(struct outbox *o, struct frame *frame);
/* Moves all of more to the end of o. False when memory is short: what did not fit is still in more.
 */
bool outbox_join(struct outbox *o, struct outbox *more);
bool outbox_is_empty(const struct outbox *o);
size_t outbox_bytes(const struct outbox *o);

/* Moves messages from the front to the end of text, separated, until about max_bytes are there (at
 * least one message). False when text could not take it: nothing was moved. */
bool outbox_take(struct outbox *o, struct str separator, size_t max_bytes, struct buf *text);

#endif
