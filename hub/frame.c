/* SPDX-License-Identifier: MIT */
/* Unit frame holds encoded messages. */
#include "hub/frame.h"

#include <stdlib.h>

struct frame *frame_create(struct str payload)
{
    if (payload.len > UINT32_MAX - FRAME_HEADROOM) {
        return NULL;
    }
    struct frame *f = malloc(sizeof(*f) + FRAME_HEADROOM + payload.len);
    if (!f) {
        return NULL;
    }
    f->refs = 1;
    f->len = (uint32_t)payload.len;
    memcpy(frame_payload(f), payload.ptr, payload.len);
    return f;
}

struct frame *frame_ref(struct frame *f)
{
    f->refs++;
    return f;
}

void frame_unref(struct frame *f)
{
    if (f && --f->refs == 0) {
        free(f);
    }
}
