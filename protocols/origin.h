/* Which web pages may connect: the Origin header of browsers against client.allowed_origins. */
#ifndef BELFRY_PROTOCOLS_ORIGIN_H
#define BELFRY_PROTOCOLS_ORIGIN_H

#include "base/config.h"
#include "base/str.h"

/* A request without Origin (no browser) passes; one with must fit a glob of the list ("*" fits
 * all). Case does not count. That the page comes from the very host it talks to is not enough: with
 * a name that an attacker points to this machine (DNS rebinding) it would. */
bool origin_is_allowed(const struct config_list *allowed_origins, struct str origin);

#endif
