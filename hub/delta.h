/* Deltas between two texts, in the format of the Fossil version control system, as Centrifugo's
 * clients read it (text form; numbers in base 64; lengths in bytes of UTF-8). */
#ifndef BELFRY_HUB_DELTA_H
#define BELFRY_HUB_DELTA_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

/* Appends the patch that makes target of base. False, and nothing is appended: there is none that
 * is smaller than target and valid UTF-8 (clients get it as a JSON string), one of the texts is
 * longer than 1 MiB (making it would hold up the loop), or memory is short. out: not failed. */
bool delta_make(struct str base, struct str target, struct buf *out);

#endif
