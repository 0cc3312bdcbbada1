/* Publications on their way to the subscribers of a channel, with the frames that these share. For
 * fan_out.c only. */
#ifndef BELFRY_HUB_DELIVERY_H
#define BELFRY_HUB_DELIVERY_H

#include "hub/fan_out.h"
#include "hub/frame.h"
#include "hub/wire_format.h"

#define JOIN_MAX_PUBLICATIONS 64 /* as many as a mask has bits */

/* How the publications of one delivery are encoded. */
enum delivery_variant {
    VARIANT_JSON,
    VARIANT_TEXT,  /* for deltas; the first one whole: who gets it may have nothing yet */
    VARIANT_DELTA, /* for deltas; also the first one as what it changes in the delivery's base */
    N_VARIANTS,
};

struct special_frames;

/* Publications that came in one turn, for the same subscribers: one message on the wire. Or an
 * event, and no publication. */
struct delivery {
    struct delivery *next;
    size_t cursor; /* the next place */
    size_t end;    /* behind the last place */
    size_t n_bytes;
    size_t n_publications;
    int64_t begun_us;
    struct frame *frames[WIRE_FORMATS_MAX]; /* of the event, or of all as VARIANT_JSON, joined */
    struct special_frames *special;         /* others; NULL until somebody needs one */
    struct publication *base;               /* what came before the first one; or NULL */
    struct fan_out_report *report;          /* of a single publication; NULL mostly */
    struct str info;                        /* of the event; its own copy */
    enum presence_event event;
    struct publication *publications[JOIN_MAX_PUBLICATIONS]; /* not there in an event's */
};

/* What making frames takes; zeroed at first, but for the buffers. */
struct delivery_writer {
    struct buf scratch;
    struct buf patch;
    uint64_t n_deltas;
    uint64_t n_full;
};
void delivery_writer_init(struct delivery_writer *w);
void delivery_writer_release(struct delivery_writer *w);

/* NULL when memory is short. base: or NULL. */
struct delivery *delivery_create(size_t n_places, struct publication *base);
struct delivery *delivery_create_event(size_t n_places, enum presence_event event, struct str info);
void delivery_free(struct delivery *d);

static inline bool delivery_is_event(const struct delivery *d)
{
    return d->info.ptr;
}
static inline uint64_t delivery_all(const struct delivery *d)
{
    return UINT64_MAX >> (JOIN_MAX_PUBLICATIONS - d->n_publications);
}

/* The frames belong to the delivery; NULL when memory is short. */
struct frame *delivery_event_frame(struct delivery_writer *w, struct delivery *d,
                                   struct str channel, const struct wire_format *format);
/* All of them joined. */
struct frame *delivery_frame(struct delivery_writer *w, struct delivery *d, struct str channel,
                             const struct wire_format *format, enum delivery_variant variant);
struct frame *delivery_frame_of_one(struct delivery_writer *w, struct delivery *d,
                                    struct str channel, const struct wire_format *format,
                                    enum delivery_variant variant, size_t i);
/* Those of the mask joined, as VARIANT_JSON. Valid until the next one. */
struct frame *delivery_frame_of_some(struct delivery_writer *w, struct delivery *d,
                                     struct str channel, const struct wire_format *format,
                                     uint64_t mask);

#endif
