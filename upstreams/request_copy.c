/* SPDX-License-Identifier: MIT */
/* Unit request_copy lays a request, its headers and all its texts out in one block. */
#include "upstreams/request_copy.h"

#include <stdlib.h>

struct block {
    struct upstream_request request;
    struct str headers[];
};

static size_t text_len(const struct upstream_request *request)
{
    size_t len = strlen(request->url) + 1 + request->body.len;
    for (size_t i = 0; i < request->n_headers; i++) {
        len += request->headers[i].len;
    }
    return len;
}

static struct str put(char **at, struct str text)
{
    struct str copy = {*at, text.len};
    if (text.len > 0) {
        memcpy(*at, text.ptr, text.len);
        *at += text.len;
    }
    return copy;
}

struct upstream_request *request_copy(const struct upstream_request *request)
{
    size_t headers_size = request->n_headers * sizeof(struct str);
    struct block *block = malloc(sizeof(*block) + headers_size + text_len(request));
    if (!block) {
        return NULL;
    }
    char *at = (char *)(block->headers + request->n_headers);
    block->request = *request;
    block->request.url = put(&at, (struct str){request->url, strlen(request->url) + 1}).ptr;
    block->request.body = put(&at, request->body);
    for (size_t i = 0; i < request->n_headers; i++) {
        block->headers[i] = put(&at, request->headers[i]);
    }
    block->request.headers = block->headers;
    return &block->request; /* the block's first member */
}
