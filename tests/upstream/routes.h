/* From a path to an answer. */
#ifndef BELFRY_UPSTREAM_ROUTES_H
#define BELFRY_UPSTREAM_ROUTES_H

#include "tests/upstream/query.h"
#include "tests/upstream/response.h"
#include "tests/upstream/stats.h"
#include "tests/upstream/targets.h"
#include "tests/upstream/values.h"

/* What the routes need to know beside the request. */
struct routes {
    struct stats *stats;
    struct values *values;
    struct targets *targets;
};

/* Fills in *res, which is clear. */
void routes_serve(const struct routes *routes, const struct request *req, struct query *query,
                  struct response *res);
/* Asking for the statistics must not change them. */
bool routes_is_counted(struct str path);

#endif
