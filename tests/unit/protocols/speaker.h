/* A peer that speaks the Centrifugo JSON protocol: the real session between a test and a real hub.
 */
#ifndef BELFRY_TESTS_PROTOCOLS_SPEAKER_H
#define BELFRY_TESTS_PROTOCOLS_SPEAKER_H

#include "protocols/centrifuge_commands.h"
#include "protocols/centrifuge_frames.h"
#include "protocols/centrifuge_pushes.h"
#include "tests/unit/hub/world.h"

static const struct client_transport json_transport = {
    .name = "test",
    .format = &centrifuge_websocket_format,
    .pongs = true,
    .send = peer_send,
    .can_send = peer_can_send,
    .close = peer_close,
};

struct speaker {
    struct peer peer;
    struct centrifuge_session session;
    unsigned n_idle;
};

static inline void speaker_idle(struct centrifuge_session *session)
{
    struct speaker *s = container_of(session, struct speaker, session);
    s->n_idle++;
}

static inline void speaker_open(struct speaker *s, struct world *w)
{
    *s = (struct speaker){.n_idle = 0};
    peer_open_with(&s->peer, w, &json_transport);
    centrifuge_open(&s->session, s->peer.client, speaker_idle);
}

static inline void say_str(struct speaker *s, struct str message)
{
    centrifuge_receive(&s->session, message);
}

static inline void say(struct speaker *s, const char *message)
{
    say_str(s, str_of(message));
}

/* The connection goes; false: a command is still under way. */
static inline bool speaker_close(struct speaker *s)
{
    s->peer.client = NULL; /* the session destroys it */
    return centrifuge_close(&s->session);
}

static inline void speaker_release(struct speaker *s)
{
    if (!s->session.is_closed) {
        unsigned n_idle = s->n_idle;
        bool is_done = speaker_close(s);
        WAIT_FOR(s->peer.world, is_done || s->n_idle > n_idle);
    }
    buf_release(&s->peer.received);
}

#endif
