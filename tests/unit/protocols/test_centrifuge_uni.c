/* SPDX-License-Identifier: MIT */
/* Unidirectional clients of a real hub: one request, and what comes of it. */
#include "protocols/centrifuge_uni.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/protocols/speaker.h"

static const struct client_transport uni_transport = {
    .name = "uni_test",
    .format = &centrifuge_uni_websocket_format,
    .pongs = false,
    .send = peer_send,
    .can_send = peer_can_send,
    .close = peer_close,
};

static void open_uni(struct speaker *s, struct world *w)
{
    *s = (struct speaker){.n_idle = 0};
    peer_open_with(&s->peer, w, &uni_transport);
    centrifuge_uni_open(&s->session, s->peer.client, speaker_idle);
}

static bool close_uni(struct speaker *s)
{
    s->peer.client = NULL; /* the session destroys it */
    return centrifuge_uni_close(&s->session);
}

static struct world *open_world(void)
{
    return world_create(&(struct world_options){.client = "{\"insecure\":true}"});
}

static bool received(const struct speaker *s, const char *text)
{
    struct str all = buf_str(&s->peer.received);
    return memmem(all.ptr, all.len, text, strlen(text)) != NULL;
}

static void the_first_message_is_a_bare_connect(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct speaker s;
    open_uni(&s, w);
    centrifuge_uni_connect(&s.session, STR("{\"name\":\"a\"}"));
    WAIT_FOR(w, s.peer.n_messages > 0);
    assert_true(str_starts_with(buf_str(&s.peer.received), STR("{\"connect\":{\"client\":\"")));
    assert_true(received(&s, s.session.emulation_session));
    assert_true(close_uni(&s));
    buf_release(&s.peer.received);
    world_destroy(w);
}

static void a_second_request_is_not_heard(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct speaker s;
    open_uni(&s, w);
    centrifuge_uni_connect(&s.session, STR_EMPTY);
    centrifuge_uni_connect(&s.session, STR("no json"));
    WAIT_FOR(w, s.peer.n_messages > 0);
    centrifuge_uni_connect(&s.session, STR("no json"));
    assert_int_equal(s.peer.n_closes, 0);
    assert_int_equal(s.peer.n_messages, 1);
    assert_true(close_uni(&s));
    buf_release(&s.peer.received);
    world_destroy(w);
}

static void what_is_no_request_ends_the_connection(void **state)
{
    (void)state;
    struct world *w = open_world();
    static const char *const texts[] = {"no json", "[]", "1", "{\"token\":1}", "{\"subs\":[1]}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct speaker s;
        open_uni(&s, w);
        centrifuge_uni_connect(&s.session, str_of(texts[i]));
        WAIT_FOR(w, s.peer.n_closes > 0);
        assert_true(close_uni(&s));
        buf_release(&s.peer.received);
    }
    world_destroy(w);
}

/* The session's memory must last until the answer. */
static void a_client_may_go_while_it_connects(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct speaker s;
    open_uni(&s, w);
    centrifuge_uni_connect(&s.session, STR("{}"));
    assert_false(close_uni(&s));
    WAIT_FOR(w, s.n_idle == 1);
    assert_int_equal(s.peer.n_messages, 0);
    buf_release(&s.peer.received);
    world_destroy(w);
}

static void errors_become_disconnects(void **state)
{
    (void)state;
    static const struct {
        uint32_t error;
        unsigned disconnect;
    } cases[] = {{100, 3004}, {103, 3507}, {109, 3005}, {110, 3005},
                 {111, 3013}, {108, 3004}, {400, 3004}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(centrifuge_uni_disconnect_of(cases[i].error)->code, cases[i].disconnect);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_message_is_a_bare_connect),
        cmocka_unit_test(a_second_request_is_not_heard),
        cmocka_unit_test(what_is_no_request_ends_the_connection),
        cmocka_unit_test(a_client_may_go_while_it_connects),
        cmocka_unit_test(errors_become_disconnects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
