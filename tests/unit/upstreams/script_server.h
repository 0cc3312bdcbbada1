/* A server that answers from a script, byte for byte, on a thread of its own: one connection and
 * one request after the other; what it was asked is kept. For what belfry-upstream would not say.
 */
#ifndef BELFRY_TESTS_SCRIPT_SERVER_H
#define BELFRY_TESTS_SCRIPT_SERVER_H

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"

struct script_server {
    pthread_t thread;
    int listener;
    int port;
    const char *const *answers; /* ended by NULL; "": the connection ends without one */
    bool speaks_first;          /* reads nothing */
    struct buf asked;           /* all heads; read it after script_server_stop() */
};

static inline bool script_read_head(int fd, struct buf *asked)
{
    char c;
    size_t start = asked->len;
    while (read(fd, &c, 1) == 1) {
        buf_append_char(asked, c);
        struct str head = str_tail(buf_str(asked), start);
        if (head.len >= 4 && str_eq(str_tail(head, head.len - 4), STR("\r\n\r\n"))) {
            return true;
        }
    }
    return false;
}

static inline void *script_run(void *arg)
{
    struct script_server *s = arg;
    for (const char *const *answer = s->answers; *answer; answer++) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd >= 0 && (s->speaks_first || script_read_head(fd, &s->asked))) {
            size_t len = strlen(*answer);
            (void)!write(fd, *answer, len);
        }
        (void)close(fd);
    }
    return NULL;
}

static inline void script_server_start(struct script_server *s, const char *const *answers)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    s->answers = answers;
    buf_init(&s->asked, 1 << 20);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(s->listener, 10), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&name, &len), 0);
    s->port = ntohs(name.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, script_run, s), 0);
}

/* All answers were given. Returns what was asked, to be freed. */
static inline char *script_server_stop(struct script_server *s)
{
    (void)pthread_join(s->thread, NULL);
    (void)close(s->listener);
    return buf_take(&s->asked);
}

#endif
