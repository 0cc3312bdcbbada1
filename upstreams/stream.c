/* SPDX-License-Identifier: MIT */
/* Answers that are read piece by piece: what libcurl brings is gathered as ever, and who reads is
 * told once libcurl has been left. The transfer rests while as much waits as may: then libcurl
 * keeps what it has unpacked of its last read. When somebody has read, all of that is taken at
 * once: libcurl would copy the rest of it at every turn. Loop's thread only. */
#include "upstreams/pool.h"

#include <utlist.h>

void stream_note(struct fetch *f)
{
    if (!f->has_news) {
        f->has_news = true;
        DL_APPEND2(f->pool->news, f, prev_news, next_news);
    }
}

void stream_forget(struct fetch *f)
{
    if (f->has_news) {
        f->has_news = false;
        DL_DELETE2(f->pool->news, f, prev_news, next_news);
    }
}

bool stream_rests(struct fetch *f)
{
    stream_note(f);
    if (f->is_catching_up || f->body.len < f->max_bytes) {
        return false;
    }
    f->is_resting = true;
    return true;
}

void stream_deliver(struct fetch_pool *pool)
{
    while (pool->news) {
        struct fetch *f = pool->news;
        stream_forget(f);
        f->on_data(f->arg, f); /* may cancel it */
    }
}

const struct fetch_head *fetch_head(const struct fetch *f)
{
    return f->head.is_complete && !redirect_is_due(f) ? &f->head.head : NULL;
}

struct str fetch_waiting(const struct fetch *f)
{
    return buf_str(&f->body);
}

/* libcurl hands over what it holds from inside this call, not more; and wants to be driven at this
 * turn's tail, where on_data() hears of it. */
static void go_on(struct fetch *f)
{
    f->is_resting = false;
    f->is_catching_up = true;
    CURLcode code = curl_easy_pause(f->easy, CURLPAUSE_CONT);
    f->is_catching_up = false;
    if (code) {
        fetch_finish(f, answer_outcome(f, code), answer_error(f, code));
        loop_defer(f->pool->loop, &f->pool->deliver);
    } else if (f->body.len >= f->max_bytes) {
        f->is_resting = true;
        (void)curl_easy_pause(f->easy, CURLPAUSE_ALL);
    }
}

void fetch_read(struct fetch *f, size_t n)
{
    buf_consume(&f->body, n < f->body.len ? n : f->body.len);
    if (f->is_resting && f->body.len < f->max_bytes && f->state == FETCH_ACTIVE) {
        go_on(f);
    }
}
