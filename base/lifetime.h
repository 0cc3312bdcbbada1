/* Something that lives as long as anybody holds it: whoever makes it is the first. Loop's thread
 * only. */
#ifndef BELFRY_BASE_LIFETIME_H
#define BELFRY_BASE_LIFETIME_H

#include <stddef.h>

struct lifetime {
    size_t n_holders;
    void (*end)(struct lifetime *lifetime); /* frees it */
};

static inline void lifetime_begin(struct lifetime *lifetime, void (*end)(struct lifetime *lifetime))
{
    *lifetime = (struct lifetime){.n_holders = 1, .end = end};
}

/* Both accept NULL: what lives anyway. */
static inline struct lifetime *lifetime_hold(struct lifetime *lifetime)
{
    if (lifetime) {
        lifetime->n_holders++;
    }
    return lifetime;
}

static inline void lifetime_release(struct lifetime *lifetime)
{
    if (lifetime && --lifetime->n_holders == 0) {
        lifetime->end(lifetime);
    }
}

#endif
