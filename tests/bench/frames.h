/* WebSocket frames of a server, as a stream: the payload of a text frame is looked at in whatever
 * pieces it comes, all else is taken whole. */
#ifndef BELFRY_BENCH_FRAMES_H
#define BELFRY_BENCH_FRAMES_H

#include "tests/bench/client.h"

/* The request of the upgrade, to the path of the command line with suffix behind it. */
void frames_append_upgrade(struct buf *out, struct str suffix);

/* As a protocol's take: the upgrade's answer, which moves the client to the next stage, and then
 * what lies around the payload of text frames. That itself is for take_text, of which client's
 * frame_left says how much there is; data ends with it. It returns how many bytes it used, 0 while
 * they are too few, and counts neither them nor n_skipped off frame_left. */
size_t frames_take(struct client *c, struct str data,
                   size_t (*take_text)(struct client *c, struct str data));

/* A whole masked text frame. */
void frames_send_text(struct client *c, struct str message);

#endif
