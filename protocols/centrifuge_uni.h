/* The receiving side of unidirectional connections: one bare connect request, and nothing after it.
 * Stands for the functions of centrifuge_commands.h, over the same struct. */
#ifndef BELFRY_PROTOCOLS_CENTRIFUGE_UNI_H
#define BELFRY_PROTOCOLS_CENTRIFUGE_UNI_H

#include "protocols/centrifuge_commands.h"

/* The session gets an id, by which backends may mean it. */
void centrifuge_uni_open(struct centrifuge_session *session, struct client *client,
                         void (*on_idle)(struct centrifuge_session *session));
bool centrifuge_uni_close(struct centrifuge_session *session);

/* request: a ConnectRequest, valid UTF-8; empty: one without any member. What is refused is told by
 * a disconnect. A second call does nothing. */
void centrifuge_uni_connect(struct centrifuge_session *session, struct str request);

/* The disconnect that stands for an error reply, which these connections do not have; unless
 * client.connect_code_to_unidirectional_disconnect says another. */
const struct disconnect *centrifuge_uni_disconnect_of(uint32_t error_code);

#endif
