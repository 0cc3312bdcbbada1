/* Bodies with Content-Encoding: gzip, and those that are only meant to grow. */
#ifndef BELFRY_UPSTREAM_GZIP_H
#define BELFRY_UPSTREAM_GZIP_H

#include "base/buf.h"

/* Appends the text, compressed. False: memory is short, or *out is full. */
bool gzip_text(struct str text, struct buf *out);
/* Appends what inflates to a JSON string of so many MiB of blanks: about 1 KiB for each. */
bool gzip_bomb(uint64_t n_mib, struct buf *out);

#endif
