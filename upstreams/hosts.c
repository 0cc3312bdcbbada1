/* SPDX-License-Identifier: MIT */
/* Unit hosts holds a queue and a count for every host that fetches go to. A host without either is
 * kept for a while, so that the steady state allocates nothing. Loop's thread only. */
#include "upstreams/hosts.h"

#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#include "upstreams/pool.h"

#define MAX_IDLE  256
#define NAME_SIZE 300

enum host_list { HOST_IN_NONE, HOST_READY, HOST_IDLE };

struct host {
    UT_hash_handle hh; /* in hosts->table */
    struct host *next; /* in the list of its kind */
    struct host *prev;
    enum host_list list;
    int64_t n_active;
    struct fetch *waiting; /* oldest first */
    char name[];
};

/* --- names --- */

static struct str lower_into(char *place, size_t size, struct str text)
{
    text = str_head(text, size);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        place[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return (struct str){place, text.len};
}

/* "scheme://host:port" in lower case, cut where it is very long: then hosts share a limit. Read by
 * hand, since it is needed for every fetch: a spelling that is taken for another host only has a
 * limit of its own. */
static struct str name_of(const char *url, char *place)
{
    struct str text = str_of(url);
    ptrdiff_t scheme_end = str_find_text(text, STR("://"));
    size_t n_scheme = scheme_end < 0 ? 0 : (size_t)scheme_end + 3;
    struct str authority = str_tail(text, n_scheme);
    authority = str_head(authority, strcspn(authority.ptr, "/?#"));
    ptrdiff_t at;
    while ((at = str_find(authority, '@')) >= 0) {
        authority = str_tail(authority, (size_t)at + 1);
    }
    struct str scheme = lower_into(place, 8, str_head(text, n_scheme));
    struct str name = lower_into(place + scheme.len, NAME_SIZE - 16, authority);
    size_t len = scheme.len + name.len;
    ptrdiff_t bracket = str_find(name, ']');
    bool has_port = str_find(str_tail(name, bracket < 0 ? 0 : (size_t)bracket), ':') >= 0;
    if (!has_port) {
        struct str port = str_eq(scheme, STR("https://")) ? STR(":443") : STR(":80");
        memcpy(place + len, port.ptr, port.len);
        len += port.len;
    }
    return (struct str){place, len};
}

/* --- the table --- */

static void leave_list(struct hosts *hosts, struct host *host)
{
    if (host->list == HOST_READY) {
        DL_DELETE(hosts->ready, host);
    } else if (host->list == HOST_IDLE) {
        DL_DELETE(hosts->idle, host);
        hosts->n_idle--;
    }
    host->list = HOST_IN_NONE;
}

static void forget(struct hosts *hosts, struct host *host)
{
    leave_list(hosts, host);
    HASH_DEL(hosts->table, host);
    free(host);
}

/* In the list that it belongs to by now. A ready one that stays ready keeps its turn. */
static void settle(struct hosts *hosts, struct host *host)
{
    enum host_list list = HOST_IN_NONE;
    if (host->waiting && host_has_place(hosts, host)) {
        list = HOST_READY;
    } else if (!host->waiting && host->n_active == 0) {
        list = HOST_IDLE;
    }
    if (list == host->list) {
        return;
    }
    leave_list(hosts, host);
    host->list = list;
    if (list == HOST_READY) {
        DL_APPEND(hosts->ready, host);
    } else if (list == HOST_IDLE) {
        DL_APPEND(hosts->idle, host);
        hosts->n_idle++;
    }
}

struct host *hosts_find(struct hosts *hosts, const char *url)
{
    char place[NAME_SIZE];
    struct str name = name_of(url, place);
    struct host *host;
    HASH_FIND(hh, hosts->table, name.ptr, name.len, host);
    if (host) {
        return host;
    }
    if (hosts->n_idle >= MAX_IDLE) {
        forget(hosts, hosts->idle);
    }
    host = calloc(1, sizeof(*host) + name.len);
    if (!host) {
        return NULL;
    }
    memcpy(host->name, name.ptr, name.len);
    HASH_ADD_KEYPTR(hh, hosts->table, host->name, name.len, host);
    if (!host->hh.tbl) { /* no memory */
        free(host);
        return NULL;
    }
    settle(hosts, host);
    return host;
}

void hosts_release(struct hosts *hosts)
{
    struct host *host;
    struct host *next;
    HASH_ITER (hh, hosts->table, host, next) {
        forget(hosts, host);
    }
}

/* --- places --- */

bool host_has_place(const struct hosts *hosts, const struct host *host)
{
    return host->n_active < hosts->max_active;
}

void host_enter(struct hosts *hosts, struct host *host)
{
    host->n_active++;
    /* Behind the others, if somebody else waits there. */
    leave_list(hosts, host);
    settle(hosts, host);
}

void host_leave(struct hosts *hosts, struct host *host)
{
    host->n_active--;
    settle(hosts, host);
}

void host_wait(struct hosts *hosts, struct host *host, struct fetch *f)
{
    DL_APPEND(host->waiting, f);
    settle(hosts, host);
}

void host_wait_no_more(struct hosts *hosts, struct host *host, struct fetch *f)
{
    DL_DELETE(host->waiting, f);
    settle(hosts, host);
}

struct fetch *hosts_next(struct hosts *hosts)
{
    return hosts->ready ? hosts->ready->waiting : NULL;
}

struct fetch *hosts_any_waiting(const struct hosts *hosts)
{
    for (struct host *host = hosts->table; host; host = host->hh.next) {
        if (host->waiting) {
            return host->waiting;
        }
    }
    return NULL;
}
