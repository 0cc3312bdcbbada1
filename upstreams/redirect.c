/* SPDX-License-Identifier: MIT */
/* Following redirects: not by libcurl, which knows of no guard and would take a request's headers
 * along. The same easy handle asks again, with what is left of the time; the fetch keeps its place.
 * Loop's thread only. */
#include "upstreams/pool.h"

#include <stdio.h>
#include <stdlib.h>

bool redirect_is_due(const struct fetch *f)
{
    if (f->max_redirects == 0 || !f->head.has_location) {
        return false;
    }
    switch (f->head.head.http_status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308: return true;
    default: return false;
    }
}

static void refuse(struct fetch *f)
{
    fetch_finish(f, FETCH_REFUSED, f->error_text);
}

/* What is set on the easy handle of one that libcurl does not have is another's. */
static bool has_proxy(const struct fetch *f)
{
    return !f->is_direct && f->transport && f->transport->proxy[0];
}

/* Through a proxy nobody sees which address is asked. */
static bool may_go(struct fetch *f, const char *url)
{
    const char *why = NULL;
    const struct address_guard *guard = f->pool->guard ? f->pool->guard : f->redirect_guard;
    if (f->is_abroad && !guard) {
        why = "a redirect to another host is not followed";
    } else if (f->is_abroad && has_proxy(f)) {
        why = "a redirect to another host is not followed through a proxy";
    }
    if (why) {
        (void)snprintf(f->error_text, sizeof(f->error_text), "%s: %.150s", why, url);
        return false;
    }
    return (!f->is_abroad && !f->pool->guard) || guarding_allows(f, guard, url);
}

/* The URL of the spec: it is only needed once there is a redirect. */
static bool know_origin(struct fetch *f)
{
    char *url = NULL;
    if (f->n_redirects > 0) {
        return true;
    }
    if (f->is_direct) {
        return target_read(f->request.ptr, &f->origin);
    }
    return !curl_easy_getinfo(f->easy, CURLINFO_EFFECTIVE_URL, &url) && url &&
           target_read(url, &f->origin);
}

/* A connection that was made without the guard must not serve what the guard is to see. */
static bool set_guard(struct fetch *f)
{
    bool is_guarded_anew = f->is_abroad && !f->pool->guard;
    f->address_guard = is_guarded_anew ? f->redirect_guard : f->pool->guard;
    bool is_fresh = is_guarded_anew || f->is_single;
    return !curl_easy_setopt(f->easy, CURLOPT_FRESH_CONNECT, is_fresh ? 1L : 0L);
}

/* RFC 9110, 15.4: what many servers expect of 301 and 302, and 303 asks for. */
static bool becomes_get(const struct fetch *f)
{
    int status = f->head.head.http_status;
    return status <= 303 && f->method != FETCH_HEAD;
}

static bool ask_again(struct fetch *f, const char *url)
{
    bool as_get = becomes_get(f);
    answer_reset(f);
    f->n_redirects++;
    f->pool->stats.n_redirects++;
    if (direct_fetch_redirect(f, url)) {
        return fetch_perform(f);
    }
    if (f->is_direct && !direct_fetch_hand_over(f)) {
        return false;
    }
    (void)curl_multi_remove_handle(f->pool->multi, f->easy);
    return set_guard(f) && request_redirect(f, url, as_get) && fetch_perform(f);
}

static void go(struct fetch *f, const char *url)
{
    struct target target;
    if (!target_read(url, &target) || !know_origin(f)) {
        (void)snprintf(f->error_text, sizeof(f->error_text),
                       "a redirect to what is no URL of http or https: %.150s", url);
        refuse(f);
        return;
    }
    f->is_abroad = !target_eq(&target, &f->origin);
    if (!may_go(f, url)) {
        refuse(f);
    } else if (!ask_again(f, url)) {
        fetch_finish(f, FETCH_CONNECT_ERROR, "libcurl did not take the redirected request");
    }
}

/* A copy: libcurl's own text goes with the next request. */
static char *location_of(const struct fetch *f)
{
    char *location = NULL;
    if (f->is_direct) {
        return direct_fetch_location(f);
    }
    (void)curl_easy_getinfo(f->easy, CURLINFO_REDIRECT_URL, &location);
    return str_dup(str_of(location));
}

void redirect_follow(struct fetch *f)
{
    if (f->n_redirects >= f->max_redirects) {
        (void)snprintf(f->error_text, sizeof(f->error_text), "more than %lld redirects",
                       (long long)f->max_redirects);
        refuse(f);
        return;
    }
    char *url = location_of(f);
    if (url) {
        go(f, url);
    } else {
        fetch_finish(f, FETCH_CONNECT_ERROR, "memory is short");
    }
    free(url);
}
