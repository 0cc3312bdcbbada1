/* /values/NAME: a small store of bytes, so that a test decides what an upstream answers. */
#ifndef BELFRY_UPSTREAM_VALUES_H
#define BELFRY_UPSTREAM_VALUES_H

#include "tests/upstream/http.h"
#include "tests/upstream/response.h"

struct values;

struct values *values_create(void);
void values_destroy(struct values *v);
/* Answers a GET, HEAD, PUT, POST or DELETE of the value with that name. */
void values_serve(struct values *v, struct str name, const struct request *req,
                  struct response *res);

#endif
