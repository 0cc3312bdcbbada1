/* One publication: immutable, counted references, one block of memory. Loop's thread only (the
 * storage's writer reads the texts while the loop holds a reference for it). */
#ifndef BELFRY_HUB_PUBLICATION_H
#define BELFRY_HUB_PUBLICATION_H

#include "base/str.h"
#include "storage/storage.h"

struct publication {
    unsigned refs;
    struct publication *origin; /* whose text it shares; NULL: its own */
    uint64_t offset;            /* 0: the channel keeps no history */
    int64_t time_ms;            /* wall clock of the commit; 0: the channel keeps no history */
    struct str data;            /* JSON text on one line, otherwise byte for byte as it came */
    struct str info;            /* JSON text of the publishing client, or empty */
    struct str tags;            /* JSON object of strings, or empty */
    bool delta;                 /* published to be sent as a delta */
    char bytes[];
};

/* Copies the texts, which must be checked JSON (or empty, but not data), without the line ends
 * between tokens. One reference; NULL when memory is short. */
struct publication *publication_create(struct str data, struct str info, struct str tags);
/* What was read back from the storage, with its offset. NULL when memory is short. */
struct publication *publication_of_item(const struct storage_item *item);
/* Another publication of the same text, for another channel. */
struct publication *publication_share(struct publication *origin);
struct publication *publication_ref(struct publication *p);
/* Accepts NULL. */
void publication_unref(struct publication *p);
/* What it takes in memory. */
size_t publication_size(const struct publication *p);

#endif
