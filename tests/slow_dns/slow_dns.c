/* SPDX-License-Identifier: MIT */
/* For LD_PRELOAD: a getaddrinfo() for tests, so that names need no server.
 * - Names that end in ".slow.test" take SLOW_DNS_MS (default 3000), then do not exist; those that
 *   end in ".again.slow.test" fail for the time being instead.
 * - SLOW_DNS_MAP="name=address,other=address|address": these names have that address. With several
 *   the first question gets the first one, and so on; all further ones the last.
 * - With SLOW_DNS_LOG=FILE a line "name" is appended to the file as a question comes.
 * All else goes to the system's resolver. It may be called by any thread; what it keeps is under
 * one lock. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_MS  3000
#define MAX_NAMES   64 /* of the map */
#define MAX_ADDRESS 64
#define MAX_NAME    256

typedef int (*getaddrinfo_fn)(const char *node, const char *service, const struct addrinfo *hints,
                              struct addrinfo **ret);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned n_asked[MAX_NAMES]; /* how often, by the place in the map */

static bool ends_with(const char *name, const char *end)
{
    size_t name_len = strlen(name);
    size_t end_len = strlen(end);
    return name_len >= end_len && strcasecmp(name + name_len - end_len, end) == 0;
}

static void sleep_ms(long ms)
{
    struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
}

static long delay_ms(void)
{
    const char *text = getenv("SLOW_DNS_MS");
    return text ? strtol(text, NULL, 10) : DEFAULT_MS;
}

static void note(const char *name)
{
    const char *path = getenv("SLOW_DNS_LOG");
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        (void)dprintf(fd, "%s\n", name);
        (void)close(fd);
    }
}

/* The n-th of "a|b|c", or the last one. */
static void pick_address(const char *list, size_t len, unsigned n, char address[MAX_ADDRESS])
{
    const char *end = list + len;
    const char *bar;
    while (n > 0 && (bar = memchr(list, '|', (size_t)(end - list)))) {
        list = bar + 1;
        n--;
    }
    bar = memchr(list, '|', (size_t)(end - list));
    (void)snprintf(address, MAX_ADDRESS, "%.*s", (int)((bar ? bar : end) - list), list);
}

/* Is the name in the map? */
static bool look_up(const char *name, char address[MAX_ADDRESS])
{
    const char *at = getenv("SLOW_DNS_MAP");
    for (size_t i = 0; at && *at && i < MAX_NAMES; i++) {
        size_t len = strcspn(at, ",");
        const char *equals = memchr(at, '=', len);
        size_t name_len = equals ? (size_t)(equals - at) : 0;
        if (equals && name_len == strlen(name) && strncasecmp(at, name, name_len) == 0) {
            pthread_mutex_lock(&lock);
            unsigned n = n_asked[i]++;
            pthread_mutex_unlock(&lock);
            pick_address(equals + 1, len - name_len - 1, n, address);
            return true;
        }
        at += len + (at[len] == ',');
    }
    return false;
}

static int ask_system(const char *node, const char *service, const struct addrinfo *hints,
                      struct addrinfo **ret)
{
    getaddrinfo_fn next;
    /* POSIX has no other way from dlsym()'s object pointer to a function's. */
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    return next ? next(node, service, hints, ret) : EAI_SYSTEM;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    char name[MAX_NAME];
    char address[MAX_ADDRESS];
    if (!node || strlen(node) >= sizeof(name)) {
        return ask_system(node, service, hints, ret);
    }
    (void)snprintf(name, sizeof(name), "%s", node);
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '.') {
        name[len - 1] = '\0';
    }
    note(name);
    if (ends_with(name, ".slow.test")) {
        sleep_ms(delay_ms());
        return ends_with(name, ".again.slow.test") ? EAI_AGAIN : EAI_NONAME;
    }
    return ask_system(look_up(name, address) ? address : node, service, hints, ret);
}
