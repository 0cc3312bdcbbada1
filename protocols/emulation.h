/* The way of commands to clients whose connection only goes to them (http_stream, sse): each has a
 * session, and sends its commands with POST /emulation. Loop's thread only. */
#ifndef BELFRY_PROTOCOLS_EMULATION_H
#define BELFRY_PROTOCOLS_EMULATION_H

#include "base/rng.h"
#include "protocols/centrifuge_commands.h"
#include "protocols/http.h"

struct emulation_entry;

/* Zero-initialise it, then fill in node and waiting_max_bytes. */
struct emulation {
    struct emulation_entry *entries; /* by session */
    char node[RNG_UUID_SIZE];        /* of this hub */
    size_t waiting_max_bytes;        /* of one session's commands behind one that takes time */
};

/* A new session: the entry is the transport's, until emulation_leave(). NULL: memory is short. */
struct emulation_entry *emulation_enter(struct emulation *emulation,
                                        struct centrifuge_session *session);
void emulation_leave(struct emulation *emulation, struct emulation_entry *entry);
/* What the client is told. It is a secret: who knows it commands. */
const char *emulation_session_id(const struct emulation_entry *entry);

void emulation_handle(struct emulation *emulation, struct http_request *request);

/* The body of such a request. */
struct emulation_message {
    struct str session;
    struct str node;
    struct str data; /* commands */
};
/* NULL, or what was expected, as a line. decoded: for texts with escapes. */
const char *emulation_read(struct str body, struct buf *decoded, struct emulation_message *ret);

#endif
