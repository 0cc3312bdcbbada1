/* How hub messages look on a wire. One table per protocol, in protocols/; the hub asks it for
 * frames once per publication and format, never per client. */
#ifndef BELFRY_HUB_WIRE_FORMAT_H
#define BELFRY_HUB_WIRE_FORMAT_H

#include "base/buf.h"
#include "hub/disconnect.h"
#include "hub/publication.h"

#define WIRE_FORMATS_MAX 4

struct wire_format {
    unsigned
        index; /* below WIRE_FORMATS_MAX, different for each format: where shared frames are kept */
    char separator; /* between two messages that travel in one frame */
    void (*publication)(struct buf *out, struct str channel, const struct publication *p);
    void (*unsubscribe)(struct buf *out, struct str channel, const struct disconnect *why);
    struct str ping;
};

/* How one kind of connection is written to. conn is the transport's own object. */
struct client_transport {
    const char *name; /* "websocket" */
    const struct wire_format *format;
    /* Writes one message now; payload has FRAME_HEADROOM bytes in front of it that may be written
     * to. False: it cannot take one now; it will call client_writable() when it can. Must not call
     * back into the hub. */
    bool (*send)(void *conn, char *payload, size_t len);
    bool (*can_send)(void *conn);
    /* Begins to close. The transport flushes by client_flush() first where it can, and calls
     * client_destroy() when the connection is gone, later. */
    void (*close)(void *conn, const struct disconnect *why);
};

#endif
