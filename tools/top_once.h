/* One sample as plain text, for scripts: a line for each thing, "kind name=value name=value ...".
 */
#ifndef BELFRY_TOOLS_TOP_ONCE_H
#define BELFRY_TOOLS_TOP_ONCE_H

#include "base/buf.h"
#include "tools/top_sample.h"

/* Counters as they are, without rates, which need two samples. What is not known is left out. */
void top_once_write(struct buf *out, const struct top_sample *sample);

#endif
