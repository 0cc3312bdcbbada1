/* The receiving side of the Centrifugo JSON protocol: one connection's commands, in order, one at a
 * time. The only reader of that format; knows no transport. */
#ifndef BELFRY_PROTOCOLS_CENTRIFUGE_COMMANDS_H
#define BELFRY_PROTOCOLS_CENTRIFUGE_COMMANDS_H

#include "hub/client.h"
#include "protocols/centrifuge_params.h"

/* Embedded in the transport's connection, zeroed at first. */
struct centrifuge_session {
    struct client *client;
    struct centrifuge_aside *aside; /* what few have: commands that wait, and words for the log */
    /* The command under way is done, and so are those that waited: the transport may read on. Also
     * after centrifuge_close(), if it returned false: the session's memory may then be freed. */
    void (*on_idle)(struct centrifuge_session *session);
    uint32_t command_id; /* under way */
    uint8_t command;     /* an enum client_command */
    bool is_busy : 1;
    bool is_authenticated : 1;
    bool is_refused : 1; /* connect was answered with an error: no further command */
    bool is_closed : 1;
    const char *emulation_session; /* by which commands find an emulated connection; NULL: none */
};

void centrifuge_open(struct centrifuge_session *session, struct client *client,
                     void (*on_idle)(struct centrifuge_session *session));

/* Handles one message of one or more commands; valid UTF-8. Whatever is wrong with it ends in a
 * reply or a disconnect. */
void centrifuge_receive(struct centrifuge_session *session, struct str message);

/* Bytes of commands that wait: the transport stops reading above a limit of its own. */
size_t centrifuge_waiting_bytes(const struct centrifuge_session *session);

/* The connection has gone; destroys the client. False: a command is still under way, on_idle() will
 * come. */
bool centrifuge_close(struct centrifuge_session *session);

#endif
