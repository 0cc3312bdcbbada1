/* One encoded message, shared by all who get it: counted references, with room in front of the
 * payload in which a transport writes its own header (the same for every receiver, since servers do
 * not mask). */
#ifndef BELFRY_HUB_FRAME_H
#define BELFRY_HUB_FRAME_H

#include "base/buf.h"
#include "base/str.h"

#define FRAME_HEADROOM 16

struct frame {
    unsigned refs;
    uint32_t len; /* of the payload */
    char bytes[]; /* FRAME_HEADROOM bytes, then the payload */
};

/* One reference; NULL when memory is short or the text is longer than 4 GiB. */
struct frame *frame_create(struct str payload);
struct frame *frame_ref(struct frame *f);
/* Accepts NULL. */
void frame_unref(struct frame *f);

static inline char *frame_payload(struct frame *f)
{
    return f->bytes + FRAME_HEADROOM;
}

static inline struct str frame_str(const struct frame *f)
{
    return (struct str){f->bytes + FRAME_HEADROOM, f->len};
}

#endif
