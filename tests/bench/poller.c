/* SPDX-License-Identifier: MIT */
#include "tests/bench/poller.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/cli.h"
#include "tests/bench/stamp.h"

#define EVENTS_PER_TURN 512
/* How many others are handled before the preferred are looked at again. */
#define EVENTS_BETWEEN 16
#define PREFERRED_MAX  8
#define WATCHED_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static struct {
    const struct poller_handler *handler;
    int epoll_fd;
    int preferred_fd; /* an epoll of its own, watched by the other */
    bool has_preferred;
    uint64_t deadline_ns;
    struct timespec nap;
    char line[256];
    size_t line_len;
} poller;

/* In the place of a socket: what is ready is among the preferred. */
static struct watched preferred;

static void control(int epoll_fd, int operation, int fd, uint32_t events, struct watched *w)
{
    struct epoll_event event = {.events = events, .data.ptr = w};
    if (epoll_ctl(epoll_fd, operation, fd, &event) < 0) {
        fail_errno("epoll");
    }
}

void poller_watch(int fd, struct watched *w)
{
    control(poller.epoll_fd, EPOLL_CTL_ADD, fd, WATCHED_EVENTS, w);
}

void poller_ignore(int fd)
{
    control(poller.epoll_fd, EPOLL_CTL_DEL, fd, 0, NULL);
}

void poller_prefer(int fd, struct watched *w)
{
    poller_ignore(fd);
    control(poller.preferred_fd, EPOLL_CTL_ADD, fd, WATCHED_EVENTS, w);
    poller.has_preferred = true;
}

void poller_set_deadline_ns(uint64_t deadline_ns)
{
    poller.deadline_ns = deadline_ns;
}

void poller_set_nap_ns(uint64_t nap_ns)
{
    poller.nap = (struct timespec){.tv_nsec = (long)nap_ns};
}

void poller_open(const struct poller_handler *handler)
{
    poller.handler = handler;
    poller.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    poller.preferred_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poller.epoll_fd < 0 || poller.preferred_fd < 0) {
        fail_errno("epoll");
    }
    control(poller.epoll_fd, EPOLL_CTL_ADD, poller.preferred_fd, EPOLLIN, &preferred);
    control(poller.epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, NULL);
    /* A nap is not to be longer than it is asked to be. */
    prctl(PR_SET_TIMERSLACK, 1);
}

void poller_close(void)
{
    close(poller.epoll_fd);
    close(poller.preferred_fd);
}

/* False at the end of stdin. */
static bool read_lines(void)
{
    ssize_t n =
        read(STDIN_FILENO, poller.line + poller.line_len, sizeof(poller.line) - poller.line_len);
    if (n < 0) {
        fail_errno("stdin");
    }
    poller.line_len += (size_t)n;
    struct str rest = {poller.line, poller.line_len};
    for (ptrdiff_t end; (end = str_find(rest, '\n')) >= 0; rest = str_tail(rest, (size_t)end + 1)) {
        poller.handler->on_line(str_head(rest, (size_t)end));
    }
    if (rest.len == sizeof(poller.line)) {
        fail("a line that is too long");
    }
    memmove(poller.line, rest.ptr, rest.len);
    poller.line_len = rest.len;
    return n > 0;
}

static int patience_ms(void)
{
    if (poller.deadline_ns == 0) {
        return -1;
    }
    uint64_t now_ns = stamp_now_ns();
    return poller.deadline_ns > now_ns ? (int)((poller.deadline_ns - now_ns) / 1000000 + 1) : 0;
}

static int wait_for(int epoll_fd, struct epoll_event *ret_events, int max, int for_ms)
{
    int n = epoll_wait(epoll_fd, ret_events, max, for_ms);
    if (n < 0 && errno != EINTR) {
        fail_errno("epoll");
    }
    return n;
}

static void look_at_preferred(void)
{
    struct epoll_event events[PREFERRED_MAX];
    int n = wait_for(poller.preferred_fd, events, PREFERRED_MAX, 0);
    for (int i = 0; i < n; i++) {
        struct watched *w = events[i].data.ptr;
        w->on_ready(w, events[i].events);
    }
}

/* True where there are lines to be read. */
static bool handle(const struct epoll_event *events, int n)
{
    bool has_lines = false;
    for (int i = 0; i < n; i++) {
        struct watched *w = events[i].data.ptr;
        if (poller.has_preferred && i % EVENTS_BETWEEN == 0) {
            look_at_preferred();
        }
        if (!w) {
            has_lines = true;
        } else if (w != &preferred) {
            w->on_ready(w, events[i].events);
        }
    }
    return has_lines;
}

void poller_run(void)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n = 0;
    for (bool going = true; going || n > 0;) {
        /* Not where the last turn has left something. */
        if (poller.nap.tv_nsec > 0 && n < EVENTS_PER_TURN) {
            nanosleep(&poller.nap, NULL);
        }
        n = wait_for(poller.epoll_fd, events, EVENTS_PER_TURN, going ? patience_ms() : 0);
        /* Lines are last: one may end sockets that have events in this turn. */
        if (handle(events, n) && !read_lines()) {
            poller_ignore(STDIN_FILENO);
            going = false;
        }
        poller.handler->on_turn();
    }
}
