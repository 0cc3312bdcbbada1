/* What a client is told when a command was refused in words that are not ours: a proxy's. */
#ifndef BELFRY_HUB_CLIENT_ERROR_H
#define BELFRY_HUB_CLIENT_ERROR_H

#include <stdbool.h>
#include <stdint.h>

struct client_error {
    uint32_t code;
    const char *message;
    bool is_temporary;
};

#endif
