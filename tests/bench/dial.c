/* SPDX-License-Identifier: MIT */
#include "tests/bench/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "tests/bench/cli.h"

static int open_socket(int flags)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
        fail_errno("socket");
    }
    return fd;
}

static void connect_to(int fd, uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) {
        fail_errno("connect");
    }
}

int dial(uint16_t port)
{
    int fd = open_socket(0);
    connect_to(fd, port);
    return fd;
}

int dial_start(uint16_t port, unsigned source, int receive_buffer_bytes)
{
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source)};
    int on = 1;
    int fd = open_socket(SOCK_NONBLOCK);
    /* Without this option bind() takes a port that no other connection has, whatever its peer. */
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0) {
        fail_errno("source address");
    }
    if (receive_buffer_bytes > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                                               sizeof(receive_buffer_bytes)) < 0) {
        fail_errno("receive buffer");
    }
    connect_to(fd, port);
    return fd;
}

void dial_finish(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
        errno = error ? error : errno;
        fail_errno("connect");
    }
}
