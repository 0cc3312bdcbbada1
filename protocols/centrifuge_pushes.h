/* What the hub tells clients of the Centrifugo JSON protocol without having been asked: one wire
 * format for each kind of connection. Clients that can send commands get {"push":{...}}, those of
 * unidirectional connections the push alone. */
#ifndef BELFRY_PROTOCOLS_CENTRIFUGE_PUSHES_H
#define BELFRY_PROTOCOLS_CENTRIFUGE_PUSHES_H

#include "hub/wire_format.h"

extern const struct wire_format centrifuge_websocket_format;
extern const struct wire_format centrifuge_http_stream_format;
extern const struct wire_format centrifuge_sse_format;
extern const struct wire_format centrifuge_uni_websocket_format;
extern const struct wire_format centrifuge_uni_websocket_joined_format; /* join_push_messages */
extern const struct wire_format centrifuge_uni_http_stream_format;
extern const struct wire_format centrifuge_uni_sse_format;

/* A Publication object. patch: of FORM_DELTA. */
void centrifuge_append_publication(struct buf *out, struct str data, struct str info,
                                   struct str tags, uint64_t offset, enum publication_form form,
                                   struct str patch);

#endif
