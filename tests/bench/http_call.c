/* SPDX-License-Identifier: MIT */
/* The least of HTTP/1.1 that both the hub and the test upstream answer with: a status line,
 * Content-Length, a body. What does not fit is refused rather than guessed. */
#include "tests/bench/http_call.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/cli.h"

#define ANSWER_MAX_BYTES (16u << 20)
#define READ_BYTES       65536

void http_call_open(struct http_call *c, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    buf_init(&c->answer, ANSWER_MAX_BYTES);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
        fail_errno("HTTP connection");
    }
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

/* The head with its empty line, once it is there. */
static bool find_head(struct str answer, struct str *ret_head)
{
    const char *end = answer.len > 0 ? memmem(answer.ptr, answer.len, "\r\n\r\n", 4) : NULL;
    if (!end) {
        return false;
    }
    *ret_head = str_head(answer, (size_t)(end - answer.ptr) + 4);
    return true;
}

static size_t content_length(struct str head)
{
    struct str name = STR("content-length:");
    struct str rest = head;
    for (ptrdiff_t end; (end = str_find(rest, '\r')) > 0; rest = str_tail(rest, (size_t)end + 2)) {
        struct str line = str_head(rest, (size_t)end);
        uint64_t length;
        if (str_eq_nocase(str_head(line, name.len), name) &&
            str_to_u64(str_trim(str_tail(line, name.len)), &length) && length < ANSWER_MAX_BYTES) {
            return length;
        }
    }
    fail("an answer without a usable Content-Length: %.*s", STR_ARG(head));
}

struct str http_call(struct http_call *c, struct str request)
{
    struct str head;
    buf_clear(&c->answer);
    send_all(c->fd, request);
    while (!find_head(buf_str(&c->answer), &head)) {
        read_more(c);
    }
    size_t head_bytes = head.len;
    size_t length = content_length(head);
    while (c->answer.len < head_bytes + length) {
        read_more(c);
    }
    struct str answer = buf_str(&c->answer);
    if (!str_starts_with(answer, STR("HTTP/1.1 200")) || answer.len > head_bytes + length) {
        fail("not the answer to expect: %.*s", STR_ARG(answer));
    }
    return str_tail(answer, head_bytes);
}
