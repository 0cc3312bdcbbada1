/* How hub messages look on a wire. One table per protocol and kind of connection, in protocols/;
 * the hub asks it for frames once per publication and format, never per client. */
#ifndef BELFRY_HUB_WIRE_FORMAT_H
#define BELFRY_HUB_WIRE_FORMAT_H

#include "base/buf.h"
#include "hub/disconnect.h"
#include "hub/publication.h"

#define WIRE_FORMATS_MAX 8

/* What a subscriber gets for a publication's data. With a delta agreed, data is a JSON string. */
enum publication_form {
    FORM_JSON,  /* as it is */
    FORM_TEXT,  /* its text in a string */
    FORM_DELTA, /* in a string, what turns the text of the subscriber's last one into this one's */
    N_FORMS,
};

struct subscribe_result;

/* Each encoder appends one message, without what stands around it on the wire. */
struct wire_format {
    unsigned
        index; /* below WIRE_FORMATS_MAX, different for each format: where shared frames are kept */
    bool is_unidirectional;
    bool joins;         /* several messages may be written as one, with `between` between them */
    struct str before;  /* each message */
    struct str after;   /* each message */
    struct str between; /* two messages that are written as one */
    struct str ping;
    /* patch: of FORM_DELTA */
    void (*publication)(const struct wire_format *format, struct buf *out, struct str channel,
                        const struct publication *p, enum publication_form form, struct str patch);
    /* info: JSON of who came or went */
    void (*join)(const struct wire_format *format, struct buf *out, struct str channel,
                 struct str info);
    void (*leave)(const struct wire_format *format, struct buf *out, struct str channel,
                  struct str info);
    void (*subscribe)(const struct wire_format *format, struct buf *out, struct str channel,
                      const struct subscribe_result *result);
    void (*unsubscribe)(const struct wire_format *format, struct buf *out, struct str channel,
                        const struct disconnect *why);
    void (*refresh)(const struct wire_format *format, struct buf *out, bool expires, int64_t ttl_s);
    void (*disconnect)(const struct wire_format *format, struct buf *out,
                       const struct disconnect *why);
};

enum transport_kind {
    TRANSPORT_WEBSOCKET,
    TRANSPORT_HTTP_STREAM,
    TRANSPORT_SSE,
    TRANSPORT_UNI_WEBSOCKET,
    TRANSPORT_UNI_HTTP_STREAM,
    TRANSPORT_UNI_SSE,
    TRANSPORT_FEED_EVENTS, /* of GET /feeds/NAME */
    N_TRANSPORT_KINDS,
};

/* How one kind of connection is written to. conn is the transport's own object. */
struct client_transport {
    enum transport_kind kind;
    const char *name; /* "websocket" */
    const struct wire_format *format;
    bool pongs; /* an answer to each ping is expected */
    /* Writes now; payload is what stands on the wire, with before and after, and has FRAME_HEADROOM
     * bytes in front of it that may be written to. False: it cannot take one now; it will call
     * client_flush() when it can. len may be 0 where it cannot. Must not call back into the hub. */
    bool (*send)(void *conn, char *payload, size_t len);
    bool (*can_send)(void *conn);
    /* Pings in a way of its own, instead of by the format's message; NULL: does not. The connect
     * reply then says nothing about pings. */
    void (*ping)(void *conn);
    /* Begins to close. The transport flushes by client_flush() first where it can, and calls
     * client_destroy() when the connection is gone, later. why is valid until then. */
    void (*close)(void *conn, const struct disconnect *why);
};

#endif
