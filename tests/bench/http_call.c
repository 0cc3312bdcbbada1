/* SPDX-License-Identifier: MIT */
#include "tests/bench/http_call.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/cli.h"
#include "tests/bench/dial.h"
#include "tests/bench/http_answer.h"

#define ANSWER_MAX_BYTES (16u << 20)
#define READ_BYTES       65536

void http_call_open(struct http_call *c, uint16_t port)
{
    buf_init(&c->answer, ANSWER_MAX_BYTES);
    c->fd = dial(port);
}

void http_call_close(struct http_call *c)
{
    close(c->fd);
    buf_release(&c->answer);
}

static void send_all(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            fail_errno("HTTP request");
        }
        bytes = str_tail(bytes, n > 0 ? (size_t)n : 0);
    }
}

static void read_more(struct http_call *c)
{
    if (buf_reserve(&c->answer, READ_BYTES) != STATUS_OK) {
        fail("the answer is above %u bytes", ANSWER_MAX_BYTES);
    }
    ssize_t n = recv(c->fd, c->answer.ptr + c->answer.len, READ_BYTES, 0);
    if (n < 0 && errno != EINTR) {
        fail_errno("HTTP answer");
    }
    if (n == 0) {
        fail("the server closed the connection before its answer was complete");
    }
    c->answer.len += n > 0 ? (size_t)n : 0;
}

struct str http_call(struct http_call *c, struct str request)
{
    struct http_answer answer;
    buf_clear(&c->answer);
    send_all(c->fd, request);
    while (!http_answer_read(buf_str(&c->answer), &answer)) {
        read_more(c);
    }
    if (answer.status != 200 || c->answer.len > answer.size) {
        fail("not the answer to expect: %.*s", STR_ARG(buf_str(&c->answer)));
    }
    return answer.body;
}
