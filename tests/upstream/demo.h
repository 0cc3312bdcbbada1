/* Three invented city services: weather, air and events. An answer is a function of the place and
 * of a time slot of some seconds, so within a slot it is the same byte for byte. */
#ifndef BELFRY_UPSTREAM_DEMO_H
#define BELFRY_UPSTREAM_DEMO_H

#include "tests/upstream/response.h"

void demo_weather(struct response *res, struct str city);
void demo_air(struct response *res, struct str city);
void demo_events(struct response *res, struct str near);

#endif
