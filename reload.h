/* Taking over a changed configuration while the program runs (SIGHUP): all of it or nothing. Loop's
 * thread; blocks it for the moment that reading the files takes. */
#ifndef BELFRY_RELOAD_H
#define BELFRY_RELOAD_H

#include "hub/hub.h"
#include "protocols/server.h"
#include "settings.h"
#include "upstreams/address_guard.h"

/* The running program. */
struct reload {
    const char *path;           /* of the configuration */
    struct settings **settings; /* in use: replaced, and the former ones let go */
    struct hub *hub;
    struct hub_options hub_options; /* those of the start; what settings say is put in */
    struct server *server;
    struct address_guard *guard;
};

/* The log says what has changed, or why nothing has. */
void reload_configuration(const struct reload *reload);

/* Fills in what the settings say. */
void reload_set_hub_options(struct hub_options *options, struct settings *settings);

#endif
