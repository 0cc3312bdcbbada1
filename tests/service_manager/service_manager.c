/* SPDX-License-Identifier: MIT */
/* Stands for systemd in the tests: listens at the path of a Unix socket for what services say
 * (sd_notify(3)), and prints each datagram as a line, with " | " between its lines. Ends with
 * its parent. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof(address.sun_path)) {
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    return bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

static void print(const char *text, size_t len)
{
    while (len > 0 && text[len - 1] == '\n') {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        fputs(text[i] == '\n' ? " | " : (char[]){text[i], '\0'}, stdout);
    }
    putchar('\n');
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    char text[4096];
    int fd = argc == 2 ? listen_at(argv[1]) : -1;
    if (fd < 0) {
        fputs("usage: service_manager PATH, of a socket that is not there yet\n", stderr);
        return 2;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    puts("listening");
    (void)fflush(stdout);
    ssize_t n;
    while ((n = recv(fd, text, sizeof(text), 0)) >= 0) {
        print(text, (size_t)n);
    }
    return 1;
}
