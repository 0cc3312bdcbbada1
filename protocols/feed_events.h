/* A feed's live event stream: each publication of its channel is one server-sent event, whose data
 * is the snapshot and whose id is the position, where there is one. */
#ifndef BELFRY_PROTOCOLS_FEED_EVENTS_H
#define BELFRY_PROTOCOLS_FEED_EVENTS_H

#include "hub/wire_format.h"
#include "protocols/centrifuge_commands.h"

struct feed_events {
    struct wire_format format;
    struct hub *hub;
};

void feed_events_init(struct feed_events *events, struct hub *hub);

/* Of a session that centrifuge_uni_open() has opened, whose client has this format: subscribes it
 * to the channel, whatever the channel's options permit, and sends the last snapshot at once.
 * expires_at: when it is sent away, in seconds since 1970; 0: never. */
void feed_events_connect(struct centrifuge_session *session, struct str channel,
                         int64_t expires_at);

#endif
