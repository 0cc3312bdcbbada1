/* The parameters of a query, decoded. */
#ifndef BELFRY_UPSTREAM_QUERY_H
#define BELFRY_UPSTREAM_QUERY_H

#include "base/str.h"
#include "tests/upstream/http.h"

#define QUERY_MAX_PARAMS 64

struct param {
    struct str name;
    struct str value;
};

struct query {
    struct param params[QUERY_MAX_PARAMS];
    size_t n_params;
    char text[HTTP_MAX_HEAD]; /* what the decoded values point into */
    size_t text_len;
};

/* False: broken percent-encoding, or too many parameters. */
bool query_parse(struct str raw, struct query *q);
/* The first of that name, or an empty one. */
struct str query_find(const struct query *q, struct str name);
/* Decodes into the query's text, for a part of the path. */
bool query_decode_path(struct query *q, struct str raw, struct str *ret_text);

#endif
