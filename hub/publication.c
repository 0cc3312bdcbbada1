/* SPDX-License-Identifier: MIT */
/* Unit publication makes the immutable text that everybody shares: storage, tail and frames. */
#include "hub/publication.h"

#include <stdlib.h>

/* A raw line end in checked JSON can only stand between tokens. */
static struct str copy_one_line(char **at, struct str text)
{
    char *start = *at;
    char *out = start;
    if (text.len > 0 && !memchr(text.ptr, '\n', text.len) && !memchr(text.ptr, '\r', text.len)) {
        memcpy(out, text.ptr, text.len); /* as it mostly is */
        out += text.len;
    } else {
        for (size_t i = 0; i < text.len; i++) {
            *out = text.ptr[i];
            out += text.ptr[i] != '\n' && text.ptr[i] != '\r';
        }
    }
    *at = out;
    return (struct str){start, (size_t)(out - start)};
}

struct publication *publication_create(struct str data, struct str info, struct str tags)
{
    struct publication *p = malloc(sizeof(*p) + data.len + info.len + tags.len + 1);
    if (!p) {
        return NULL;
    }
    char *at = p->bytes;
    p->refs = 1;
    p->origin = NULL;
    p->offset = 0;
    p->time_ms = 0;
    p->delta = false;
    p->data = copy_one_line(&at, data);
    p->info = copy_one_line(&at, info);
    p->tags = copy_one_line(&at, tags);
    return p;
}

struct publication *publication_of_item(const struct storage_item *item)
{
    struct publication *p = publication_create(item->data, item->info, item->tags);
    if (p) {
        p->offset = item->offset;
        p->time_ms = item->time_ms;
        p->delta = item->delta;
    }
    return p;
}

struct publication *publication_share(struct publication *origin)
{
    struct publication *p = malloc(sizeof(*p));
    if (p) {
        *p = *origin;
        p->refs = 1;
        p->origin = publication_ref(origin->origin ? origin->origin : origin);
    }
    return p;
}

struct publication *publication_ref(struct publication *p)
{
    p->refs++;
    return p;
}

void publication_unref(struct publication *p)
{
    if (p && --p->refs == 0) {
        publication_unref(p->origin);
        free(p);
    }
}

size_t publication_size(const struct publication *p)
{
    return sizeof(*p) + p->data.len + p->info.len + p->tags.len;
}
