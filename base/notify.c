/* SPDX-License-Identifier: MIT */
/* Datagrams of NAME=VALUE lines to the Unix socket that NOTIFY_SOCKET names: sd_notify(3). What
 * only comes once is waited for; it is a service manager that reads. A sign of life is not, as a
 * late one says what is true: the loop was held up. The state is the socket and the timer; loop's
 * thread. */
#include "base/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define TEXT_SIZE   256
#define STATUS_SIZE 128

struct notify {
    notify_describe_fn describe;
    void *arg;
    int fd; /* -1: nobody wants to know */
    struct sockaddr_un address;
    socklen_t address_size;
    uv_timer_t watchdog;
    uint64_t sign_of_life_ms; /* between two; 0: none is wanted */
};

/* --- what the environment says --- */

static void ignored(const char *name, const char *value, const char *expected)
{
    log_warn("notify", "ignored", log_s("variable", name), log_s("value", value),
             log_s("expected", expected));
}

/* '@' stands for the zero byte of an abstract socket. */
static bool read_address(struct notify *n, const char *name)
{
    size_t size = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || size < 2 || size >= sizeof(n->address.sun_path)) {
        ignored("NOTIFY_SOCKET", name, "/PATH or @NAME of at most 107 bytes");
        return false;
    }
    n->address.sun_family = AF_UNIX;
    memcpy(n->address.sun_path, name, size);
    if (name[0] == '@') {
        n->address.sun_path[0] = '\0';
    }
    n->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return true;
}

static bool read_number(const char *name, uint64_t *ret_number)
{
    const char *text = getenv(name);
    char *end;
    if (!text) {
        return false;
    }
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number == 0) {
        ignored(name, text, "a number above 0");
        return false;
    }
    *ret_number = number;
    return true;
}

/* Twice in the time that is granted, as sd_watchdog_enabled(3) recommends. */
static uint64_t read_watchdog(void)
{
    uint64_t us;
    uint64_t pid;
    if (!read_number("WATCHDOG_USEC", &us) ||
        (getenv("WATCHDOG_PID") &&
         (!read_number("WATCHDOG_PID", &pid) || pid != (uint64_t)getpid()))) {
        return 0;
    }
    return us > 2000 ? us / 2000 : 1;
}

/* --- telling --- */

static void tell(struct notify *n, const char *text, int flags)
{
    if (n->fd >= 0 && sendto(n->fd, text, strlen(text), flags | MSG_NOSIGNAL,
                             (struct sockaddr *)&n->address, n->address_size) < 0) {
        static struct log_limit limit;
        if (log_permits(&limit)) {
            log_warn("notify", "not_told", log_s("why", strerror(errno)));
        }
    }
}

static void tell_with_status(struct notify *n, const char *what, int flags)
{
    char status[STATUS_SIZE] = "";
    char text[TEXT_SIZE];
    n->describe(n->arg, status, sizeof(status));
    (void)snprintf(text, sizeof(text), "%s\nSTATUS=%s\n", what, status);
    tell(n, text, flags);
}

static void on_watchdog(uv_timer_t *timer)
{
    tell_with_status(timer->data, "WATCHDOG=1", MSG_DONTWAIT);
}

void notify_ready(struct notify *n)
{
    tell_with_status(n, "READY=1", 0);
    if (n->sign_of_life_ms && !uv_is_active((uv_handle_t *)&n->watchdog)) {
        uv_timer_start(&n->watchdog, on_watchdog, n->sign_of_life_ms, n->sign_of_life_ms);
    }
}

void notify_reloading(struct notify *n)
{
    char text[TEXT_SIZE];
    (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n",
                   clock_monotonic_us());
    tell(n, text, 0);
}

void notify_stopping(struct notify *n, int64_t needs_ms)
{
    char text[TEXT_SIZE];
    (void)snprintf(text, sizeof(text), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64, needs_ms * 1000);
    tell_with_status(n, text, 0);
}

/* --- the whole --- */

enum status notify_create(struct loop *loop, notify_describe_fn describe, void *arg,
                          struct notify **ret_notify)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct notify *n = calloc(1, sizeof(*n));
    if (!n) {
        return STATUS_NO_MEMORY;
    }
    n->describe = describe;
    n->arg = arg;
    n->fd = -1;
    if (name && read_address(n, name)) {
        n->sign_of_life_ms = read_watchdog();
        n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (n->fd < 0) {
            log_warn("notify", "no_socket", log_s("why", strerror(errno)));
        }
    }
    uv_timer_init(loop_uv(loop), &n->watchdog);
    uv_unref((uv_handle_t *)&n->watchdog); /* by itself it is no reason to go on */
    n->watchdog.data = n;
    *ret_notify = n;
    return STATUS_OK;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void notify_destroy(struct notify *n)
{
    if (!n) {
        return;
    }
    if (n->fd >= 0) {
        close(n->fd);
    }
    uv_close((uv_handle_t *)&n->watchdog, on_closed);
}
